"""Brings ended batches home, and assembles the results of jobs whose batches all are (collect queue)."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from dropbatch.bootstrap import world
from dropbatch.collect import collect
from dropbatch.domain.errors import TryLater
from dropbatch.messages import Work
from dropbatch.queue_handling import each_message


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """An SQS event; the answer names the messages that are to come again."""
    here = world(context.get_remaining_time_in_millis)

    def handle(message: dict[str, Any]) -> None:
        try:
            collect(here, Work.from_json(message))
        except TryLater as later:
            here.collect.send(message, later.seconds)

    return each_message(event, context, handle)
