"""Reads the statuses of the submitted batches from OpenAI, in few calls, and moves on those that have ended.

The poll reads OpenAI's list while its pages show the stack's batches: one call shows a hundred. Batches that are not
listed, or far apart among others, are retrieved in turns. Whatever an account lists, a poll makes at most about twice
as many calls as there are open batches, and for ten thousand of them 105.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import inf

from dropbatch.batch_api.limits import COMPLETION_WINDOW_SECONDS
from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import OpenAIAuthError, OpenAIError, OpenAINotFoundError, StaleItemError
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import TERMINAL, BatchState, HeldReason, OpenAIStatus
from dropbatch.jobs.hold import hold
from dropbatch.jobs.lease import release
from dropbatch.jobs.openai_batch import MAX_CLOCK_SKEW_SECONDS, can_see
from dropbatch.polling.time_shares import has_time
from dropbatch.ports import RemoteBatch
from dropbatch.storage.context import Context

MAX_ONE_BY_ONE = 20
"""How many open batches are retrieved one by one at most. More are searched in OpenAI's list, a hundred a page."""

MAX_CALLS = 105
"""How many calls a poll makes for many batches. The calls that its pages do not need retrieve unlisted batches."""

MIN_UNLISTED = 5
"""How many unlisted batches are retrieved however many pages there were, so that each has its turn."""

MAX_UNMOVED = 20
"""How many batches are retrieved, if calls are left, that the list shows as not ended."""

MAX_PROGRESS_WRITES = 50
"""Of how many batches a poll writes the progress: those with the most progress since the last write."""

WINDOW_SECONDS = COMPLETION_WINDOW_SECONDS + 3600
"""OpenAI's window, and an hour on top: a batch that OpenAI does not know by then is gone."""

CANCEL_SECONDS = 36 * 3600
"""When Dropbatch cancels a batch for its age: OpenAI's batches do run past their 24 hours, and then still expire."""


def update_statuses(context: Context, submitted: Sequence[Batch], jobs: Mapping[str, Job]) -> None:
    """Update these batches with their statuses at OpenAI, and hold the jobs if OpenAI refuses the key.

    The list is a hint: batches that it does not show, or all if it fails, are retrieved one by one. Those for which
    OpenAI gave no answer come last, so that no other waits for them.
    """
    try:
        if len(submitted) <= MAX_ONE_BY_ONE:
            _retrieve(context, sorted(submitted, key=_turn), jobs)
        else:
            _list_and_retrieve(context, submitted, jobs)
    except OpenAIAuthError as error:
        for job in {batch.job_id: jobs[batch.job_id] for batch in submitted if batch.job_id in jobs}.values():
            hold(context, job, HeldReason.KEY, error.code)


def end_batch(context: Context, batch: Batch, status: OpenAIStatus, *, assumed_ended: bool = False) -> None:
    """End a batch although OpenAI does not say so; `assumed_ended` if it may still be running."""
    context.observer.warning(
        "a batch counts as ended, though OpenAI does not say so", openai_id=batch.openai_id, **batch.ids
    )
    batch.openai_status, batch.assumed_ended = status, assumed_ended
    _end(context, batch)


def _list_and_retrieve(context: Context, submitted: Sequence[Batch], jobs: Mapping[str, Job]) -> None:
    seen, pages = _list(context, submitted)
    found = [(batch, seen[batch.openai_id]) for batch in submitted if batch.openai_id in seen]
    written = 0
    for batch, remote in sorted(found, key=_progress_since_last_write, reverse=True):
        if not has_time(context):
            return
        with _isolated(context, batch):
            try:
                written += _record_status(context, batch, remote, progress=written < MAX_PROGRESS_WRITES)
            except OpenAIError as error:
                _record_no_answer(context, batch, error)
    left = max(MIN_UNLISTED, MAX_CALLS - pages)
    turns = sorted((batch for batch in submitted if batch.openai_id not in seen), key=_turn)[:left]
    # Some servers move a batch on only when it is retrieved: those that have not moved take turns too.
    unmoved = sorted((batch for batch, _ in found if batch.state is BatchState.SUBMITTED), key=_turn)
    turns += unmoved[: max(0, min(left, MAX_UNMOVED) - len(turns))]
    _retrieve(context, turns, jobs, in_turns=True)


def _turn(batch: Batch) -> tuple[int, int]:
    return batch.last_no_answer_at, batch.last_retrieved_at or 0


def _list(context: Context, submitted: Sequence[Batch]) -> tuple[dict[str | None, RemoteBatch], int]:
    """Return the submitted batches that OpenAI's list shows, by id, and how many pages of it were read.

    The list is read down to the oldest of them at most. It ends earlier if more pages showed none of them than batches
    are missing: then it is cheaper to retrieve those.
    """
    wanted = {batch.openai_id for batch in submitted}
    oldest = min(batch.submitted_at or 0 for batch in submitted) - MAX_CLOCK_SKEW_SECONDS
    seen: dict[str | None, RemoteBatch] = {}
    pages = without_ours = 0
    try:
        for page in context.openai.newest():
            ours = {remote.id: remote for remote in page if remote.id in wanted}
            seen.update(ours)
            pages += 1
            without_ours += not ours
            missing = len(wanted) - len(seen)
            if not missing or (not ours and without_ours > missing) or not has_time(context):
                break
            if page and page[-1].created_at < oldest:
                break
    except OpenAIAuthError:
        raise
    except OpenAIError as error:
        context.observer.warning("OpenAI's list could not be read to its end", code=error.code, pages=pages)
    return seen, pages


