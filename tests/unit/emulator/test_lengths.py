"""Emulated answers are as long as a model's would be."""

import random
from statistics import mean
from typing import Any

import pytest

from local.openai_emulator.answers import answer
from local.openai_emulator.lengths import words_for


@pytest.mark.parametrize(
    ("description", "least", "most"),
    [
        ("The main fault in at most five words", 2, 5),
        ("The kind in one or two words", 1, 2),
        ("One sentence", 11, 21),
        ("Three sentences on it", 33, 63),
        ("100 words", 100, 100),
        ("The kind of product", 2, 10),
        (None, 2, 10),
    ],
)
def test_a_description_says_how_many_words_a_text_has(description: str | None, least: int, most: int) -> None:
    source = random.Random(1)
    found = {words_for(description, source) for _ in range(500)}
    assert min(found) == least
    assert max(found) == most


def usage(url: str = "/v1/chat/completions", **body: Any) -> dict[str, Any]:
    found: dict[str, Any] = answer(url, {"model": "plain-1", **body}, 1).body["usage"]
    return found


def asked(text: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def test_an_answer_that_nothing_limits_has_some_hundred_tokens() -> None:
    counts = [usage(messages=asked(f"question {number}"))["completion_tokens"] for number in range(100)]
    assert min(counts) >= 100
    assert max(counts) <= 360
    assert 180 <= mean(counts) <= 260


def test_an_answer_fits_the_limit_that_its_request_sets() -> None:
    for number in range(50):
        body = answer("/v1/chat/completions", {"model": "m", "messages": asked(str(number)), "max_tokens": 60}, 1).body
        assert body["choices"][0]["finish_reason"] == "stop"


def test_the_schema_and_the_tools_are_part_of_the_input() -> None:
    plain = usage(messages=asked("a"))["prompt_tokens"]
    schema = {"type": "object", "properties": {"a": {"type": "string", "description": "x" * 400}}}
    format_ = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    assert usage(messages=asked("a"), response_format=format_)["prompt_tokens"] >= plain + 100
    tool = {"type": "function", "function": {"name": "f", "description": "x" * 400}}
    assert usage(messages=asked("a"), tools=[tool])["prompt_tokens"] >= plain + 100


@pytest.mark.parametrize(("model", "low", "high"), [("gpt-5.2", 70, 630), ("gpt-6-luna", 256, 1_024)])
def test_an_image_counts_by_its_detail(model: str, low: int, high: int) -> None:
    def tokens(**more: Any) -> int:
        part = {"type": "image_url", "image_url": {"url": "https://a.example/1.png", **more}}
        found: int = usage(model=model, messages=asked([part]))["prompt_tokens"]
        return found - int(usage(model=model, messages=asked(""))["prompt_tokens"])

    assert (tokens(detail="low"), tokens(), tokens(detail="high")) == (low, high, high)
    inner = [{"type": "input_image", "image_url": "https://a.example/1.png", "detail": "low"}]
    assert usage("/v1/responses", model=model, input=asked(inner))["input_tokens"] == low + 7
