"""Searches OpenAI's list for a batch whose create is in doubt, and cancels a second batch of the same key."""

from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import OpenAIRequestError
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import HeldReason
from dropbatch.jobs.backoff import backoff_seconds
from dropbatch.jobs.hold import hold
from dropbatch.jobs.openai_batch import MAX_CLOCK_SKEW_SECONDS
from dropbatch.ports import RemoteBatch
from dropbatch.storage.context import Context
from dropbatch.submission.postpone import keep_in_doubt, renew_lease, return_to_waiting

METADATA_KEY = "dropbatch"
"""The metadata member that holds a batch's key at OpenAI."""

MAX_ABSENCE_WAITS = 6
"""How often the first wait between two searches fits into the longest one: 10 minutes grow to an hour."""

SEARCH_HANDOVER_SECONDS = 45
"""With less time left a search stops, and keeps its place: a page may take 30 s."""


def search_create(context: Context, job: Job, batch: Batch) -> RemoteBatch | None:
    """Search OpenAI's list for a batch whose create is in doubt.

    Return the batch if it exists. Otherwise, `batch.creating_at` is None if there is certainly none, and unchanged if
    that takes another search.
    """
    if batch.first_not_found_at is not None:
        next_search_at = batch.first_not_found_at + _absence_seconds(context, batch)
        if context.now() < next_search_at:
            keep_in_doubt(context, batch, next_search_at - context.now())
            return None
    found, is_complete = _find(context, batch)
    if found:
        first, *others = sorted(found, key=lambda remote: remote.created_at)
        for other in others:
            cancel_double(context, batch, other)
        return first
    if not is_complete:
        context.observer.info("a search of OpenAI's list continues later", **batch.ids)
        keep_in_doubt(context, batch, 0)
        return None
    version = context.openai.key_version()
    if version != batch.secret_version and not job.cancel_requested:
        if batch.file_id is None or not context.openai.sees(batch.file_id):
            # Another project's key cannot see the batch: it may exist, and creating it again might pay twice.
            return_to_waiting(context, batch)
            hold(context, job, HeldReason.KEY_CHANGED, "key_changed", batch)
            return None
        batch.secret_version = version  # it sees our file: the key was rotated within its project
    if batch.first_not_found_at is None:
        batch.first_not_found_at = context.now()
        keep_in_doubt(context, batch, _absence_seconds(context, batch))
        return None
    batch.creating_at = batch.first_not_found_at = None
    renew_lease(context, batch)
    context.repository.save(batch)
    return None


def _absence_seconds(context: Context, batch: Batch) -> int:
    """Return how long to wait between two searches: twice as long each time that the batch fails again."""
    shortest = context.absence_confirmation_seconds
    return backoff_seconds(batch.deferrals, first=shortest, most=MAX_ABSENCE_WAITS * shortest)


def _find(context: Context, batch: Batch) -> tuple[list[RemoteBatch], bool]:
    """Return the batches of OpenAI's list that are this one, and whether the list was read far enough back.

    A batch is this one if its key is the same. If the server dropped the metadata, the file decides, unless the batch
    is older than the create: then another process made it from the same file.
    """
    earliest = (batch.creating_at or 0) - MAX_CLOCK_SKEW_SECONDS
    found: list[RemoteBatch] = []
    try:
        for page in context.openai.newest(batch.search_after):
            for remote in page:
                key = remote.metadata.get(METADATA_KEY)
                same_file = key is None and remote.input_file_id == batch.file_id and remote.created_at >= earliest
                if key == batch.key or same_file:
                    found.append(remote)
            if page and page[-1].created_at < earliest:
                return found, True
            if page:
                batch.search_after = page[-1].id
            if context.seconds_left() < SEARCH_HANDOVER_SECONDS:
                return found, False
    except OpenAIRequestError:
        if batch.search_after is None:
            raise
        # OpenAI no longer lists the batch after which the search was to continue: the search begins again.
        batch.search_after = None
        return found, False
    batch.search_after = None
    return found, True


def cancel_double(context: Context, batch: Batch, other: RemoteBatch) -> None:
    """Cancel a second batch of the same key. If only the file is the same, it may be another's, and stays."""
    context.observer.metric("DoubleBatches", 1)
    if other.metadata.get(METADATA_KEY) != batch.key:
        context.observer.warning(
            "a second batch exists for a file; it is left as it is", openai_id=other.id, **batch.ids
        )
        return
    context.observer.warning("a second batch exists for a key; it is cancelled", openai_id=other.id, **batch.ids)

    def note(current: Batch) -> bool:
        if other.id in current.doubles:
            return False
        current.doubles = [*current.doubles, other.id]
        return True

    context.repository.update(batch, note)  # its files are deleted with the job's
    context.openai.cancel(other.id)