def _retrieve(context: Context, batches: Iterable[Batch], jobs: Mapping[str, Job], in_turns: bool = False) -> None:
    """Retrieve each batch alone. If they take turns, record when each had its turn."""
    for batch in batches:
        if not has_time(context):
            return
        with _isolated(context, batch):
            try:
                remote = context.openai.retrieve(batch.openai_id or "")
                _record_status(context, batch, remote, seen_at=context.now() if in_turns else None)
            except OpenAIAuthError:
                raise
            except OpenAINotFoundError as error:
                context.observer.warning("OpenAI does not know a batch", code=error.code, **batch.ids)
                _handle_missing(context, batch, jobs.get(batch.job_id))
            except OpenAIError as error:
                _record_no_answer(context, batch, error)


@contextmanager
def _isolated(context: Context, batch: Batch) -> Iterator[None]:
    """Isolate the work on one batch: one whose item cannot be written must not stop the others."""
    try:
        yield
    except OpenAIAuthError:
        raise
    except Exception:  # noqa: BLE001 - whatever it was, the next poll comes back to it
        context.observer.exception("a batch's status could not be recorded", **batch.ids)


def _record_no_answer(context: Context, batch: Batch, error: OpenAIError) -> None:
    """Record that OpenAI did not answer about a batch, so that the next poll retrieves the others first."""
    context.observer.warning("OpenAI did not answer about a batch", code=error.code, kind=str(error.kind), **batch.ids)
    batch.last_no_answer_at = context.now()
    try:
        context.repository.save(batch)
    except StaleItemError:
        return  # another process has moved it


def _handle_missing(context: Context, batch: Batch, job: Job | None) -> None:
    """Hold the job if another key made a batch that OpenAI does not know; otherwise end the batch by its age."""
    if job is not None and not can_see(context, batch):
        hold(context, job, HeldReason.KEY_CHANGED, "key_changed", batch)
    elif context.now() >= (batch.submitted_at or 0) + WINDOW_SECONDS:
        end_batch(context, batch, OpenAIStatus.COMPLETED)


def _progress_since_last_write(found: tuple[Batch, RemoteBatch]) -> float:
    """Return the part of a batch that was done since the last write; infinity if the batch has ended."""
    batch, remote = found
    if remote.status in TERMINAL:
        return inf
    done = remote.completed + remote.failed - batch.completed - batch.failed
    return (remote.status is not batch.openai_status) + abs(done) / max(1, batch.requests)


def _record_status(
    context: Context,
    batch: Batch,
    remote: RemoteBatch,
    *,
    progress: bool = True,
    seen_at: int | None = None,
) -> bool:
    """Write a batch's status at OpenAI to its item; return whether anything was written.

    Without `progress`, a batch that has only progressed is left to another poll.
    """
    if remote.status is OpenAIStatus.UNKNOWN:
        context.observer.warning("OpenAI gives a batch a status that is not known", openai_id=remote.id, **batch.ids)
    ended = remote.status in TERMINAL
    age = context.now() - (batch.submitted_at or context.now())
    if (
        not ended
        and age > CANCEL_SECONDS
        and remote.status is not OpenAIStatus.CANCELLING
        and not batch.cancelled_for_age_at
    ):
        context.observer.warning("a batch should have ended; it is cancelled", openai_id=remote.id, **batch.ids)
        context.openai.cancel(remote.id)
        batch.cancelled_for_age_at = context.now()
        seen_at = context.now()
    news = (remote.status, remote.completed, remote.failed)
    if not ended and seen_at is None and (not progress or news == (batch.openai_status, batch.completed, batch.failed)):
        return False
    batch.openai_status, batch.completed, batch.failed = news
    batch.total, batch.output_file_id, batch.error_file_id = remote.total, remote.output_file_id, remote.error_file_id
    batch.last_retrieved_at = seen_at or batch.last_retrieved_at
    if ended:
        _end(context, batch)
        return True
    try:
        context.repository.save(batch)
    except StaleItemError:
        return False  # another poller was quicker
    return True


def _end(context: Context, batch: Batch) -> None:
    """Mark a batch as ended. The poll sends it to be collected as soon as the queue has room."""
    batch.ended_at = context.now()
    batch.came_further()
    release(batch)
    batch.move(BatchState.ENDED)
    try:
        context.repository.save(batch)
    except StaleItemError:
        return  # another poller was quicker
    context.observer.info("batch ended", openai_id=batch.openai_id, status=str(batch.openai_status), **batch.ids)
