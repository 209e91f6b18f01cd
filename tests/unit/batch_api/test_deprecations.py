"""The published shutdowns of OpenAI's models, and the notices of them."""

from datetime import UTC, date, datetime

import pytest

from dropbatch.batch_api import deprecations
from dropbatch.batch_api.deprecations import MAX_NOTICES, find_shutdown, notices_about


def at(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())


def said(models: list[str], day: str) -> list[str]:
    return [notice.message for notice in notices_about(models, at(day))]


@pytest.mark.parametrize(
    ("model", "day", "replacement"),
    [
        ("gpt-5-mini", "2026-12-11", "gpt-5.6-terra"),
        ("gpt-5", "2026-12-11", "gpt-5.6-sol"),
        ("gpt-5-nano", "2026-12-11", "gpt-5.6-luna"),
        ("gpt-5-pro-2025-10-06", "2026-12-11", "gpt-5.6-sol"),
        ("o3-2025-04-16", "2026-12-11", "gpt-5.6-sol"),
        ("gpt-3.5-turbo", "2026-10-23", "gpt-5.6-terra"),
        ("gpt-3.5-turbo-1106", "2026-09-28", "gpt-5.6-terra"),
        ("gpt-4-turbo-2024-04-09", "2026-10-23", "gpt-5.6-sol"),
        ("gpt-4.1-nano-2025-04-14", "2026-10-23", "gpt-5.6-luna"),
        ("o1", "2026-10-23", "gpt-5.6-sol"),
        ("o4-mini", "2026-10-23", "gpt-5.6-terra"),
        ("gpt-image-1", "2026-10-23", "gpt-image-2"),
        ("gpt-image-1-mini", "2026-12-01", "gpt-image-2"),
        ("gpt-4o", "2027-01-14", "gpt-6-luna"),
        ("gpt-4o-2024-11-20", "2027-01-14", "gpt-6-luna"),
        ("gpt-4o-2024-05-13", "2026-10-23", "gpt-5.6-sol"),
        ("ft:gpt-4o-mini-2024-07-18:org:name:id", "2027-01-14", "gpt-6-luna"),
        ("ft:gpt-3.5-turbo-0125:org::id", "2026-10-23", "gpt-5.6-terra"),
        ("davinci-002", "2026-09-28", None),
        ("sora-2-pro", "2026-09-24", None),
        ("gpt-5.1", "2027-04-01", None),
    ],
)
def test_a_shutdown_is_known_for_a_model_its_snapshots_and_its_fine_tuned_models(
    model: str, day: str, replacement: str | None
) -> None:
    shutdown = find_shutdown(model)
    assert shutdown is not None
    assert shutdown.day == date.fromisoformat(day)
    assert (shutdown.replacements[0] if shutdown.replacements else None) == replacement


@pytest.mark.parametrize(
    "model",
    [
        *("gpt-6-luna", "gpt-5.6-luna", "gpt-5.5", "gpt-5.4-mini", "gpt-image-2", "gpt-audio-1.5", "gpt-6-sol"),
        *("text-embedding-3-small", "my-model", "", "openai/gpt-5-mini", "gpt-5-mini-deployment", "ft:"),
        *("gpt-4o-mini-ours", "meta-llama/Llama-3.1", "GPT-5-mini"),
    ],
)
def test_no_shutdown_is_known_for_a_model_that_stays_or_is_another_servers(model: str) -> None:
    assert find_shutdown(model) is None


def test_a_replacement_is_not_shut_down_itself() -> None:
    shutdowns = [*deprecations._BY_NAME.values(), *deprecations._BY_PREFIX.values()]
    assert {name for shutdown in shutdowns for name in shutdown.replacements if find_shutdown(name)} == set()


def test_a_notice_begins_a_week_before_the_shutdown_and_names_the_day_and_the_replacement() -> None:
    assert said(["gpt-5-mini"], "2026-12-03") == []
    (soon,) = said(["gpt-5-mini"], "2026-12-04")
    assert soon == (
        "OpenAI shuts the model gpt-5-mini down on 2026-12-11, and what is not answered by then fails; write "
        "gpt-5.6-terra or gpt-6.1-terra in its place."
    )
    (gone,) = said(["gpt-5-mini"], "2026-12-11")
    assert gone == (
        "OpenAI shut the model gpt-5-mini down on 2026-12-11; write gpt-5.6-terra or gpt-6.1-terra in its place."
    )


def test_the_notice_of_a_model_without_a_replacement_links_to_the_list() -> None:
    (gone,) = said(["davinci-002"], "2026-11-27")
    assert gone.endswith("2026-09-28; choose another one (https://developers.openai.com/api/docs/deprecations).")


def test_of_many_models_the_first_have_a_notice_and_the_others_are_counted() -> None:
    models = ["gpt-6-luna", "mine", *(f"sora-{number}" for number in range(20)), "o1", "o1"]
    notices = said(models, "2026-11-27")
    assert len(notices) == MAX_NOTICES + 1
    assert notices[-1].startswith("OpenAI has shut down 16 more of the models")
