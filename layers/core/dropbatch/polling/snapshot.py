"""The open items as one poll read them: at its beginning, each list once."""

from collections.abc import Sequence
from functools import cached_property

from dropbatch.domain.batches import Batch
from dropbatch.domain.inbox import Pending
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import CLOSED, BatchState
from dropbatch.storage.context import Context


class Snapshot:
    """The open jobs, batches and pending objects. A step that changes a job puts it back into `jobs`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.jobs: dict[str, Job] = {job.id: job for job in context.repository.open_jobs()}
        self.batches: Sequence[Batch] = self._open_batches()
        self.pending: Sequence[Pending] = self._open_pending()
        self.by_job: dict[str, list[Batch]] = {job_id: [] for job_id in self.jobs}
        for batch in self.batches:
            self.by_job.setdefault(batch.job_id, []).append(batch)

    def _open_batches(self) -> list[Batch]:
        try:
            return list(self._context.repository.open_batches())
        except Exception:  # noqa: BLE001 - jobs must end by their dates: their batches can be read without the index
            self._context.observer.exception("the open batches could not be listed; they are read job by job")
            return [
                batch
                for job in self.jobs
                for batch in self._context.repository.batches(job)
                if batch.state not in CLOSED
            ]

    def _open_pending(self) -> list[Pending]:
        try:
            return list(self._context.repository.pending())
        except Exception:  # noqa: BLE001 - jobs and batches must not wait for this
            self._context.observer.exception("the pending objects could not be listed")
            return []

    def batches_in(self, *states: BatchState) -> list[Batch]:
        return [batch for batch in self.batches if batch.state in states]

    @cached_property
    def ended_jobs(self) -> list[Job]:
        """The ended jobs with notices to send, or files to delete."""
        return list(self._context.repository.ended_jobs_at_work())
