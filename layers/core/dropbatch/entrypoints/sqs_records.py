"""SQS records: the handlers of queues handle each message alone, under a heartbeat, with its ids on each log line."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from dropbatch.entrypoints.bootstrap import observer
from dropbatch.entrypoints.heartbeat import Heartbeat
from dropbatch.messages import BatchMessage, IntakeMessage
from dropbatch.ports import Queue
from dropbatch.storage.context import Context

RETRY_SECONDS = 30
"""The delay of a failed message, doubled after each failure. SQS alone would wait half an hour."""

MAX_RETRY_SECONDS = 900


def each_message(
    event: dict[str, Any],
    lambda_context: LambdaContext,
    context: Context,
    queues: Mapping[str, Queue],
    handle: Callable[[Context, dict[str, Any]], None],
) -> dict[str, Any]:
    """Handle an SQS event's messages, and report those that failed, for SQS to deliver them again.

    `queues` are the queues that the messages may come from, by the name at the end of their ARN. (Powertools has a
    function for this, which loads 80 modules of its own and asyncio at the start of each process.)
    """
    observe = observer()

    def is_handled(record: Mapping[str, Any]) -> bool:
        queue = queues[record["eventSourceARN"].rpartition(":")[2]]
        ids = {"request_id": lambda_context.aws_request_id, "message_id": record["messageId"]}
        try:
            with Heartbeat(context, partial(_hide, queue, record)) as heart:
                message = json.loads(record["body"])
                ids |= _ids(message)
                with observe.context_keys(**ids):
                    handle(replace(context, keeping=heart.keeping), message)
        except Exception:  # noqa: BLE001 - it is logged, and the message comes again
            observe.exception("a message failed and will come again", **ids)
            receives = int(record["attributes"].get("ApproximateReceiveCount") or 1)
            _hide(queue, record, min(MAX_RETRY_SECONDS, RETRY_SECONDS * 2 ** (receives - 1)))
            return False
        return True

    failed = [record["messageId"] for record in event["Records"] if not is_handled(record)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _hide(queue: Queue, record: Mapping[str, Any], seconds: int) -> None:
    """Hide the message. If that fails, it comes back when its queue says so, which does no harm."""
    try:
        queue.hide(record["receiptHandle"], seconds)
    except Exception:  # noqa: BLE001 - as above
        observer().info("a message could not be hidden")


def _ids(message: dict[str, Any]) -> dict[str, Any]:
    """Return the ids that a message names: job, shard and batch, or the version of an object. Keys are not logged."""
    if "job_id" in message:
        return BatchMessage.from_json(message).ids
    return {"version_id": IntakeMessage.from_json(message).version_id}
