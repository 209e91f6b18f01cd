"""Events on EventBridge's bus: the same as programs get from SNS, and neither waits for the other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dropbatch.domain.states import JobState
from dropbatch.reporting.bus_events import DETAIL_TYPES
from dropbatch.reporting.message_length import event_json
from tests import event_contract
from tests.driving import RECIPE, deliver, drop, only_job, pass_time, rows, run
from tests.fakes import FakeContext, Fault, Faults

HOUR = 3_600
DAY = 24 * HOUR


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", RECIPE)
    return fake


def test_each_event_for_programs_is_on_the_bus_too_with_a_type_of_its_own(fake: FakeContext) -> None:
    drop(fake, "held/recipe.yaml", RECIPE + b"hold: true\n")
    for key in ("held/a.csv", "b.csv", "b.csv"):
        drop(fake, key, rows(2))
    drop(fake, "c.csv", b"no_text\n1\n")
    deliver(fake)
    drop(fake, "held/a.csv.cancel", b"")
    run(fake)
    published = [event_contract.json.loads(event_json(notification.detail)) for notification in fake.topics.published]
    assert sorted(map(str, published)) == sorted(str(event.detail) for event in fake.bus.published)
    found = {(event.source, event.detail_type, event.detail["event"]) for event in fake.bus.published}
    assert found == {("dropbatch", DETAIL_TYPES[kind], kind) for _, _, kind in found}
    assert {kind for _, _, kind in found} >= {"accepted", "held", "rejected", "ended", "recipe", "marker"}


def test_every_kind_of_event_that_has_a_schema_has_a_type() -> None:
    assert set(DETAIL_TYPES) == event_contract.kinds()
    assert len(set(DETAIL_TYPES.values())) == len(DETAIL_TYPES)


@pytest.mark.parametrize(
    ("broken", "reached", "waiting"), [("topics.publish", "bus", "topics"), ("bus.publish", "topics", "bus")]
)
def test_a_fault_of_one_delays_no_event_of_the_other_and_is_tried_again(
    fake: FakeContext, broken: str, reached: str, waiting: str
) -> None:
    fake.killer = faults = Faults(fake.clock, (Fault(broken, "denied"),))
    drop(fake, "a.csv", rows(2))
    pass_time(fake, 3 * HOUR)
    assert only_job(fake).state is JobState.SUCCEEDED
    events = {
        "topics": lambda: fake.topics.events(),
        "bus": lambda: [event.detail["event"] for event in fake.bus.published],
    }
    assert events[reached]() == ["accepted", "ended"]
    assert events[waiting]() == []
    assert faults.made[broken] < 40, "less and less often"
    faults.faults.clear()
    pass_time(fake, 5 * HOUR)
    assert events[reached]() == events[waiting]() == ["accepted", "ended"]
    assert only_job(fake).outbox == []


def test_a_notice_is_read_once_for_all_who_get_it(fake: FakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 bills each read, and a notice has several readers."""
    read: list[str] = []
    blocks = fake.objects.blocks

    def counted(bucket: str, key: str, *more: Any) -> Iterator[bytes]:
        read.append(key)
        return blocks(bucket, key, *more)

    monkeypatch.setattr(fake.objects, "blocks", counted)
    fake.openai.ending = None
    drop(fake, "a.csv", rows(2))
    deliver(fake)
    assert fake.topics.events() == ["accepted"]
    assert fake.bus.events() == ["Job accepted"]
    assert [key.rpartition("/")[2] for key in read if "/outbox/" in key] == ["accepted.json"]


def test_a_bus_that_takes_nothing_for_ever_keeps_no_job_open(fake: FakeContext) -> None:
    """An organization may forbid its accounts to put events. Mails and results must not suffer."""
    fake.killer = faults = Faults(fake.clock, (Fault("bus.publish", "denied"),))
    drop(fake, "a.csv", rows(2))
    pass_time(fake, DAY / 2, step=600)
    assert only_job(fake).outbox, "it is tried for most of a day"
    pass_time(fake, DAY / 2, step=600)
    job = only_job(fake)
    assert (job.state, job.outbox, job.is_clean) == (JobState.SUCCEEDED, [], True)
    assert fake.topics.events() == ["accepted", "ended"]
    assert faults.made["bus.publish"] < 40
    assert any("given up" in line for line in fake.observer.lines)
