"""An ended batch as OpenAI shows it, and its answers: what is late or stale is not final, so the collector waits.

OpenAI's files may come later than the batch's end, and an old answer of its servers may come after a new one. While
that is possible, the batch is in doubt, and each function here raises RetryLaterError.
"""

from dataclasses import replace

from dropbatch.answers.output_files import AnswerLines
from dropbatch.collection.answer_files import fetch
from dropbatch.collection.handover import in_time
from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import ErrorKind, OpenAIError, OpenAINotFoundError, RetryLaterError
from dropbatch.domain.jobs import Job, Shard
from dropbatch.domain.outcomes import ANSWERS_GONE
from dropbatch.domain.states import TERMINAL, HeldReason, OpenAIStatus
from dropbatch.jobs.hold import hold
from dropbatch.jobs.openai_batch import MAX_OPEN_SECONDS, can_see
from dropbatch.ports import RemoteBatch
from dropbatch.storage.context import Context
from dropbatch.storage.job_files import JobFiles

LATE_SECONDS = 60
"""How soon files are requested again that OpenAI has not finished."""

MAX_LATE_SECONDS = 600
"""How long the wait between two such requests becomes at most."""

DOUBT_FACTOR = 3
"""How long a batch is in doubt after its end, in `absence_confirmation_seconds`: 30 min by default."""

KEY_CHANGED_SECONDS = 3600
"""When a batch is tried again that the key cannot see. The poller sends it sooner if the former key is back."""


def retrieve_ended(context: Context, job: Job, batch: Batch) -> RemoteBatch:
    """Return the ended batch as OpenAI shows it, or as it was last seen if OpenAI can no longer show it.

    Sets `batch.assumed_ended` if OpenAI does not say so, and the batch counts as ended by its age. Raises
    RetryLaterError if OpenAI shows less than before: that answer is stale.
    """
    is_too_old = batch.assumed_ended or context.now() > (batch.submitted_at or 0) + MAX_OPEN_SECONDS
    try:
        remote = context.openai.retrieve(batch.openai_id or "")
    except OpenAINotFoundError:
        if not can_see(context, batch):
            hold(context, job, HeldReason.KEY_CHANGED, "key_changed", batch)
            raise RetryLaterError(KEY_CHANGED_SECONDS, "the key is not of the batch's project") from None
        seen = _as_seen(batch)
        if seen.output_file_id is None and seen.error_file_id is None and _is_in_doubt(context, batch):
            seconds = context.scaled(MAX_LATE_SECONDS)
            raise RetryLaterError(seconds, "OpenAI does not know the batch at the moment") from None
        return seen
    except OpenAIError as error:
        if is_too_old and error.kind is not ErrorKind.PASSING:
            return _as_seen(batch)
        raise
    if remote.status in TERMINAL:
        batch.assumed_ended = False
        if remote.status is OpenAIStatus.CANCELLED and batch.cancelled_for_age_at:
            # Dropbatch cancelled it for its age, not its owner: its unanswered rows have expired.
            return replace(remote, status=OpenAIStatus.EXPIRED)
        return remote
    if not is_too_old:
        raise RetryLaterError(_late_seconds(context), "OpenAI shows a batch as it was before it ended")
    batch.assumed_ended = True
    return replace(remote, status=OpenAIStatus.EXPIRED)


def _as_seen(batch: Batch) -> RemoteBatch:
    """Return a batch that ended, and can no longer be retrieved, as it was when it was last seen."""
    return RemoteBatch(
        id=batch.openai_id or "",
        status=batch.openai_status if batch.openai_status in TERMINAL else OpenAIStatus.EXPIRED,
        created_at=batch.submitted_at or 0,
        input_file_id=batch.file_id or "",
        output_file_id=batch.output_file_id,
        error_file_id=batch.error_file_id,
        total=batch.total,
        completed=batch.completed,
        failed=batch.failed,
    )


def fetch_answers(
    context: Context, files: JobFiles, shard: Shard, batch: Batch, remote: RemoteBatch
) -> tuple[AnswerLines, str | None] | None:
    """Fetch a batch's answers, which the caller closes, and ANSWERS_GONE if OpenAI no longer has all of them.

    Return None if time ran out: the next call continues. Raises RetryLaterError if OpenAI may deliver more.
    """
    shown = _digest_of(remote)
    if batch.incomplete_digest == shown and _is_in_doubt(context, batch):
        raise RetryLaterError(_late_seconds(context), "OpenAI still shows an incomplete batch")
    answers, gone = _fetch_files(context, files, shard, batch, remote)
    if answers is None:
        return None
    if gone is None and _is_incomplete(context, batch, remote, answers):
        with answers:
            batch.incomplete_digest = shown
            raise RetryLaterError(_late_seconds(context), "answers are counted that have not been delivered")
    return answers, gone


def _fetch_files(
    context: Context, files: JobFiles, shard: Shard, batch: Batch, remote: RemoteBatch
) -> tuple[AnswerLines | None, str | None]:
    def fetch_both(output: str | None, errors: str | None) -> AnswerLines | None:
        return fetch(context, files, shard, batch, output, errors, lambda: in_time(context))

    try:
        return fetch_both(remote.output_file_id, remote.error_file_id), None
    except OpenAINotFoundError:
        if _is_in_doubt(context, batch):
            raise  # so shortly after its end a file may not be visible yet
    context.observer.warning("OpenAI no longer has all of a batch's answers", **batch.ids)
    for output, errors in ((remote.output_file_id, None), (None, remote.error_file_id)):
        try:
            if output or errors:
                return fetch_both(output, errors), ANSWERS_GONE
        except OpenAINotFoundError:
            continue
    return fetch_both(None, None), ANSWERS_GONE


def _late_seconds(context: Context) -> int:
    return min(LATE_SECONDS, context.absence_confirmation_seconds)


def _is_in_doubt(context: Context, batch: Batch) -> bool:
    """Return whether OpenAI may still deliver answers."""
    return context.now() < (batch.ended_at or 0) + DOUBT_FACTOR * context.absence_confirmation_seconds


def _digest_of(remote: RemoteBatch) -> str:
    """Return a text that changes when OpenAI has more of a batch's answers."""
    counts = f"{remote.completed} {remote.failed} {remote.total}"
    return f"{counts} {remote.output_file_id} {remote.error_file_id}"


def _is_incomplete(context: Context, batch: Batch, remote: RemoteBatch, answers: AnswerLines) -> bool:
    """Return whether OpenAI has counted more answers than it delivered, and may still deliver them."""
    counted = remote.completed + remote.failed
    if remote.status is OpenAIStatus.COMPLETED:
        counted = max(counted, remote.total) or batch.requests
    is_short = answers.found + answers.repeated < counted
    return is_short and remote.status is not OpenAIStatus.FAILED and _is_in_doubt(context, batch)
