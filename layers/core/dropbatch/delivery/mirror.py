"""The mirror of answers: `_answers/<key of the drop>` has those of the newest run, so that a folder reads as one table.

A mirror is replaced as a whole, and only by a newer run, even if several runs finish at once or a process pauses. The
table names the run that belongs into the mirror, and that run is only ever replaced by a newer one. A process

1. enters its run into the table,
2. gets the ETag of the object under the key,
3. checks that the table still names its run, and stops if not,
4. writes only in place of that very object (`If-Match`).

If a newer run comes between 3 and 4, S3 refuses the write, or the newer run replaces the object afterwards. An ETag is
the same for the same content, so `If-Match` cannot see every overtaking. Therefore a process that has written checks
the table again, and if a newer run is there, it writes that run itself.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from dropbatch.domain.deadlines import MAX_JOB_SECONDS, RETENTION_SECONDS
from dropbatch.domain.errors import ObjectNotFoundError, StaleItemError
from dropbatch.domain.jobs import Job
from dropbatch.domain.runs import Mirror
from dropbatch.ports import Piece
from dropbatch.storage.context import Context
from dropbatch.storage.job_files import JobFiles


class Answers(NamedTuple):
    """The answers of a run: their key in the results bucket, and their content type."""

    source: str
    content_type: str


def is_mirrored(job: Job, *, is_cancelled: bool, answered: int) -> bool:
    """Return whether a run's answers belong into the mirror: its recipe asks for it, and it has some."""
    return job.mirror is not None and not is_cancelled and answered > 0


def mirror(context: Context, job: Job, answers: Answers, in_time: Callable[[], bool]) -> bool:
    """Mirror a run's answers, unless a newer run's are mirrored.

    Return False if time ran out: call again to continue; each call makes progress.
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
        """Return the mirror's item with this run; None if it names this run already, or a newer one."""
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

        def finish(stored: Mirror, run: Mirror = current) -> bool:
            if stored.job_id != run.job_id or stored.is_written:
                return False
            stored.is_written = True
            return True

        context.repository.update(current, finish)
        stored = context.repository.reload(current)
        if stored is None or stored.job_id == current.job_id:
            context.observer.info("answers mirrored", job_id=current.job_id)
            return True
        current = stored  # the older run may be written over a newer one


def _write(context: Context, files: JobFiles, key: str, run: Mirror, in_time: Callable[[], bool]) -> bool | None:
    """Write a run's answers under the mirror's key.

    Return False if the table names another run by now, None if time ran out.
    """
    results = context.buckets.results
    try:
        piece = Piece(results, run.source, 0, context.objects.head(results, run.source).size)
    except ObjectNotFoundError:
        context.observer.warning("answers that were to be mirrored are gone", job_id=run.job_id)
        return False
    begun = files.mirrored().get("begun")
    while True:
        try:
            etag = context.objects.head(results, key).etag
        except ObjectNotFoundError:
            etag = ""
        current = context.repository.reload(run)
        if current is None or current.job_id != run.job_id:
            return False
        try:
            begun = context.objects.join([piece], results, key, run.content_type, in_time, begun, etag)
        except StaleItemError:
            begun = None
            continue
        if begun is not None:
            files.keep_mirrored({"begun": begun})
            return None
        return True
