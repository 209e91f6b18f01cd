"""Collects answers: a batch's answers to its rows, a shard's rows into results, a job's shards into files.

A collector writes what it found under a name of its own, and then moves the batch on, which says whose results count
and which rows are to be asked again. Each level is settled by the process that finds that nothing is missing below it:
after its own write it reads the job's items strongly consistently, so that of two that finish last at least one sees
that all is there.

A batch that ended is paid. It is never given up while its files exist: what fails is tried again, less and less often,
and after ten failures the job is held and an alarm raised.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from dropbatch.answers.output_files import AnswerLines
from dropbatch.collection.answer_files import fetch
from dropbatch.collection.result_writer import Written, write_results
from dropbatch.collection.retry_policy import (
    FILE_SECONDS,
    BatchFailure,
    Failure,
    classify_failure,
    put_off_seconds,
    rest_of,
)
from dropbatch.collection.verdict import Judge, Unanswered
from dropbatch.delivery import assemble_job as assemble
from dropbatch.delivery.render_shard import render
from dropbatch.domain.batches import Batch, FollowUp
from dropbatch.domain.errors import (
    ErrorKind,
    OpenAIError,
    OpenAINotFoundError,
    OpenAIRateLimitError,
    RetryLaterError,
    StaleItemError,
)
from dropbatch.domain.items import MAX_STARTS
from dropbatch.domain.jobs import Job, Shard
from dropbatch.domain.outcomes import ANSWERS_GONE, MAY_BE_PAID, NEVER_ENDED
from dropbatch.domain.states import CLOSED, TERMINAL, BatchState, HeldReason, JobState, OpenAIStatus, ShardState
from dropbatch.jobs.hold import hold, hold_for, let_go
from dropbatch.jobs.lease import give_back, kept, put_off, take, update_own
from dropbatch.jobs.openai_batch import NEVER_SECONDS, knows_of
from dropbatch.messages import BatchMessage, message_for
from dropbatch.money.pricing import CostMeter
from dropbatch.ports import RemoteBatch
from dropbatch.rows.job_rows import JobRows
from dropbatch.storage.context import Context
from dropbatch.storage.repository import Repository
from dropbatch.submission.admission import calibrate_estimates, learn_limit

Collected = TypeVar("Collected", Job, Batch)
"""What a step of collecting is about."""

LATE_SECONDS = 60
"""When files that OpenAI has not finished are looked for again."""

MAX_LATE_SECONDS = 600
"""Then they are looked for less and less often, but not less often than this."""

DOUBT_FACTOR = 3
"""How long to wait for answers that OpenAI counted but did not deliver, in `absence_confirmation_seconds`: 30 min."""

KEY_CHANGED_SECONDS = 3600
"""When a batch is tried again that the key cannot see; the poller sends it sooner if the former key is back."""

HANDOVER_SECONDS = 120
"""With less time left a step hands over: what lies on the disk is moved to the work bucket then, at some 50 MB/s."""

MAX_BAD_BATCHES = 2
"""After how many batches in a row, of which less than half was answered, a job's rest is held."""

COLLECTED_IN = (JobState.RUNNING, JobState.HELD, JobState.ASSEMBLING)


def collect(context: Context, work: BatchMessage) -> None:
    """Collect the batch that a message names, then do whatever is settled by that: its shard, its job."""
    job = context.repository.job(work.job_id)
    if job is None or job.state not in COLLECTED_IN:
        return
    if work.batch is None:
        _finish_job(context, job)
        return
    batch = context.repository.batch(job.id, work.batch)
    if batch is None or (batch.state is BatchState.ENDED and not _collect_step(context, job, batch)):
        return
    if batch.state not in CLOSED:
        return
    try:
        if not _in_time(context) or not _finish_shard(
            context, JobRows(context, job), batch.shard, lambda: _in_time(context)
        ):
            _hand_over(context, job)
            return
        is_last = all(shard.state is ShardState.RENDERED for shard in context.repository.shards(job.id))
    except Exception:  # noqa: BLE001 - the answers are kept; once all batches are, the job's own step comes back to it
        context.observer.exception("a shard could not be finished yet", **batch.ids)
        return
    if is_last:
        _finish_job(context, job)


def _in_time(context: Context) -> bool:
    return context.seconds_left() > HANDOVER_SECONDS


