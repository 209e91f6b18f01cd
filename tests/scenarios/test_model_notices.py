"""Notices of models that are or will be shut down: the recipe or the drop is accepted with them.

A drop is accepted with a model that is gone on another server than OpenAI's only.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.driving import (
    drop,
    only_event,
    result_json,
    run,
)
from tests.fakes import FakeContext

GONE = "OpenAI shut the model o1 down on 2026-10-23; write gpt-5.6-sol in its place."
ENDS = "OpenAI shuts the model gpt-5-mini down on 2026-12-11"


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    fake = FakeContext(tmp_path, openai_base_url="https://models.example.com/v1")
    fake.clock.sleep(datetime(2026, 12, 5, tzinfo=UTC).timestamp() - fake.clock())
    return fake


def recipe(model: str) -> bytes:
    return f'model: {model}\nprompt: "{{{{ text }}}}"\n'.encode()


def raw(*models: str, url: str = "/v1/chat/completions") -> bytes:
    bodies = [{"model": model, "messages": [{"role": "user", "content": "a"}]} for model in models]
    lines = [
        {"custom_id": str(number), "method": "POST", "url": url, "body": body} for number, body in enumerate(bodies)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


@pytest.mark.parametrize(("model", "code", "words"), [("o1", "model_gone", GONE), ("gpt-5-mini", "model_ends", ENDS)])
def test_a_usable_recipe_gets_a_notice_with_the_day_and_the_replacement(
    fake: FakeContext, model: str, code: str, words: str
) -> None:
    drop(fake, "a/recipe.yaml", recipe(model))
    run(fake)
    notification = only_event(fake, "recipe")
    assert notification.status == "usable"
    assert notification.subject == "a/recipe.yaml: usable, but see the notice"
    assert notification.text.startswith("a/recipe.yaml can be used, but:\n- " + words)
    (notice,) = notification.detail["notices"]
    assert notice["code"] == code
    assert notice["message"].startswith(words)


def test_a_recipe_with_the_suggested_model_gets_no_notice(fake: FakeContext) -> None:
    drop(fake, "a/recipe.yaml", recipe("gpt-5-mini"))
    run(fake)
    advised = only_event(fake, "recipe").detail["notices"][0]["message"].partition("write ")[2].split()[0]
    fake.topics.published.clear()
    drop(fake, "a/recipe.yaml", recipe(advised))
    run(fake)
    notification = only_event(fake, "recipe")
    assert (notification.subject, notification.detail["notices"]) == ("a/recipe.yaml: usable", [])


def accepted(fake: FakeContext, name: str, data: bytes) -> list[dict[str, Any]]:
    """Return the notices in an accepted event, which its text contains too."""
    drop(fake, name, data)
    run(fake)
    notification = only_event(fake, "accepted")
    notices: list[dict[str, Any]] = notification.detail["notices"]
    assert [line[2:] for line in notification.text.splitlines() if line.startswith("- ")] == [
        notice["message"] for notice in notices
    ]
    return notices


def test_a_drop_whose_recipe_names_such_a_model_is_accepted_with_the_notice(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", recipe("o1"))
    assert [notice["message"] for notice in accepted(fake, "a.csv", b"text\na\n")] == [GONE]


def test_a_raw_drop_gets_one_notice_of_each_of_its_models(fake: FakeContext) -> None:
    notices = accepted(fake, "a.jsonl", raw("gpt-6-luna", "gpt-5-mini", "o1", "o1", "mine"))
    assert [notice["code"] for notice in notices] == ["model_gone", "model_ends"]


def test_models_that_rows_name_get_notices(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", recipe('"{{ model }}"'))
    notices = accepted(fake, "a.csv", b"model,text\ngpt-6-luna,a\nft:o1-2024-12-17:org::id,b\n")
    assert [notice["message"].split(" down")[0] for notice in notices] == [
        "OpenAI shut the model ft:o1-2024-12-17:org::id"
    ]


def test_a_drop_that_waits_for_an_approval_gets_the_notice_before_it(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", recipe("o1") + b"hold: true\n")
    drop(fake, "a.csv", b"text\na\nb\n")
    run(fake)
    notification = only_event(fake, "held")
    assert f"- {GONE}\n" in notification.text
    assert notification.detail["notices"] == [{"code": "model_gone", "message": GONE}]


def test_a_model_without_a_shutdown_gets_no_notice(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", recipe("gpt-6-luna"))
    assert accepted(fake, "a.csv", b"text\na\n") == []


def test_the_clock_decides(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path)
    fake.clock.sleep(datetime(2026, 12, 3, tzinfo=UTC).timestamp() - fake.clock())
    fake.objects.drop("recipe.yaml", recipe("gpt-5-mini"))
    assert accepted(fake, "a.csv", b"text\na\n") == []


def test_a_raw_line_for_an_endpoint_that_is_gone_is_refused_with_the_day(fake: FakeContext) -> None:
    drop(fake, "a.jsonl", raw("gpt-6-luna") + raw("sora-2", url="/v1/videos").replace(b'"0"', b'"v"'))
    run(fake)
    (problem,) = result_json(fake, "rejected.json")["problems"]["first"]
    assert (problem["code"], problem["key"], problem["line"]) == ("endpoint_gone", "url", 2)
    assert "shut the API /v1/videos down on 2026-09-24" in problem["message"]


@pytest.mark.parametrize(
    ("host", "model", "is_named"),
    [
        ("eu.api.openai.com", "gpt-6-luna", True),
        ("eu.api.openai.com", "ft:gpt-6-luna:org::id", True),
        ("eu.api.openai.com", "gpt-5.6-luna", False),
        ("us.api.openai.com", "gpt-6-luna", False),
    ],
)
def test_a_model_that_a_region_does_not_batch_has_a_notice(
    fake: FakeContext, host: str, model: str, is_named: bool
) -> None:
    fake.openai_base_url = f"https://{host}/v1"
    drop(fake, "a/recipe.yaml", recipe(model))
    run(fake)
    drop(fake, "a/rows.csv", b"text\na\n")
    run(fake)
    for event in ("recipe", "accepted"):
        told = only_event(fake, event)
        assert (f"eu.api.openai.com takes no batches of {model}" in told.text) is is_named
        assert [notice["code"] for notice in told.detail["notices"]] == ["not_batched"] * is_named


@pytest.mark.parametrize(("key", "event", "count"), [("hold: true\n", "held", 1), ("", "accepted", 0)])
def test_a_drop_that_may_wait_until_its_model_is_gone_gets_a_notice(
    tmp_path: Path, key: str, event: str, count: int
) -> None:
    """A question for an approval stays open for 14 days, and then a batch takes a day."""
    fake = FakeContext(tmp_path)
    fake.clock.sleep(datetime(2026, 11, 26, tzinfo=UTC).timestamp() - fake.clock())
    fake.objects.drop("a/recipe.yaml", recipe("gpt-5-mini") + key.encode())
    drop(fake, "a/rows.csv", b"text\na\n")
    run(fake, ticks=3)
    told = only_event(fake, event)
    assert [notice["code"] for notice in told.detail["notices"]] == ["model_ends"] * count
    assert told.text.count(ENDS) == count
