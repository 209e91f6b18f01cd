"""The Context reaches the resources that the settings name."""

import tomllib
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path

import pytest

from dropbatch.entrypoints.connect import connect
from dropbatch.entrypoints.settings import Settings, SettingsIncompleteError
from dropbatch.reporting.phrases import local_time
from tests.fakes import FakeClock, FakeObserver

NUMBERS = {
    "absence_confirmation_seconds": 600,
    "recipe_wait_seconds": 120,
    "max_job_cost": "2.5",
    "max_monthly_cost": 0,
    "max_drop_gigabytes": 2,
}


@pytest.fixture
def environment() -> dict[str, str]:
    environment = {"AWS_REGION": "us-east-1", **{name.upper(): str(number) for name, number in NUMBERS.items()}}
    environment |= {"TIME_ZONE": "UTC", "TRY_AT_ONCE": "enabled"}
    for member in fields(Settings):
        environment.setdefault(member.name.upper(), "1" if member.type in (int, Decimal) else f"the-{member.name}")
    return {**environment, "TOKEN_LIMITS": ""}


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    return Settings.from_environment(environment)


def test_every_queue_and_its_dead_letters_are_those_of_the_settings(settings: Settings, tmp_path: Path) -> None:
    context = connect(settings, observer=FakeObserver(), clock=FakeClock(), scratch=tmp_path, new_token=lambda: "t")
    assert {name: dead._url for name, dead in context.dead_letters.items()} == {  # type: ignore[attr-defined]  # where it goes
        "intake": "the-intake_dead_letters_url",
        "dispatch": "the-dispatch_dead_letters_url",
        "collect": "the-collect_dead_letters_url",
        "drop_events": "the-drop_event_dead_letters_url",
    }
    for queue in ("intake", "dispatch", "collect"):
        assert getattr(context, queue)._url == f"the-{queue}_queue_url"
    assert (context.absence_confirmation_seconds, context.recipe_wait_seconds) == (600, 120)
    assert (context.max_job_usd, context.max_month_usd) == (Decimal("2.5"), None), "0 is no limit"
    assert context.limits.drop_bytes == 2 * 10**9


def test_times_in_messages_have_the_stacks_time_zone(settings: Settings, tmp_path: Path) -> None:
    here = replace(settings, time_zone="Europe/Berlin")
    context = connect(here, observer=FakeObserver(), clock=FakeClock(), scratch=tmp_path, new_token=lambda: "t")
    assert local_time(1_795_757_000, context.zone) == "27 Nov 2026, 06:23 CET"


@pytest.mark.parametrize("zone", ["Europe/Berlim", "Europe", "../etc/passwd", "x" * 300])
def test_an_unknown_time_zone_is_reported_in_a_sentence(environment: dict[str, str], zone: str) -> None:
    with pytest.raises(
        SettingsIncompleteError, match="TIME_ZONE must be the name of a time zone, such as Europe/Berlin"
    ):
        Settings.from_environment({**environment, "TIME_ZONE": zone})


def test_the_zones_of_a_machine_without_any_are_those_of_the_layer() -> None:
    """Lambda's runtimes may have no time zones. The layer has the package `tzdata`."""
    locked = tomllib.loads(Path("uv.lock").read_text())["package"]
    (own,) = [package for package in locked if package["name"] == "dropbatch"]
    assert {"name": "tzdata"} in own["dependencies"]


@pytest.mark.parametrize("amount", ["", "a lot", "-1", "NaN", "Infinity", "1,5"])
def test_a_limit_that_is_no_amount_is_reported_in_a_sentence(environment: dict[str, str], amount: str) -> None:
    with pytest.raises(SettingsIncompleteError, match="MAX_JOB_COST"):
        Settings.from_environment({**environment, "MAX_JOB_COST": amount})


@pytest.mark.parametrize(("value", "answers"), [("enabled", True), ("disabled", False)])
def test_rows_of_try_are_answered_unless_the_stack_forbids_it(
    environment: dict[str, str], tmp_path: Path, value: str, answers: bool
) -> None:
    settings = Settings.from_environment({**environment, "TRY_AT_ONCE": value})
    context = connect(settings, observer=FakeObserver(), clock=FakeClock(), scratch=tmp_path, new_token=lambda: "t")
    assert (context.answering is not None) is answers
    assert context.answering in (context.openai, None)


def test_a_switch_is_enabled_or_disabled(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsIncompleteError, match="TRY_AT_ONCE must be enabled or disabled"):
        Settings.from_environment({**environment, "TRY_AT_ONCE": "true"})