def _hand_over(context: Context, job: Job) -> None:
    """Have another invocation go on with what is left of a job, unless a message about it is under way already."""

    def sent(current: Job) -> bool:
        if current.sent_at or current.is_leased(context.now()) or current.state not in COLLECTED_IN:
            return False
        current.sent_at = context.now()
        return True

    if context.repository.update(job, sent):
        context.collect.send(message_for(job))


# A batch


def _collect_step(context: Context, job: Job, batch: Batch) -> bool:
    """Collect an ended batch under its lease; False if it is not collected now."""
    if batch.is_leased(context.now()) or batch.not_before > context.now():
        return False
    take(context, batch)
    try:
        context.repository.save(batch)
    except StaleItemError:
        return False
    with kept(context, batch):
        try:
            if _collect_batch(context, job, batch):
                return True
            _go_on(context, batch)
        except StaleItemError:
            context.observer.info("another process has moved the batch on", **batch.ids)
        except RetryLaterError as later:
            _wait(context, batch, later.seconds)
        except OpenAIError as error:
            context.observer.warning(
                "a batch's answers could not be read", code=error.code, kind=str(error.kind), **batch.ids
            )
            seconds = error.seconds if isinstance(error, OpenAIRateLimitError) else 0
            _failed(context, job, batch, error.code, seconds, error)
        except Exception:  # noqa: BLE001 - the batch is paid: it is tried again for as long as its job lasts
            context.observer.exception("a batch could not be collected", **batch.ids)
            _failed(context, job, batch, "failed")
    return False


def _go_on(context: Context, item: Collected) -> None:
    """Have another invocation go on with an item whose step came further and ran out of time."""

    def further(current: Collected) -> None:
        current.came_further()
        give_back(current)
        current.sent_at = context.now()

    if update_own(context.repository, item, further):
        context.collect.send(message_for(item))


def _wait(context: Context, batch: Batch, seconds: int) -> None:
    """Give the lease back until answers may have come: nothing failed."""

    def wait(current: Batch) -> None:
        current.start_count = current.kill_count = 0
        current.deferrals += 1
        current.incomplete_digest = batch.incomplete_digest
        later = min(context.scaled(MAX_LATE_SECONDS), seconds * 2 ** min(current.deferrals - 1, 10))
        give_back(current, context.now() + max(seconds, later))

    update_own(context.repository, batch, wait)


def _failed(
    context: Context,
    job: Job,
    batch: Batch,
    code: str,
    seconds: int = 0,
    error: OpenAIError | None = None,
) -> None:
    """Put a batch off that could not be collected; hold its job if the key or the account is why, or if it lasts."""

    def later(current: Batch) -> None:
        put_off(context, current, seconds)

    put = update_own(context.repository, batch, later)
    if (error is None or not hold_for(context, job, error, batch)) and put and put.deferrals >= MAX_STARTS:
        hold(context, job, HeldReason.STUCK, code, batch)


