"""Moves everything on that waits: once a minute it reads what is open, asks OpenAI, and sends messages.

It touches no rows and no results. Each job and each batch is looked after by itself, so that one that fails stops no
other; every step is a compare-and-swap, so that two pollers at once do no harm.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from dropbatch import telling
from dropbatch.admission import admit
from dropbatch.domain.errors import ConditionFailed, OpenAIError, OpenAIKeyRejected, OpenAINotFound, OpenAIUnsure
from dropbatch.domain.jobs import MOST_SENDS, TERMINAL, Batch, BatchState, HeldReason, Job, JobState, OpenAIStatus
from dropbatch.domain.outcomes import GAVE_UP, PAST_DEADLINE
from dropbatch.giving_up import give_up, give_up_dead, give_up_results
from dropbatch.holding import hold
from dropbatch.ledger import Ledger
from dropbatch.messages import look_again, work_on
from dropbatch.ports import Queue, RemoteBatch, World
from dropbatch.sweeping import sweep

RETRIEVED_ONE_BY_ONE = 20
"""Up to so many open batches are retrieved one by one; more are found in OpenAI's list, a hundred a page."""

STRAGGLERS = 20
"""How many batches a poll retrieves that the list did not show, or did not show to have moved."""

FAILURES = 3
"""After so many batches that OpenAI does not answer about, a poll asks about no more."""

RESEND_SECONDS = 330
"""When a message about something due is sent again: later than the longest function runs (300 s)."""

KEY_CHECK_SECONDS = 300
"""How often a key that was refused is tried again though the secret has not changed."""

WINDOW_SECONDS = 25 * 3600
"""OpenAI's window of 24 hours, and an hour on top: what has not ended by then is asked to, or is gone."""

NEVER_SECONDS = 2 * WINDOW_SECONDS
"""A batch that has not ended by then counts as if it had: it is brought home with what it has."""

HELD_SECONDS = 14 * 86_400
"""For so long a job is held; then it is cancelled."""

SPARE_SECONDS = 30
"""A poll stops when it has no more than this left."""


def poll(world: World) -> None:
    """One tick."""
    ledger = Ledger(world.table)
    jobs = {job.id: job for job in ledger.open_jobs()}
    batches = list(ledger.open_batches())
    submitted = [batch for batch in batches if batch.state is BatchState.SUBMITTED]
    if submitted:
        _follow(world, ledger, submitted, jobs)
    _admit(world, ledger, jobs, batches)
    by_job: dict[str, list[Batch]] = {job_id: [] for job_id in jobs}
    for batch in batches:
        by_job.setdefault(batch.job_id, []).append(batch)
    for job_id, its_batches in by_job.items():
        if world.seconds_left() < SPARE_SECONDS:
            world.observer.warn("the poll ran out of time; the next one goes on")
            break
        try:
            job = jobs.get(job_id) or ledger.job(job_id)
            if job is not None:
                _look_after(world, ledger, job, its_batches)
        except Exception:  # noqa: BLE001 - one job that fails must not stop the others; it is logged and tried again
            world.observer.failed("a job could not be looked after", job_id=job_id)
    for search in (sweep, give_up_dead):
        try:
            search(world)
        except Exception:  # noqa: BLE001 - the next poll tries again
            world.observer.failed("what is lost could not be looked for", step=search.__name__)
    oldest = min((batch.submitted_at or world.now() for batch in submitted), default=world.now())
    world.observer.measure("BatchesOpen", len(batches))
    world.observer.measure("OldestOpenBatchSeconds", world.now() - oldest)
    world.observer.note("polled", jobs=len(jobs), **Counter(f"batches_{batch.state}" for batch in batches))


