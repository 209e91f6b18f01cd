"""Reads small objects as a whole."""

from dropbatch.ports import Objects


def read_object(objects: Objects, bucket: str, key: str, version_id: str | None = None) -> bytes:
    """Return a small object's bytes; ObjectNotFoundError if there is none."""
    return b"".join(objects.blocks(bucket, key, version_id))
