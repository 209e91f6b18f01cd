"""Submits a batch to OpenAI, and never pays for it twice.

OpenAI takes no idempotency key, so the protocol is written down before it is carried out:

1. The batch's item is the intent. A lease, taken by compare-and-swap, makes one process its submitter.
2. The request file is built, uploaded, and its id recorded. An upload that nobody records costs nothing.
3. `creating_at` is recorded just before the create, with a lease that covers the create's timeout.
4. The create, once, with the batch's key in its metadata.
5. The batch's id is recorded. Should another id stand there, ours is cancelled, and an alarm raised.

A process that finds a lease that ran out before 3 may start again. After 3 it searches first: OpenAI's list, newest
first, down to before the create, for the key. What is found is adopted. Only two complete searches that found nothing,
`absence_confirmation_seconds` apart, allow another create; a list that lags for longer than that is the risk that
remains. A search that runs out of time goes on where it stopped. What stays in doubt is never created again: the job
ends, and says so.

What fails puts the batch off, each time for longer; what the failure is about decides the rest (`ErrorKind`).
"""

from contextlib import ExitStack

from dropbatch.domain.batches import Batch, FollowUp
from dropbatch.domain.errors import (
    ErrorKind,
    OpenAIError,
    OpenAINotFoundError,
    OpenAIOutcomeUnknownError,
    OpenAIRateLimitError,
    OpenAIRequestError,
    StaleItemError,
)
from dropbatch.domain.jobs import Job, Shard
from dropbatch.domain.states import BatchState, HeldReason, JobState
from dropbatch.jobs.hold import hold, hold_for, let_go
from dropbatch.jobs.lease import LEASE_SECONDS, give_back, kept, put_off, take, update_own
from dropbatch.messages import BatchMessage, message_for
from dropbatch.ports import BYTES, RemoteBatch, Writer
from dropbatch.rows.job_rows import JobRows
from dropbatch.storage.context import Context
from dropbatch.submission.admission import ROOM, give_back_create, reserve_create, token_limit_of

CREATE_SECONDS = 35
"""The create's timeout (25 s) with room: a process with less time left does not begin one."""

MAX_CLOCK_SKEW_SECONDS = 600
"""How far OpenAI's clock and ours may be apart: a search reaches that much further back than the create."""

METADATA_KEY = "dropbatch"
"""The metadata member that holds a batch's key at OpenAI."""

MAX_PARTS = 500
"""Into how many parts a batch is split at most: they are recorded with it."""

RETRY_SECONDS = 30
"""When a batch is tried again whose file could not be uploaded."""

SEARCH_SPARE_SECONDS = 45
"""With less time left a search stops, and keeps its place: a page may take 30 s."""


def submit(context: Context, work: BatchMessage) -> None:
    """Submit the batch that a message names, if it is due."""
    job = context.repository.job(work.job_id)
    batch = context.repository.batch(work.job_id, work.batch) if work.batch else None
    if job is None or batch is None:
        return
    if not _is_due(context, job, batch):
        _forget_message(context, batch)
        return
    take(context, batch)
    if batch.state is BatchState.WAITING:
        batch.move(BatchState.SUBMITTING)
    try:
        context.repository.save(batch)
    except StaleItemError:
        return
    with kept(context, batch):
        try:
            _submit(context, job, batch)
        except StaleItemError:
            context.observer.info("another process has moved the batch on", **batch.ids)
        except OpenAIError as error:
            _failed(context, job, batch, error)
        except Exception:  # noqa: BLE001 - logged, counted, and tried again later, for as long as the job may wait
            context.observer.exception("a batch could not be submitted", **batch.ids)
            _back_to_waiting(context, batch)


def _is_due(context: Context, job: Job, batch: Batch) -> bool:
    now = context.now()
    if batch.is_leased(now) or batch.not_before > now:
        return False
    if batch.state is BatchState.SUBMITTING:
        return (
            True  # in doubt, perhaps: even a job that was cancelled must learn whether the batch exists, to cancel it
        )
    may_run = job.state is JobState.RUNNING or (job.state is JobState.HELD and job.held_batch == batch.sort_key)
    return batch.state is BatchState.WAITING and may_run and not job.cancel_requested


def _forget_message(context: Context, batch: Batch) -> None:
    """Say that no message about a batch that is not due is under way any more."""

    def forget(current: Batch) -> bool:
        waits = current.state in (BatchState.WAITING, BatchState.SUBMITTING)
        if not waits or not current.sent_at or current.is_leased(context.now()):
            return False
        current.sent_at = current.admitted_at = 0
        return True

    context.repository.update(batch, forget)


def _failed(context: Context, job: Job, batch: Batch, error: OpenAIError) -> None:
    """Do what an error of OpenAI asks for."""
    context.observer.warning("a call to OpenAI failed", code=error.code, kind=str(error.kind), **batch.ids)
    if isinstance(error, OpenAINotFoundError) and batch.creating_at is None:
        batch.file_id = None  # a file that OpenAI does not find is uploaded again
    elif error.kind in (ErrorKind.THING, ErrorKind.UNKNOWN) and batch.creating_at is None:
        _refuse(context, batch, error.code)
        return
    _back_to_waiting(
        context,
        batch,
        error.seconds if isinstance(error, OpenAIRateLimitError) else context.scaled(RETRY_SECONDS),
    )
    hold_for(context, job, error, batch)


