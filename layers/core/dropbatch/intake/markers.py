"""Markers: the effect of `<drop>.cancel` and the others on the newest job of a drop, or the reason for none.

A marker acts once, and one message says what it did, however often its event comes: its item stays in the table. The
message of a marker that requests a new run is that of the run. A step may run twice with the same effect, because the
message follows from the state after the step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from dropbatch.domain.batches import Batch
from dropbatch.domain.drops import Drop, ObjectKind, kind_of_object
from dropbatch.domain.errors import ObjectForbiddenError, ObjectNotFoundError
from dropbatch.domain.jobs import Job
from dropbatch.domain.markers import Marker, MarkerKind, MarkerObject, MarkerReason, NearMarker
from dropbatch.domain.runs import LatestJob
from dropbatch.domain.states import APPROVABLE, CLOSED, ENDED_JOBS, BatchState, HeldReason, JobState
from dropbatch.intake.near_files import near_files, spellings
from dropbatch.jobs.hold import resume
from dropbatch.jobs.latest_job import apply_markers
from dropbatch.jobs.pending import end_pending, pending_for, wait_for
from dropbatch.jobs.waiting import cancel_waiting
from dropbatch.messages import IntakeMessage
from dropbatch.ports import Notification
from dropbatch.reporting import marker_notices
from dropbatch.storage.context import Context

UNSTOPPABLE = CLOSED | {BatchState.ENDED}
"""The states of batches that can no longer be cancelled."""


@dataclass(frozen=True, slots=True)
class RequestedRun:
    """A new run that a marker requests: of all rows, or of the rows of a former job without a good answer."""

    drop: Drop
    kind: MarkerKind
    retry_of: str | None = None


class _NoNotice(Enum):
    """The reasons why a marker has no message of its own, or none yet."""

    LATER = "later"  # the file beside it may still come
    DONE = "done"  # its run has the message


_Answer = Notification | RequestedRun | _NoNotice


def act(context: Context, marker: Marker | NearMarker, message: IntakeMessage, arrived: int) -> RequestedRun | bool:
    """Do what a marker asks, and notify. Return the run that it requests, or whether the marker is done.

    The caller starts the run, and then calls `has_acted`. `message` names the marker's version, `arrived` is the time
    when that was complete.
    """
    waiting = context.repository.reload(pending_for(context, message))
    if waiting is not None and waiting.is_done:
        return True
    origin = MarkerObject(message.bucket, message.key, message.version_id or "")
    since = waiting.created_at if waiting else context.now()
    if isinstance(marker, NearMarker):
        answer: _Answer = marker_notices.misspelt(marker, origin)
    else:
        answer = _Marker(context, marker, origin, arrived, since).act()
    if isinstance(answer, RequestedRun):
        return answer
    if answer is _NoNotice.LATER:
        wait_for(context, message, failed=False)
        return False
    _close(context, message, None if isinstance(answer, _NoNotice) else answer)
    return True


def has_acted(context: Context, message: IntakeMessage) -> None:
    """Record that the run of a marker has begun. The messages of the run name the marker."""
    _close(context, message, None)


def _close(context: Context, message: IntakeMessage, notification: Notification | None) -> None:
    end_pending(context, wait_for(context, message, failed=False), notification, stays=True)


@dataclass
class _Marker:
    """One version of a marker, and its action."""

    context: Context
    marker: Marker
    origin: MarkerObject
    arrived: int
    since: int  # when it was first taken in

    def act(self) -> _Answer:
        newest = self._newest()
        if newest.job_id is None:
            return self._without_job(newest)
        job = self.context.repository.job(newest.job_id)
        if job is None:
            return self._after_all_is_deleted()
        if self.marker.kind is MarkerKind.CANCEL:
            return self._cancel(newest, job)
        if job.rerun_version == self.origin.version_id:
            return _NoNotice.DONE
        if self.arrived < newest.modified:
            return self._refused(job, MarkerReason.OLDER)
        match self.marker.kind:
            case MarkerKind.APPROVE:
                return self._approve(job)
            case MarkerKind.RETRY:
                return self._retry(job)
        return RequestedRun(job.drop, MarkerKind.RERUN)

    def _newest(self) -> LatestJob:
        """Return what is known of the file's key, or of a key that looks the same and has a job."""
        found = [self.context.repository.latest_job(self.origin.bucket, key) for key in spellings(self.marker.drop_key)]
        return next((newest for newest in found if newest.job_id is not None), found[0])

    def _refused(self, job: Job, reason: MarkerReason) -> Notification:
        return marker_notices.refused(self.context, job, self.origin, self.marker.kind, reason)

    # Without a job

    def _without_job(self, newest: LatestJob) -> _Answer:
        """Wait a while for a job, because events come in any order. Then report what there is instead."""
        context, marker = self.context, self.marker
        if kind_of_object(newest.key) is not ObjectKind.DROP:
            return marker_notices.no_drop(marker, self.origin)
        if marker.kind is MarkerKind.CANCEL:
            self._remember(newest)
            if self.context.repository.latest_job(newest.bucket, newest.key).job_id is not None:
                return self.act()  # it has come meanwhile
        if context.now() - self.since < context.recipe_wait_seconds:
            return _NoNotice.LATER
        found = self._find()
        if found is None:
            return marker_notices.no_such_file(marker, self.origin, near_files(context, newest.bucket, newest.key))
        if marker.kind in (MarkerKind.RERUN, MarkerKind.RETRY):
            wait_for(context, IntakeMessage(newest.bucket, found.key, None), failed=False)  # as the sweep does
        return marker_notices.not_begun(marker, self.origin)

    def _after_all_is_deleted(self) -> Notification | RequestedRun:
        """Return the action for a drop whose newest job is so old that its items are deleted."""
        found = self._find() if self.marker.kind is MarkerKind.RERUN else None
        return RequestedRun(found, MarkerKind.RERUN) if found else marker_notices.forgotten(self.marker, self.origin)

    def _find(self) -> Drop | None:
        """Return the current version of the file beside the marker; None if there is none."""
        bucket = self.origin.bucket
        for key in spellings(self.marker.drop_key):
            try:
                info = self.context.objects.head(bucket, key)
            except (ObjectNotFoundError, ObjectForbiddenError):
                continue
            return Drop(bucket, key, info.version_id, info.modified, info.size, info.labels, info.modified)
        return None

    # With a job

    def _remember(self, newest: LatestJob) -> None:
        """Store a `.cancel` for the key's jobs, and let it act on the present ones."""
        arrived = self.arrived

        def remember(current: LatestJob) -> bool:
            current.cancel_modified = max(current.cancel_modified, arrived)
            return True

        kept = self.context.repository.change(
            lambda: self.context.repository.latest_job(newest.bucket, newest.key), remember
        )
        if kept is not None:
            apply_markers(self.context.repository, kept, self.context.now())

    def _cancel(self, newest: LatestJob, job: Job) -> Notification:
        """Cancel each open job of the key that is not newer than the marker; `job` is the newest of the key."""
        has_acted = newest.cancel_modified == self.arrived
        mine = [each for each in self._open_jobs(newest, job) if each.requested_at <= self.arrived]
        if not mine and has_acted and job.cancel_requested:
            mine = [job]  # it has ended meanwhile
        if not mine:
            if self.arrived < newest.modified:
                return self._refused(job, MarkerReason.OLDER)
            is_rejected = job.state is JobState.REJECTED
            if is_rejected and cancel_waiting(self.context.repository, job, self.origin.version_id):
                return marker_notices.waits_no_more(self.context, job, self.origin)
            return self._refused(job, MarkerReason.REJECTED if is_rejected else MarkerReason.ENDED)
        wanted = [each for each in mine if has_acted or not each.cancel_requested]
        if not wanted:
            return self._refused(mine[-1], MarkerReason.ALREADY)
        batches = {each.id: self.context.repository.batches(each.id) for each in wanted}
        self._remember(newest)
        stopped = [each for each in wanted if not _has_come_back(each, batches[each.id])]
        if not stopped:
            return marker_notices.too_late(self.context, wanted[-1], self.origin)
        is_sent = any(batch.openai_id or batch.creating_at for each in stopped for batch in batches[each.id])
        return marker_notices.cancelling(self.context, stopped, self.origin, is_sent=is_sent)

    def _open_jobs(self, newest: LatestJob, job: Job) -> list[Job]:
        """Return the open jobs of the key, the newest last."""
        older = (self.context.repository.job(each) for each in sorted(newest.open_jobs) if each != job.id)
        return [each for each in (*older, job) if each is not None and each.state not in ENDED_JOBS]

    def _approve(self, job: Job) -> Notification:
        """Let a held job go on, up to the amount that its notice named. An approval from before the notice is none."""
        version = self.origin.version_id
        if job.resumed_by == version:
            return marker_notices.approved(self.context, job, self.origin)
        if job.state is JobState.BUILDING:
            return self._refused(job, MarkerReason.BEING_READ)
        if job.state is JobState.HELD and job.held_reason in APPROVABLE:
            if self.arrived < job.held_at:
                return self._refused(job, MarkerReason.BEFORE_QUOTE)
            job = self._let_go(job, *APPROVABLE, marker=version)
            if job.resumed_by == version:
                return marker_notices.approved(self.context, job, self.origin)
        if job.state is JobState.REJECTED:
            return self._refused(job, MarkerReason.REJECTED)
        return self._refused(job, MarkerReason.ENDED if job.state in ENDED_JOBS else MarkerReason.NOT_HELD)

    def _let_go(self, job: Job, *reasons: HeldReason, marker: str | None = None) -> Job:
        """Resume the job if it is held for one of these reasons. Return it as it is then."""
        return resume(self.context, job, *reasons, marker=marker) or self.context.repository.job(job.id) or job

    def _retry(self, job: Job) -> Notification | RequestedRun:
        version = self.origin.version_id
        if job.state is JobState.HELD and job.held_reason is HeldReason.FAILING:
            job = self._let_go(job, HeldReason.FAILING, marker=version)
        if job.resumed_by == version:
            return marker_notices.resumed(self.context, job, self.origin)
        if job.state is JobState.REJECTED:
            # The recipe was wrong then, or no row could be retried. The rows to retry are the same as before.
            again = RequestedRun(job.drop, MarkerKind.RETRY, job.retry_of)
            return again if job.retry_of is not None else self._refused(job, MarkerReason.REJECTED)
        if job.state in ENDED_JOBS:
            if not job.keeps_work:
                return self._refused(job, MarkerReason.NOTHING_TO_RETRY)
            return RequestedRun(job.drop, MarkerKind.RETRY, job.id)
        is_held = job.state is JobState.HELD and not job.cancel_requested
        return self._refused(job, MarkerReason.HELD if is_held else MarkerReason.RUNNING)


def _has_come_back(job: Job, batches: Sequence[Batch]) -> bool:
    """Return whether no batch of a job can be stopped any more."""
    if job.state in (JobState.BUILDING, JobState.HELD, JobState.CANCELLED):
        return False
    if job.state is JobState.RUNNING:
        return bool(batches) and all(batch.state in UNSTOPPABLE for batch in batches)
    return True
