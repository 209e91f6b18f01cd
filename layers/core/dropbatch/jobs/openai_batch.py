"""What a job may conclude of its batches at OpenAI, and when."""

from dropbatch.domain.batches import Batch
from dropbatch.storage.context import Context

NEVER_SECONDS = 50 * 3600
"""A batch that has not ended by then counts as if it had, whatever OpenAI answers: it is collected with what it has."""


def knows_of(context: Context, batch: Batch) -> bool:
    """Return whether the key is of the batch's own project: then OpenAI's word that there is no such batch counts."""
    if batch.secret_version is None or context.openai.key_version() == batch.secret_version:
        return True
    return batch.file_id is not None and context.openai.sees(batch.file_id)
