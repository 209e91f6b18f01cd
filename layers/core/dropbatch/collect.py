"""Brings answers home: a batch's answers to its rows, a shard's rows into results, a job's shards into files.

A collector writes what it found under a name of its own, and then moves the batch on, which says whose results count
and which rows are to be asked again. Each level is settled by whoever finds that nothing is missing below it: after its
own write it reads the job's items strongly consistently, so that of two that finish last at least one sees that all is
there.
"""

from dataclasses import replace

from dropbatch import assemble
from dropbatch.admission import learn_limit, learn_usage, start
from dropbatch.asking import JobRows
from dropbatch.collection.answer_files import fetch
from dropbatch.collection.result_writer import Written, write_results
from dropbatch.collection.verdict import Judge, Unanswered
from dropbatch.domain.errors import ConditionFailed, OpenAIError, OpenAIKeyRejected, OpenAINotFound, TryLater
from dropbatch.domain.jobs import (
    CLOSED,
    TERMINAL,
    Batch,
    BatchState,
    Child,
    HeldReason,
    Job,
    JobState,
    OpenAIStatus,
    Shard,
    ShardState,
)
from dropbatch.healing import FILE_SECONDS, BatchFailure, Failure, failure_of, put_off
from dropbatch.holding import hold
from dropbatch.ledger import Ledger
from dropbatch.messages import Work, work_on
from dropbatch.ports import RemoteBatch, World
from dropbatch.pricing import Bill
from dropbatch.reconciling import AnswerLines
from dropbatch.rendering import render

LATE_SECONDS = 60
"""When files that OpenAI has not finished are looked for again."""

DOUBT_FACTOR = 3
"""So many `settle_seconds` are answers waited for that OpenAI has counted but not delivered (30 minutes by default)."""

SPARE_SECONDS = 120
"""With less than that left, the next shard is another invocation's: a gigabyte of embeddings takes a minute."""

BAD_BATCHES = 2
"""After so many batches in a row of which less than half was answered, a job's rest is held."""


def collect(world: World, work: Work) -> None:
    """Collects the batch that a message names, then whatever is settled by that: its shard, its job."""
    ledger = Ledger(world.table)
    job = ledger.job(work.job_id)
    if job is None or job.state not in (JobState.RUNNING, JobState.HELD, JobState.ASSEMBLING):
        return
    if job.state is not JobState.ASSEMBLING:
        rows = JobRows(world, job)
        batch = ledger.batch(job.id, work.batch) if work.batch else None
        if batch is not None and batch.state is BatchState.ENDED:
            _collect_or_wait(world, ledger, rows, batch)
            left = ledger.batch(job.id, batch.sk)
            if not _in_time(world) or (left is not None and left.state is BatchState.ENDED):
                world.collect.send(work.to_json())
                return
        for shard in ledger.shards(job.id):
            if shard.state is ShardState.RENDERED or (batch is not None and shard.number != batch.shard):
                continue
            if _settle_shard(world, ledger, rows, shard.number) and not (
                _in_time(world) and _shard_is_rendered(ledger, shard)
            ):
                _go_on(world, ledger, job)
                return
        if any(shard.state is not ShardState.RENDERED for shard in ledger.shards(job.id)):
            return
    assemble.assemble(world, ledger, job.id)


def _in_time(world: World) -> bool:
    return world.seconds_left() > SPARE_SECONDS


def _shard_is_rendered(ledger: Ledger, shard: Shard) -> bool:
    current = ledger.shard(shard.job_id, shard.number)
    return current is not None and current.state is ShardState.RENDERED


def _go_on(world: World, ledger: Ledger, job: Job) -> None:
    """Has another invocation go on with what is left of a job, which has not been sent in vain."""

    def came_further(current: Job) -> bool:
        current.sends, current.sent_at = 0, world.now()
        return current.state in (JobState.RUNNING, JobState.HELD)

    ledger.change(lambda: ledger.job(job.id), came_further)
    world.collect.send(work_on(job))


