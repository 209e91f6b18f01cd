"""Prompt caching: what each kind of recipe says about it in its requests, and what that is expected to do."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.parser import parse_recipe
from local.openai_emulator.answers import answer
from tests.both_ways import both_ways

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
EXPLICIT = {"mode": "explicit"}
LONG = "Judge 100 % of the réview. " * 200
"""Some 1,400 tokens."""

ROW = {"text": 'the kettle "leaks"', "lang": "en"}


def compiled(*, caches: bool = True, **keys: Any) -> CompiledRecipe:
    recipe = parse_recipe(json.dumps(keys).encode(), "recipe.yaml")
    return compile_recipe(recipe, {}, caches=caches)


def short(**keys: Any) -> dict[str, Any]:
    return {"model": "gpt-6-luna", "prompt": "Review: {{ text }}", **keys}


def body(keys: Mapping[str, Any], row: Mapping[str, Any] = ROW) -> Any:
    """Return the body of a row's request, which the emulator takes, and which is the same on the slow path."""

    def build() -> tuple[bytes, bytes | None]:
        recipe = compiled(**keys)
        request = recipe.request(row)
        assert request is not None
        many = recipe.requests(1, {name: [value] for name, value in row.items()})
        return request.body, many.bodies()[0] if many is not None else None

    (each, many), (slow, none) = both_ways(build)
    assert each == slow
    assert many in (each, None)
    assert none is None
    found = json.loads(each)
    answered = answer(keys.get("endpoint", CHAT), {"model": "gpt-6-luna", **found}, 1)
    assert answered.status == 200, answered.body
    return found


