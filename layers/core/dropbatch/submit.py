"""Submits a batch to OpenAI, and never pays for it twice.

OpenAI takes no idempotency key, so the protocol is written down before it is carried out:

1. The batch's item is the intent. A lease, taken by compare-and-swap, makes one process its submitter.
2. The request file is built, uploaded, and its id recorded. An upload that nobody records costs nothing.
3. `creating_at` is recorded just before the create, only while the lease covers the create's timeout.
4. The create, once, with the batch's key in its metadata.
5. The batch's id is recorded. Should another id stand there, ours is cancelled, and an alarm raised.

Whoever finds a lease that ran out before 3 may start again. After 3 it looks first: OpenAI's list, newest first, down
to before the create, for the key or the file. What is found is adopted. Only two complete looks that found nothing,
`settle_seconds` apart, allow another create; a list that lags for longer than that is the risk that remains.
"""

from contextlib import ExitStack

from dropbatch.admission import ROOM, allowance, may_create, start
from dropbatch.asking import JobRows
from dropbatch.domain.errors import (
    ConditionFailed,
    OpenAIBusy,
    OpenAIError,
    OpenAIKeyRejected,
    OpenAINotFound,
    OpenAIRefused,
    OpenAIUnsure,
)
from dropbatch.domain.jobs import Batch, BatchState, Child, HeldReason, Job, JobState, Shard
from dropbatch.holding import hold
from dropbatch.ledger import Ledger
from dropbatch.messages import Work, work_on
from dropbatch.ports import BYTES, RemoteBatch, World, Writer

CREATE_SECONDS = 60
"""The create's timeout, and with it what a lease must still cover when the create begins."""

LEASE_MARGIN_SECONDS = 10
"""How much longer than its function a lease lives, and by how much clocks may differ."""

CLOCK_SECONDS = 600
"""How far OpenAI's clock and ours may be apart: a look reaches so much further back than the create."""

METADATA_KEY = "dropbatch"
"""The metadata member in which a batch at OpenAI bears its key."""

MOST_PARTS = 500
"""Into so many parts a batch is split at most: they are recorded with it."""

RETRY_SECONDS = 30
"""When a batch is tried again whose file could not be uploaded."""


def submit(world: World, work: Work) -> None:
    """Submits the batch that a message names, if it is due."""
    ledger = Ledger(world.table)
    job = ledger.job(work.job_id)
    batch = ledger.batch(work.job_id, work.batch) if work.batch else None
    if job is None or batch is None or not _is_due(world, job, batch):
        return
    batch.lease = world.new_token()
    batch.lease_until = int(world.clock() + world.seconds_left()) + LEASE_MARGIN_SECONDS
    if batch.state is BatchState.WAITING:
        batch.move(BatchState.SUBMITTING)
    try:
        ledger.save(batch)
    except ConditionFailed:
        return
    try:
        _submit(world, ledger, job, batch)
    except ConditionFailed:
        world.observer.note("another process has moved the batch on", **batch.ids)
    except OpenAIKeyRejected as error:
        _back_to_waiting(world, ledger, batch, 0)
        hold(world, ledger, job, HeldReason.KEY, error.code)
    except OpenAIBusy as error:
        world.observer.warn("OpenAI is busy", code=error.code, seconds=error.seconds, **batch.ids)
        _back_to_waiting(world, ledger, batch, error.seconds)
    except OpenAIRefused as error:
        _refused(world, ledger, batch, error)
    except OpenAIUnsure as error:
        world.observer.warn("a call to OpenAI is in doubt", code=error.code, **batch.ids)
        _back_to_waiting(world, ledger, batch, RETRY_SECONDS)


def _is_due(world: World, job: Job, batch: Batch) -> bool:
    if batch.state is BatchState.SUBMITTING:
        # In doubt: even a job that was cancelled must learn whether the batch exists, to cancel it.
        return batch.lease is None or batch.lease_until <= world.now()
    return (
        batch.state is BatchState.WAITING
        and batch.not_before <= world.now()
        and job.state is JobState.RUNNING
        and not job.cancel_requested
    )


