"""Ends what comes to nothing, however often it was tried, and tells its owner: every drop ends with a notification.

It reads no row and no recipe, so that it works where whoever failed could not.
"""

from dropbatch import telling
from dropbatch.claims import point_at, version_claim
from dropbatch.domain.drops import Drop, Meaning, job_id, meaning_of
from dropbatch.domain.jobs import ENDED_JOBS, MOST_SENDS, Job, JobState
from dropbatch.domain.outcomes import GAVE_UP
from dropbatch.domain.problems import Problem, Problems
from dropbatch.ledger import Ledger
from dropbatch.messages import Look
from dropbatch.ports import World

_GAVE_UP = Problem(
    GAVE_UP,
    "The file could not be taken in, although it was tried again and again; the submit function's log says why: see to "
    "that, then drop the file again.",
)

NOT_READABLE = Problem(
    "not_readable",
    "S3 does not let the submit function read the file or its recipe; where they are encrypted with a KMS key of your "
    "own, let the function's role decrypt with it, or upload them without it, then drop the file again.",
)


def give_up(world: World, ledger: Ledger, job: Job, problem: Problem = _GAVE_UP) -> None:
    """Ends a job whose drop could not be taken in, however often it was tried; tells so."""
    problems = Problems()
    problems.add(problem)
    telling.write_rejected(world, job, problems)
    world.topics.publish(telling.rejected(world, job, problems))
    end_rejected(ledger, job, world.now())
    world.observer.measure("JobsRejected", 1)
    world.observer.warn("gave up", job_id=job.id, code=problem.code)


def give_up_dead(world: World) -> None:
    """Tells of drops whose messages died before they had a job; a job that is there is looked after by itself.

    A recipe's message stays where it is, as a marker's does: an alarm tells of it.
    """
    for receipt, message in world.dead_intake.take():
        try:
            look = Look.from_json(message)
        except (KeyError, TypeError):
            continue  # it is none of ours: it stays, for a person to look at
        if meaning_of(look.key) is Meaning.DROP:
            refuse_unseen(world, look, _GAVE_UP)
            world.dead_intake.delete(receipt)


def refuse_unseen(world: World, look: Look, problem: Problem) -> None:
    """Refuses a drop or a recipe of which no more is known than its name; a drop that has a job is left to it."""
    drop = Drop(look.bucket, look.key, look.version_id or "null", world.now())
    meaning = meaning_of(look.key)
    if meaning is Meaning.RECIPE:
        problems = Problems()
        problems.add(problem)
        world.topics.publish(telling.recipe_checked(drop, problems))
    if meaning is not Meaning.DROP:
        return
    ledger = Ledger(world.table)
    wanted = version_claim(drop, job_id(drop, look.rerun_version))
    claim = wanted if ledger.add(wanted) else ledger.claim(wanted.digest) or wanted
    # Should this be cut short, the poller gives up what has been sent so often.
    job = Job(id=claim.job_id, drop=drop, created_at=world.now(), asked_at=world.now(), begun=MOST_SENDS)
    if not ledger.add(job):
        return
    if ledger.newest(drop.bucket, drop.key).job_id is None:
        point_at(ledger, job)  # else it may be older than what the key's newest job belongs to
    give_up(world, ledger, job, problem)


def give_up_results(world: World, ledger: Ledger, job: Job) -> None:
    """Ends a job whose results could not be assembled, however often it was tried; tells so."""
    telling.write_gave_up(world, job)
    world.topics.publish(telling.gave_up(world, job))

    def end(current: Job) -> bool:
        if current.state in ENDED_JOBS:
            return False
        current.lease, current.ended_at = None, world.now()
        current.move(JobState.FAILED)
        return True

    if ledger.change(lambda: ledger.job(job.id), end):
        world.observer.measure("JobsEnded", 1, status=str(JobState.FAILED))
        world.observer.warn("gave up", job_id=job.id)


def end_rejected(ledger: Ledger, job: Job, now: int) -> None:
    """Ends a job that comes to nothing before it runs, unless another has taken it over."""
    lease = job.lease

    def end(current: Job) -> bool:
        if current.state is not JobState.BUILDING or current.lease != lease:
            return False
        current.lease, current.ended_at = None, now
        current.move(JobState.REJECTED)
        return True

    ledger.change(lambda: ledger.job(job.id), end)
