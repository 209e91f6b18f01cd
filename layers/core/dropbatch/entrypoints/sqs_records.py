"""SQS records: the handlers of queues handle each message alone, under a heartbeat, with its ids on each log line."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from dropbatch.entrypoints.bootstrap import observer
from dropbatch.entrypoints.heartbeat import Heartbeat
from dropbatch.messages import BatchMessage, IntakeMessage
from dropbatch.ports import Queue
from dropbatch.storage.context import Context

RETRY_SECONDS = 30
"""The delay of a failed message, doubled after each failure. SQS alone would wait half an hour."""

MAX_RETRY_SECONDS = 900


class MessageFailedError(Exception):
    """A message could not be handled, and will come again. The error names the kind of fault, never a row's text."""


def each_message(
    event: dict[str, Any],
    lambda_context: LambdaContext,
    context: Context,
    queues: Mapping[str, Queue],
    handle: Callable[[Context, dict[str, Any]], None],
) -> dict[str, Any]:
    """Handle an SQS event's messages, and report those that failed, for SQS to deliver them again.

    `queues` are the queues that the messages may come from, by the name at the end of their ARN.
    """
    observe = observer()

    def handle_record(record: SQSRecord) -> None:
        queue = queues[record.event_source_arn.rpartition(":")[2]]
        ids = {"request_id": lambda_context.aws_request_id, "message_id": record.message_id}
        try:
            with Heartbeat(context, partial(_hide, queue, record)) as heart:
                message = json.loads(record.body)
                ids |= _ids(message)
                with observe.context_keys(**ids):
                    handle(replace(context, keeping=heart.keeping), message)
        except Exception as error:  # noqa: BLE001 - it is logged, and the message comes again
            observe.exception("a message failed and will come again", **ids)
            receives = int(record.attributes.approximate_receive_count or 1)
            _hide(queue, record, min(MAX_RETRY_SECONDS, RETRY_SECONDS * 2 ** (receives - 1)))
            raise MessageFailedError(type(error).__name__) from None

    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    response = process_partial_response(event, handle_record, processor, lambda_context)
    return dict(response)


def _hide(queue: Queue, record: SQSRecord, seconds: int) -> None:
    """Hide the message. If that fails, it comes back when its queue says so, which does no harm."""
    try:
        queue.hide(record.receipt_handle, seconds)
    except Exception:  # noqa: BLE001 - as above
        observer().info("a message could not be hidden")


def _ids(message: dict[str, Any]) -> dict[str, Any]:
    """Return the ids that a message names: job, shard and batch, or the version of an object. Keys are not logged."""
    if "job_id" in message:
        return BatchMessage.from_json(message).ids
    return {"version_id": IntakeMessage.from_json(message).version_id}
