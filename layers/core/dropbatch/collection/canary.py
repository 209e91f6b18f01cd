"""The verdict on a canary: once its rows have come back, the job's other rows are sent, or the job is held."""

from collections.abc import Sequence

from dropbatch.delivery.canary_answers import CanaryAnswer, read_answers, write_answers
from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Canary, Job
from dropbatch.domain.outcomes import Outcome
from dropbatch.domain.spending import NOTHING, JobSpending
from dropbatch.domain.states import CLOSED, BatchState, HeldReason, JobState
from dropbatch.jobs.hold import hold
from dropbatch.jobs.spending import settle_all
from dropbatch.rows.job_rows import JobRows
from dropbatch.storage.context import Context
from dropbatch.submission.first_batches import dispatch_first


def judge_canary(context: Context, job: Job) -> None:
    """Judge a job's canary, if all of its rows have come back and it has not been judged."""
    canary = job.canary
    if canary is None or not job.awaits_canary or job.state is not JobState.RUNNING or job.cancel_requested:
        return
    batches = context.repository.batches(job.id)
    own = [batch for batch in batches if batch.is_canary]
    if not _have_come_back(own):
        return
    settle_all(context, job, own)
    spending = context.repository.job_spending(job.id)
    rows = JobRows(context, job)
    answers = read_answers(context, rows, own)
    asked = sum(batch.requests for batch in own if batch.attempt == "0")
    canary.asked, canary.ok = asked, sum(answer.result.outcome is Outcome.OK for answer in answers)
    is_over = all(batch.state in CLOSED for batch in batches)  # its time is over, and nothing is left to decide about
    if is_over or _is_good(job, canary, own, spending):
        passed = context.repository.update(job, _pass)
        if passed is not None:
            context.observer.info("canary passed", job_id=job.id, ok=canary.ok, rows=asked)
            dispatch_first(context, passed, [batch for batch in batches if batch.state is BatchState.WAITING])
        return
    _hold(context, job, rows, answers, canary)


def _have_come_back(batches: Sequence[Batch]) -> bool:
    """Return whether batches are closed, and so are all that follow them."""
    known = {batch.sort_key for batch in batches}
    follow = {child.sort_key for batch in batches for child in batch.follow_up_batches()}
    return follow <= known and all(batch.state in CLOSED for batch in batches)


def _is_good(job: Job, canary: Canary, batches: Sequence[Batch], spending: JobSpending) -> bool:
    """Return whether enough rows of a canary have a good answer, and cost no more than these were quoted at most.

    Rows of several models, or of different lengths, may be dearer than the average of the job. Rows that likely cost
    more than `max_usd` from the start were sent because their price was approved.
    """
    if canary.ok < canary.min_ok * canary.asked:
        return False
    first = [batch for batch in batches if batch.attempt == "0"]
    if canary.max_usd is not None and spending.spent > canary.max_usd:
        likely = sum((batch.likely_usd or NOTHING for batch in first), NOTHING)
        if not job.approved or likely <= canary.max_usd:
            return False
    known = [batch.high_usd for batch in first if batch.high_usd is not None]
    return len(known) < len(first) or spending.spent <= sum(known, NOTHING)


def _hold(context: Context, job: Job, rows: JobRows, answers: Sequence[CanaryAnswer], canary: Canary) -> None:
    write_answers(context, rows, answers)

    def judged(current: Job) -> bool:
        current.canary = canary
        return current.awaits_canary

    if context.repository.update(job, judged) is not None:
        hold(context, job, HeldReason.CANARY, "canary")


def _pass(job: Job) -> bool:
    if job.canary is None or job.canary.is_passed:
        return False
    job.canary.is_passed = True
    return True
