"""The emulator takes the members of a request about prompt caching, and refuses wrong ones, as OpenAI does."""

from typing import Any

import pytest

from local.openai_emulator.answers import answer
from tests.unit.emulator.service import CHAT

RESPONSES = "/v1/responses"
EXPLICIT = {"mode": "explicit"}
OPTIONS = "prompt_cache_options"
BREAKPOINT = "prompt_cache_breakpoint"
URLS = pytest.mark.parametrize("url", [CHAT, RESPONSES])


def marked(url: str, value: Any = EXPLICIT, count: int = 1, role: str = "user", **block: Any) -> dict[str, Any]:
    """Return the messages of a request in which some blocks carry a breakpoint."""
    text = {"type": "text" if url == CHAT else "input_text", "text": "x", BREAKPOINT: value, **block}
    return {"messages" if url == CHAT else "input": [{"role": role, "content": [text] * count}]}


def error(url: str, model: str = "gpt-6-luna", **body: Any) -> dict[str, Any] | None:
    asked = {"messages": [{"role": "user", "content": "x"}]} if url == CHAT else {"input": "x"}
    response = answer(url, {"model": model, **asked, **body}, 1)
    found: dict[str, Any] | None = response.body["error"] if response.status == 400 else None
    return found


@URLS
def test_what_openai_takes_is_answered(url: str) -> None:
    for model in ("gpt-6-luna", "gpt-6.1-sol", "gpt-5.6", "gpt-5.6-luna", "gpt-6-luna-2026-09-01", "mine"):
        for options in (EXPLICIT, {"mode": "implicit", "ttl": "30m"}, {}, None):
            assert error(url, model, **{OPTIONS: options}) is None
        assert error(url, model, **marked(url)) is None
        assert error(url, model, **marked(url, {**EXPLICIT, "ttl": "12h"})) is None
        assert error(url, model, **marked(url, count=5), prompt_cache_key="k" * 64) is None


@URLS
@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({OPTIONS: {"mode": "never"}}, f"{OPTIONS}.mode", "invalid_value"),
        ({OPTIONS: {"mode": "explicit", "ttl": "1h"}}, f"{OPTIONS}.ttl", "invalid_value"),
        ({OPTIONS: {"modes": "explicit"}}, f"{OPTIONS}.modes", "unknown_parameter"),
        ({OPTIONS: "explicit"}, OPTIONS, "invalid_type"),
        ({OPTIONS: EXPLICIT, "prompt_cache_retention": "24h"}, "prompt_cache_retention", "invalid_parameter"),
        ({"prompt_cache_key": "k" * 65}, "prompt_cache_key", "string_above_max_length"),
        ({"prompt_cache_key": 7}, "prompt_cache_key", "invalid_type"),
    ],
)
def test_a_wrong_member_is_refused(url: str, body: dict[str, Any], param: str, code: str) -> None:
    found = error(url, **body)
    assert found is not None
    assert (found["param"], found["code"]) == (param, code)


@URLS
@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"value": {"mode": "implicit"}}, "invalid_value"),
        ({"value": {}}, "missing_required_parameter"),
        ({"value": True}, "invalid_type"),
        ({"value": {**EXPLICIT, "size": 1}}, "unknown_parameter"),
        ({"role": "assistant"}, "unknown_parameter"),
        ({"type": "output_text"}, "unknown_parameter"),
    ],
)
def test_a_wrong_breakpoint_is_refused(url: str, given: dict[str, Any], code: str) -> None:
    found = error(url, **marked(url, **given))
    assert found is not None
    assert found["code"] == code
    assert found["param"].startswith(f"{'messages' if url == CHAT else 'input'}[0].content[0].{BREAKPOINT}")


@URLS
def test_a_breakpoint_beside_the_content_is_refused(url: str) -> None:
    messages = [{"role": "user", "content": "x", BREAKPOINT: EXPLICIT}]
    found = error(url, **{"messages" if url == CHAT else "input": messages})
    assert found is not None
    assert found["code"] == "unknown_parameter"


@URLS
@pytest.mark.parametrize("model", ["gpt-5.5", "gpt-5.4-mini", "gpt-5.2", "gpt-5-any", "gpt-4-any", "o3-any"])
def test_an_earlier_model_refuses_options_and_breakpoints(url: str, model: str) -> None:
    for body in ({OPTIONS: EXPLICIT}, marked(url)):
        found = error(url, model, **body)
        assert found is not None
        assert found["code"] == "unsupported_parameter"
    assert error(url, model, prompt_cache_key="k") is None
