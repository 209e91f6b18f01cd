"""What the handlers of queues share: each message by itself, its ids on every line that is logged about it."""

import json
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from dropbatch.bootstrap import observer
from dropbatch.messages import Look, Work


class MessageFailed(Exception):
    """A message could not be handled and is to come again. It names the kind of fault, never a row's text."""


def each_message(
    event: dict[str, Any], context: LambdaContext, handle: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Handles an SQS event's messages, and reports those that failed, for SQS to deliver them again."""
    observe = observer()

    def handle_record(record: SQSRecord) -> None:
        ids = {"request_id": context.aws_request_id, "message_id": record.message_id}
        try:
            message = json.loads(record.body)
            ids |= _ids(message)
            with observe.about(**ids):
                handle(message)
        except Exception as error:  # noqa: BLE001 - whatever it was, it is logged, and the message comes again
            observe.failed("a message failed and will come again", **ids)
            raise MessageFailed(type(error).__name__) from None

    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    response = process_partial_response(event, handle_record, processor, context)
    return dict(response)


def _ids(message: dict[str, Any]) -> dict[str, Any]:
    """The ids that a message names: a job, a shard and a batch; or an object's version, whose key is not logged."""
    if "job_id" in message:
        return Work.from_json(message).ids
    return {"version_id": Look.from_json(message).version_id}
