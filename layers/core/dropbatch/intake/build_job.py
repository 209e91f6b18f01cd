"""Building a job: its drop is validated, or its `.retry` prepared, its content claimed, and the job started."""

from functools import partial

from dropbatch.domain.batches import Batch
from dropbatch.domain.deadlines import ITEM_LIFETIME_SECONDS
from dropbatch.domain.jobs import Job, Shard
from dropbatch.domain.states import JobState
from dropbatch.intake.approval import is_bomb
from dropbatch.intake.canary import mark_canary
from dropbatch.intake.model_check import check_models
from dropbatch.intake.quoting import quote_batches
from dropbatch.intake.retry_job import prepare_retry
from dropbatch.intake.sharding import batches_of
from dropbatch.intake.start_job import ReadyJob, start_job
from dropbatch.intake.validation import ValidDrop, validate
from dropbatch.jobs.deduplication import claim_content, digest_of
from dropbatch.jobs.latest_job import leave_key_to
from dropbatch.jobs.lease import release, update_own
from dropbatch.jobs.pending import MAX_PENDING_SECONDS
from dropbatch.jobs.reject import end_duplicate
from dropbatch.messages import intake_message_for
from dropbatch.storage.context import Context
from dropbatch.storage.job_files import JobFiles


def build_job(context: Context, job: Job, files: JobFiles) -> None:
    """Build a job and start it, or hand it over to the next invocation if time runs out.

    Raise DropRejectedError if its drop cannot be used.
    """
    if job.retry_of is not None:
        _build_retry(context, job, files)
        return
    valid = validate(context, job, files, partial(_hand_over, context, job))
    if valid is None:
        return
    models: dict[str, int] = {}
    groups = [group for _, _, group in batches_of(valid.plans)]
    for group in groups:
        models.setdefault(group.model, group.first_line)
    check_models(context, models, valid.compiled, batches=len(groups))
    recipe = valid.recipe.sha256 if valid.recipe else "raw"
    digest = digest_of(job.drop.bucket, job.drop.key, valid.content, recipe)
    is_claimed, answered_by = _claim(context, job, digest)
    if not is_claimed:
        return
    files.keep_layout(valid.layout)
    if valid.sampled is not None:
        files.keep_sampled(valid.sampled)
    wanted = valid.compiled.recipe.canary if valid.compiled is not None else None
    job.canary = mark_canary(files, valid.plans, wanted) if wanted is not None else None
    start_job(context, job, _ready_job(context, job, valid, digest, answered_by))


def _build_retry(context: Context, job: Job, files: JobFiles) -> None:
    digest = digest_of(job.drop.bucket, job.drop.key, "retry", job.retry_of or "")
    is_claimed, _ = _claim(context, job, digest)
    if not is_claimed:
        return
    ready = prepare_retry(context, job, files, digest, partial(_hand_over, context, job))
    if ready is not None:
        models = dict.fromkeys((batch.model for batch in ready.batches), 0)
        check_models(context, models, ready.compiled, batches=len(ready.batches))
        start_job(context, job, ready)


def _claim(context: Context, job: Job, digest: str) -> tuple[bool, str | None]:
    """Claim the content for the job; return whether it has it, and the job that answered the same before.

    If another open job has the claim, end this one as its duplicate.
    """
    holder, answered_by = claim_content(context.repository, digest, job)
    if holder is not None:
        leave_key_to(context.repository, job, holder, context.now())
        end_duplicate(context, job, holder)
    return holder is None, answered_by


def _ready_job(context: Context, job: Job, valid: ValidDrop, digest: str, answered_by: str | None) -> ReadyJob:
    expires_at = job.created_at + ITEM_LIFETIME_SECONDS
    batches = [
        Batch(
            job_id=job.id,
            shard=plan.number,
            model_group=number,
            endpoint=group.endpoint,
            model=group.model,
            requests=group.requests,
            tokens=group.tokens,
            inputs=group.embedding_inputs,
            created_at=context.now(),
            expires_at=expires_at,
            is_canary=group.is_canary,
        )
        for plan, number, group in batches_of(valid.plans)
    ]
    shards = [
        Shard(job.id, plan.number, plan.first_row, plan.first_line, plan.rows, expires_at=expires_at)
        for plan in valid.plans
    ]
    expected = [group.expected for _, _, group in batches_of(valid.plans)]
    return ReadyJob(
        rows=valid.rows,
        shards=shards,
        batches=batches,
        kept=[],
        recipe=valid.recipe,
        compiled=valid.compiled,
        claim=digest,
        skipped=valid.skipped,
        content=valid.content,
        limited=valid.limited,
        is_bomb=is_bomb(job.drop, valid.plans),
        answered_by=answered_by,
        quote=quote_batches(context, job, valid.rows, batches, expected, valid.compiled),
    )


def _hand_over(context: Context, job: Job, name: str) -> None:
    """Release a job with how far it came, and have the next invocation continue."""

    def keep(current: Job) -> None:
        if current.state is not JobState.BUILDING:
            return
        current.came_further()
        release(current)
        current.progress, current.sent_at = name, context.now()
        current.build_until = context.now() + MAX_PENDING_SECONDS

    if update_own(context.repository, job, keep):
        context.observer.info("the job continues in the next invocation", job_id=job.id)
        # If the process dies before this, the poller sends the message.
        context.intake.send(intake_message_for(job.drop, job.rerun_version))
