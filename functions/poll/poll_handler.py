"""Moves on everything that waits; EventBridge Scheduler calls it every minute."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from dropbatch.bootstrap import observer, world
from dropbatch.poll import poll


def handler(_event: dict[str, Any], context: LambdaContext) -> None:
    """What the schedule sends says nothing that a poll needs."""
    with observer().about(request_id=context.aws_request_id):
        poll(world(context.get_remaining_time_in_millis))