def breakpoints(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the places of all blocks that carry a breakpoint."""
    if isinstance(value, dict):
        found = [at] if value.get("prompt_cache_breakpoint") == EXPLICIT else []
        return found + [place for name, item in value.items() for place in breakpoints(item, (*at, name))]
    if isinstance(value, list):
        return [place for number, item in enumerate(value) for place in breakpoints(item, (*at, number))]
    return []


def untouched(keys: Mapping[str, Any]) -> bool:
    """Return whether a recipe's requests are those of a release that knew no caching, byte for byte."""
    now, then = compiled(**keys).request(ROW), compiled(**keys, caches=False).request(ROW)
    assert now is not None
    assert then is not None
    return now.body == then.body


# What all rows share


@pytest.mark.parametrize("model", ["gpt-5.6-luna", "gpt-6-luna", "gpt-6-sol-2026-09-01", "ft:gpt-6-luna:acme::x1"])
def test_a_breakpoint_follows_a_long_system_message(model: str) -> None:
    found = body(short(model=model, system=LONG))
    block = {"type": "text", "text": LONG, "prompt_cache_breakpoint": EXPLICIT}
    assert found["messages"][0] == {"role": "system", "content": [block]}
    assert found["messages"][1] == {"role": "user", "content": f"Review: {ROW['text']}"}
    assert found["prompt_cache_options"] == EXPLICIT
    recipe = compiled(**short(model=model, system=LONG))
    assert recipe.cached_prefix_tokens == pytest.approx(len(LONG.encode()) / 4, rel=0.02)
    assert not recipe.writes_rows_to_cache


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
def test_the_breakpoint_is_behind_the_last_example_that_can_carry_one(endpoint: str) -> None:
    examples = [{"input": "a", "output": "b"}, {"input": "c", "output": {"d": 1}}]
    keys = short(endpoint=endpoint, system=LONG, examples=examples)
    found = body(keys)
    asked = found["messages" if endpoint == CHAT else "input"]
    at = 3 if endpoint == CHAT else 2
    assert breakpoints(asked) == [(at, "content", 0)]
    assert (asked[at]["role"], asked[at]["content"][0]["text"]) == ("user", "c")
    assert asked[at]["content"][0]["type"] == ("text" if endpoint == CHAT else "input_text")
    assert found.get("instructions") == (None if endpoint == CHAT else LONG)
    assert compiled(**keys).cached_prefix_tokens > 1_300


def test_instructions_of_responses_become_a_message_that_carries_the_breakpoint() -> None:
    found = body(short(endpoint=RESPONSES, system=LONG, parameters={"max_output_tokens": 90}))
    assert list(found) == ["model", "input", "max_output_tokens", "prompt_cache_options", "prompt_cache_key"]
    assert found["input"] == [
        {
            "role": "developer",
            "content": [{"type": "input_text", "text": LONG, "prompt_cache_breakpoint": EXPLICIT}],
        },
        {"role": "user", "content": f"Review: {ROW['text']}"},
    ]


def test_the_bytes_before_a_rows_own_text_are_the_same_for_every_row() -> None:
    recipe = compiled(**short(system=LONG, examples=[{"input": "a", "output": "b"}], schema={"mood": "string"}))
    bodies = [request.body for text in ("x", "y") if (request := recipe.request({"text": text})) is not None]
    (before, after), (other, rest) = (found.split(b"Review: ") for found in bodies)
    assert before == other
    assert (after[:1], rest[:1], after[1:]) == (b"x", b"y", rest[1:])
    assert LONG.encode() in before
    assert before.startswith(b'{"model":"gpt-6-luna","messages":[')


def cut(tokens: int) -> str:
    """Return a system message with which the constant part is estimated at this number of tokens, to the byte."""
    block = {"type": "text", "text": "", "prompt_cache_breakpoint": EXPLICIT}
    around = json.dumps([{}, {"role": "system", "content": [block]}], separators=(",", ":"))
    return "x" * (tokens * 4 - len(around))


def test_the_breakpoint_is_there_from_1024_tokens_on() -> None:
    assert breakpoints(body(short(system=cut(1_024)))) == [("messages", 0, "content", 0)]
    below = body(short(system=cut(1_024)[1:]))
    assert breakpoints(below) == []
    assert below["messages"][0]["content"] == cut(1_024)[1:]
    assert "prompt_cache_key" not in below


def test_tokens_are_promised_only_with_a_margin() -> None:
    assert compiled(**short(system=cut(1_024))).cached_prefix_tokens == 0
    assert compiled(**short(system=cut(1_152)[1:])).cached_prefix_tokens == 0
    assert compiled(**short(system=cut(1_152))).cached_prefix_tokens == 1_152


def test_a_schema_and_tools_count_as_they_come_before_the_messages() -> None:
    mood = {"type": "string", "description": LONG}
    schema = {"type": "object", "properties": {"mood": mood}, "required": ["mood"], "additionalProperties": False}
    assert breakpoints(body(short(system="Be brief.", schema=schema))) == [("messages", 0, "content", 0)]
    tool = {"type": "function", "name": "f", "description": LONG, "parameters": {"type": "object", "properties": {}}}
    found = body(short(endpoint=RESPONSES, system="Be brief.", parameters={"tools": [tool]}))
    assert breakpoints(found) == [("input", 0, "content", 0)]
    assert breakpoints(body(short(schema=schema))) == []  # no message that could carry it


def test_a_template_without_columns_is_the_same_for_every_row() -> None:
    assert breakpoints(body(short(system="{{ '" + LONG + "' }}"))) == [("messages", 0, "content", 0)]


@pytest.mark.parametrize(
    "keys",
    [
        {"system": LONG + "{{ lang }}"},
        {"system": "{{ lang }}", "examples": [{"input": LONG, "output": "b"}]},
        {"system": "{{ lang }}", "examples": [{"input": LONG, "output": "b"}], "endpoint": RESPONSES},
        {"prompt": LONG + "{{ text }}"},
    ],
)
def test_what_follows_a_rows_own_text_is_not_shared(keys: dict[str, Any]) -> None:
    found = body(short(**keys))
    assert breakpoints(found) == []
    assert found["prompt_cache_options"] == EXPLICIT
    recipe = compiled(**short(**keys))
    assert (recipe.cached_prefix_tokens, recipe.writes_rows_to_cache) == (0, False)


def test_the_key_pools_the_rows_that_share_a_beginning() -> None:
    one, other = compiled(**short(system=LONG)), compiled(**short(system=LONG + "."))
    keys = [json.loads(request.body)["prompt_cache_key"] for recipe in (one, other) for text in ("x", "y")
            if (request := recipe.request({"text": text}))]  # fmt: skip
    assert keys[0] == keys[1] != keys[2] == keys[3]
    assert all(len(key) <= 64 for key in keys)


# Estimates


@pytest.mark.parametrize(
    "keys",
    [
        short(),
        short(system=LONG),
        short(system=LONG, endpoint=RESPONSES),
        short(system=LONG, prompt="{{ text|upper }}"),
    ],
)
def test_members_about_caching_count_as_no_tokens(keys: dict[str, Any]) -> None:
    now, then = compiled(**keys).request(ROW), compiled(**keys, caches=False).request(ROW)
    assert now is not None
    assert then is not None
    assert len(now.body) > len(then.body)
    assert now.estimated_input_tokens == then.estimated_input_tokens == len(then.body) // 4


# Rows of their own


def test_long_rows_that_share_little_are_not_written() -> None:
    row = {**ROW, "text": "unique " * 50_000}
    found = body(short(system="Be brief."), row)
    assert found.pop("prompt_cache_options") == EXPLICIT
    assert found == {
        "model": "gpt-6-luna",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": f"Review: {row['text']}"},
        ],
    }
    recipe = compiled(**short(system="Be brief."))
    assert (recipe.cached_prefix_tokens, recipe.writes_rows_to_cache) == (0, False)


