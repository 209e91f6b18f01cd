"""Sends the first batches of a new job at once, without waiting for the next poll."""

from collections.abc import Sequence

from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import StaleItemError
from dropbatch.domain.jobs import Job
from dropbatch.messages import message_for
from dropbatch.storage.context import Context
from dropbatch.submission.token_limits import token_limit

MAX_FIRST_INPUTS = 250_000
"""How many embedding inputs of a new job go before the poller knows of them. The poller knows what is in flight."""

MAX_FIRST_BATCHES = 4
"""How many batches of a new job go before the poller knows of them: a few more than functions at work."""


def dispatch_first(context: Context, job: Job, batches: Sequence[Batch]) -> None:
    """Admit and send the first batches of a job that now runs, if no limit is known; the poller admits the others.

    A batch is admitted only once its job runs: the batches of a job that never ran count for no limit.
    """
    inputs = 0
    for batch in [batch for batch in batches if job.may_send(batch)][:MAX_FIRST_BATCHES]:
        inputs += batch.inputs
        if (
            batch.not_before > context.now()
            or inputs > MAX_FIRST_INPUTS
            or token_limit(context, batch.model) is not None
        ):
            continue
        batch.admitted_at = batch.sent_at = context.now()
        try:
            context.repository.save(batch)
        except StaleItemError:
            continue  # the poller was quicker
        context.dispatch.send(message_for(batch))
