"""Moves on everything that waits: once a minute it reads the open items, asks OpenAI, and sends messages.

The poll reads no rows and no results. One poll runs at a time, under a lease. Each of its steps has a share of the
time, and each job and batch is a try of its own, so one that fails or hangs delays no other. Every item has a date by
which it ends whatever others answer. The poll enforces that date from the table alone.
"""

from collections import Counter
from collections.abc import Callable

from dropbatch.batch_api.limits import COMPLETION_WINDOW_SECONDS
from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import StaleItemError
from dropbatch.domain.jobs import Job
from dropbatch.domain.outcomes import PAST_DEADLINE
from dropbatch.domain.poller import Poller
from dropbatch.domain.states import APPROVABLE, CLOSED, ENDED_JOBS, WORKING_JOBS, BatchState, HeldReason, JobState
from dropbatch.jobs import outbox
from dropbatch.jobs.abandon import abandon
from dropbatch.jobs.cleanup import close_batch
from dropbatch.jobs.give_up import give_up
from dropbatch.jobs.lease import leased, release, update_own
from dropbatch.jobs.pending import MAX_PENDING_SECONDS
from dropbatch.jobs.runs import replace_older
from dropbatch.jobs.spending import settle
from dropbatch.polling.batch_status import update_statuses
from dropbatch.polling.digest import send_digests
from dropbatch.polling.ended_jobs import finish_ended
from dropbatch.polling.held_jobs import HeldJobs, remind_operators
from dropbatch.polling.index_pages import write_pages
from dropbatch.polling.overdue_jobs import cancel_batches, enforce_deadlines
from dropbatch.polling.pending_objects import move_pending
from dropbatch.polling.remote_files import delete_remote_files
from dropbatch.polling.resend import Messages, take_dead_letters
from dropbatch.polling.snapshot import Snapshot
from dropbatch.polling.sweep import sweep
from dropbatch.polling.time_shares import has_time, with_share
from dropbatch.reporting import result_files
from dropbatch.storage.context import Context
from dropbatch.submission.money_limits import look_for_money

ROTATION_STEP = 7919
"""By how many jobs the poll of the next minute begins further on: a prime, so that each job comes to be the first."""

MAX_DOUBT_SECONDS = 6 * 3600
"""How long a create is in doubt before it counts as stuck, which raises an alarm."""

MAX_OPEN_SECONDS = 38 * 3600
"""How long a batch is open before it counts as stuck: Dropbatch cancels it after 36 hours, and OpenAI may need two."""


def poll(context: Context) -> None:
    """Do one tick, unless another poll is at work."""
    with leased(context, context.repository.poller(), lambda _: True) as poller:
        if poller is None:
            context.observer.info("another poll is at work")
            return
        began = context.now()
        try:
            _Tick(context, poller).run()
        except Exception:
            update_own(context.repository, poller, release)
            raise

        def finish(current: Poller) -> None:
            current.came_further()
            release(current)
            current.dispatch, current.collect, current.last_completed_at = poller.dispatch, poller.collect, began

        update_own(context.repository, poller, finish)


