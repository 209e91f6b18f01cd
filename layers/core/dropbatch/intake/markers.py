"""Obeys markers: what `<drop>.cancel` and its like ask of the newest job of a drop, or why that cannot be.

A marker acts once, and one message says what became of it, however often its event comes: its item stays in the table.
One that makes a new run is answered by the message of that run. What a marker does may be done twice, and each time
comes to the same: the message follows from the state that it leaves behind.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from dropbatch.domain.batches import Batch
from dropbatch.domain.drops import Drop, ObjectKind, meaning_of
from dropbatch.domain.errors import ObjectForbiddenError, ObjectNotFoundError
from dropbatch.domain.jobs import Job
from dropbatch.domain.markers import Marker, MarkerKind, MarkerObject, MarkerReason, NearMarker
from dropbatch.domain.runs import LatestJob
from dropbatch.domain.states import APPROVABLE, CLOSED, ENDED_JOBS, BatchState, HeldReason, JobState
from dropbatch.intake.near_files import near_files, spellings
from dropbatch.jobs.deduplication import act_on_markers
from dropbatch.jobs.give_up import tell_pending
from dropbatch.jobs.hold import let_go
from dropbatch.jobs.pending import pending_for, wait_for
from dropbatch.jobs.waiting import cancel_waiting
from dropbatch.messages import IntakeMessage
from dropbatch.ports import Notification
from dropbatch.reporting import marker_notices
from dropbatch.storage.context import Context

UNSTOPPABLE = CLOSED | {BatchState.ENDED}
"""The states of batches of which nothing can be cancelled any more."""


@dataclass(frozen=True, slots=True)
class Run:
    """A new run that a marker asks for, of all rows, or of those of a former job that have no good answer."""

    drop: Drop
    kind: MarkerKind
    retry_of: str | None = None


class _Silent(Enum):
    """Why nothing is told of a marker, or not yet."""

    LATER = "later"  # what it stands beside may still come
    DONE = "done"  # its run tells of it


_Answer = Notification | Run | _Silent


def obey(context: Context, marker: Marker | NearMarker, look: IntakeMessage, arrived: int) -> Run | bool:
    """Do what a marker asks, and say so; returns the run that it asks for, or whether it is done with.

    A run is begun by the caller, who then calls `has_acted`. `look` names the marker's version, `arrived` is when that
    was there.
    """
    waiting = context.repository.reload(pending_for(context, look))
    if waiting is not None and waiting.is_done:
        return True
    asker = MarkerObject(look.bucket, look.key, look.version_id or "")
    since = waiting.created_at if waiting else context.now()
    if isinstance(marker, NearMarker):
        answer: _Answer = marker_notices.misspelt(marker, asker)
    else:
        answer = _Marker(context, marker, asker, arrived, since).obey()
    if isinstance(answer, Run):
        return answer
    if answer is _Silent.LATER:
        wait_for(context, look, failed=False)
        return False
    _close(context, look, None if isinstance(answer, _Silent) else answer)
    return True


def has_acted(context: Context, look: IntakeMessage) -> None:
    """Note that a marker's run has begun, whose own messages say by which marker it was asked for."""
    _close(context, look, None)


def _close(context: Context, look: IntakeMessage, notification: Notification | None) -> None:
    tell_pending(context, wait_for(context, look, failed=False), notification, stays=True)


