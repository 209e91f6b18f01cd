"""Submits a batch to OpenAI, and never pays for it twice.

OpenAI takes no idempotency key, so each step of the protocol is recorded before it is done:

1. The batch's item is the intent. A lease, taken by compare-and-swap, makes one process its submitter.
2. The request file is built, uploaded, and its id recorded. An upload that nobody records costs nothing.
3. `creating_at` is recorded just before the create, with a lease that covers the create's timeout.
4. The create, once, with the batch's key in its metadata.
5. The batch's id is recorded. If another id is already recorded, the new batch is cancelled, and an alarm raised.

A process that finds a lease that ran out before 3 may start again. After 3 it searches OpenAI's list for the key first,
newest first, down to before the create. It adopts a batch that it finds. Only two complete searches without a result,
`absence_confirmation_seconds` apart, and each time longer, allow another create. The remaining risk is a list that lags
for longer than that. A search that runs out of time continues later where it stopped. A batch that stays in doubt is
never created again: the job ends, and its report says so.

After a failure the batch waits, each time longer. The kind of the failure decides the rest (`ErrorKind`).
"""

from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import (
    ErrorKind,
    OpenAIError,
    OpenAINotFoundError,
    OpenAIOutcomeUnknownError,
    OpenAIRateLimitError,
    StaleItemError,
)
from dropbatch.domain.jobs import Job, Shard
from dropbatch.domain.states import BatchState, HeldReason, JobState
from dropbatch.jobs.hold import hold_for, resume
from dropbatch.jobs.lease import leased, release, update_own
from dropbatch.jobs.spending import release as give_back
from dropbatch.jobs.spending import reserve
from dropbatch.messages import BatchMessage, message_for
from dropbatch.ports import RemoteBatch
from dropbatch.rows.job_rows import JobRows
from dropbatch.storage.context import Context
from dropbatch.submission.create_search import METADATA_KEY, cancel_double, search_create
from dropbatch.submission.creates_per_hour import release_create, reserve_create
from dropbatch.submission.money_limits import within_limits
from dropbatch.submission.postpone import keep_in_doubt, renew_lease, return_to_waiting
from dropbatch.submission.split_batch import split_if_needed

CREATE_SECONDS = 35
"""The create's timeout (25 s) with a margin: a process with less time left does not begin one."""

RETRY_SECONDS = 30
"""How long a batch waits whose file could not be uploaded."""


def submit(context: Context, work: BatchMessage) -> None:
    """Submit the batch that a message names, if it is due."""
    job = context.repository.job(work.job_id)
    batch = context.repository.batch(work.job_id, work.batch) if work.batch else None
    if job is None or batch is None:
        return

    def begin(current: Batch) -> bool:
        if not _is_due(context, job, current):
            return False
        if current.state is BatchState.WAITING:
            current.move(BatchState.SUBMITTING)
        return True

    with leased(context, batch, begin) as taken:
        if taken is None:
            _forget_message(context, batch)
            return
        try:
            _submit(context, job, taken)
        except StaleItemError:
            context.observer.info("another process has moved the batch on", **taken.ids)
        except OpenAIError as error:
            _fail(context, job, taken, error)
        except Exception:  # noqa: BLE001 - logged, counted, and tried again later, for as long as the job may wait
            context.observer.exception("a batch could not be submitted", **taken.ids)
            return_to_waiting(context, taken)


def _is_due(context: Context, job: Job, batch: Batch) -> bool:
    now = context.now()
    if batch.not_before > now:
        return False
    if batch.state is BatchState.SUBMITTING:
        return (
            True  # in doubt, perhaps: even a job that was cancelled must learn whether the batch exists, to cancel it
        )
    may_run = (job.state is JobState.RUNNING and job.may_send(batch)) or (
        job.state is JobState.HELD and job.held_batch == batch.sort_key
    )
    return batch.state is BatchState.WAITING and may_run and not job.cancel_requested


def _forget_message(context: Context, batch: Batch) -> None:
    """Record that no message about a batch is under way, if the batch is not due."""

    def forget(current: Batch) -> bool:
        waits = current.state in (BatchState.WAITING, BatchState.SUBMITTING)
        if not waits or not current.sent_at or current.is_leased(context.now()):
            return False
        current.sent_at = current.queued_since = current.admitted_at = 0
        return True

    context.repository.update(batch, forget)


def _fail(context: Context, job: Job, batch: Batch, error: OpenAIError) -> None:
    """Handle an error of OpenAI: upload the file again, refuse the batch, or postpone it and perhaps hold the job."""
    context.observer.warning("a call to OpenAI failed", code=error.code, kind=str(error.kind), **batch.ids)
    if isinstance(error, OpenAINotFoundError) and batch.creating_at is None:
        batch.file_id = None  # a file that OpenAI does not find is uploaded again
    elif error.kind in (ErrorKind.THING, ErrorKind.UNKNOWN) and batch.creating_at is None:
        _refuse(context, batch, error.code)
        return
    return_to_waiting(
        context,
        batch,
        error.seconds if isinstance(error, OpenAIRateLimitError) else context.scaled(RETRY_SECONDS),
    )
    hold_for(context, job, error, batch)


