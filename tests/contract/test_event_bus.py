"""The contract of the port to EventBridge, which the fake and the real adapter keep."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings

from dropbatch.adapters.eventbridge import DefaultBus
from dropbatch.ports import EventBus, Notification
from dropbatch.reporting.bus_events import SOURCE, detail_type
from tests.contract.conftest import REGION
from tests.event_rules import rule_with_queue
from tests.fakes import FakeBus
from tests.fakes.bus import BusEvent, check_as_eventbridge
from tests.fakes.refusal import refusal
from tests.notifying import Generated, anything

NOTIFICATION = Notification("ended", "partial", "lake", "a subject", "a text", {"event": "ended", "name": "ü😀"})
HUGE = Notification(
    "ended", "partial", "lake", "s", "t", {"job_id": "the-job", "problems": {"total": 9, "first": ["ü" * 400_000] * 9}}
)


class BusAndRule(NamedTuple):
    bus: EventBus
    received: Callable[[], list[BusEvent]]  # by a rule for all events of Dropbatch


@pytest.fixture(params=["fake", "real"])
def ends(request: pytest.FixtureRequest, aws: None, monkeypatch: pytest.MonkeyPatch) -> BusAndRule:
    if request.param == "fake":
        fake = FakeBus()
        return BusAndRule(fake, lambda: fake.published)
    received = rule_with_queue(monkeypatch, {"source": [SOURCE]})
    return BusAndRule(
        DefaultBus(boto3.client("events", region_name=REGION)),
        lambda: [BusEvent(body["source"], body["detail-type"], body["detail"]) for body in received()],
    )


def test_a_rule_gets_the_event_that_programs_get(ends: BusAndRule) -> None:
    ends.bus.publish(NOTIFICATION)
    assert ends.received() == [BusEvent("dropbatch", "Job ended", {"event": "ended", "name": "ü😀"})]


def test_an_event_that_is_too_large_is_cut_to_fit(ends: BusAndRule) -> None:
    ends.bus.publish(HUGE)
    ((_, _, detail),) = ends.received()
    assert (detail["job_id"], detail["problems"]["total"], detail["cut"]) == ("the-job", 9, True)


class StrictBus:
    """EventBridge, as strict as `FakeBus`. `refuses` is the code with which it refuses what is not ASCII."""

    def __init__(self, refuses: str = "") -> None:
        self._refuses = refuses
        self.sent: list[dict[str, Any]] = []

    def put_events(self, **call: Any) -> dict[str, Any]:
        (entry,) = call["Entries"]
        check_as_eventbridge(entry["Source"], entry["DetailType"], entry["Detail"])
        if self._refuses and not entry["Detail"].isascii():
            return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": self._refuses, "ErrorMessage": "no"}]}
        self.sent.append(entry)
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}


@pytest.mark.slow
@given(generated=anything())
@settings(deadline=None)  # it may have megabytes
def test_eventbridge_accepts_every_notification(generated: Generated) -> None:
    client = StrictBus()
    DefaultBus(client).publish(generated.notification)
    (entry,) = client.sent
    assert entry.keys() == {"Source", "DetailType", "Detail"}, "the bus is the default one"
    assert isinstance(json.loads(entry["Detail"]), dict)


def test_a_refused_event_is_put_in_its_shortest_form() -> None:
    client = StrictBus("MalformedDetail")
    DefaultBus(client).publish(NOTIFICATION)
    (entry,) = client.sent
    assert json.loads(entry["Detail"]) == {"event": "ended", "status": "partial", "cut": True}
    assert entry["DetailType"] == detail_type("ended")


@pytest.mark.parametrize("code", ["InternalFailure", "ThrottlingException", "NotAuthorizedForSourceException"])
def test_an_event_that_failed_is_an_error_though_the_call_succeeded(code: str) -> None:
    with pytest.raises(ClientError, match=code):
        DefaultBus(StrictBus(code)).publish(NOTIFICATION)


def test_an_error_of_the_call_is_raised() -> None:
    class Denied:
        def put_events(self, **_call: Any) -> Any:
            raise refusal("PutEvents", "AccessDeniedException", "no")

    with pytest.raises(ClientError, match="AccessDenied"):
        DefaultBus(Denied()).publish(NOTIFICATION)


def test_an_unknown_event_has_a_type_too() -> None:
    assert detail_type("news") == "Job changed"