def _follow(world: World, ledger: Ledger, submitted: list[Batch], jobs: Mapping[str, Job]) -> None:
    """Asks OpenAI how the submitted batches are doing, and moves those on that have ended."""
    try:
        if len(submitted) <= RETRIEVED_ONE_BY_ONE:
            _retrieve(world, ledger, submitted, jobs)
        else:
            seen = _list(world, submitted)
            for batch in submitted:
                if batch.openai_id in seen:
                    _apply(world, ledger, batch, seen[batch.openai_id])
            # Some servers move a batch on only when it is retrieved: those that have not moved take turns.
            still = [batch for batch in submitted if batch.state is BatchState.SUBMITTED]
            unseen = [batch for batch in still if batch.openai_id not in seen]
            turns = sorted(unseen, key=_turn) + sorted((b for b in still if b.openai_id in seen), key=_turn)
            _retrieve(world, ledger, turns[:STRAGGLERS], jobs)
    except OpenAIKeyRejected as error:
        for job in {batch.job_id: jobs[batch.job_id] for batch in submitted if batch.job_id in jobs}.values():
            hold(world, ledger, job, HeldReason.KEY, error.code)
    except OpenAIError as error:
        world.observer.warn("OpenAI did not answer the poll", code=error.code)


def _turn(batch: Batch) -> int:
    return batch.seen_at or 0


def _list(world: World, submitted: list[Batch]) -> dict[str | None, RemoteBatch]:
    """Our batches out of OpenAI's list, read as long as its pages still reach back to the oldest of ours."""
    wanted = {batch.openai_id for batch in submitted}
    oldest = min(batch.submitted_at or 0 for batch in submitted) - RESEND_SECONDS
    seen: dict[str | None, RemoteBatch] = {}
    for page in world.openai.newest():
        seen.update((remote.id, remote) for remote in page if remote.id in wanted)
        if len(seen) == len(wanted) or world.seconds_left() < SPARE_SECONDS:
            break
        if page and page[-1].created_at < oldest:
            break
    return seen


def _retrieve(world: World, ledger: Ledger, batches: Iterable[Batch], jobs: Mapping[str, Job]) -> None:
    unsure = 0
    for batch in batches:
        if world.seconds_left() < SPARE_SECONDS:
            return
        try:
            _apply(world, ledger, batch, world.openai.retrieve(batch.openai_id or ""), seen_at=world.now())
        except OpenAINotFound as error:
            world.observer.warn("OpenAI does not know a batch", code=error.code, **batch.ids)
            _lost(world, ledger, batch, jobs.get(batch.job_id))
        except OpenAIUnsure as error:
            world.observer.warn("OpenAI did not answer about a batch", code=error.code, **batch.ids)
            unsure += 1
            if unsure == FAILURES:
                raise  # it is not this batch, it is OpenAI


def _lost(world: World, ledger: Ledger, batch: Batch, job: Job | None) -> None:
    """A batch that OpenAI does not know: of another key, or gone. It is given up when it must have ended."""
    if job is not None and batch.secret_version and world.openai.key_version() != batch.secret_version:
        hold(world, ledger, job, HeldReason.KEY_CHANGED, "key_changed")
        return
    if world.now() < (batch.submitted_at or 0) + WINDOW_SECONDS:
        return
    _end(world, ledger, batch, OpenAIStatus.COMPLETED)


def _end(world: World, ledger: Ledger, batch: Batch, status: OpenAIStatus) -> None:
    """Takes a batch for ended that OpenAI does not, or no more, say so of."""
    batch.openai_status, batch.ended_at, batch.sent_at, batch.sends = status, world.now(), world.now(), 0
    batch.move(BatchState.ENDED)
    try:
        ledger.save(batch)
    except ConditionFailed:
        return
    world.observer.warn("a batch is taken for ended", status=str(status), **batch.ids)
    world.collect.send(work_on(batch))


def _apply(world: World, ledger: Ledger, batch: Batch, remote: RemoteBatch, seen_at: int | None = None) -> None:
    """Takes over what OpenAI says of a batch."""
    if remote.status is OpenAIStatus.UNKNOWN:
        world.observer.warn("OpenAI gives a batch a status that is not known", openai_id=remote.id, **batch.ids)
    age = world.now() - (batch.submitted_at or world.now())
    if remote.status not in TERMINAL and age > NEVER_SECONDS:
        _end(world, ledger, batch, OpenAIStatus.EXPIRED)
        return
    if remote.status not in TERMINAL and age > WINDOW_SECONDS and remote.status is not OpenAIStatus.CANCELLING:
        world.observer.warn("a batch should have ended; it is asked to", openai_id=remote.id, **batch.ids)
        world.openai.cancel(remote.id)
    news = (remote.status, remote.completed, remote.failed)
    if news == (batch.openai_status, batch.completed, batch.failed) and remote.status not in TERMINAL and not seen_at:
        return
    batch.openai_status, batch.completed, batch.failed = news
    batch.seen_at = seen_at or batch.seen_at
    if remote.status in TERMINAL:
        batch.ended_at = world.now()
        batch.sent_at, batch.sends = world.now(), 0
        batch.move(BatchState.ENDED)
    try:
        ledger.save(batch)
    except ConditionFailed:
        return  # another poller was quicker
    if batch.state is BatchState.ENDED:
        world.observer.note("ended", openai_id=batch.openai_id, status=str(remote.status), **batch.ids)
        world.collect.send(work_on(batch))


