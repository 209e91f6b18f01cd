"""Limits: those of OpenAI's Batch API, and those that keep a Lambda function bounded.

OpenAI's are those of its Batch API guide and its API reference, read in November 2026.
"""

from dataclasses import dataclass
from typing import Final

MAX_BATCH_REQUESTS = 50_000
MAX_BATCH_BYTES = 209_715_200
MAX_BATCH_EMBEDDING_INPUTS = 50_000
"""OpenAI's limits of one batch."""

MAX_REQUEST_BYTES = 50_000_000
"""OpenAI takes no larger request."""

MAX_ENQUEUED_EMBEDDING_INPUTS = 1_000_000
"""The maximum number of embedding inputs in all batches that OpenAI has enqueued."""

MAX_BATCHES_PER_HOUR = 2_000
"""The maximum number of batches that may be created in an hour."""

COMPLETION_WINDOW: Final = "24h"
COMPLETION_WINDOW_SECONDS = 24 * 3600
"""The time after which OpenAI ends a batch; it knows no other."""

OPENAI_FILE_DAYS = 7
"""How many days OpenAI keeps a file that nobody deletes, unless the stack's owner says otherwise."""

MIN_REQUEST_FILE_DAYS = 3
"""How many days OpenAI keeps a file of requests at least: a batch reads it, and may be open for 50 hours."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one batch, one record, one drop and its key. Tests set them low.

    The first three are OpenAI's; the others keep a Lambda function's memory, disk and time bounded. The stack's owner
    sets `line_bytes` and `drop_bytes`.
    """

    batch_requests: int = MAX_BATCH_REQUESTS
    batch_bytes: int = MAX_BATCH_BYTES
    batch_embedding_inputs: int = MAX_BATCH_EMBEDDING_INPUTS
    batch_output_bytes: int = 1_000_000_000  # expected, not promised: embeddings are 35 to 70 KB a row
    line_bytes: int = 67_108_864  # one record or one request, and more than MAX_REQUEST_BYTES
    drop_bytes: int = 50_000_000_000  # unpacked; a small file can hold any number of zeros
    key_bytes: int = 900  # a results key adds the job's id and a file name, within S3's 1,024
