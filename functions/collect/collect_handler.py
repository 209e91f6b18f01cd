"""Collects ended batches, and assembles the results of jobs whose batches all are (collect queue)."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from dropbatch.collection.collect import collect
from dropbatch.entrypoints.bootstrap import queue_names, world
from dropbatch.entrypoints.sqs_records import each_message
from dropbatch.messages import Work
from dropbatch.ports import World


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Handle an SQS event; the answer names the messages that are to come again."""

    def handle(here: World, message: dict[str, Any]) -> None:
        collect(here, Work.from_json(message))

    here = world(context.get_remaining_time_in_millis)
    return each_message(event, context, here, queue_names(here), handle)
