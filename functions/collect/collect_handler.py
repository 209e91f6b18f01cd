"""The collect function: it collects ended batches, and assembles the results of their jobs (collect queue)."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from dropbatch.collection.collect import collect
from dropbatch.entrypoints.bootstrap import build_context, queue_names
from dropbatch.entrypoints.sqs_records import each_message
from dropbatch.messages import BatchMessage
from dropbatch.storage.context import Context


def handler(event: dict[str, Any], lambda_context: LambdaContext) -> dict[str, Any]:
    """Handle an SQS event. Return the messages that must come again."""

    def handle(context: Context, message: dict[str, Any]) -> None:
        collect(context, BatchMessage.from_json(message))

    context = build_context(lambda_context.get_remaining_time_in_millis)
    return each_message(event, lambda_context, context, queue_names(context), handle)