def _collect_batch(context: Context, job: Job, batch: Batch) -> bool:
    """Give each row of an ended batch its outcome, or another try; False if time has run out and another goes on."""
    rows = JobRows(context, job)
    shard = _shard_of(context.repository, batch)
    remote = _ended(context, job, batch)
    failure = classify_failure(remote.errors) if remote.status is OpenAIStatus.FAILED else None
    # Looks into the price list, which takes 80 MB for a moment, before answers take theirs.
    bill = CostMeter(batch.model, batch.endpoint)
    batch.results = (
        context.new_token()
    )  # of this try alone: a process that lost its lease may still write under its own
    shown = _shown(remote)
    if batch.incomplete_digest == shown and _is_in_doubt(context, batch):
        raise RetryLaterError(_late_seconds(context), "OpenAI still shows what was incomplete")
    answers, gone = _fetched(context, rows, batch, remote, shard)
    if answers is None:
        return False
    with answers:
        if gone is None and _is_incomplete(context, batch, remote, answers):
            batch.incomplete_digest = shown
            raise RetryLaterError(_late_seconds(context), "answers are counted that have not been delivered")
        code = gone or (NEVER_ENDED if batch.assumed_ended else None)
        # What never ended may still be running, and what is gone was paid: such rows are not asked twice.
        over = job.cancel_requested or context.now() >= job.deadline_at or code is not None
        judge = Judge(job, batch, Unanswered(remote, failure, code=code), failure, over)
        if code is not None and not rows.files.judged(batch):
            bill.add_unread(max(0, batch.requests - answers.found))
        written = write_results(context, rows, shard, batch, answers, judge, bill, lambda: _in_time(context))
    if written is None:
        return False
    if answers.repeated or answers.unmatched:
        context.observer.info(
            "unmatched answer lines", repeated=answers.repeated, unmatched=answers.unmatched, **batch.ids
        )
    if failure is not None:
        context.observer.info("a batch failed", code=failure.code, kind=str(failure.kind), **batch.ids)
        if failure.kind is Failure.TOKENS:
            learn_limit(context, batch, failure.message)
    elif remote.status is OpenAIStatus.COMPLETED:
        calibrate_estimates(context, batch, written.estimated_tokens, written.counted_tokens)
    if failure is not None and failure.kind in (Failure.ACCOUNT, Failure.MODEL):
        _stop(context, batch, failure)
    _break_circuit(context, job, batch, remote, written)
    children = [_child(context, batch, written, failure)] if written.again else []

    def finish(current: Batch) -> None:
        current.completed, current.failed = remote.completed, remote.failed
        current.results, current.follow_ups = batch.results, children
        current.micro_usd, current.unpriced = written.micro_usd, written.unpriced
        current.came_further()
        give_back(current)
        current.move(BatchState.COLLECTED)

    collected = update_own(context.repository, batch, finish)
    if collected is None:
        raise StaleItemError
    batch.state = collected.state
    context.observer.info("collected", openai_id=batch.openai_id, lines=answers.found, again=written.again, **batch.ids)
    if job.held_batch == batch.sort_key:
        let_go(context, job, HeldReason.STUCK, HeldReason.PERMISSION, HeldReason.ACCOUNT)
    return True


def _shard_of(repository: Repository, batch: Batch) -> Shard:
    shard = repository.shard(batch.job_id, batch.shard)
    if shard is None:
        raise AssertionError(f"{batch.key} has no shard")
    return shard


def _ended(context: Context, job: Job, batch: Batch) -> RemoteBatch:
    """Return the ended batch as OpenAI shows it, or as it was last seen if OpenAI cannot show it any more.

    An answer that says less than what was seen before is stale, and never final: RetryLaterError.
    """
    never = batch.assumed_ended or context.now() > (batch.submitted_at or 0) + NEVER_SECONDS
    try:
        remote = context.openai.retrieve(batch.openai_id or "")
    except OpenAINotFoundError:
        if not knows_of(context, batch):
            hold(context, job, HeldReason.KEY_CHANGED, "key_changed", batch)
            raise RetryLaterError(KEY_CHANGED_SECONDS, "the key is not of the batch's project") from None
        seen = _as_seen(batch)
        if seen.output_file_id is None and seen.error_file_id is None and _is_in_doubt(context, batch):
            raise RetryLaterError(
                context.scaled(MAX_LATE_SECONDS), "OpenAI does not know the batch, for the moment"
            ) from None
        return seen
    except OpenAIError as error:
        if never and error.kind is not ErrorKind.PASSING:
            return _as_seen(batch)
        raise
    if remote.status in TERMINAL:
        batch.assumed_ended = False
        if remote.status is OpenAIStatus.CANCELLED and batch.cancelled_for_age_at:
            # Dropbatch cancelled it for its age, not its owner: what it did not answer has expired.
            return replace(remote, status=OpenAIStatus.EXPIRED)
        return remote
    if not never:
        raise RetryLaterError(_late_seconds(context), "OpenAI shows a batch as it was before it ended")
    batch.assumed_ended = True
    return replace(remote, status=OpenAIStatus.EXPIRED)


def _as_seen(batch: Batch) -> RemoteBatch:
    """Return a batch that ended, and can no longer be retrieved, as it was when it was last seen."""
    return RemoteBatch(
        id=batch.openai_id or "",
        status=batch.openai_status if batch.openai_status in TERMINAL else OpenAIStatus.EXPIRED,
        created_at=batch.submitted_at or 0,
        input_file_id=batch.file_id or "",
        output_file_id=batch.output_file_id,
        error_file_id=batch.error_file_id,
        total=batch.total,
        completed=batch.completed,
        failed=batch.failed,
    )