@dataclass
class _Marker:
    """One version of a marker, and what it finds."""

    context: Context
    marker: Marker
    asker: MarkerObject
    arrived: int
    since: int  # when it was first looked at

    def obey(self) -> _Answer:
        newest = self._newest()
        if newest.job_id is None:
            return self._without_job(newest)
        job = self.context.repository.job(newest.job_id)
        if job is None:
            return self._after_all_is_deleted()
        if self.marker.kind is MarkerKind.CANCEL:
            return self._cancel(newest, job)
        if job.rerun_version == self.asker.version_id:
            return _Silent.DONE
        if self.arrived < newest.modified:
            return self._refused(job, MarkerReason.OLDER)
        match self.marker.kind:
            case MarkerKind.APPROVE:
                return self._approve(newest, job)
            case MarkerKind.RETRY:
                return self._retry(job)
        return Run(job.drop, MarkerKind.RERUN)

    def _newest(self) -> LatestJob:
        """What is known of the file's key; of those that look the same, the one of which something is known."""
        found = [self.context.repository.latest_job(self.asker.bucket, key) for key in spellings(self.marker.drop_key)]
        return next((newest for newest in found if newest.job_id is not None), found[0])

    def _refused(self, job: Job, reason: MarkerReason) -> Notification:
        return marker_notices.refused(self.context, job, self.asker, self.marker.kind, reason)

    # Without a job

    def _without_job(self, newest: LatestJob) -> _Answer:
        """Wait a while for a job: events come in any order. Then say what there is instead."""
        context, marker = self.context, self.marker
        if meaning_of(newest.key) is not ObjectKind.DROP:
            return marker_notices.no_drop(marker, self.asker)
        if marker.kind in (MarkerKind.CANCEL, MarkerKind.APPROVE):
            self._remember(newest)
            if self.context.repository.latest_job(newest.bucket, newest.key).job_id is not None:
                return self.obey()  # it has come meanwhile
        if context.now() - self.since < context.recipe_wait_seconds:
            return _Silent.LATER
        found = self._find()
        if found is None:
            return marker_notices.no_such_file(marker, self.asker, near_files(context, newest.bucket, newest.key))
        if marker.kind in (MarkerKind.RERUN, MarkerKind.RETRY):
            wait_for(context, IntakeMessage(newest.bucket, found.key, None), failed=False)  # as the sweep does
        return marker_notices.not_begun(marker, self.asker)

    def _after_all_is_deleted(self) -> Notification | Run:
        """What can be done about a drop whose newest job was so long ago that its items are deleted."""
        found = self._find() if self.marker.kind is MarkerKind.RERUN else None
        return Run(found, MarkerKind.RERUN) if found else marker_notices.forgotten(self.marker, self.asker)

    def _find(self) -> Drop | None:
        """The file that the marker stands beside, as it is now."""
        bucket = self.asker.bucket
        for key in spellings(self.marker.drop_key):
            try:
                info = self.context.objects.head(bucket, key)
            except (ObjectNotFoundError, ObjectForbiddenError):
                continue
            return Drop(bucket, key, info.version_id, info.modified, info.size, info.labels, info.modified)
        return None

    # With a job

    def _remember(self, newest: LatestJob) -> None:
        """Keep the marker for the key's jobs, and let it act on those that are there."""
        arrived, cancels = self.arrived, self.marker.kind is MarkerKind.CANCEL

        def remember(current: LatestJob) -> bool:
            if cancels:
                current.cancel_modified = max(current.cancel_modified, arrived)
            else:
                current.approve_modified = max(current.approve_modified, arrived)
            return True

        kept = self.context.repository.change(
            lambda: self.context.repository.latest_job(newest.bucket, newest.key), remember
        )
        if kept is not None:
            act_on_markers(self.context.repository, kept, self.context.now())

    def _cancel(self, newest: LatestJob, job: Job) -> Notification:
        """Cancel every open job of the key that is not newer than the marker; `job` is the newest of the key."""
        has_acted = newest.cancel_modified == self.arrived
        mine = [each for each in self._open_jobs(newest, job) if each.requested_at <= self.arrived]
        if not mine and has_acted and job.cancel_requested:
            mine = [job]  # it has ended meanwhile
        if not mine:
            if self.arrived < newest.modified:
                return self._refused(job, MarkerReason.OLDER)
            is_rejected = job.state is JobState.REJECTED
            if is_rejected and cancel_waiting(self.context.repository, job, self.asker.version_id):
                return marker_notices.waits_no_more(self.context, job, self.asker)
            return self._refused(job, MarkerReason.REJECTED if is_rejected else MarkerReason.ENDED)
        wanted = [each for each in mine if has_acted or not each.cancel_requested]
        if not wanted:
            return self._refused(mine[-1], MarkerReason.ALREADY)
        batches = {each.id: self.context.repository.batches(each.id) for each in wanted}
        self._remember(newest)
        stopped = [each for each in wanted if not _has_come_back(each, batches[each.id])]
        if not stopped:
            return marker_notices.too_late(self.context, wanted[-1], self.asker)
        is_sent = any(batch.openai_id or batch.creating_at for each in stopped for batch in batches[each.id])
        return marker_notices.cancelling(self.context, stopped, self.asker, is_sent=is_sent)

    def _open_jobs(self, newest: LatestJob, job: Job) -> list[Job]:
        """The open jobs of the key, the newest last."""
        older = (self.context.repository.job(each) for each in sorted(newest.open_jobs) if each != job.id)
        return [each for each in (*older, job) if each is not None and each.state not in ENDED_JOBS]

    def _approve(self, newest: LatestJob, job: Job) -> Notification:
        has_acted = newest.approve_modified == self.arrived and job.approved
        if job.state is JobState.BUILDING or job.held_reason in APPROVABLE:
            self._remember(newest)
            job = self.context.repository.job(job.id) or job
            if job.approved:
                job = self._let_go(job, *APPROVABLE)
            if job.state is JobState.BUILDING:
                return marker_notices.being_read(self.context, job, self.asker)
            has_acted = job.approved
        if has_acted:
            return marker_notices.approved(self.context, job, self.asker)
        if job.state is JobState.REJECTED:
            return self._refused(job, MarkerReason.REJECTED)
        return self._refused(job, MarkerReason.ENDED if job.state in ENDED_JOBS else MarkerReason.NOT_HELD)

    def _let_go(self, job: Job, *reasons: HeldReason, marker: str | None = None) -> Job:
        """Let the job go on if it is held for one of these reasons; returns it as it is then."""
        return let_go(self.context, job, *reasons, marker=marker) or self.context.repository.job(job.id) or job

    def _retry(self, job: Job) -> Notification | Run:
        version = self.asker.version_id
        if job.state is JobState.HELD and job.held_reason is HeldReason.FAILING:
            job = self._let_go(job, HeldReason.FAILING, marker=version)
        if job.resumed_by == version:
            return marker_notices.resumed(self.context, job, self.asker)
        if job.state is JobState.REJECTED:
            # The recipe was wrong then, or nothing could be asked again: what it was to ask stands as before.
            again = Run(job.drop, MarkerKind.RETRY, job.retry_of)
            return again if job.retry_of is not None else self._refused(job, MarkerReason.REJECTED)
        if job.state in ENDED_JOBS:
            if not job.keeps_work:
                return self._refused(job, MarkerReason.NOTHING_TO_RETRY)
            return Run(job.drop, MarkerKind.RETRY, job.id)
        return self._refused(job, MarkerReason.HELD if job.state is JobState.HELD else MarkerReason.RUNNING)


def _has_come_back(job: Job, batches: Sequence[Batch]) -> bool:
    """Return whether nothing of a job can be stopped any more."""
    if job.state in (JobState.BUILDING, JobState.HELD, JobState.CANCELLED):
        return False
    if job.state is JobState.RUNNING:
        return bool(batches) and all(batch.state in UNSTOPPABLE for batch in batches)
    return True
