"""The poll function: it moves on all jobs and batches that are due. EventBridge Scheduler calls it every minute."""

from dataclasses import replace
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from dropbatch.entrypoints.bootstrap import build_context, observer
from dropbatch.entrypoints.heartbeat import Heartbeat
from dropbatch.polling.poll import poll


def handler(_event: dict[str, Any], lambda_context: LambdaContext) -> None:
    """Poll. The schedule's event holds nothing that a poll needs."""
    context = build_context(lambda_context.get_remaining_time_in_millis)
    with observer().context_keys(request_id=lambda_context.aws_request_id), Heartbeat(context) as heart:
        poll(replace(context, keeping=heart.keeping))
