"""Moves on everything that waits: once a minute it reads what is open, asks OpenAI, and sends messages.

It touches no rows and no results. One poll runs at a time, under a lease. Each of its steps has a share of the time,
and each job and batch is looked after by itself, so that one that fails or hangs delays no other. Every item has a date
by which it ends whatever others answer, and that date is judged here, from the table.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import ErrorKind, OpenAIAuthError, OpenAIError, OpenAINotFoundError, StaleItemError
from dropbatch.domain.inbox import Pending
from dropbatch.domain.items import WorkItem
from dropbatch.domain.jobs import GRACE_SECONDS, Job
from dropbatch.domain.outcomes import IN_DOUBT, NEVER_ENDED, NOT_COLLECTED, PAST_DEADLINE
from dropbatch.domain.poller import Poller
from dropbatch.domain.states import APPROVABLE, CLOSED, ENDED_JOBS, BatchState, HeldReason, JobState, OpenAIStatus
from dropbatch.jobs import outbox
from dropbatch.jobs.cleanup import clean_up, close_batch
from dropbatch.jobs.deduplication import replace_older
from dropbatch.jobs.digest import send_digests
from dropbatch.jobs.give_up import force_end, give_up, refuse_unseen
from dropbatch.jobs.hold import let_go
from dropbatch.jobs.lease import backoff_seconds, give_back, kept, put_off, take, update_own
from dropbatch.jobs.openai_batch import NEVER_SECONDS
from dropbatch.jobs.pending import MAX_PENDING_SECONDS, wait_for
from dropbatch.messages import BatchMessage, IntakeMessage, intake_message_for, message_for
from dropbatch.polling.batch_status import SPARE_SECONDS, end_batch, follow
from dropbatch.polling.pace import adjust
from dropbatch.polling.sweep import sweep
from dropbatch.ports import Queue
from dropbatch.reporting import held_notices, rejection_notices, result_files
from dropbatch.storage.context import Context
from dropbatch.submission.admission import admit

ROTATION_STEP = 7919
"""By how many jobs the poll of the next minute begins further on: a prime, so that all come to be the first."""

KEY_CHECK_SECONDS = 300
"""How often a key or a permission is tried again though the secret has not changed."""

MAX_HELD_SECONDS = 14 * 86_400
"""How long a job is held for one reason; then it is cancelled. One that is stuck is paid: it has all of its 28 days."""

LOST_SECONDS = 120
"""A message that was not taken up for so long is lost if its queue holds fewer than were sent: SQS counts late."""

MAX_QUEUED_SECONDS = 7_200
"""A message that was not taken up for so long is sent again, whatever its queue holds."""

MAX_DOUBT_SECONDS = 6 * 3600
"""A create that is in doubt for longer is counted as stuck, which raises an alarm."""


def poll(context: Context) -> None:
    """Do one tick, unless another poll is at work."""
    poller = context.repository.poller()
    if poller.is_leased(context.now()):
        context.observer.info("another poll is at work")
        return
    began = context.now()
    take(context, poller)
    try:
        context.repository.save(poller)
    except StaleItemError:
        return
    try:
        with kept(context, poller):
            _Tick(context, poller).run()
    except Exception:
        update_own(context.repository, poller, give_back)
        raise

    def rest(current: Poller) -> None:
        current.came_further()
        give_back(current)
        current.dispatch, current.collect, current.last_completed_at = poller.dispatch, poller.collect, began

    update_own(context.repository, poller, rest)


UNASKABLE = (HeldReason.KEY, HeldReason.KEY_CHANGED, HeldReason.PERMISSION, HeldReason.ACCOUNT)
"""While a job is held for one of these, nobody can tell what became of its batches: they end with the job."""


class _Tick:
    """One poll: what is open as it was read at its beginning, and what is due to be sent."""

    def __init__(self, context: Context, poller: Poller) -> None:
        self._context, self._poller = context, poller
        self._jobs = {job.id: job for job in context.repository.open_jobs()}
        self._batches = self._open_batches()
        self._pending = self._open_pending()
        self._by_job: dict[str, list[Batch]] = {job_id: [] for job_id in self._jobs}
        for batch in self._batches:
            self._by_job.setdefault(batch.job_id, []).append(batch)
        self._due: dict[str, list[WorkItem]] = {"intake": [], "dispatch": [], "collect": []}
        self._key = _Key(context)
        self._told: set[str] = set()  # the jobs of which what waited was told

    def _open_batches(self) -> list[Batch]:
        try:
            return list(self._context.repository.open_batches())
        except Exception:  # noqa: BLE001 - jobs must end by their dates: their batches can be read without the index
            self._context.observer.exception("the open batches could not be listed; they are read job by job")
            return [
                batch
                for job in self._jobs
                for batch in self._context.repository.batches(job)
                if batch.state not in CLOSED
            ]

    def _open_pending(self) -> list[Pending]:
        try:
            return list(self._context.repository.pending())
        except Exception:  # noqa: BLE001 - jobs and batches must not wait for this
            self._context.observer.exception("the pending objects could not be listed")
            return []

    def run(self) -> None:
        context = self._context
        for name, share, step in (
            ("follow", 0.4, self._follow),
            ("look after", 0.4, self._look_after_all),
            ("pending", 0.2, self._look_after_pending),
            ("send", 0.4, self._send_due),
            ("tell", 0.4, self._send_digests),
            ("remind", 0.4, self._remind_operators),
            ("ended", 0.3, self._finish_ended),
            ("status", 0.5, self._write_statuses),
            ("dead letters", 0.5, self._take_dead_letters),
            ("sweep", 1.0, sweep),
        ):
            try:
                step(_with_share(context, share))
            except Exception:  # noqa: BLE001 - one step that fails must not stop the others; the next poll tries again
                context.observer.exception("a step of the poll failed", step=name)
        for keys in self._context.repository.unreadable:
            context.observer.warning("an item cannot be read: a newer release wrote it; it is left as it is", item=keys)
        self._measure()

    def _measure(self) -> None:
        context, now = self._context, self._context.now()
        submitted = [batch for batch in self._batches if batch.state is BatchState.SUBMITTED]
        oldest = min((batch.submitted_at or now for batch in submitted), default=now)
        stuck = sum(job.held_reason is HeldReason.STUCK for job in self._jobs.values())
        stuck += sum(now - (batch.creating_at or now) > MAX_DOUBT_SECONDS for batch in self._batches)
        context.observer.metric("BatchesOpen", len(self._batches))
        context.observer.metric("OldestOpenBatchSeconds", now - oldest)
        context.observer.metric("JobsStuck", stuck)
        counts = Counter(f"batches_{batch.state}" for batch in self._batches)
        context.observer.info("polled", jobs=len(self._jobs), **counts)

    def _follow(self, context: Context) -> None:
        submitted = [batch for batch in self._batches if batch.state is BatchState.SUBMITTED]
        if submitted:
            follow(context, submitted, self._jobs)

    # Jobs and batches

    def _each_job(self, context: Context, step: Callable[[Context, str], None]) -> None:
        """Do a step for each job, beginning with another one each minute, until the step's time is over."""
        order = list(self._by_job)
        first = context.now() // 60 * ROTATION_STEP % len(order) if order else 0
        for job_id in order[first:] + order[:first]:
            if context.seconds_left() < SPARE_SECONDS:
                context.observer.info("the poll ran out of time; the next one continues")
                return
            try:
                step(context, job_id)
            except StaleItemError:
                continue  # it has moved meanwhile
            except Exception:  # noqa: BLE001 - one job that fails must not stop the others; it is tried again
                context.observer.exception("a job could not be looked after", job_id=job_id)

    def _look_after_all(self, context: Context) -> None:
        self._each_job(context, self._look_after)

    def _look_after(self, context: Context, job_id: str) -> None:
        """Do what a job is due for."""
        batches = self._by_job[job_id]
        job = self._jobs.get(job_id) or self._context.repository.job(job_id)
        if job is None or job.state in ENDED_JOBS:
            for batch in batches:
                close_batch(context, batch)
            return
        if job.due_entries and job.notify_after <= context.now():
            outbox.tell(context, job)
            job = self._context.repository.job(job_id) or job
        if job.state is JobState.BUILDING:
            self._look_after_building(context, job)
            return
        job = self._by_date(context, job, batches)
        if job.cancel_requested:
            self._cancel(context, batches)
        if job.state is JobState.HELD:
            job = self._let_go(context, job, batches)
        if job.cancels_older and job.held_reason not in APPROVABLE:
            replace_older(self._context.repository, job, context.now())
            job = self._context.repository.job(job_id) or job
        self._jobs[job_id] = job
        for batch in batches:
            self._look_after_batch(context, job, batch)
        if all(batch.state in CLOSED for batch in batches) and _is_idle(job, context.now()):
            self._due["collect"].append(job)

    def _look_after_building(self, context: Context, job: Job) -> None:
        now = context.now()
        if job.is_leased(now):
            return
        if now > (job.build_until or job.created_at + MAX_PENDING_SECONDS):
            give_up(context, job)
        elif job.not_before <= now:
            self._due["intake"].append(job)

    def _by_date(self, context: Context, job: Job, batches: Sequence[Batch]) -> Job:
        """End what has reached its date."""
        now = context.now()
        held_since = job.holds.get(str(job.held_reason), job.held_at) if job.state is JobState.HELD else now
        waits_too_long = now - held_since > MAX_HELD_SECONDS and job.held_reason is not HeldReason.STUCK
        if waits_too_long and not job.cancel_requested:
            job.cancel_requested, job.cancel_requested_at = True, now
            context.repository.save(job)
        for batch in batches:
            is_old = now > (batch.submitted_at or now) + NEVER_SECONDS and job.held_reason not in UNASKABLE
            if batch.state is BatchState.SUBMITTED and is_old:
                end_batch(context, batch, OpenAIStatus.EXPIRED, assumed_ended=True)
        if now <= job.ends_by:
            return job
        for batch in batches:
            if batch.state not in CLOSED and not batch.is_leased(now):
                self._abandon(context, batch, _last_reason(job, batch))
        if now > job.ends_by + GRACE_SECONDS and not job.is_leased(now):
            force_end(context, job)
            return context.repository.job(job.id) or job
        return job

    def _look_after_batch(self, context: Context, job: Job, batch: Batch) -> None:
        now = context.now()
        is_probe = job.state is JobState.HELD and job.held_batch == batch.sort_key and not job.cancel_requested
        if batch.state is BatchState.WAITING:
            if job.state is JobState.RUNNING and now > job.deadline_at > 0 and not batch.is_leased(now):
                self._abandon(context, batch, PAST_DEADLINE)
            elif (batch.admitted_at and job.state is JobState.RUNNING) or (is_probe and batch.not_before <= now):
                self._due["dispatch"].append(batch)  # its message may be lost; a probe is always due
        elif batch.is_leased(now) or batch.not_before > now:
            return
        elif batch.state is BatchState.SUBMITTING:
            self._due["dispatch"].append(batch)
        elif batch.state is BatchState.ENDED:
            self._due["collect"].append(batch)

    def _abandon(self, context: Context, batch: Batch, refusal: str | None) -> None:
        batch.refusal = refusal
        give_back(batch)
        batch.move(BatchState.ABANDONED)
        try:
            self._context.repository.save(batch)
        except StaleItemError:
            return  # it has moved meanwhile
        context.collect.send(message_for(batch))

    def _cancel(self, context: Context, batches: Sequence[Batch]) -> None:
        """Cancel a job's batches: those that wait never start, those at OpenAI are asked to stop.

        One that is being submitted is cancelled by the poll that finds it submitted.
        """
        for batch in batches:
            if context.seconds_left() < SPARE_SECONDS:
                return
            if batch.state is BatchState.WAITING:
                self._abandon(context, batch, None)
            elif batch.state is BatchState.SUBMITTED and batch.openai_status is not OpenAIStatus.CANCELLING:
                try:
                    context.openai.cancel(batch.openai_id or "")
                except OpenAINotFoundError:
                    end_batch(context, batch, OpenAIStatus.CANCELLED)
                except OpenAIError as error:
                    context.observer.warning("a batch could not be cancelled yet", code=error.code, **batch.ids)

    def _let_go(self, context: Context, job: Job, batches: Sequence[Batch]) -> Job:
        """Let a held job go on once its reason is gone."""
        if not self._is_gone(context, job, batches) or job.held_reason is None:
            return job
        gone_on = let_go(context, job, job.held_reason)
        if gone_on is None:
            return job
        for batch in batches:
            if batch.state not in CLOSED and batch.deferrals and not batch.is_leased(context.now()):
                batch.came_further()
                self._context.repository.save(batch)
        return gone_on

    def _is_gone(self, context: Context, job: Job, batches: Sequence[Batch]) -> bool:
        """Return whether the reason is gone for which a job is held."""
        if job.held_reason is HeldReason.FAILING or job.held_reason in APPROVABLE:
            return False  # its owner decides
        call = next(
            (batch for batch in batches if batch.sort_key == job.held_batch and batch.state not in CLOSED), None
        )
        if job.held_reason is HeldReason.STUCK:
            return call is None and any(batch.state not in CLOSED for batch in batches)
        version = self._key.version
        if version is None or context.now() < job.held_at + _damping_seconds(job):
            return False
        if job.held_reason is HeldReason.KEY_CHANGED:
            return not any(self._key.is_of_others(context, batch) for batch in batches)
        if version == job.held_secret_version:
            if call is not None:
                return False  # the very call that failed is tried again, and lets the job go on when it succeeds
            if context.now() - job.hold_checked_at < KEY_CHECK_SECONDS:
                return False
            job.hold_checked_at = context.now()
            self._context.repository.save(job)
        return job.held_reason is not HeldReason.KEY or self._key.is_accepted

    def _remind_operators(self, context: Context) -> None:
        """Notify the operators again of what jobs still wait for, by the one of each reason that has waited longest."""
        waiting: dict[HeldReason, Job] = {}
        for job in sorted(self._jobs.values(), key=lambda job: job.held_at):
            if job.state is JobState.HELD and job.held_reason is not None and not job.cancel_requested:
                waiting.setdefault(job.held_reason, job)
        for reason, job in waiting.items():
            if reason in held_notices.FOR_OPERATORS:
                outbox.remind(context, held_notices.held(context, job, reason))

    # What is to be sent

    def _send_due(self, context: Context) -> None:
        now, since = context.now(), self._poller.last_completed_at
        unsent = [batch for batch in self._batches if batch.state in (BatchState.WAITING, BatchState.SUBMITTING)]
        ended = [batch for batch in self._batches if batch.state is BatchState.ENDED]
        at_work = [job for job in self._jobs.values() if job.state is not JobState.BUILDING]
        building: list[WorkItem] = [job for job in self._jobs.values() if job.state is JobState.BUILDING]
        self._send(context, "intake", [*building, *self._pending], None)
        room = adjust(self._poller.dispatch, unsent, since, now)
        sent = self._send(context, "dispatch", unsent, room)
        for batch in admit(context, self._jobs, self._batches, room - sent):
            if context.seconds_left() < SPARE_SECONDS:
                break
            sent += self._send_one(batch, "dispatch")
        self._poller.dispatch.sent = sent
        collecting = [*ended, *at_work]
        room = adjust(self._poller.collect, collecting, since, now)
        self._poller.collect.sent = self._send(context, "collect", collecting, room)

    def _send(self, context: Context, name: str, items: Sequence[WorkItem], room: int | None) -> int:
        """Send the messages that are due, `room` at most, those first that failed least; returns how many."""
        now = context.now()
        under_way = [item for item in items if item.sent_at]
        due = [item for item in self._due[name] if not item.sent_at]
        due += self._lost(context, name, [item for item in self._due[name] if item.sent_at], len(under_way))
        sent = 0
        for item in sorted(due, key=lambda item: (item.deferrals, item.not_before)):
            if context.seconds_left() < SPARE_SECONDS or sent == room:
                break
            if not item.is_leased(now):
                sent += self._send_one(item, name)
        return sent

    def _lost(self, context: Context, name: str, waiting: list[WorkItem], under_way: int) -> list[WorkItem]:
        """Return those of the items whose message is lost; `under_way` is how many were sent and are not done."""
        now = context.now()
        waiting = sorted((item for item in waiting if item.sent_at < now - LOST_SECONDS), key=lambda item: item.sent_at)
        if not waiting:
            return []
        lost = 0
        try:
            lost = under_way - self._queue(name).depth()
        except Exception:  # noqa: BLE001 - the depth is a hint: without it a message counts as lost later
            context.observer.exception("a queue's depth could not be read", queue=name)
        return [item for place, item in enumerate(waiting) if place < lost or item.sent_at < now - MAX_QUEUED_SECONDS]

    def _send_one(self, item: WorkItem, name: str) -> int:
        """Send a message about an item, unless another process has moved it; returns how many were sent."""
        item.sent_at = self._context.now()
        if isinstance(item, Batch) and item.state is BatchState.WAITING:
            item.admitted_at = item.admitted_at or item.sent_at
        try:
            self._context.repository.save(item)
            self._queue(name).send(_message(item))
        except StaleItemError:
            return 0
        except Exception:  # noqa: BLE001 - one item that fails must not stop the others; it is found again
            self._context.observer.exception("a message could not be sent", queue=name)
            return 0
        return 1

    def _queue(self, name: str) -> Queue:
        queues = {"intake": self._context.intake, "dispatch": self._context.dispatch, "collect": self._context.collect}
        return queues[name]

    # What has no open job

    def _look_after_pending(self, context: Context) -> None:
        for pending in self._pending:
            if context.seconds_left() < SPARE_SECONDS:
                return
            try:
                self._look_after_one_pending(context, pending)
            except StaleItemError:
                continue
            except Exception:  # noqa: BLE001 - one that fails must not stop the others
                context.observer.exception("a pending object could not be looked after", version_id=pending.version_id)

    def _look_after_one_pending(self, context: Context, pending: Pending) -> None:
        now = context.now()
        if not pending.is_done and now > pending.created_at + MAX_PENDING_SECONDS and not pending.is_leased(now):
            refuse_unseen(context, pending, rejection_notices.GIVEN_UP)
        elif pending.outbox and pending.notify_after <= now:
            outbox.tell(context, pending)
        elif not pending.is_done:
            if pending.not_before <= now:
                self._due["intake"].append(pending)
            return

        def later(item: Pending) -> bool:
            put_off(context, item)
            return True

        current = context.repository.reload(pending)
        if current is None or not current.is_done or current.is_kept or current.outbox or current.not_before > now:
            return
        try:
            context.repository.remove(current)
        except StaleItemError:
            return
        except Exception:
            context.repository.update(current, later)
            raise

    @cached_property
    def _ended(self) -> list[Job]:
        """The ended jobs of which something is still to be told, or to be deleted."""
        return list(self._context.repository.ended_jobs_at_work())

    def _send_digests(self, context: Context) -> None:
        """Tell people what waited for others of its folder."""
        waiting = {job.id: job for job in [*self._jobs.values(), *self._ended] if job.digest_entries}
        self._told = send_digests(context, waiting.values())

    def _finish_ended(self, context: Context) -> None:
        """Tell what ended jobs still have to tell, and delete what only they needed."""
        for job in self._ended:
            if context.seconds_left() < SPARE_SECONDS:
                return
            if job.notify_after > context.now():
                continue  # the process that ended it is about to, or something failed a moment ago
            if job.digest_entries and not job.due_entries and job.id not in self._told:
                continue  # all that is left waits for others of its folder
            try:
                if job.due_entries:
                    outbox.tell(context, job)
                clean_up(context, self._context.repository.reload(job) or job)
            except Exception:  # noqa: BLE001 - one job that fails must not stop the others
                context.observer.exception("an ended job could not be looked after", job_id=job.id)

    def _write_statuses(self, context: Context) -> None:
        def write(context: Context, job_id: str) -> None:
            job = self._jobs.get(job_id)
            if job is not None and job.state in (JobState.RUNNING, JobState.HELD):
                open_batches = [batch for batch in self._by_job[job_id] if batch.state not in CLOSED]
                result_files.write_status(context, job, open_batches)

        self._each_job(context, write)

    def _take_dead_letters(self, context: Context) -> None:
        """Try again what queues have given up, as everything else is: by its item in the table, for a day."""
        for name, queue in context.dead_letters.items():
            try:
                for receipt, message in queue.take():
                    if _revive(context, message):
                        queue.delete(receipt)
                    context.observer.metric("DeadLetters", 1)
            except Exception:  # noqa: BLE001 - one queue that fails must not stop the others
                context.observer.exception("dead letters could not be read", queue=name)


