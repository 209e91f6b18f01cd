"""The conclusions about a batch at OpenAI that several steps share: its age, its project, the clocks."""

from dropbatch.domain.batches import Batch
from dropbatch.storage.context import Context

MAX_CLOCK_SKEW_SECONDS = 600
"""How far OpenAI's clock and ours may be apart. A search of OpenAI's list reaches that much further back."""

MAX_OPEN_SECONDS = 50 * 3600
"""How long a batch is open at most. Then it counts as ended, whatever OpenAI answers, and its answers are collected."""


def can_see(context: Context, batch: Batch) -> bool:
    """Return whether the key is of the batch's project. Only then does it count if OpenAI knows no such batch."""
    if batch.secret_version is None or context.openai.key_version() == batch.secret_version:
        return True
    if context.openai.key_version(fresh=True) == batch.secret_version:
        return True  # this process had kept the former key
    return batch.file_id is not None and context.openai.sees(batch.file_id)
