"""Collects answers: a batch's answers to its rows, a shard's rows into results, a job's shards into files.

A collector writes its results under a name of its own, and then moves the batch on. That write says whose results count
and which rows get another try. Each level is finished by the process that finds the level below complete: after its own
write it reads the job's items strongly consistently, so of two that finish last at least one sees everything.

A batch that ended is paid. Dropbatch never gives it up while its files exist: after a failure it tries again, less and
less often, and after ten failures it holds the job and raises an alarm.
"""

from dropbatch.answers.output_files import AnswerLines
from dropbatch.collection.batch_failure import BatchFailure, Failure, classify_failure
from dropbatch.collection.canary import judge_canary
from dropbatch.collection.circuit_breaker import count_batch, stop_siblings
from dropbatch.collection.ended_batch import MAX_LATE_SECONDS, fetch_answers, retrieve_ended
from dropbatch.collection.finish_job import finish_job
from dropbatch.collection.finish_shard import finish_shard
from dropbatch.collection.handover import continue_later, in_time, send_job
from dropbatch.collection.result_progress import ResultTotals
from dropbatch.collection.result_writer import meter_of, write_results
from dropbatch.collection.retry_policy import is_last_try, plan_next_try
from dropbatch.collection.verdict import Judge, Unanswered
from dropbatch.domain.batches import Batch, FollowUp
from dropbatch.domain.errors import OpenAIError, OpenAIRateLimitError, RetryLaterError, StaleItemError
from dropbatch.domain.items import MAX_STARTS
from dropbatch.domain.jobs import Job, Shard
from dropbatch.domain.outcomes import NEVER_ENDED
from dropbatch.domain.states import CLOSED, WORKING_JOBS, BatchState, HeldReason, OpenAIStatus, ShardState
from dropbatch.jobs.backoff import backoff_seconds
from dropbatch.jobs.hold import hold, hold_for, resume
from dropbatch.jobs.lease import defer, leased, release, update_own
from dropbatch.jobs.spending import settle
from dropbatch.messages import BatchMessage
from dropbatch.ports import RemoteBatch
from dropbatch.rows.job_rows import JobRows
from dropbatch.storage.context import Context
from dropbatch.submission.token_limits import calibrate_estimates, learn_limit


def collect(context: Context, work: BatchMessage) -> None:
    """Collect the batch that a message names, then finish its shard and its job, if nothing of them is missing."""
    job = context.repository.job(work.job_id)
    if job is None or job.state not in WORKING_JOBS:
        return
    if work.batch is None:
        finish_job(context, job)
        return
    batch = context.repository.batch(job.id, work.batch)
    if batch is not None and batch.state is BatchState.ENDED:
        batch = _collect_leased(context, job, batch)
    if batch is None or batch.state not in CLOSED:
        return
    _settle(context, job, batch)
    try:
        if not in_time(context) or not finish_shard(context, JobRows(context, job), batch.shard):
            send_job(context, job)
            return
        if batch.is_canary:
            judge_canary(context, job)
        is_last = _is_last(context, job)
    except Exception:  # noqa: BLE001 - the answers are kept; once all batches are, the job's own step comes back to it
        context.observer.exception("a shard could not be finished yet", **batch.ids)
        return
    if is_last:
        finish_job(context, job)


def _is_last(context: Context, job: Job) -> bool:
    """Return whether nothing of a job is missing but the end: all shards are rendered, or now can be.

    A shard with duplicates may have waited for another one, which is rendered now. Then all batches are closed.
    """
    if all(shard.state is ShardState.RENDERED for shard in context.repository.shards(job.id)):
        return True
    return job.duplicates > 0 and all(batch.state in CLOSED for batch in context.repository.batches(job.id))


def _collect_leased(context: Context, job: Job, batch: Batch) -> Batch | None:
    """Collect an ended batch under its lease, and return it; None if it is not collected now."""
    now = context.now()
    with leased(context, batch, lambda it: it.state is BatchState.ENDED and it.not_before <= now) as taken:
        if taken is None:
            return None
        try:
            collected = _collect(context, job, taken)
            if collected is not None:
                return collected
            continue_later(context, taken)
        except StaleItemError:
            context.observer.info("another process has moved the batch on", **taken.ids)
        except RetryLaterError as later:
            _wait(context, taken, later.seconds)
        except OpenAIError as error:
            context.observer.warning(
                "a batch's answers could not be read", code=error.code, kind=str(error.kind), **taken.ids
            )
            seconds = error.seconds if isinstance(error, OpenAIRateLimitError) else 0
            _fail(context, job, taken, error.code, seconds, error)
        except Exception:  # noqa: BLE001 - the batch is paid: it is tried again for as long as its job lasts
            context.observer.exception("a batch could not be collected", **taken.ids)
            _fail(context, job, taken, "failed")
    return None


def _settle(context: Context, job: Job, batch: Batch) -> None:
    try:
        settle(context, batch, job)
    except Exception:  # noqa: BLE001 - the answers do not wait for the sums; the poll comes back to these
        context.observer.exception("the price of a batch could not be counted yet", **batch.ids)


def _wait(context: Context, batch: Batch, seconds: int) -> None:
    """Give the lease back until OpenAI may have the answers: nothing failed."""

    def wait(current: Batch) -> None:
        current.start_count = current.kill_count = 0
        current.deferrals += 1
        current.incomplete_digest = batch.incomplete_digest
        later = backoff_seconds(current.deferrals, first=seconds, most=context.scaled(MAX_LATE_SECONDS))
        release(current, context.now() + max(seconds, later))

    update_own(context.repository, batch, wait)