def _collect_or_wait(world: World, ledger: Ledger, rows: JobRows, batch: Batch) -> None:
    """Collects a batch; TryLater while OpenAI does not let us, which is no reason to give it up."""
    try:
        _collect_batch(world, ledger, rows, batch)
    except OpenAIError as error:
        if isinstance(error, OpenAIKeyRejected):
            hold(world, ledger, rows.job, HeldReason.KEY, error.code)

        def count_anew(current: Batch) -> bool:
            current.sends = 0
            return current.state is BatchState.ENDED

        ledger.change(lambda: ledger.batch(batch.job_id, batch.sk), count_anew)
        raise TryLater(LATE_SECONDS, f"OpenAI did not give the batch's answers: {error.code}") from error


def _collect_batch(world: World, ledger: Ledger, rows: JobRows, batch: Batch) -> None:
    """Gives each row of an ended batch its outcome, or another try."""
    job = rows.job
    shard = _shard_of(ledger, batch)
    try:
        remote = world.openai.retrieve(batch.openai_id or "")
    except OpenAINotFound:
        remote = _gone(batch)
    never_ended = remote.status not in TERMINAL
    if never_ended:
        remote = replace(remote, status=OpenAIStatus.EXPIRED)
    failure = failure_of(remote.errors) if remote.status is OpenAIStatus.FAILED else None
    bill = Bill(batch.model)  # looks into the price list, which takes 80 MB for a moment, before answers take theirs
    batch.results = world.new_token()
    fetched = fetch(
        world, rows.files, shard, batch, remote.output_file_id, remote.error_file_id, lambda: _in_time(world)
    )
    if fetched is None:
        return
    with fetched as answers:
        _check_complete(world, batch, remote, answers)
        # What never ended may still be running, for all we know: its rows are not asked twice.
        over = job.cancel_requested or world.now() >= job.deadline_at or never_ended
        judge = Judge(job, batch, Unanswered(remote, failure), failure, over)
        written = write_results(world, rows, shard, batch, answers, judge, bill, lambda: _in_time(world))
    if written is None:
        return
    if answers.repeated or answers.strange:
        world.observer.warn("odd lines", repeated=answers.repeated, strange=answers.strange, **batch.ids)
    if failure is not None:
        world.observer.warn("a batch failed", code=failure.code, kind=str(failure.kind), **batch.ids)
        if failure.kind is Failure.TOKENS:
            learn_limit(world, ledger, batch, failure.message)
    elif remote.status is OpenAIStatus.COMPLETED:
        learn_usage(world, ledger, batch, written.estimated_tokens, written.counted_tokens)
    if failure is not None and failure.kind in (Failure.ACCOUNT, Failure.MODEL):
        _stop(world, ledger, batch, failure)
    _break_circuit(world, ledger, job, batch, remote, written)
    children = [_child(world, batch, written, failure)] if written.again else []

    def finish(current: Batch) -> bool:
        if current.state is not BatchState.ENDED:
            return False
        current.completed, current.failed = remote.completed, remote.failed
        current.results, current.children = batch.results, children
        current.move(BatchState.COLLECTED)
        return True

    if ledger.change(lambda: ledger.batch(batch.job_id, batch.sk), finish):
        world.observer.note(
            "collected", openai_id=batch.openai_id, lines=answers.found, again=written.again, **batch.ids
        )


def _shard_of(ledger: Ledger, batch: Batch) -> Shard:
    shard = ledger.shard(batch.job_id, batch.shard)
    if shard is None:
        raise AssertionError(f"{batch.key} has no shard")
    return shard


def _child(world: World, batch: Batch, written: "Written", failure: BatchFailure | None) -> Child:
    """The batch that goes on with the rows that are to be asked again."""
    child = Child(written.again, written.tokens, written.inputs, world.now(), tries=written.tries)
    match failure.kind if failure else None:
        case Failure.TOKENS:
            child.waits, child.not_before = batch.waits + 1, world.now() + world.scaled(put_off(batch.waits))
        case Failure.FILE:
            child.waits = batch.waits + 1
            if batch.waits < len(FILE_SECONDS):
                child.file_id = batch.file_id
                child.not_before = world.now() + world.scaled(FILE_SECONDS[batch.waits])
        case Failure.ROWS:
            child.waits = batch.waits + 1
        case _:
            if written.tries > batch.tries:  # what failed is given a moment
                child.not_before = world.now() + world.scaled(put_off(batch.tries))
    return child


