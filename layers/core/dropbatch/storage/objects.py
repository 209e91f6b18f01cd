"""Small objects, read as a whole. It loads no recipe and no format, because an idle poll needs it, too."""

from dropbatch.ports import Objects


def read_object(objects: Objects, bucket: str, key: str, version_id: str | None = None) -> bytes:
    """Return a small object's bytes. Raise ObjectNotFoundError if there is none."""
    return b"".join(objects.blocks(bucket, key, version_id))