def _submit(context: Context, job: Job, batch: Batch) -> None:
    if batch.creating_at is not None:
        found = _search(context, job, batch)
        if found is not None:
            _record(context, job, batch, found)
            return
        if batch.creating_at is not None:
            return  # not certain yet
    if job.cancel_requested:
        _back_to_waiting(context, batch, due=True)
        return
    context.openai.key_version()  # without a key there is no need to build a file
    rows = JobRows(context, job)
    shard = context.repository.shard(job.id, batch.shard)
    if shard is None:
        raise AssertionError(f"{batch.key} has no shard")
    if batch.must_split and _split(context, rows, batch, shard, batch.tokens // 2 + 1):
        return
    room = token_limit_of(context, batch.model)
    if room is not None and batch.tokens > room and _split(context, rows, batch, shard, int(room * ROOM)):
        return
    if batch.file_id is None:
        batch.file_id = _upload(context, rows, batch, shard)
        _renew(context, batch)
        context.repository.save(batch)
    wait = reserve_create(context)
    if wait:
        context.observer.warning("no more batches may be created in this hour", seconds=wait, **batch.ids)
        _back_to_waiting(context, batch, wait, due=True)
        return
    if context.seconds_left() < CREATE_SECONDS:
        give_back_create(context)
        _back_to_waiting(context, batch, due=True)
        return
    batch.creating_at, batch.secret_version, batch.first_not_found_at = (
        context.now(),
        context.openai.key_version(fresh=True),
        None,
    )
    batch.search_after = None
    _renew(context, batch)
    context.repository.save(batch)
    metadata = {METADATA_KEY: batch.key, "job": job.id}
    try:
        created = context.openai.create(batch.file_id, batch.endpoint, metadata)
    except OpenAIOutcomeUnknownError as error:
        context.observer.warning("a create is in doubt", code=error.code, **batch.ids)
        batch.secret_version = context.openai.key_version()  # of the key with which the call was really made
        _keep_in_doubt(context, batch, context.scaled(RETRY_SECONDS))
        return
    except OpenAIError:
        batch.creating_at = None  # OpenAI said no: there is no batch
        give_back_create(context)
        raise
    batch.secret_version = context.openai.key_version()
    _record(context, job, batch, created)


def _renew(context: Context, batch: Batch) -> None:
    """Write the lease, too, where the batch is written: the heartbeat may have carried it further than we know."""
    batch.lease_until = context.now() + LEASE_SECONDS


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


def _split(context: Context, rows: JobRows, batch: Batch, shard: Shard, room: int) -> bool:
    """Split a batch that no limit would ever admit into parts of at most `room` tokens; False if it is one row."""
    batch.results = batch.lease
    parts: list[FollowUp] = []
    most = max(room, batch.tokens // MAX_PARTS + 1)
    with ExitStack() as writing:
        out: Writer | None = None
        for row, request in rows.requests(shard, batch):
            tokens = request.estimated_input_tokens
            if out is None or parts[-1].tokens + tokens > most:
                writing.close()  # the part before is whole
                key = f"{rows.files.results_key(batch)}.rows.{len(parts)}"
                out = writing.enter_context(context.objects.writing(context.buckets.work, key, BYTES))
                parts.append(
                    FollowUp(
                        0,
                        0,
                        created_at=batch.created_at,
                        requeues=batch.requeues,
                        failed_attempts=batch.failed_attempts,
                    )
                )
            out.write(row.to_line())
            part = parts[-1]
            part.requests, part.tokens = part.requests + 1, part.tokens + tokens
            part.inputs += request.embedding_inputs
    if len(parts) < 2:
        batch.results = None
        return False
    batch.follow_ups = parts
    give_back(batch)
    batch.move(BatchState.SPLIT)
    context.repository.save(batch)
    for part_batch in batch.follow_up_batches():
        context.repository.add(part_batch)
    context.observer.info("split", parts=len(parts), room=room, **batch.ids)
    return True


def _search(context: Context, job: Job, batch: Batch) -> RemoteBatch | None:
    """Search OpenAI's list for a batch whose create is in doubt.

    Returns the batch if it exists. Otherwise `creating_at` is None if there certainly is none, and unchanged if that
    takes another search.
    """
    if (
        batch.first_not_found_at is not None
        and context.now() < batch.first_not_found_at + context.absence_confirmation_seconds
    ):
        _keep_in_doubt(context, batch, batch.first_not_found_at + context.absence_confirmation_seconds - context.now())
        return None
    found, is_complete = _found(context, batch)
    if found:
        first, *others = sorted(found, key=lambda remote: remote.created_at)
        for other in others:
            _cancel_double(context, batch, other)
        return first
    if not is_complete:
        context.observer.info("a search of OpenAI's list continues later", **batch.ids)
        _keep_in_doubt(context, batch, 0)
        return None
    version = context.openai.key_version()
    if version != batch.secret_version and not job.cancel_requested:
        if batch.file_id is None or not context.openai.sees(batch.file_id):
            # Another project's key cannot see the batch: it may exist, and creating it again might pay twice.
            _back_to_waiting(context, batch)
            hold(context, job, HeldReason.KEY_CHANGED, "key_changed", batch)
            return None
        batch.secret_version = version  # it sees our file: the key was rotated within its project
    if batch.first_not_found_at is None:
        batch.first_not_found_at = context.now()
        _keep_in_doubt(context, batch, context.absence_confirmation_seconds)
        return None
    batch.creating_at = batch.first_not_found_at = None
    _renew(context, batch)
    context.repository.save(batch)
    return None


def _found(context: Context, batch: Batch) -> tuple[list[RemoteBatch], bool]:
    """Return the batches of OpenAI's list that are this one, and whether the list was read far enough back.

    A batch with a key is this one if the key is the same. Where the server dropped the metadata, the file tells; one
    that is older than the create was another's with the same file.
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
            if context.seconds_left() < SEARCH_SPARE_SECONDS:
                return found, False
    except OpenAIRequestError:
        if batch.search_after is None:
            raise
        # The batch behind which the search was to go on is no longer listed: the search begins again.
        batch.search_after = None
        return found, False
    batch.search_after = None
    return found, True


def _record(context: Context, job: Job, batch: Batch, created: RemoteBatch) -> None:
    """Record a batch that exists at OpenAI, whichever process holds the lease by now: the money is spent."""

    def record(current: Batch) -> bool:
        if current.openai_id is not None or current.state not in (BatchState.WAITING, BatchState.SUBMITTING):
            return False
        current.openai_id, current.openai_status = created.id, created.status
        current.file_id, current.submitted_at = created.input_file_id, context.now()
        current.secret_version = batch.secret_version
        current.creating_at = current.first_not_found_at = current.search_after = None
        current.came_further()
        give_back(current)
        if current.state is BatchState.WAITING:
            current.move(BatchState.SUBMITTING)
        current.move(BatchState.SUBMITTED)
        return True

    if context.repository.update(batch, record):
        context.observer.info("submitted", openai_id=created.id, requests=batch.requests, **batch.ids)
        if job.held_batch == batch.sort_key:
            let_go(context, job, HeldReason.PERMISSION, HeldReason.ACCOUNT, HeldReason.KEY, HeldReason.KEY_CHANGED)
        return
    standing = context.repository.batch(batch.job_id, batch.sort_key)
    if standing is None or standing.openai_id != created.id:
        _cancel_double(context, batch, created)


def _cancel_double(context: Context, batch: Batch, other: RemoteBatch) -> None:
    """Cancel a second batch of the same key. One that is known by its file alone may be another's: it is left."""
    context.observer.metric("DoubleBatches", 1)
    if other.metadata.get(METADATA_KEY) != batch.key:
        context.observer.warning(
            "a second batch exists for a file; it is left as it is", openai_id=other.id, **batch.ids
        )
        return
    context.observer.warning("a second batch exists for a key; it is cancelled", openai_id=other.id, **batch.ids)
    context.openai.cancel(other.id)


def _keep_in_doubt(context: Context, batch: Batch, seconds: int) -> None:
    """Give the lease back while the create stays in doubt, with what the search has found out; the next is due then."""
    known = (batch.first_not_found_at, batch.search_after, batch.secret_version)

    def keep(current: Batch) -> None:
        current.first_not_found_at, current.search_after, current.secret_version = known
        current.start_count = current.kill_count = 0
        give_back(current, context.now() + seconds)

    update_own(context.repository, batch, keep)


def _back_to_waiting(context: Context, batch: Batch, seconds: int = 0, *, due: bool = False) -> None:
    """Give the batch back to be submitted later; one whose create is in doubt stays where it is.

    What failed is put off for at least `seconds`, each time for longer; what is merely not `due` for `seconds` is not.
    """
    file_id, in_doubt = batch.file_id, batch.creating_at is not None

    def back(current: Batch) -> None:
        if current.state is not BatchState.SUBMITTING:
            return
        if due:
            give_back(current, context.now() + seconds if seconds else 0)
        else:
            put_off(context, current, seconds)
        current.file_id, current.admitted_at = file_id, 0
        if in_doubt:
            current.search_after = batch.search_after
        else:
            current.creating_at = current.first_not_found_at = current.search_after = None
            current.move(BatchState.WAITING)

    update_own(context.repository, batch, back)


def _refuse(context: Context, batch: Batch, code: str) -> None:
    """End a batch that OpenAI will not take, with its reason."""

    def end(current: Batch) -> None:
        if current.state is not BatchState.SUBMITTING:
            return
        give_back(current)
        current.creating_at, current.refusal = None, code
        current.move(BatchState.ABANDONED)

    if update_own(context.repository, batch, end):
        context.collect.send(message_for(batch))