def _stop(world: World, ledger: Ledger, batch: Batch, failure: BatchFailure) -> None:
    """Gives up what waits of the job and would fail for the same reason: all of it, or all for the same model."""
    for waiting in ledger.batches(batch.job_id):
        same = failure.kind is Failure.ACCOUNT or waiting.model == batch.model
        if waiting.state is BatchState.WAITING and same:
            waiting.refusal = failure.code
            waiting.move(BatchState.ABANDONED)
            try:
                ledger.save(waiting)
            except ConditionFailed:
                continue  # it is being submitted, and will fail by itself
            world.collect.send(work_on(waiting))


def _break_circuit(
    world: World, ledger: Ledger, job: Job, batch: Batch, remote: RemoteBatch, written: "Written"
) -> None:
    """Holds what a job has waiting when two of its batches in a row were answered by less than half.

    Only first tries count: rows that failed before say nothing about those that have not been asked yet.
    """
    if batch.tries or remote.status is not OpenAIStatus.COMPLETED:
        return
    bad = 2 * written.ok < batch.requests

    def judge(current: Job) -> bool:
        if not bad and not current.judged:
            return False
        if bad and batch.key in current.judged:
            return False
        current.judged = [*current.judged, batch.key][-BAD_BATCHES:] if bad else []
        return True

    judged = ledger.change(lambda: ledger.job(job.id), judge)
    if judged is not None and len(judged.judged) >= BAD_BATCHES:
        waiting = [other for other in ledger.batches(job.id) if other.state is BatchState.WAITING]
        if any(other.tries == 0 for other in waiting):
            hold(world, ledger, judged, HeldReason.FAILING, "too_few_answers")


def _gone(batch: Batch) -> RemoteBatch:
    """A batch that ended and can no longer be retrieved: nothing can be read of it."""
    return RemoteBatch(
        id=batch.openai_id or "",
        status=batch.openai_status or OpenAIStatus.COMPLETED,
        created_at=batch.submitted_at or 0,
        input_file_id=batch.file_id or "",
    )


def _check_complete(world: World, batch: Batch, remote: RemoteBatch, answers: AnswerLines) -> None:
    """TryLater while OpenAI has counted more answers than it delivered: its files may come late."""
    counted = remote.completed + remote.failed
    if remote.status is OpenAIStatus.COMPLETED:
        counted = max(counted, remote.total) or batch.requests
    in_doubt = world.now() < (batch.ended_at or 0) + DOUBT_FACTOR * world.settle_seconds
    if answers.found + answers.repeated < counted and remote.status is not OpenAIStatus.FAILED and in_doubt:
        raise TryLater(min(LATE_SECONDS, world.settle_seconds), "answers are counted that have not been delivered")


def _settle_shard(world: World, ledger: Ledger, rows: JobRows, number: int) -> bool:
    """Sees that every batch's children are there, and renders a shard if all its batches are home: True if it did."""
    shard = ledger.shard(rows.job.id, number)
    if shard is None or shard.state is ShardState.RENDERED:
        return False
    batches = ledger.batches(rows.job.id, number)
    known = {batch.sk for batch in batches}
    born = [child for batch in batches for child in batch.offspring() if child.sk not in known]
    if born:
        start(world, ledger, born)
        return False
    if any(batch.state not in CLOSED for batch in batches):
        return False
    closed = [batch for batch in batches if batch.state is not BatchState.SPLIT]
    for batch in closed:
        if batch.state is BatchState.ABANDONED:
            judge = Judge(rows.job, batch, Unanswered(None, refusal=batch.refusal))
            write_results(world, rows, shard, batch, None, judge, Bill(batch.model))
    if not render(world, rows, shard, closed, lambda: _in_time(world)):
        return True  # came further, and is called again

    def finish(current: Shard) -> bool:
        if current.state is ShardState.RENDERED:
            return False
        current.move(ShardState.RENDERED)
        return True

    ledger.change(lambda: ledger.shard(rows.job.id, number), finish)
    return True
