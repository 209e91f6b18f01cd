"""What the settings name is what the World reaches."""

from dataclasses import fields
from pathlib import Path

import pytest

from dropbatch.adapters.aws import connect
from dropbatch.settings import Settings
from tests.fakes import FakeClock, FakeObserver

NUMBERS = {"settle_seconds": 600, "recipe_wait_seconds": 120, "hold_above_rows": 77, "max_drop_gigabytes": 2}


@pytest.fixture
def settings() -> Settings:
    environment = {"AWS_REGION": "us-east-1", **{name.upper(): str(number) for name, number in NUMBERS.items()}}
    for member in fields(Settings):
        environment.setdefault(member.name.upper(), "1" if member.type is int else f"the-{member.name}")
    return Settings.from_environment({**environment, "TOKEN_LIMITS": ""})


def test_every_queue_and_its_dead_letters_are_those_of_the_settings(settings: Settings, tmp_path: Path) -> None:
    world = connect(settings, observer=FakeObserver(), clock=FakeClock(), scratch=tmp_path, new_token=lambda: "t")
    assert {name: dead._url for name, dead in world.dead_letters.items()} == {  # type: ignore[attr-defined]  # where it goes
        "intake": "the-intake_dead_letters_url",
        "dispatch": "the-dispatch_dead_letters_url",
        "collect": "the-collect_dead_letters_url",
        "drop_events": "the-drop_event_dead_letters_url",
    }
    for queue in ("intake", "dispatch", "collect"):
        assert getattr(world, queue)._url == f"the-{queue}_queue_url"
    assert (world.hold_above_rows, world.settle_seconds, world.recipe_wait_seconds) == (77, 600, 120)
    assert world.limits.drop_bytes == 2 * 10**9