def _with_share(context: Context, share: float) -> Context:
    """Return the world with a share of the time that is left: a step stops when less than SPARE_SECONDS are."""
    end = context.clock() + share * max(0.0, context.seconds_left() - SPARE_SECONDS)
    return context.with_seconds_left(lambda: min(context.seconds_left(), SPARE_SECONDS + end - context.clock()))


def _is_idle(job: Job, now: int) -> bool:
    """Return whether a step of the job itself is due: nothing of it is open any more."""
    is_at_work = job.state in (JobState.RUNNING, JobState.HELD, JobState.ASSEMBLING)
    return is_at_work and not job.is_leased(now) and job.not_before <= now


def _last_reason(job: Job, batch: Batch) -> str | None:
    """Return why a batch is ended whose job's time is over; None if its owner cancelled it."""
    if batch.state is BatchState.SUBMITTED:
        return NEVER_ENDED
    if batch.state is BatchState.ENDED:
        return NOT_COLLECTED
    if batch.creating_at is not None:
        return IN_DOUBT
    return None if job.cancel_requested else PAST_DEADLINE


def _message(item: WorkItem) -> dict[str, object]:
    if isinstance(item, Job) and item.state is JobState.BUILDING:
        return intake_message_for(item.drop, item.rerun_version)
    if isinstance(item, Pending):
        version = item.version_id or None
        return IntakeMessage(
            item.bucket, item.key, version, item.rerun_version, item.event_at, item.sequencer
        ).to_json()
    if isinstance(item, Job | Batch):
        return message_for(item)
    raise AssertionError(f"no message is about a {type(item).__name__}")


