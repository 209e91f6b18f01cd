"""Mirrors answers: `_answers/<key of the drop>` holds those of the newest run, so that a folder reads as one table.

The mirror is replaced as a whole, by newer runs alone, whichever finish at once and however long a process pauses. The
table names the run that is to be there, and that only ever becomes a newer one. A process first makes it its own, then
asks S3 what stands under the key, then looks whether the run is still its own, and writes only in place of just what S3
named (`If-Match`). One that was overtaken before it looked stops; one that was overtaken later is refused by S3, unless
the newer run has not been written yet, which then replaces it. Content that is the same as before cannot be told apart
so: a process that has written looks once more, and if it was overtaken, writes the newer run itself.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from dropbatch.domain.errors import ObjectNotFoundError, StaleItemError
from dropbatch.domain.jobs import MAX_JOB_SECONDS, RETENTION_SECONDS, Job
from dropbatch.domain.runs import Mirror
from dropbatch.ports import Piece
from dropbatch.storage.context import Context
from dropbatch.storage.job_files import JobFiles


class Answers(NamedTuple):
    """The answers of a run: their key in the results bucket, and what they are."""

    source: str
    content_type: str


def mirror(context: Context, job: Job, answers: Answers, in_time: Callable[[], bool]) -> bool:
    """Make a run's answers what is mirrored, unless a newer run's are; False if time has run out before that was done.

    Call again for the rest; each call comes further.
    """
    drop = job.drop
    wanted = Mirror(
        drop.bucket,
        drop.key,
        job.id,
        drop.sequencer,
        job.requested_at,
        job.run,
        *answers,
        expires_at=job.created_at + MAX_JOB_SECONDS + RETENTION_SECONDS,
    )

    def wanting() -> Mirror | None:
        """The run as the table is to name it; None if it names this one already, or a newer one."""
        current = context.repository.reload(wanted)
        if current is not None and (current.job_id == job.id or not current.is_before(job)):
            return None
        return replace(wanted, rev=current.rev if current else 0)

    context.repository.change(wanting, lambda _: True)
    found = context.repository.reload(wanted)
    if found is None or found.job_id != job.id or found.is_written:
        return True
    current = found
    files = JobFiles(context.objects, context.buckets.work, job.id)
    while True:
        written = _write(context, files, job.mirror or "", current, in_time)
        if written is None:
            return False
        if not written:
            return True

        def finish(standing: Mirror, run: Mirror = current) -> bool:
            if standing.job_id != run.job_id or standing.is_written:
                return False
            standing.is_written = True
            return True

        context.repository.update(current, finish)
        standing = context.repository.reload(current)
        if standing is None or standing.job_id == current.job_id:
            context.observer.info("answers mirrored", job_id=current.job_id)
            return True
        current = standing  # what was written may lie over what is newer


def _write(context: Context, files: JobFiles, key: str, run: Mirror, in_time: Callable[[], bool]) -> bool | None:
    """Write a run's answers under the mirror's key; False if another run's are to be there, None if time ran out."""
    results = context.buckets.results
    try:
        piece = Piece(results, run.source, 0, context.objects.head(results, run.source).size)
    except ObjectNotFoundError:
        context.observer.warning("answers that were to be mirrored are gone", job_id=run.job_id)
        return False
    begun = files.mirrored().get("begun")
    while True:
        try:
            stands = context.objects.head(results, key).etag
        except ObjectNotFoundError:
            stands = ""
        current = context.repository.reload(run)
        if current is None or current.job_id != run.job_id:
            return False
        try:
            begun = context.objects.join([piece], results, key, run.content_type, in_time, begun, stands)
        except StaleItemError:
            begun = None
            continue
        if begun is not None:
            files.keep_mirrored({"begun": begun})
            return None
        return True