def _submit(world: World, ledger: Ledger, job: Job, batch: Batch) -> None:
    if batch.creating_at is not None:
        found = _look(world, ledger, job, batch)
        if found is not None:
            _record(world, ledger, batch, found)
            return
        if batch.creating_at is not None:
            return  # not certain yet
    if job.cancel_requested or job.state is not JobState.RUNNING:
        _back_to_waiting(world, ledger, batch, 0)
        return
    world.openai.key_version()  # without a key there is no need to build a file
    rows = JobRows(world, job)
    shard = ledger.shard(job.id, batch.shard)
    if shard is None:
        raise AssertionError(f"{batch.key} has no shard")
    room = allowance(world, ledger, batch.model)
    if room is not None and batch.tokens > room and _split(world, ledger, rows, batch, shard, int(room * ROOM)):
        return
    if batch.file_id is None:
        batch.file_id = _upload(world, rows, batch, shard)
        ledger.save(batch)
    wait = may_create(world, ledger)
    if wait:
        world.observer.warn("no more batches may be created in this hour", seconds=wait, **batch.ids)
        _back_to_waiting(world, ledger, batch, wait)
        return
    if world.now() + CREATE_SECONDS + LEASE_MARGIN_SECONDS > batch.lease_until:
        _back_to_waiting(world, ledger, batch, 0)
        return
    batch.creating_at, batch.secret_version, batch.looked_at = world.now(), world.openai.key_version(), None
    ledger.save(batch)
    metadata = {METADATA_KEY: batch.key, "job": job.id}
    try:
        created = world.openai.create(batch.file_id, batch.endpoint, metadata)
    except OpenAIUnsure as error:
        world.observer.warn("a create is in doubt", code=error.code, **batch.ids)
        batch.lease = None
        ledger.save(batch)
        return
    except OpenAIError:
        batch.creating_at = None  # OpenAI said no: there is no batch
        raise
    _record(world, ledger, batch, created)


def _upload(world: World, rows: JobRows, batch: Batch, shard: Shard) -> str:
    """Builds the batch's request file on disk, uploads it, and returns the file's id."""
    path = world.scratch / f"{batch.lease}.jsonl"
    try:
        with path.open("wb") as file:
            for lines in rows.lines(shard, batch):
                file.write(lines)
        return world.openai.upload(path, f"{batch.key.replace('/', '_')}.jsonl")
    finally:
        path.unlink(missing_ok=True)