def _fail(
    context: Context,
    job: Job,
    batch: Batch,
    code: str,
    seconds: int = 0,
    error: OpenAIError | None = None,
) -> None:
    """Put off a batch that failed; hold its job if the key or the account is the reason, or if it fails too often."""
    failed = update_own(context.repository, batch, lambda current: defer(context, current, seconds))
    if (error is None or not hold_for(context, job, error, batch)) and failed and failed.deferrals >= MAX_STARTS:
        hold(context, job, HeldReason.STUCK, code, batch)


def _collect(context: Context, job: Job, batch: Batch) -> Batch | None:
    """Give each row of an ended batch its outcome, or another try; return the batch as it is then.

    Return None if time ran out: another invocation continues.

    Raises RetryLaterError while OpenAI may still deliver answers, and StaleItemError if another process was quicker.
    """
    rows = JobRows(context, job)
    shard = _shard_of(context, batch)
    remote = retrieve_ended(context, job, batch)
    failure = classify_failure(remote.errors) if remote.status is OpenAIStatus.FAILED else None
    # Looks into the price list, which takes 80 MB for a moment, before answers take theirs.
    bill = meter_of(context, rows, batch)
    batch.results = context.new_token()  # of this try: a process that lost its lease may still write under its own
    fetched = fetch_answers(context, rows.files, shard, batch, remote)
    if fetched is None:
        return None
    answers, gone = fetched
    with answers:
        code = gone or (NEVER_ENDED if batch.assumed_ended else None)
        over = is_last_try(job, code, context.now())
        judge = Judge(job, batch, Unanswered(remote, failure, code=code), failure, over)
        if code is not None and not rows.files.judged(batch):
            bill.add_unread(max(0, batch.requests - answers.found))
        reported = remote.usage
        written = write_results(context, rows, shard, batch, answers, judge, bill, lambda: in_time(context), reported)
    if written is None:
        return None
    _learn(context, job, batch, remote, failure, answers, written)
    collected = _mark_collected(context, batch, remote, failure, written)
    if written.usage_differs:
        context.observer.metric("UsageDifferences", 1)
    context.observer.info(
        "batch collected", openai_id=batch.openai_id, lines=answers.found, again=written.again, **batch.ids
    )
    if job.held_batch == batch.sort_key:
        resume(context, job, HeldReason.STUCK, HeldReason.PERMISSION, HeldReason.ACCOUNT)
    return collected


def _shard_of(context: Context, batch: Batch) -> Shard:
    shard = context.repository.shard(batch.job_id, batch.shard)
    if shard is None:
        raise AssertionError(f"{batch.key} has no shard")
    return shard


def _learn(
    context: Context,
    job: Job,
    batch: Batch,
    remote: RemoteBatch,
    failure: BatchFailure | None,
    answers: AnswerLines,
    written: ResultTotals,
) -> None:
    """Use the results of a batch for the batches that follow: limits, estimates, and whether they may go at all."""
    if answers.repeated or answers.unmatched:
        context.observer.info(
            "unmatched answer lines", repeated=answers.repeated, unmatched=answers.unmatched, **batch.ids
        )
    if failure is not None:
        context.observer.info("batch failed", code=failure.code, kind=str(failure.kind), **batch.ids)
        if failure.kind is Failure.TOKENS:
            learn_limit(context, batch, failure.message)
        elif failure.kind in (Failure.ACCOUNT, Failure.MODEL):
            stop_siblings(context, batch, failure)
    elif remote.status is OpenAIStatus.COMPLETED:
        calibrate_estimates(context, batch, written.estimated_tokens, written.counted_tokens)
        count_batch(context, job, batch, ok=written.ok)


def _mark_collected(
    context: Context, batch: Batch, remote: RemoteBatch, failure: BatchFailure | None, written: ResultTotals
) -> Batch:
    """Move a batch on: its results count from now on, and its child asks the rows that get another try."""
    children = [_follow_up(context, batch, written, failure)] if written.again else []

    def finish(current: Batch) -> None:
        current.completed, current.failed = remote.completed, remote.failed
        current.output_file_id = remote.output_file_id or current.output_file_id  # it may have come late
        current.error_file_id = remote.error_file_id or current.error_file_id
        current.results, current.follow_ups = batch.results, children
        current.usd, current.standard_usd = written.usd, written.standard_usd
        current.unpriced, current.unread = written.unpriced, written.unread
        current.answers, current.usage = written.answers, written.usage
        current.outcomes = written.outcomes
        current.came_further()
        release(current)
        current.move(BatchState.COLLECTED)

    collected = update_own(context.repository, batch, finish)
    if collected is None:
        raise StaleItemError
    return collected


def _follow_up(context: Context, batch: Batch, written: ResultTotals, failure: BatchFailure | None) -> FollowUp:
    """Return the child of a batch, which asks the rows that get another try."""
    plan = plan_next_try(failure, batch, failed_attempts=written.tries)
    now = context.now()
    return FollowUp(
        written.again,
        written.tokens,
        written.inputs,
        created_at=now,
        not_before=now + context.scaled(plan.wait_seconds) if plan.wait_seconds else 0,
        requeues=plan.requeues,
        failed_attempts=written.tries,
        file_id=batch.file_id if plan.keeps_file else None,
        must_split=plan.must_split,
    )