def _admit(world: World, ledger: Ledger, jobs: Mapping[str, Job], batches: list[Batch]) -> None:
    for batch in admit(world, ledger, jobs, batches):
        _send(world, ledger, batch, world.dispatch)


def _look_after(world: World, ledger: Ledger, job: Job, batches: list[Batch]) -> None:
    """Does what a job is due for: sends again what stalled, enforces a cancel, lets go what was held."""
    now = world.now()
    if job.state is JobState.BUILDING:
        if job.lease_until > now or job.sent_at > now - RESEND_SECONDS:
            return
        if job.sends >= MOST_SENDS:
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
        _let_go(world, ledger, job, batches)
    for batch in batches:
        _send_again(world, ledger, job, batch)
    settled = not batches and job.state in (JobState.RUNNING, JobState.HELD)
    stalled = job.state is JobState.ASSEMBLING and job.lease_until <= now
    if (settled or stalled) and job.sent_at <= now - RESEND_SECONDS:
        if job.sends >= MOST_SENDS:
            give_up_results(world, ledger, job)
        else:
            _sent(ledger, job, now, lambda: world.collect.send(work_on(job)))
    if job.state in (JobState.RUNNING, JobState.HELD):
        telling.write_status(world, ledger, job)


def _sent(ledger: Ledger, item: Job | Batch, now: int, send: Callable[[], None]) -> None:
    """Sends a message about an item, unless another poller has just done so."""
    item.sent_at = now
    item.sends += 1
    try:
        ledger.save(item)
    except ConditionFailed:
        return
    send()


def _send_again(world: World, ledger: Ledger, job: Job, batch: Batch) -> None:
    now = world.now()
    waits = batch.state is BatchState.WAITING and job.state is JobState.RUNNING and not job.cancel_requested
    if waits and now > job.deadline_at > 0:
        _abandon(world, ledger, batch, PAST_DEADLINE)
    elif waits and batch.admitted_at:
        if batch.not_before <= now and batch.sent_at <= now - RESEND_SECONDS:
            _send_or_give_up(world, ledger, batch, world.dispatch)
    elif batch.state is BatchState.SUBMITTING:
        in_lease = batch.lease is not None and batch.lease_until > now
        looked_lately = batch.looked_at is not None and now < batch.looked_at + world.settle_seconds
        if not in_lease and not looked_lately:
            _send_or_give_up(world, ledger, batch, world.dispatch)
    elif batch.state is BatchState.ENDED and batch.sent_at <= now - RESEND_SECONDS:
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
        if batch.state is BatchState.WAITING:
            _abandon(world, ledger, batch, None)
        elif batch.state is BatchState.SUBMITTED and batch.openai_status is not OpenAIStatus.CANCELLING:
            try:
                world.openai.cancel(batch.openai_id or "")
            except OpenAINotFound:
                _end(world, ledger, batch, OpenAIStatus.CANCELLED)
            except OpenAIError as error:
                world.observer.warn("a batch could not be cancelled yet", code=error.code, **batch.ids)


def _let_go(world: World, ledger: Ledger, job: Job, batches: list[Batch]) -> None:
    """Sets a held job going again once its reason is gone."""
    try:
        version = world.openai.key_version(fresh=True)
    except OpenAIKeyRejected:
        return
    if job.held_reason is HeldReason.KEY:
        if version == job.held_secret_version and job.sent_at > world.now() - KEY_CHECK_SECONDS:
            return
        job.sent_at = world.now()
        try:
            next(iter(world.openai.newest()), None)
        except OpenAIKeyRejected:
            job.held_secret_version = version
            ledger.save(job)
            return
        except OpenAIError:
            return
    elif job.held_reason is HeldReason.FAILING:
        return  # its owner decides
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
