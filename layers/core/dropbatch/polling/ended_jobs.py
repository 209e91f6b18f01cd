"""Finishes ended jobs: sends their last notices, and deletes the files that only they needed."""

from dropbatch.jobs import outbox
from dropbatch.jobs.cleanup import clean_up
from dropbatch.polling.snapshot import Snapshot
from dropbatch.polling.time_shares import has_time
from dropbatch.storage.context import Context


def finish_ended(context: Context, snapshot: Snapshot, just_sent: set[str]) -> None:
    """Finish the ended jobs that are due. `just_sent` are the jobs whose digests this poll has sent."""
    for job in snapshot.ended_jobs:
        if not has_time(context):
            return
        if job.is_clean and not job.outbox:
            continue  # only its files at OpenAI are left to delete
        if job.notify_after > context.now():
            continue  # the process that ended it is about to, or something failed a moment ago
        if job.digest_entries and not job.due_entries and job.id not in just_sent:
            continue  # all its notices wait for others of the folder
        try:
            if job.due_entries:
                outbox.publish(context, job)
            clean_up(context, context.repository.reload(job) or job)
        except Exception:  # noqa: BLE001 - one job that fails must not stop the others
            context.observer.exception("an ended job could not be finished", job_id=job.id)