def _late_seconds(context: Context) -> int:
    return min(LATE_SECONDS, context.absence_confirmation_seconds)


def _is_in_doubt(context: Context, batch: Batch) -> bool:
    """Return whether answers may still come: OpenAI's files may be late."""
    return context.now() < (batch.ended_at or 0) + DOUBT_FACTOR * context.absence_confirmation_seconds


def _shown(remote: RemoteBatch) -> str:
    """Return what changes when more of a batch's answers are there."""
    counts = f"{remote.completed} {remote.failed} {remote.total}"
    return f"{counts} {remote.output_file_id} {remote.error_file_id}"


def _fetched(
    context: Context, rows: JobRows, batch: Batch, remote: RemoteBatch, shard: Shard
) -> tuple[AnswerLines | None, str | None]:
    """Fetch a batch's answers, None if time has run out, and ANSWERS_GONE if a file of them is no longer there."""

    def fetched(output: str | None, errors: str | None) -> AnswerLines | None:
        return fetch(context, rows.files, shard, batch, output, errors, lambda: _in_time(context))

    try:
        return fetched(remote.output_file_id, remote.error_file_id), None
    except OpenAINotFoundError:
        if _is_in_doubt(context, batch):
            raise  # so shortly after its end a file may not be visible yet
    context.observer.warning("OpenAI no longer has all of a batch's answers", **batch.ids)
    for output, errors in ((remote.output_file_id, None), (None, remote.error_file_id)):
        try:
            if output or errors:
                return fetched(output, errors), ANSWERS_GONE
        except OpenAINotFoundError:
            continue
    return fetched(None, None), ANSWERS_GONE


def _is_incomplete(context: Context, batch: Batch, remote: RemoteBatch, answers: AnswerLines) -> bool:
    """Return whether OpenAI has counted more answers than it delivered, and may still deliver them."""
    counted = remote.completed + remote.failed
    if remote.status is OpenAIStatus.COMPLETED:
        counted = max(counted, remote.total) or batch.requests
    is_short = answers.found + answers.repeated < counted
    return is_short and remote.status is not OpenAIStatus.FAILED and _is_in_doubt(context, batch)


def _child(context: Context, batch: Batch, written: Written, failure: BatchFailure | None) -> FollowUp:
    """The batch that goes on with the rows that are to be asked again."""
    child = FollowUp(written.again, written.tokens, written.inputs, context.now(), failed_attempts=written.tries)
    match failure.kind if failure else None:
        case Failure.TOKENS:
            wait = context.scaled(put_off_seconds(batch.requeues))
            child.requeues, child.not_before = batch.requeues + 1, context.now() + wait
        case Failure.FILE:
            child.requeues = batch.requeues + 1
            if batch.requeues < len(FILE_SECONDS):
                child.file_id = batch.file_id
                child.not_before = context.now() + context.scaled(FILE_SECONDS[batch.requeues])
        case Failure.ROWS if failure is not None:
            rest = rest_of(failure, requests=batch.requests, rounds=batch.requeues)
            child.requeues, child.must_split = rest.rounds, rest.batches > 1
        case _:
            if written.tries > batch.failed_attempts:  # what failed is given a moment
                child.not_before = context.now() + context.scaled(put_off_seconds(batch.failed_attempts))
    return child


def _stop(context: Context, batch: Batch, failure: BatchFailure) -> None:
    """End what waits of the job and would fail for the same reason: all of it, or all for the same model."""
    for waiting in context.repository.batches(batch.job_id):
        same = failure.kind is Failure.ACCOUNT or waiting.model == batch.model
        if waiting.state is BatchState.WAITING and same:
            waiting.refusal = failure.code
            give_back(waiting)
            waiting.move(BatchState.ABANDONED)
            try:
                context.repository.save(waiting)
            except StaleItemError:
                continue  # it is being submitted, and will fail by itself
            context.collect.send(message_for(waiting))


