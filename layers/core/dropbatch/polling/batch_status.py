"""Asks OpenAI how the submitted batches are doing, in few calls, and moves those on that have ended.

OpenAI's list is read while its pages show ours: a page tells of a hundred for the price of one. What is spread thinly
among others' batches, or not listed, takes turns at being retrieved. Whatever an account lists, a poll makes at most
about twice as many calls as there are batches open, and for ten thousand of them 105.
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
from dropbatch.jobs.lease import give_back
from dropbatch.jobs.openai_batch import knows_of
from dropbatch.ports import RemoteBatch
from dropbatch.storage.context import Context

RETRIEVED_ONE_BY_ONE = 20
"""Up to so many open batches are retrieved one by one; more are looked for in OpenAI's list, a hundred a page."""

CALLS = 105
"""What a poll's pages leave of so many calls is for batches that they did not show."""

STRAGGLERS = 5
"""So many batches are retrieved however many pages there were, so that each has its turn."""

UNMOVED = 20
"""How many batches are retrieved, if calls are left, that the list shows, but not to have ended."""

MAX_CLOCK_SKEW_SECONDS = 330
"""How much older than ours, by its own clock, OpenAI may take a batch to be."""

PROGRESS_WRITES = 50
"""Of how many batches that go on a poll writes the progress down: those that have come furthest since it last was."""

WINDOW_SECONDS = COMPLETION_WINDOW_SECONDS + 3600
"""OpenAI's window, and an hour on top: a batch that OpenAI does not know by then is gone."""

CANCEL_SECONDS = 36 * 3600
"""When Dropbatch cancels a batch for its age: OpenAI's batches do run past their 24 hours, and then still expire."""

SPARE_SECONDS = 30
"""A poll stops when it has no more than this left."""


def follow(context: Context, submitted: Sequence[Batch], jobs: Mapping[str, Job]) -> None:
    """Take over what OpenAI says of these batches; jobs whose key it refuses are held.

    The list is a hint: what it does not tell, or if it fails, batches are asked about one by one, each by itself. Those
    that OpenAI did not answer about come last, so that they keep no other waiting.
    """
    try:
        if len(submitted) <= RETRIEVED_ONE_BY_ONE:
            _retrieve(context, sorted(submitted, key=_turn), jobs)
        else:
            _list_and_retrieve(context, submitted, jobs)
    except OpenAIAuthError as error:
        for job in {batch.job_id: jobs[batch.job_id] for batch in submitted if batch.job_id in jobs}.values():
            hold(context, job, HeldReason.KEY, error.code)


def end_batch(context: Context, batch: Batch, status: OpenAIStatus, *, assumed_ended: bool = False) -> None:
    """Take a batch for ended of which OpenAI does not say so; `assumed_ended` if it may still be running."""
    context.observer.warning(
        "a batch counts as ended, though OpenAI does not say so", openai_id=batch.openai_id, **batch.ids
    )
    batch.openai_status, batch.assumed_ended = status, assumed_ended
    _end(context, batch)


def _list_and_retrieve(context: Context, submitted: Sequence[Batch], jobs: Mapping[str, Job]) -> None:
    seen, pages = _list(context, submitted)
    found = [(batch, seen[batch.openai_id]) for batch in submitted if batch.openai_id in seen]
    written = 0
    for batch, remote in sorted(found, key=_news, reverse=True):
        if context.seconds_left() < SPARE_SECONDS:
            return
        with _apart(context, batch):
            try:
                written += _apply(context, batch, remote, progress=written < PROGRESS_WRITES)
            except OpenAIError as error:
                _unsure(context, batch, error)
    left = max(STRAGGLERS, CALLS - pages)
    turns = sorted((batch for batch in submitted if batch.openai_id not in seen), key=_turn)[:left]
    # Some servers move a batch on only when it is retrieved: those that have not moved take turns too.
    unmoved = sorted((batch for batch, _ in found if batch.state is BatchState.SUBMITTED), key=_turn)
    turns += unmoved[: max(0, min(left, UNMOVED) - len(turns))]
    _retrieve(context, turns, jobs, in_turns=True)


