"""The submit function: it takes in objects of the inbox (intake queue), and submits due batches (dispatch queue).

A use case is imported for its first message, so that a process that starts for one does not wait for both.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from dropbatch.entrypoints.bootstrap import build_context, queue_names
from dropbatch.entrypoints.sqs_records import each_message
from dropbatch.messages import BatchMessage, IntakeMessage
from dropbatch.storage.context import Context


def handler(event: dict[str, Any], lambda_context: LambdaContext) -> dict[str, Any]:
    """Handle an SQS event of either queue. Return the messages that must come again."""

    def handle(context: Context, message: dict[str, Any]) -> None:
        if "batch" in message:
            from dropbatch.submission.submit import submit

            submit(context, BatchMessage.from_json(message))
        else:
            from dropbatch.intake.intake import take_in

            take_in(context, IntakeMessage.from_json(message))

    context = build_context(lambda_context.get_remaining_time_in_millis)
    return each_message(event, lambda_context, context, queue_names(context), handle)