def _split(world: World, ledger: Ledger, rows: JobRows, batch: Batch, shard: Shard, room: int) -> bool:
    """Splits a batch that no limit would ever admit into parts of at most `room` tokens; False where it is one row."""
    batch.results = batch.lease
    parts: list[Child] = []
    most = max(room, batch.tokens // MOST_PARTS + 1)
    with ExitStack() as writing:
        out: Writer | None = None
        for row, request in rows.asked(shard, batch):
            tokens = request.estimated_input_tokens
            if out is None or parts[-1].tokens + tokens > most:
                writing.close()  # the part before is whole
                key = f"{rows.files.results_key(batch)}.rows.{len(parts)}"
                out = writing.enter_context(world.objects.writing(world.buckets.work, key, BYTES))
                parts.append(Child(0, 0, created_at=batch.created_at, waits=batch.waits, tries=batch.tries))
            out.write(row.to_line())
            part = parts[-1]
            part.requests, part.tokens = part.requests + 1, part.tokens + tokens
            part.inputs += request.embedding_inputs
    if len(parts) < 2:
        batch.results = None
        return False
    batch.children, batch.lease = parts, None
    batch.move(BatchState.SPLIT)
    ledger.save(batch)
    start(world, ledger, batch.offspring())
    world.observer.note("split", parts=len(parts), room=room, **batch.ids)
    return True


def _look(world: World, ledger: Ledger, job: Job, batch: Batch) -> RemoteBatch | None:
    """Looks through OpenAI's list for a batch whose create is in doubt.

    Returns the batch if it exists. Otherwise `creating_at` is None if there certainly is none, and unchanged if that
    takes another look.
    """
    began = batch.creating_at or 0
    if batch.looked_at is not None and world.now() < batch.looked_at + world.settle_seconds:
        _release(ledger, batch)
        return None
    found: list[RemoteBatch] = []
    for page in world.openai.newest():
        found += [
            remote
            for remote in page
            if remote.metadata.get(METADATA_KEY) == batch.key
            or (batch.file_id is not None and remote.input_file_id == batch.file_id)
        ]
        if page and page[-1].created_at < began - CLOCK_SECONDS:
            break
    if found:
        first, *others = sorted(found, key=lambda remote: remote.created_at)
        for other in others:
            _cancel_double(world, batch, other.id)
        return first
    if world.openai.key_version() != batch.secret_version and not job.cancel_requested:
        # Another project's key cannot see the batch: it may exist, and creating it again might pay twice.
        _release(ledger, batch)
        hold(world, ledger, job, HeldReason.KEY_CHANGED, "key_changed")
        return None
    if batch.looked_at is None:
        batch.looked_at = world.now()
        _release(ledger, batch)
        return None
    batch.creating_at = batch.looked_at = None
    ledger.save(batch)
    return None


def _record(world: World, ledger: Ledger, batch: Batch, created: RemoteBatch) -> None:
    """Records a batch that exists at OpenAI, whoever holds the lease by now: the money is spent."""

    def record(current: Batch) -> bool:
        if current.openai_id is not None:
            return False
        current.openai_id, current.openai_status = created.id, created.status
        current.file_id, current.submitted_at = created.input_file_id, world.now()
        current.lease = current.creating_at = current.looked_at = None
        current.sends = 0
        if current.state is BatchState.WAITING:
            current.move(BatchState.SUBMITTING)
        current.move(BatchState.SUBMITTED)
        return True

    if ledger.change(lambda: ledger.batch(batch.job_id, batch.sk), record):
        world.observer.note("submitted", openai_id=created.id, requests=batch.requests, **batch.ids)
        return
    standing = ledger.batch(batch.job_id, batch.sk)
    if standing is None or standing.openai_id != created.id:
        _cancel_double(world, batch, created.id)


def _cancel_double(world: World, batch: Batch, openai_id: str) -> None:
    world.observer.measure("DoubleBatches", 1)
    world.observer.warn("a second batch exists for a key; it is cancelled", openai_id=openai_id, **batch.ids)
    world.openai.cancel(openai_id)


def _release(ledger: Ledger, batch: Batch) -> None:
    batch.lease, batch.sends = None, 0
    ledger.save(batch)


def _back_to_waiting(world: World, ledger: Ledger, batch: Batch, seconds: int) -> None:
    """Gives the batch back to be submitted later; one whose create is in doubt stays where it is."""
    lease, known_absent = batch.lease, batch.creating_at is None

    def give_back(current: Batch) -> bool:
        if current.state is not BatchState.SUBMITTING or current.lease != lease:
            return False
        current.lease, current.sends = None, 0
        if known_absent:
            current.creating_at = current.looked_at = None
            current.not_before, current.sent_at = world.now() + seconds, 0
            current.move(BatchState.WAITING)
        return True

    ledger.change(lambda: ledger.batch(batch.job_id, batch.sk), give_back)


def _refused(world: World, ledger: Ledger, batch: Batch, error: OpenAIRefused) -> None:
    """OpenAI will not take the file or the batch. A file that it does not find (any more) is uploaded again."""
    world.observer.warn("OpenAI refused a call", code=error.code, **batch.ids)
    if batch.creating_at is not None:
        _back_to_waiting(world, ledger, batch, 0)  # it was the look that failed; the create is still in doubt
        return
    lease = batch.lease

    def end(current: Batch) -> bool:
        if current.state is not BatchState.SUBMITTING or current.lease != lease:
            return False
        current.lease = current.creating_at = None
        if isinstance(error, OpenAINotFound):
            current.file_id = None
            current.not_before, current.sent_at = world.now() + RETRY_SECONDS, 0
            current.move(BatchState.WAITING)
            return True
        current.refusal = error.code
        current.move(BatchState.ABANDONED)
        return True

    ended = ledger.change(lambda: ledger.batch(batch.job_id, batch.sk), end)
    if ended is not None and ended.state is BatchState.ABANDONED:
        world.collect.send(work_on(ended))