class _Tick:
    """One poll: its snapshot of the open items, and the messages that become due."""

    def __init__(self, context: Context, poller: Poller) -> None:
        self._context, self._poller = context, poller
        self._open = Snapshot(context)
        self._messages = Messages(context)
        self._held_jobs = HeldJobs(context)
        self._sent_digests: set[str] = set()  # the jobs whose digests were sent

    def run(self) -> None:
        """Do the steps, each with its share of the time that is left."""
        context = self._context
        for name, share, step in (
            ("batch statuses", 0.4, self._update_statuses),
            ("jobs", 0.4, self._move_jobs),
            ("pending objects", 0.2, lambda context: move_pending(context, self._open, self._messages)),
            ("messages", 0.4, lambda context: self._messages.send_all(context, self._open, self._poller)),
            ("digests", 0.4, self._send_digests),
            ("reminders", 0.4, lambda context: remind_operators(context, self._open.jobs.values())),
            ("ended jobs", 0.3, lambda context: finish_ended(context, self._open, self._sent_digests)),
            ("status files", 0.5, self._write_statuses),
            ("index pages", 0.3, write_pages),
            ("files at OpenAI", 0.1, lambda context: delete_remote_files(context, self._open.ended_jobs)),
            ("dead letters", 0.5, lambda context: take_dead_letters(context, self._poller.last_completed_at)),
            ("sweep", 1.0, sweep),
        ):
            try:
                step(with_share(context, share))
            except Exception:  # noqa: BLE001 - one step that fails must not stop the others; the next poll tries again
                context.observer.exception("a step of the poll failed", step=name)
        for keys in context.repository.unreadable:
            context.observer.warning("an item cannot be read: a newer release wrote it; it is left as it is", item=keys)
        self._measure()

    def _measure(self) -> None:
        context, now, batches = self._context, self._context.now(), self._open.batches
        oldest = min((batch.submitted_at or now for batch in self._open.batches_in(BatchState.SUBMITTED)), default=now)
        stuck = sum(job.held_reason is HeldReason.STUCK for job in self._open.jobs.values())
        stuck += sum(now - (batch.creating_at or now) > MAX_DOUBT_SECONDS for batch in batches)
        stuck += sum(
            now - (batch.submitted_at or now) > MAX_OPEN_SECONDS
            for batch in self._open.batches_in(BatchState.SUBMITTED)
        )
        stuck += self._messages.delayed(now)
        # AWS bills a metric for each hour in which it is reported. Only the first says that polls finish; the others
        # are about trouble, and their alarms take silence as a good sign.
        context.observer.metric("BatchesOpen", sum(batch.state not in CLOSED for batch in batches))
        if now - oldest > COMPLETION_WINDOW_SECONDS:
            context.observer.metric("OldestOpenBatchSeconds", now - oldest)
        if stuck:
            context.observer.metric("JobsStuck", stuck)
        counts = Counter(f"batches_{batch.state}" for batch in batches)
        context.observer.info("polled", jobs=len(self._open.jobs), oldest_batch_seconds=now - oldest, **counts)

    def _update_statuses(self, context: Context) -> None:
        submitted = self._open.batches_in(BatchState.SUBMITTED)
        if submitted:
            update_statuses(context, submitted, self._open.jobs)

    def _send_digests(self, context: Context) -> None:
        waiting = {job.id: job for job in [*self._open.jobs.values(), *self._open.ended_jobs] if job.digest_entries}
        self._sent_digests = send_digests(context, waiting.values())

    def _each_job(self, context: Context, step: Callable[[Context, str], None]) -> None:
        """Do a step for each job, beginning with another one each minute, until the step's time is over."""
        order = list(self._open.by_job)
        first = context.now() // 60 * ROTATION_STEP % len(order) if order else 0
        for job_id in order[first:] + order[:first]:
            if not has_time(context):
                context.observer.info("the poll ran out of time; the next one continues")
                return
            try:
                step(context, job_id)
            except StaleItemError:
                continue  # another process has moved it
            except Exception:  # noqa: BLE001 - one job that fails must not stop the others; it is tried again
                context.observer.exception("a job could not be moved on", job_id=job_id)

    def _write_statuses(self, context: Context) -> None:
        history = result_files.read_history(context)

        def write(context: Context, job_id: str) -> None:
            job = self._open.jobs.get(job_id)
            if job is not None and (job.state in WORKING_JOBS or job.progress is not None):
                open_batches = [batch for batch in self._open.by_job[job_id] if batch.state not in CLOSED]
                result_files.write_status(context, job, open_batches, history)

        self._each_job(context, write)

    def _move_jobs(self, context: Context) -> None:
        self._each_job(context, self._move_job)

    def _move_job(self, context: Context, job_id: str) -> None:
        """Do everything that is due for a job and its batches."""
        batches = self._open.by_job[job_id]
        job = self._open.jobs.get(job_id) or context.repository.job(job_id)
        if job is None or job.state in ENDED_JOBS:
            for batch in batches:
                close_batch(context, batch)
                settle(context, batch)
            return
        if job.due_entries and job.notify_after <= context.now():
            outbox.publish(context, job)
            job = context.repository.job(job_id) or job
        if job.state is JobState.BUILDING:
            self._move_building(context, job)
            return
        job = enforce_deadlines(context, job, batches)
        if job.cancel_requested:
            cancel_batches(context, batches)
        if job.state is JobState.HELD:
            job = self._held_jobs.resume(context, job, batches)
        if job.awaits_money and job.state is JobState.RUNNING:
            job = look_for_money(context, job, batches)
        if job.cancels_older and job.held_reason not in APPROVABLE:
            replace_older(context.repository, job, context.now())
            job = context.repository.job(job_id) or job
        self._open.jobs[job_id] = job
        for batch in batches:
            self._move_batch(context, job, batch)
        if job.awaits_canary and job.state is JobState.RUNNING and not job.cancel_requested:
            batches = [batch for batch in batches if batch.is_canary]
        if all(batch.state in CLOSED for batch in batches) and _is_due(job, context.now()):
            self._messages.add("collect", job)

    def _move_building(self, context: Context, job: Job) -> None:
        now = context.now()
        if job.is_leased(now):
            return
        if now > (job.build_until or job.created_at + MAX_PENDING_SECONDS):
            give_up(context, job)
        elif job.not_before <= now:
            self._messages.add("intake", job)

    def _move_batch(self, context: Context, job: Job, batch: Batch) -> None:
        now = context.now()
        if batch.state in CLOSED:
            settle(context, batch)
            return
        is_probe = job.state is JobState.HELD and job.held_batch == batch.sort_key and not job.cancel_requested
        if batch.state is BatchState.WAITING:
            if job.state is JobState.RUNNING and now > job.deadline_at > 0 and not batch.is_leased(now):
                abandon(context, batch, PAST_DEADLINE)
            elif (batch.admitted_at and job.state is JobState.RUNNING) or (is_probe and batch.not_before <= now):
                self._messages.add("dispatch", batch)  # its message may be lost; a probe is always due
        elif batch.is_leased(now) or batch.not_before > now:
            return
        elif batch.state is BatchState.SUBMITTING:
            self._messages.add("dispatch", batch)
        elif batch.state is BatchState.ENDED:
            self._messages.add("collect", batch)


def _is_due(job: Job, now: int) -> bool:
    """Return whether a step of the job itself is due, if all its batches are closed."""
    return job.state in WORKING_JOBS and not job.is_leased(now) and job.not_before <= now
