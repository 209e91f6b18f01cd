"""Resumes held jobs once the reason of their hold is gone, and reminds the operators of those that still wait."""

from collections.abc import Iterable, Sequence
from functools import cached_property

from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import ErrorKind, OpenAIAuthError, OpenAIError
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import APPROVABLE, CLOSED, BatchState, HeldReason, JobState
from dropbatch.jobs import outbox
from dropbatch.jobs.backoff import backoff_seconds
from dropbatch.jobs.hold import resume
from dropbatch.reporting import held_notices
from dropbatch.storage.context import Context

KEY_CHECK_SECONDS = 300
"""How often a key or a permission is tried again though the secret has not changed."""


class HeldJobs:
    """The check of held jobs in one poll. It asks OpenAI about the API key once, however many jobs wait for it."""

    def __init__(self, context: Context) -> None:
        self._key = _ApiKey(context)

    def resume(self, context: Context, job: Job, batches: Sequence[Batch]) -> Job:
        """Resume a held job if the reason of its hold is gone; return the job as it is then."""
        if not self._is_gone(context, job, batches) or job.held_reason is None:
            return job
        resumed = resume(context, job, job.held_reason)
        if resumed is None:
            return job
        if job.hold_repeats:
            return resumed  # the reason may return once more: the batches' own waits go on growing
        for batch in batches:
            if batch.state not in CLOSED and batch.deferrals and not batch.is_leased(context.now()):
                batch.came_further()
                context.repository.save(batch)
        return resumed

    def _is_gone(self, context: Context, job: Job, batches: Sequence[Batch]) -> bool:
        """Return whether the reason of a job's hold is gone."""
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
                return False  # the call that failed is tried again, and resumes the job when it succeeds
            if context.now() - job.hold_checked_at < KEY_CHECK_SECONDS:
                return False
            job.hold_checked_at = context.now()
            context.repository.save(job)
        return job.held_reason is not HeldReason.KEY or self._key.is_accepted


def remind_operators(context: Context, jobs: Iterable[Job]) -> None:
    """Remind the operators of what held jobs wait for, with the job of each reason that has waited longest."""
    waiting: dict[HeldReason, Job] = {}
    for job in sorted(jobs, key=lambda job: job.held_at):
        if job.state is JobState.HELD and job.held_reason is not None and not job.cancel_requested:
            waiting.setdefault(job.held_reason, job)
    for reason, job in waiting.items():
        if reason in held_notices.FOR_OPERATORS:
            outbox.remind(context, held_notices.held(context, job, reason))


def _damping_seconds(job: Job) -> int:
    """Return how long a job stays held at least: each time longer if the same hold begins again and again."""
    return backoff_seconds(job.hold_repeats) if job.hold_repeats else 0


class _ApiKey:
    """The API key. Each question about it goes to OpenAI once a poll."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._seen: dict[str, bool] = {}

    @cached_property
    def version(self) -> str | None:
        """The version of the secret; None while there is no key."""
        try:
            return self._context.openai.key_version(fresh=True)
        except OpenAIError:
            return None

    @cached_property
    def is_accepted(self) -> bool:
        """True if OpenAI accepts the key: any answer except a 401 says so. No answer says nothing."""
        try:
            next(iter(self._context.openai.newest()), None)
        except OpenAIAuthError:
            return False
        except OpenAIError as error:
            return error.kind is not ErrorKind.PASSING
        return True

    def is_of_others(self, context: Context, batch: Batch) -> bool:
        """Return whether the key cannot see a batch because another project's key made it."""
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