def _break_circuit(context: Context, job: Job, batch: Batch, remote: RemoteBatch, written: Written) -> None:
    """Hold what a job has waiting when two of its batches in a row were answered by less than half.

    Only first tries count: rows that failed before say nothing about those that have not been asked yet.
    """
    if batch.failed_attempts or remote.status is not OpenAIStatus.COMPLETED:
        return
    bad = 2 * written.ok < batch.requests

    def judge(current: Job) -> bool:
        if not bad and not current.recent_bad_batches:
            return False
        if bad and batch.key in current.recent_bad_batches:
            return False
        current.recent_bad_batches = [*current.recent_bad_batches, batch.key][-MAX_BAD_BATCHES:] if bad else []
        return True

    judged = context.repository.update(job, judge)
    if judged is not None and len(judged.recent_bad_batches) >= MAX_BAD_BATCHES:
        waiting = [other for other in context.repository.batches(job.id) if other.state is BatchState.WAITING]
        if any(other.failed_attempts == 0 for other in waiting):
            hold(context, judged, HeldReason.FAILING, "too_few_answers")


# A shard


def _finish_shard(context: Context, rows: JobRows, number: int, in_time: Callable[[], bool]) -> bool:
    """See that every batch's children are there, and render a shard if all its batches are collected.

    False if time has run out before that was done.
    """
    shard = context.repository.shard(rows.job.id, number)
    if shard is None or shard.state is ShardState.RENDERED:
        return True
    batches = context.repository.batches(rows.job.id, number)
    known = {batch.sort_key for batch in batches}
    born = [child for batch in batches for child in batch.follow_up_batches() if child.sort_key not in known]
    for child in born:
        context.repository.add(child)  # the poller admits it
    if born or any(batch.state not in CLOSED for batch in batches):
        return True
    closed = [batch for batch in batches if batch.state is not BatchState.SPLIT]
    for batch in closed:
        if batch.state is BatchState.ABANDONED:
            _write_abandoned(context, rows, shard, batch)
    if not render(context, rows, shard, closed, in_time):
        return False

    def finish(current: Shard) -> bool:
        if current.state is ShardState.RENDERED:
            return False
        current.move(ShardState.RENDERED)
        return True

    context.repository.change(lambda: context.repository.shard(rows.job.id, number), finish)
    return True


def _write_abandoned(context: Context, rows: JobRows, shard: Shard, batch: Batch) -> None:
    """Write what became of the rows of a batch that was ended without its answers."""
    bill = CostMeter(batch.model, batch.endpoint)
    if batch.refusal in MAY_BE_PAID:
        bill.add_unread(batch.requests)
    judge = Judge(rows.job, batch, Unanswered(None, refusal=batch.refusal))
    write_results(context, rows, shard, batch, None, judge, bill)


# A job


def _finish_job(context: Context, job: Job) -> None:
    """Under the job's lease: finish the shards that are due, and once all are, put the results together."""

    def begin(current: Job) -> bool:
        now = context.now()
        if current.state not in COLLECTED_IN or current.is_leased(now) or current.not_before > now:
            return False
        take(context, current)
        return True

    taken = context.repository.update(job, begin)
    if taken is None:
        return
    with kept(context, taken):
        try:
            is_done = _finish(context, taken)
        except StaleItemError:
            context.observer.info("another process has moved the job on", job_id=job.id)
            return
        except Exception:  # noqa: BLE001 - what is paid is kept, and tried again for as long as the job lasts
            context.observer.exception("a job could not be finished", job_id=job.id)
            put = update_own(context.repository, taken, lambda current: put_off(context, current))
            if put is not None and put.deferrals >= MAX_STARTS:
                hold(context, put, HeldReason.STUCK, "failed", states=(JobState.RUNNING, JobState.ASSEMBLING))
            return
        if not is_done:
            _go_on(context, taken)


def _finish(context: Context, job: Job) -> bool:
    """Return whether the step is at its end; else time has run out, and another invocation is to go on."""
    if job.state is not JobState.ASSEMBLING:
        rows = JobRows(context, job)
        for shard in context.repository.shards(job.id):
            if shard.state is ShardState.RENDERED:
                continue
            if not _finish_shard(context, rows, shard.number, lambda: _in_time(context)):
                return False
            if not _in_time(context):
                return False
        if any(shard.state is not ShardState.RENDERED for shard in context.repository.shards(job.id)):
            update_own(context.repository, job, _rest)  # there are batches still
            return True

        def assembling(current: Job) -> None:
            current.end_hold(context.now())
            current.move(JobState.ASSEMBLING)

        moved = update_own(context.repository, job, assembling)
        if moved is None:
            raise StaleItemError
        job = moved
    return assemble.assemble(context, job)


def _rest(job: Job) -> None:
    job.came_further()
    give_back(job)
