"""Moves everything on that waits: once a minute it reads what is open, asks OpenAI, and sends messages.

It touches no rows and no results. Each job and each batch is looked after by itself, so that one that fails stops no
other; every step is a compare-and-swap, so that two pollers at once do no harm.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from dropbatch import telling
from dropbatch.admission import AT_ONCE, admit
from dropbatch.domain.errors import ConditionFailed, OpenAIError, OpenAIKeyRejected, OpenAINotFound
from dropbatch.domain.jobs import MOST_SENDS, Batch, BatchState, HeldReason, Job, JobState, OpenAIStatus
from dropbatch.domain.outcomes import GAVE_UP, PAST_DEADLINE
from dropbatch.following import SPARE_SECONDS, end_batch, follow
from dropbatch.giving_up import give_up, give_up_dead, give_up_results
from dropbatch.ledger import Ledger
from dropbatch.messages import look_again, work_on
from dropbatch.ports import Queue, World
from dropbatch.sweeping import sweep

RESEND_SECONDS = 330
"""When a message about something due is sent again: later than the longest function runs (300 s)."""

MOST_GAP_SECONDS = 960
"""How long after each other, at most, messages are sent about a batch whose submission broke off: ever longer."""

TURNS = 7919
"""By so many jobs the poll of the next minute begins further on: a prime, so that all come to be the first."""

KEY_CHECK_SECONDS = 300
"""How often a key that was refused is tried again though the secret has not changed."""

HELD_SECONDS = 14 * 86_400
"""For so long a job is held; then it is cancelled."""


def poll(world: World) -> None:
    """One tick."""
    ledger = Ledger(world.table)
    jobs = {job.id: job for job in ledger.open_jobs()}
    batches = list(ledger.open_batches())
    submitted = [batch for batch in batches if batch.state is BatchState.SUBMITTED]
    if submitted:
        follow(world, ledger, submitted, jobs)
    _admit(world, ledger, jobs, batches)
    _look_after_all(world, ledger, jobs, batches)
    for search in (sweep, give_up_dead):
        try:
            search(world)
        except Exception:  # noqa: BLE001 - the next poll tries again
            world.observer.failed("what is lost could not be looked for", step=search.__name__)
    oldest = min((batch.submitted_at or world.now() for batch in submitted), default=world.now())
    world.observer.measure("BatchesOpen", len(batches))
    world.observer.measure("OldestOpenBatchSeconds", world.now() - oldest)
    world.observer.note("polled", jobs=len(jobs), **Counter(f"batches_{batch.state}" for batch in batches))


def _admit(world: World, ledger: Ledger, jobs: Mapping[str, Job], batches: Sequence[Batch]) -> None:
    for batch in admit(world, ledger, jobs, batches):
        if world.seconds_left() < SPARE_SECONDS:
            return
        _send(world, ledger, batch, world.dispatch)


def _look_after_all(world: World, ledger: Ledger, jobs: Mapping[str, Job], batches: Sequence[Batch]) -> None:
    by_job: dict[str, list[Batch]] = {job_id: [] for job_id in jobs}
    for batch in batches:
        by_job.setdefault(batch.job_id, []).append(batch)
    key, room = _Key(world), _Room(batches)

    def look_after(job_id: str) -> None:
        job = jobs.get(job_id) or ledger.job(job_id)
        if job is not None:
            _look_after(world, ledger, key, room, job, by_job[job_id])

    def tell(job_id: str) -> None:
        job = jobs.get(job_id)
        if job is not None and job.state in (JobState.RUNNING, JobState.HELD):
            telling.write_status(world, ledger, job, by_job[job_id])

    # Each poll begins with another job, so that those that one has no time for come first in one of the next.
    order = list(by_job)
    first = world.now() // 60 * TURNS % len(order) if order else 0
    for step in (look_after, tell):
        for job_id in order[first:] + order[:first]:
            if world.seconds_left() < SPARE_SECONDS:
                world.observer.warn("the poll ran out of time; the next one goes on")
                return
            try:
                step(job_id)
            except Exception:  # noqa: BLE001 - one job that fails must not stop the others; it is logged and tried again
                world.observer.failed("a job could not be looked after", job_id=job_id)


class _Room:
    """How many more ended batches may be sent to be collected now."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.left = AT_ONCE - sum(batch.state is BatchState.ENDED and batch.sent_at > 0 for batch in batches)

    def has(self, batch: Batch) -> bool:
        """Whether a batch may be sent: one that was sent before has its room."""
        if not batch.sent_at:
            self.left -= 1
        return batch.sent_at > 0 or self.left >= 0


def _look_after(world: World, ledger: Ledger, key: "_Key", room: _Room, job: Job, batches: list[Batch]) -> None:
    """Does what a job is due for: sends again what stalled, enforces a cancel, lets go what was held."""
    now = world.now()
    if job.state is JobState.BUILDING:
        if job.lease_until > now or not _is_overdue(job, now):
            return
        # A message of a job that takes several invocations may have to wait for hours among others.
        if job.begun >= MOST_SENDS or job.sends >= 3 * MOST_SENDS:
            give_up(world, ledger, job)
        else:
            _sent(ledger, job, now, lambda: world.intake.send(look_again(job.drop, job.rerun_version)))
        return
    if job.state is JobState.HELD and now - job.held_at > HELD_SECONDS and not job.cancel_requested:
        job.cancel_requested = True
        ledger.save(job)
    if job.cancel_requested:
        _cancel(world, ledger, batches)
    if job.state is JobState.HELD:
        _let_go(world, ledger, key, job, batches)
    for batch in batches:
        _send_again(world, ledger, room, job, batch)
    settled = not batches and job.state in (JobState.RUNNING, JobState.HELD)
    stalled = job.state is JobState.ASSEMBLING and job.lease_until <= now
    if (settled or stalled) and _is_overdue(job, now):
        if job.sends >= MOST_SENDS:
            give_up_results(world, ledger, job)
        else:
            _sent(ledger, job, now, lambda: world.collect.send(work_on(job)))