def test_messages_that_a_row_brings_keep_their_form() -> None:
    keys = {"body": {"model": "gpt-6-luna", "messages": "{{ turns | json }}"}}
    turns = [{"role": "user", "content": "x"}]
    assert body(keys, {"turns": turns}) == {
        "model": "gpt-6-luna",
        "messages": turns,
        "prompt_cache_options": EXPLICIT,
    }
    asks = {"model": "gpt-6-luna", "instructions": LONG, "input": "{{ turns | json }}"}
    found = body({"endpoint": RESPONSES, "body": asks}, {"turns": turns})
    assert (found["input"], found["instructions"]) == (turns, LONG)


# Requests that stay as they are


@pytest.mark.parametrize(
    ("keys", "writes"),
    [
        (short(system=LONG, cache="off"), True),
        (short(system=LONG, cache="off", endpoint=RESPONSES), True),
        (short(cache="off"), True),
        (short(system=LONG, model="gpt-5.5"), False),
        (short(system=LONG, model="gpt-5.4-mini"), False),
        (short(system=LONG, model="gpt-5.5", endpoint=RESPONSES), False),
        (short(system=LONG, model="of-another-server"), False),
        (short(system=LONG, model="{{ lang }}"), True),
        (short(system=LONG, parameters={"prompt_cache_options": {"mode": "implicit"}}), True),
        (short(system=LONG, parameters={"prompt_cache_options": {"mode": "explicit"}}), False),
        (short(system=LONG, parameters={"prompt_cache_options": None}), True),
        (short(system=LONG, parameters={"prompt_cache_retention": "24h"}), True),
        ({"endpoint": "/v1/embeddings", "model": "gpt-6-luna", "prompt": "{{ text }}"}, False),
        ({"endpoint": "/v1/moderations", "prompt": "{{ text }}"}, False),
    ],
)
def test_other_requests_stay_as_they_are(keys: dict[str, Any], writes: bool) -> None:
    assert untouched(keys)
    recipe = compiled(**keys)
    assert (recipe.cached_prefix_tokens, recipe.writes_rows_to_cache) == (0, writes)


def test_a_body_with_its_own_breakpoint_stays_as_it_is() -> None:
    block = {"type": "text", "text": "{{ lang }}", "prompt_cache_breakpoint": EXPLICIT}
    messages = [{"role": "user", "content": [{"type": "text", "text": LONG}, block]}]
    keys = {"body": {"model": "gpt-6-luna", "messages": messages}}
    assert untouched(keys)
    assert compiled(**keys).writes_rows_to_cache
    keys["body"]["prompt_cache_options"] = EXPLICIT
    assert untouched(keys)
    assert not compiled(**keys).writes_rows_to_cache


