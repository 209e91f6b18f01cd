"""Moves on everything that waits; EventBridge Scheduler calls it every minute."""

from dataclasses import replace
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from dropbatch.entrypoints.bootstrap import observer, world
from dropbatch.entrypoints.heartbeat import Heartbeat
from dropbatch.polling.poll import poll


def handler(_event: dict[str, Any], context: LambdaContext) -> None:
    """Poll; what the schedule sends says nothing that a poll needs."""
    here = world(context.get_remaining_time_in_millis)
    with observer().about(request_id=context.aws_request_id), Heartbeat(here) as heart:
        poll(replace(here, keeping=heart.keeping))