def _submit(context: Context, job: Job, batch: Batch) -> None:
    if batch.creating_at is not None and not _resolve_doubt(context, job, batch):
        return
    if job.cancel_requested:
        return_to_waiting(context, batch, due=True)
        return
    if not within_limits(context, job, batch):
        return
    context.openai.key_version()  # without a key there is no need to build a file
    if _prepare_file(context, job, batch) and _reserve(context, batch):
        _create(context, job, batch)


def _resolve_doubt(context: Context, job: Job, batch: Batch) -> bool:
    """Search for a batch whose create is in doubt, and record the one that exists; True if there is certainly none."""
    found = search_create(context, job, batch)
    if found is not None:
        _record(context, job, batch, found)
        return False
    return batch.creating_at is None


def _prepare_file(context: Context, job: Job, batch: Batch) -> bool:
    """Upload a batch's request file, unless it is uploaded; False if the batch was split instead."""
    rows = JobRows(context, job)
    shard = context.repository.shard(job.id, batch.shard)
    if shard is None:
        raise AssertionError(f"{batch.key} has no shard")
    if split_if_needed(context, rows, batch, shard):
        return False
    if batch.file_id is None:
        batch.file_id = _upload(context, rows, batch, shard)
        renew_lease(context, batch)
        context.repository.save(batch)
    return True


def _reserve(context: Context, batch: Batch) -> bool:
    """Reserve one of the hour's creates; False if there is none, or no time: the batch waits then."""
    wait = reserve_create(context)
    if wait:
        context.observer.warning("no more batches may be created in this hour", seconds=wait, **batch.ids)
        return_to_waiting(context, batch, wait, due=True)
        return False
    if context.seconds_left() < CREATE_SECONDS:
        release_create(context)
        return_to_waiting(context, batch, due=True)
        return False
    return True


def _create(context: Context, job: Job, batch: Batch) -> None:
    """Record that a create begins, create the batch once, and record its id."""
    if batch.file_id is None:
        raise AssertionError(f"{batch.key} has no file")
    batch.secret_version = context.openai.key_version(fresh=True)  # before the create is in doubt: it may fail
    batch.creating_at, batch.first_not_found_at, batch.search_after = context.now(), None, None
    renew_lease(context, batch)
    if not reserve(context, job, batch):
        batch.creating_at = None  # other batches were quicker, and have reserved what was left
        release_create(context)
        if within_limits(context, job, batch):
            return_to_waiting(context, batch, due=True)
        return
    metadata = {METADATA_KEY: batch.key, "job": job.id}
    try:
        created = context.openai.create(batch.file_id, batch.endpoint, metadata)
    except OpenAIOutcomeUnknownError as error:
        context.observer.warning("a create is in doubt", code=error.code, **batch.ids)
        batch.secret_version = context.openai.key_version()  # of the key with which the call was really made
        batch.deferrals += 1
        keep_in_doubt(context, batch, context.scaled(RETRY_SECONDS))
        return
    except OpenAIError:
        batch.creating_at = None  # OpenAI said no: there is no batch
        release_create(context)
        give_back(context, batch)
        raise
    batch.secret_version = context.openai.key_version()
    _record(context, job, batch, created)


def _upload(context: Context, rows: JobRows, batch: Batch, shard: Shard) -> str:
    """Build the batch's request file on disk, upload it, and return the file's id."""
    path = context.scratch / f"{batch.lease}.jsonl"
    try:
        with path.open("wb") as file:
            for lines in rows.lines(shard, batch):
                file.write(lines)
        return context.openai.upload(path, f"{batch.key.replace('/', '_')}.jsonl")
    finally:
        path.unlink(missing_ok=True)


def _record(context: Context, job: Job, batch: Batch, created: RemoteBatch) -> None:
    """Record a batch that exists at OpenAI, whichever process has the lease by now: the money is spent."""

    def record(current: Batch) -> bool:
        if current.openai_id is not None or current.state not in (BatchState.WAITING, BatchState.SUBMITTING):
            return False
        current.openai_id, current.openai_status = created.id, created.status
        current.file_id, current.submitted_at = created.input_file_id, context.now()
        current.secret_version = batch.secret_version
        current.creating_at = current.first_not_found_at = current.search_after = None
        current.came_further()
        release(current)
        if current.state is BatchState.WAITING:
            current.move(BatchState.SUBMITTING)
        current.move(BatchState.SUBMITTED)
        return True

    if context.repository.update(batch, record):
        context.observer.info("batch submitted", openai_id=created.id, requests=batch.requests, **batch.ids)
        if job.held_batch == batch.sort_key:
            resume(context, job, HeldReason.PERMISSION, HeldReason.ACCOUNT, HeldReason.KEY, HeldReason.KEY_CHANGED)
        return
    recorded = context.repository.batch(batch.job_id, batch.sort_key)
    if recorded is None or recorded.openai_id != created.id:
        cancel_double(context, batch, created)


def _refuse(context: Context, batch: Batch, code: str) -> None:
    """End a batch that OpenAI will not take, with its reason."""

    def end(current: Batch) -> None:
        if current.state is not BatchState.SUBMITTING:
            return
        release(current)
        current.creating_at, current.refusal = None, code
        current.move(BatchState.ABANDONED)

    if update_own(context.repository, batch, end):
        context.collect.send(message_for(batch))