def _is_overdue(item: Job | Batch, now: int) -> bool:
    """Whether the last message about an item came to nothing; later ones have more time, for queues may be long."""
    return item.sent_at <= now - RESEND_SECONDS * (2 if item.sends else 1)


def _sent(ledger: Ledger, item: Job | Batch, now: int, send: Callable[[], None]) -> None:
    """Sends a message about an item, unless another poller has just done so."""
    item.sent_at = now
    item.sends += 1
    try:
        ledger.save(item)
    except ConditionFailed:
        return
    send()


def _send_again(world: World, ledger: Ledger, room: _Room, job: Job, batch: Batch) -> None:
    now = world.now()
    waits = batch.state is BatchState.WAITING and job.state is JobState.RUNNING and not job.cancel_requested
    if waits and now > job.deadline_at > 0:
        _abandon(world, ledger, batch, PAST_DEADLINE)
    elif waits and batch.admitted_at:
        if batch.not_before <= now and _is_overdue(batch, now):
            _send_or_give_up(world, ledger, batch, world.dispatch)
    elif batch.state is BatchState.SUBMITTING:
        in_lease = batch.lease is not None and batch.lease_until > now
        looked_lately = batch.looked_at is not None and now < batch.looked_at + world.settle_seconds
        sent_lately = batch.sent_at > now - world.scaled(min(MOST_GAP_SECONDS, 30 * 2**batch.sends))
        if not in_lease and not looked_lately and not sent_lately:
            _send_or_give_up(world, ledger, batch, world.dispatch)
    elif batch.state is BatchState.ENDED and _is_overdue(batch, now) and room.has(batch):
        _send_or_give_up(world, ledger, batch, world.collect)


def _send_or_give_up(world: World, ledger: Ledger, batch: Batch, queue: Queue) -> None:
    """Sends a batch's message again; one that was sent in vain too often is given up, and its rows say so."""
    # A batch that may exist is given up late: what it answers would be paid for and lost.
    if batch.sends < MOST_SENDS * (3 if batch.creating_at is not None else 1):
        _send(world, ledger, batch, queue)
        return
    world.observer.warn("a batch is given up", sends=batch.sends, **batch.ids)
    _abandon(world, ledger, batch, GAVE_UP)


def _send(world: World, ledger: Ledger, batch: Batch, queue: Queue) -> None:
    _sent(ledger, batch, world.now(), lambda: queue.send(work_on(batch)))


def _abandon(world: World, ledger: Ledger, batch: Batch, refusal: str | None) -> None:
    batch.refusal = refusal
    batch.move(BatchState.ABANDONED)
    try:
        ledger.save(batch)
    except ConditionFailed:
        return  # it has moved meanwhile
    world.collect.send(work_on(batch))


def _cancel(world: World, ledger: Ledger, batches: list[Batch]) -> None:
    """Cancels a job's batches: those that wait never start, those at OpenAI are asked to stop.

    One that is being submitted is cancelled by the poll that finds it submitted.
    """
    for batch in batches:
        if world.seconds_left() < SPARE_SECONDS:
            return
        if batch.state is BatchState.WAITING:
            _abandon(world, ledger, batch, None)
        elif batch.state is BatchState.SUBMITTED and batch.openai_status is not OpenAIStatus.CANCELLING:
            try:
                world.openai.cancel(batch.openai_id or "")
            except OpenAINotFound:
                end_batch(world, ledger, batch, OpenAIStatus.CANCELLED)
            except OpenAIError as error:
                world.observer.warn("a batch could not be cancelled yet", code=error.code, **batch.ids)


class _Key:
    """The API key, asked about once a poll, however many jobs wait for it."""

    def __init__(self, world: World) -> None:
        self._world = world

    @cached_property
    def version(self) -> str | None:
        """None while there is none."""
        try:
            return self._world.openai.key_version(fresh=True)
        except OpenAIKeyRejected:
            return None

    @cached_property
    def is_accepted(self) -> bool | None:
        """Whether OpenAI accepts it; None where that cannot be told now."""
        try:
            next(iter(self._world.openai.newest()), None)
        except OpenAIKeyRejected:
            return False
        except OpenAIError:
            return None
        return True


def _let_go(world: World, ledger: Ledger, key: _Key, job: Job, batches: list[Batch]) -> None:
    """Sets a held job going again once its reason is gone."""
    if job.held_reason is HeldReason.FAILING:
        return  # its owner decides
    version = key.version
    if version is None:
        return
    if job.held_reason is HeldReason.KEY:
        if version == job.held_secret_version and job.sent_at > world.now() - KEY_CHECK_SECONDS:
            return
        job.sent_at = world.now()
        if key.is_accepted is False:
            job.held_secret_version = version
            ledger.save(job)
        if not key.is_accepted:
            return
    elif any(_is_others(batch, version) for batch in batches):
        return
    job.held_reason = job.held_secret_version = None
    job.deadline_at += world.now() - job.held_at  # the time that was lost is given back
    job.move(JobState.RUNNING)
    ledger.save(job)
    world.observer.note("goes on", job_id=job.id)
    for batch in batches:
        if batch.state is BatchState.WAITING:
            batch.sent_at = 0


def _is_others(batch: Batch, version: str) -> bool:
    """Whether the key of this version cannot tell what became of a batch."""
    in_doubt = batch.creating_at is not None or batch.state is BatchState.SUBMITTED
    return in_doubt and batch.secret_version is not None and batch.secret_version != version
