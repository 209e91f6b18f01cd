"""The prompt cache of the emulator: which tokens are written, and which are read."""

from typing import Any

import pytest

from local.openai_emulator.answers import answer
from local.openai_emulator.prompt_cache import PromptCache

LONG, SHORT = "s" * 4 * 1_100, "s" * 4 * 900
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"


def chat(system: str, text: str, model: str = "gpt-6-luna", **more: Any) -> tuple[str, dict[str, Any]]:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    return CHAT, {"model": model, "messages": messages, **more}


def taken(cache: PromptCache, request: tuple[str, dict[str, Any]]) -> tuple[int, int, int]:
    """Return the input, cached and written tokens of a request, as its usage has them."""
    url, body = request
    found = answer(url, body, 0)
    cache.apply(body, found)
    usage = found.body["usage"]
    details = usage.get("prompt_tokens_details") or usage["input_tokens_details"]
    whole = usage.get("prompt_tokens") or usage["input_tokens"]
    assert (details["cached_tokens"], details.get("cache_write_tokens", 0)) == (
        found.tokens.cached,
        found.tokens.cache_write,
    )
    return whole, found.tokens.cached, found.tokens.cache_write


def test_a_constant_beginning_is_written_once_and_then_read() -> None:
    cache = PromptCache()
    whole, read, written = taken(cache, chat(LONG, "a"))
    assert (read, written) == (0, whole)
    for text in ("b", "c"):
        assert taken(cache, chat(LONG, text)) == (whole, 1_104, 0)
    assert taken(cache, chat(LONG + "other", "a"))[1] == 0, "another beginning"


def test_a_response_reports_it_in_its_own_words() -> None:
    cache = PromptCache()
    body = {"model": "gpt-5.6-sol", "instructions": LONG, "input": "a"}
    whole, read, written = taken(cache, (RESPONSES, body))
    assert (read, written) == (0, whole)
    assert taken(cache, (RESPONSES, body | {"input": "b"}))[1:] == (1_104, 0)


@pytest.mark.parametrize("request_", [chat(SHORT, "a"), chat(LONG, "a", "gpt-5.5"), chat(LONG, "a", "my-own")])
def test_a_short_prompt_and_older_models_use_no_cache(request_: tuple[str, dict[str, Any]]) -> None:
    cache = PromptCache()
    assert taken(cache, request_)[1:] == taken(cache, request_)[1:] == (0, 0)


def test_a_long_row_is_written_unless_the_mode_is_explicit() -> None:
    cache = PromptCache()
    whole, read, written = taken(cache, chat("short", LONG))
    assert (read, written) == (0, whole)
    assert taken(cache, chat("short", LONG))[1:] == (0, whole), "the row is no beginning"
    off = chat("short", LONG, prompt_cache_options={"mode": "explicit"})
    assert taken(cache, off)[1:] == (0, 0)


def test_an_explicit_breakpoint_ends_the_beginning() -> None:
    cache = PromptCache()

    def marked(text: str) -> tuple[str, dict[str, Any]]:
        block = {"type": "text", "text": LONG, "prompt_cache_breakpoint": {"mode": "explicit"}}
        messages = [{"role": "system", "content": [block]}, {"role": "user", "content": text}]
        body = {"model": "gpt-6-luna", "messages": messages, "prompt_cache_options": {"mode": "explicit"}}
        return CHAT, body

    assert taken(cache, marked(LONG))[1:] == (0, 1_104)
    assert taken(cache, marked(LONG + "b"))[1:] == (1_104, 0)
