"""Ends a job as it was decided. Summary, state and notification follow from one record, whichever process ends it."""

from collections.abc import Mapping
from typing import Any

from dropbatch.domain.deadlines import RETENTION_SECONDS
from dropbatch.domain.jobs import Job, RemoteFiles
from dropbatch.domain.outcomes import Outcome
from dropbatch.domain.states import ENDED_JOBS, JobState
from dropbatch.jobs import outbox
from dropbatch.jobs.cleanup import clean_up
from dropbatch.jobs.lease import release
from dropbatch.jobs.runs import finish_run
from dropbatch.jobs.usage_history import remember_usage
from dropbatch.reporting import result_files
from dropbatch.storage.context import Context


def end(context: Context, job: Job, decision: Mapping[str, Any], derived: outbox.Notice | None = None) -> None:
    """Write the summary, move the job to its final state, then send the notices: in this order.

    With `derived`, a notice that is not written to S3, the job ends even if S3 takes nothing.
    """
    _finish_run(context, job, decision)
    _remember_usage(context, job, decision["ended_at"])
    if derived is None:
        result_files.write_decided(context, job, decision)
        result_files.write_latest(context, job, decision["status"])

    def finish(current: Job) -> bool:
        if current.state in ENDED_JOBS:
            return False
        # As the job is now: a `.cancel` that came meanwhile promised people a message about its end.
        ending = result_files.decided_notification(decision)
        notice = derived or outbox.write(context, current, "ended", ending)
        release(current)
        current.ended_at = decision["ended_at"]
        current.expires_at = context.now() + RETENTION_SECONDS
        if current.state is not JobState.ASSEMBLING:
            current.move(JobState.ASSEMBLING)
        current.end_hold(context.now())
        current.keeps_work = decision["can_be_retried"]
        if derived is None and decision["rows"]:  # the results are joined; if not, OpenAI's files are the last resort
            current.remote_files = RemoteFiles()
        outbox.post(context, current, notice)
        current.move(JobState(decision["status"]))
        return True

    ended = context.repository.update(job, finish)
    if ended is None:
        return
    if derived is None:
        result_files.correct_status(context, ended, decision)
    context.observer.job_metric("JobsEnded", 1, job.id, status=decision["status"])
    for outcome, count in decision["rows"].items():
        context.observer.job_metric("Rows", count, job.id, outcome=outcome)
    context.observer.info("job ended", job_id=job.id, status=decision["status"], rows=job.rows)
    outbox.publish_now(context, ended)
    clean_up(context, context.repository.reload(ended) or ended)


def _finish_run(context: Context, job: Job, decision: Mapping[str, Any]) -> None:
    try:
        finish_run(context.repository, job, is_answered=bool(decision["rows"].get(Outcome.OK)))
    except Exception:  # noqa: BLE001 - the job ends anyway: other jobs of its key see its state
        context.observer.exception("a job could not be taken out of its key's open ones", job_id=job.id)


def _remember_usage(context: Context, job: Job, ended_at: int) -> None:
    try:
        remember_usage(context, job, ended_at)
    except Exception:  # noqa: BLE001 - the job ends anyway: the next quotes of its recipe are less certain
        context.observer.exception("the usage of a job could not be kept for later quotes", job_id=job.id)
