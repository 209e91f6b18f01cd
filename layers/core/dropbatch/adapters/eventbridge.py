"""Events on the account's default bus of EventBridge: the same as programs get from SNS.

Their source never begins with `aws.`, which EventBridge reserves. The stack's own rule takes only events of `aws.s3`,
so no event of Dropbatch can start a drop.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from botocore.exceptions import ClientError

from dropbatch.ports import Notification

_REFUSED = frozenset({"ValidationException", "MalformedDetail", "InvalidArgument"})
"""The codes for an event that EventBridge does not take, such as one that is too large."""


class _Client(Protocol):
    """The client of EventBridge, for which the project has no stubs."""

    def put_events(self, **call: Any) -> Mapping[str, Any]: ...


class DefaultBus:
    """`ports.EventBus` on EventBridge."""

    def __init__(self, client: _Client) -> None:
        self._client = client

    def publish(self, notification: Notification) -> None:
        # Imported here, because an idle poll does not need it.
        from dropbatch.reporting.message_length import fitted, short_form

        try:
            self._put(fitted(notification))
        except ClientError as error:
            if error.response["Error"]["Code"] not in _REFUSED:
                raise
            # EventBridge would refuse it again, and the events after it would wait for ever.
            self._put(short_form(notification))

    def _put(self, notification: Notification) -> None:
        from dropbatch.reporting.bus_events import SOURCE, detail_type
        from dropbatch.reporting.message_length import event_json

        entry = {
            "Source": SOURCE,
            "DetailType": detail_type(notification.event),
            "Detail": event_json(notification.detail),
        }
        answer = self._client.put_events(Entries=[entry])
        if answer["FailedEntryCount"]:  # the call succeeded, and its only event failed
            failed = answer["Entries"][0]
            code, message = failed["ErrorCode"], failed.get("ErrorMessage", "")
            raise ClientError({"Error": {"Code": code, "Message": message}}, "PutEvents")
