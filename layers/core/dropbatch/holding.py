"""Holds a job: it submits no more until the reason is gone. What is under way goes on."""

from dropbatch import telling
from dropbatch.domain.errors import OpenAIKeyRejected
from dropbatch.domain.jobs import HeldReason, Job, JobState
from dropbatch.ledger import Ledger
from dropbatch.ports import World


def hold(world: World, ledger: Ledger, job: Job, reason: HeldReason, code: str) -> None:
    """Holds a job that runs, and tells why."""
    version = _secret_version(world)
    current = ledger.job(job.id)
    if current is None or current.state is not JobState.RUNNING:
        return
    world.topics.publish(telling.held(world, current, reason))

    def stop(current: Job) -> bool:
        if current.state is not JobState.RUNNING:
            return False
        current.held_reason, current.held_secret_version, current.held_at = reason, version, world.now()
        current.move(JobState.HELD)
        return True

    if ledger.change(lambda: ledger.job(job.id), stop):
        world.observer.warn("held", job_id=job.id, reason=str(reason), code=code)


def _secret_version(world: World) -> str | None:
    try:
        return world.openai.key_version()
    except OpenAIKeyRejected:
        return None