def _revive(context: Context, message: Mapping[str, object]) -> bool:
    """Have what a dead message was about sent again when it is due; False if it is none of ours: a person may look."""
    try:
        if "job_id" in message:
            work = BatchMessage.from_json(message)
        else:
            look = IntakeMessage.from_json(message)
    except (KeyError, TypeError):
        return False

    def forget(current: Job | Batch) -> bool:
        if current.is_leased(context.now()) or not current.sent_at:
            return False
        put_off(context, current)
        if isinstance(current, Batch):
            current.admitted_at = 0
        return True

    if "job_id" not in message:
        wait_for(context, look, failed=True)
    elif work.batch is None:
        context.repository.change(lambda: context.repository.job(work.job_id), forget)
    else:
        context.repository.change(lambda: context.repository.batch(work.job_id, work.batch or ""), forget)
    return True


def _damping_seconds(job: Job) -> int:
    """Return for how long a job stays held at least: each time longer if the same hold begins again and again."""
    return backoff_seconds(job.hold_repeats) if job.hold_repeats else 0


class _Key:
    """The API key, asked about once a poll, however many jobs wait for it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._seen: dict[str, bool] = {}

    @cached_property
    def version(self) -> str | None:
        """None while there is none."""
        try:
            return self._context.openai.key_version(fresh=True)
        except OpenAIError:
            return None

    @cached_property
    def is_accepted(self) -> bool:
        """Whether OpenAI accepts it: any answer but a 401 says so; no answer says nothing."""
        try:
            next(iter(self._context.openai.newest()), None)
        except OpenAIAuthError:
            return False
        except OpenAIError as error:
            return error.kind is not ErrorKind.PASSING
        return True

    def is_of_others(self, context: Context, batch: Batch) -> bool:
        """Whether the key cannot tell what became of a batch: it was made with a key of another project."""
        in_doubt = batch.creating_at is not None or batch.state in (BatchState.SUBMITTED, BatchState.ENDED)
        if not in_doubt or batch.secret_version in (None, self.version):
            return False
        file_id = batch.file_id or ""
        if file_id not in self._seen:
            try:
                self._seen[file_id] = bool(file_id) and context.openai.sees(file_id)
            except OpenAIError:
                return True
        return not self._seen[file_id]