def test_a_recipes_own_key_stays() -> None:
    found = body(short(system=LONG, parameters={"prompt_cache_key": "mine"}))
    assert found["prompt_cache_key"] == "mine"
    assert breakpoints(found) == [("messages", 0, "content", 0)]


# The full form


def test_the_breakpoint_of_a_body_is_on_its_last_constant_block() -> None:
    parts = [
        {"type": "text", "text": LONG},
        {"type": "image_url", "image_url": {"url": "https://x.test/logo.png"}},
        {"type": "text", "text": "{{ text }}"},
        {"type": "text", "text": LONG},
    ]
    keys = {"body": {"messages": [{"role": "user", "content": parts}], "model": "gpt-6-luna", "seed": 1}}
    found = body(keys)
    assert breakpoints(found) == [("messages", 0, "content", 1)]
    assert list(found) == ["messages", "model", "seed", "prompt_cache_options", "prompt_cache_key"]
    assert parse_recipe(json.dumps(keys).encode()).body == keys["body"]  # the recipe itself stays as it is


@pytest.mark.parametrize(
    "member",
    [
        {
            "tools": [{"type": "function", "function": {"name": "f", "description": "{{ lang }}"}}],
            "reasoning_effort": "none",
        },
        {"response_format": {"type": "{{ lang }}"}},
    ],
)
def test_a_member_before_the_messages_that_varies_leaves_nothing_to_share(member: dict[str, Any]) -> None:
    messages = [{"role": "system", "content": LONG}, {"role": "user", "content": "{{ text }}"}]
    recipe = compiled(body={"model": "gpt-6-luna", "messages": messages, **member})
    request = recipe.request(ROW)
    assert request is not None
    assert breakpoints(json.loads(request.body)) == []
    assert (recipe.cached_prefix_tokens, recipe.writes_rows_to_cache) == (0, False)


def test_an_image_counts_no_tokens() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    parts = [{"type": "text", "text": "Compare."}, image, {"type": "text", "text": "{{ text }}"}]
    assert breakpoints(body({"body": {"model": "gpt-6-luna", "messages": [{"role": "user", "content": parts}]}})) == []
    parts[0]["text"] = LONG
    keys = {"body": {"model": "gpt-6-luna", "messages": [{"role": "user", "content": parts}]}}
    assert breakpoints(body(keys)) == [("messages", 0, "content", 1)]
    assert compiled(**keys).cached_prefix_tokens == pytest.approx(len(LONG.encode()) / 4, rel=0.02)


def test_a_conversation_that_varies_leaves_nothing_to_share() -> None:
    asked = [{"role": "developer", "content": LONG}, {"role": "user", "content": "{{ text }}"}]
    keys = {"endpoint": RESPONSES, "body": {"model": "gpt-6-luna", "input": asked, "conversation": "{{ lang }}"}}
    assert breakpoints(body(keys)) == []


@pytest.mark.parametrize("member", ["previous_response_id", "conversation"])
def test_instructions_stay_if_other_text_comes_from_elsewhere(member: str) -> None:
    found = body(
        {
            "endpoint": RESPONSES,
            "body": {"model": "gpt-6-luna", "instructions": LONG, "input": "{{ text }}", member: "resp_1"},
        }
    )
    assert (found["instructions"], found["input"]) == (LONG, ROW["text"])
    assert breakpoints(found) == []


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "assistant", "content": LONG}, {"role": "user", "content": "{{ text }}"}],
        [{"role": "{{ lang }}", "content": LONG}, {"role": "user", "content": "{{ text }}"}],
        [{"role": "system", "content": "  "}, {"role": "user", "content": "{{ text }}"}],
        [{"role": "system", "content": None}, {"role": "user", "content": "{{ text }}"}],
        [{"role": "system", "content": [{"type": "other"}, LONG]}, {"role": "{{ lang }}", "content": "{{ text }}"}],
    ],
)
def test_a_message_that_cannot_carry_a_breakpoint_has_none(messages: list[dict[str, Any]]) -> None:
    request = compiled(body={"model": "gpt-6-luna", "messages": messages}).request(ROW)
    assert request is not None
    assert breakpoints(json.loads(request.body)) == []
