"""How large things may be. Tests set them small."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one batch, one record, one drop and its key.

    The first three are OpenAI's (Batch API guide); the others keep a Lambda function's memory, disk and time bounded.
    The stack's owner sets `line_bytes` and `drop_bytes`.
    """

    batch_requests: int = 50_000
    batch_bytes: int = 209_715_200
    batch_embedding_inputs: int = 50_000
    batch_output_bytes: int = 1_000_000_000  # expected, not promised: embeddings are 35 to 70 KB a row
    line_bytes: int = 67_108_864  # one record or one request; OpenAI takes at most 50 MB a request
    drop_bytes: int = 50_000_000_000  # unpacked; a small file can hold any number of zeros
    key_bytes: int = 900  # a results key adds the job's id and a file name, within S3's 1,024