def _turn(batch: Batch) -> tuple[int, int]:
    return batch.last_no_answer_at, batch.last_retrieved_at or 0


def _list(context: Context, submitted: Sequence[Batch]) -> tuple[dict[str | None, RemoteBatch], int]:
    """Our batches out of OpenAI's list, and how many pages of it were read.

    It is read no further than to the oldest of ours, and no longer than it pays: with more pages that showed none of
    ours than there are batches missing, it is cheaper to retrieve these.
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
            if not missing or (not ours and without_ours > missing) or context.seconds_left() < SPARE_SECONDS:
                break
            if page and page[-1].created_at < oldest:
                break
    except OpenAIAuthError:
        raise
    except OpenAIError as error:
        context.observer.warning("OpenAI's list could not be read to its end", code=error.code, pages=pages)
    return seen, pages


def _retrieve(context: Context, batches: Iterable[Batch], jobs: Mapping[str, Job], in_turns: bool = False) -> None:
    """Ask about each batch by itself; where they take turns, when each had its own is written down."""
    for batch in batches:
        if context.seconds_left() < SPARE_SECONDS:
            return
        with _apart(context, batch):
            try:
                remote = context.openai.retrieve(batch.openai_id or "")
                _apply(context, batch, remote, seen_at=context.now() if in_turns else None)
            except OpenAIAuthError:
                raise
            except OpenAINotFoundError as error:
                context.observer.warning("OpenAI does not know a batch", code=error.code, **batch.ids)
                _lost(context, batch, jobs.get(batch.job_id))
            except OpenAIError as error:
                _unsure(context, batch, error)


@contextmanager
def _apart(context: Context, batch: Batch) -> Iterator[None]:
    """Look after one batch by itself: one whose item cannot be written must not stop the others."""
    try:
        yield
    except OpenAIAuthError:
        raise
    except Exception:  # noqa: BLE001 - whatever it was, the next poll comes back to it
        context.observer.exception("a batch could not be followed", **batch.ids)


def _unsure(context: Context, batch: Batch, error: OpenAIError) -> None:
    """Note that OpenAI did not answer about a batch, so that the next poll asks about the others first."""
    context.observer.warning("OpenAI did not answer about a batch", code=error.code, kind=str(error.kind), **batch.ids)
    batch.last_no_answer_at = context.now()
    try:
        context.repository.save(batch)
    except StaleItemError:
        return  # another process has moved it


def _lost(context: Context, batch: Batch, job: Job | None) -> None:
    """A batch that OpenAI does not know: of another key, or gone. It is given up when it must have ended."""
    if job is not None and not knows_of(context, batch):
        hold(context, job, HeldReason.KEY_CHANGED, "key_changed", batch)
    elif context.now() >= (batch.submitted_at or 0) + WINDOW_SECONDS:
        end_batch(context, batch, OpenAIStatus.COMPLETED)


def _news(found: tuple[Batch, RemoteBatch]) -> float:
    """How much there is to take over: all of a batch that has ended, else which part was done since it last was."""
    batch, remote = found
    if remote.status in TERMINAL:
        return inf
    done = remote.completed + remote.failed - batch.completed - batch.failed
    return (remote.status is not batch.openai_status) + abs(done) / max(1, batch.requests)


def _apply(
    context: Context,
    batch: Batch,
    remote: RemoteBatch,
    *,
    progress: bool = True,
    seen_at: int | None = None,
) -> bool:
    """Takes over what OpenAI says of a batch; whether anything was written.

    Mere `progress` is left to another poll where it is not wanted.
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
    """Mark a batch as ended; it is sent to be collected as soon as there is room for it."""
    batch.ended_at = context.now()
    batch.came_further()
    give_back(batch)
    batch.move(BatchState.ENDED)
    try:
        context.repository.save(batch)
    except StaleItemError:
        return  # another poller was quicker
    context.observer.info("ended", openai_id=batch.openai_id, status=str(batch.openai_status), **batch.ids)
