"""Takes in what lands in the inbox (intake queue), and submits the batches that are due (dispatch queue)."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from dropbatch.entrypoints.bootstrap import queue_names, world
from dropbatch.entrypoints.sqs_records import each_message
from dropbatch.intake.intake import take_in
from dropbatch.messages import Look, Work
from dropbatch.ports import World
from dropbatch.submission.submit import submit


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Handle an SQS event of either queue; the answer names the messages that are to come again."""

    def handle(here: World, message: dict[str, Any]) -> None:
        if "batch" in message:
            submit(here, Work.from_json(message))
        else:
            take_in(here, Look.from_json(message))

    here = world(context.get_remaining_time_in_millis)
    return each_message(event, context, here, queue_names(here), handle)
