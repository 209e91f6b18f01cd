"""The answers of the emulated models."""

import base64
import math
import struct
from typing import Any

import jsonschema
import orjson
import pytest
from openai.types import Completion, CreateEmbeddingResponse, ImagesResponse, ModerationCreateResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import BaseModel

from local.openai_emulator.answers import answer
from tests.unit.emulator.service import CHAT

SENTIMENT = {
    "type": "object",
    "properties": {"sentiment": {"type": "string", "enum": ["positive", "negative"]}},
    "required": ["sentiment"],
    "additionalProperties": False,
}


def chat(text: str = "hello", **body: Any) -> dict[str, Any]:
    response = answer(CHAT, {"model": "plain-1", "messages": [{"role": "user", "content": text}], **body}, 1)
    assert response.status == 200, response.body
    return ChatCompletion.model_validate(response.body).model_dump()


def responses(said: str = "hello", **body: Any) -> Response:
    found = answer("/v1/responses", {"model": "plain-1", "input": said, **body}, 1)
    assert found.status == 200, found.body
    return Response.model_validate(found.body)


def asking(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def fitting(schema: dict[str, Any], text: str = "hello") -> Any:
    content = chat(text, response_format=asking(schema))["choices"][0]["message"]["content"]
    value = orjson.loads(content)
    jsonschema.validate(value, schema)
    return value


def test_an_answer_says_that_it_is_emulated_and_is_the_same_each_time() -> None:
    content = chat("a")["choices"][0]["message"]["content"]
    assert content.startswith("emulated: ")
    assert chat("a") == chat("a")
    assert chat("b")["choices"][0]["message"]["content"] != content


@pytest.mark.slow
@pytest.mark.parametrize(
    "schema",
    [
        SENTIMENT,
        {"type": "object", "properties": {"a": {"const": 7}, "b": {"type": "null"}}, "required": ["a", "b"]},
        {"type": "integer", "minimum": 3, "maximum": 3},
        {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
        {"type": "integer", "minimum": -10, "maximum": -5, "multipleOf": 3},
        {"type": "integer", "maximum": -1000},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.0001},
        {"type": "number", "minimum": 2, "multipleOf": 0.5},
        {"type": "number", "minimum": 1, "maximum": 1},
        {"type": "string", "minLength": 40, "maxLength": 41},
        {"type": "string", "maxLength": 3},
        {"type": "string", "pattern": "^[0-9]{5}$"},
        {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 3, "uniqueItems": True},
        {"type": "array", "items": {"type": "string"}, "minItems": 8, "maxItems": 8, "uniqueItems": True},
        {"type": "array", "items": {"type": "boolean"}, "maxItems": 0},
        {"type": ["string", "null"]},
        {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        {"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}}, {"required": ["a"]}]},
        {
            "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node/properties/maybe"},
             "maybe": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}, "required": ["next", "maybe"]}},
            "$ref": "#/$defs/node",
        },
        {"type": "object", "properties": {"list": {"type": "array", "items": {"$ref": "#"}}}, "required": ["list"]},
    ],
)  # fmt: skip
def test_an_answer_fits_the_schema_that_is_asked_for(schema: dict[str, Any]) -> None:
    for text in "abcdefgh":
        fitting(schema, text)


def test_a_schema_that_strict_mode_does_not_support_is_refused() -> None:
    loose = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {"type": "object"}}}
    body = {"model": "plain-1", "messages": [{"role": "user", "content": "x"}], "response_format": loose}
    refusal = answer(CHAT, body, 1)
    assert (refusal.status, refusal.body["error"]["code"]) == (400, "invalid_json_schema")


def test_praise_and_complaint_are_mostly_distinguished() -> None:
    praise = "I love it, a great and beautiful film."
    complaint = "Terrible. It broke, and I want a refund."
    assert fitting(SENTIMENT, praise) == {"sentiment": "positive"}
    assert fitting(SENTIMENT, complaint) == {"sentiment": "negative"}
    assert fitting(SENTIMENT, "This was not good at all.") == {"sentiment": "negative"}


def test_a_label_that_the_text_names_is_chosen() -> None:
    schema = {"type": "string", "enum": ["billing", "shipping", "other"]}
    assert fitting(schema, "Where is my SHIPPING label?") == "shipping"


def test_a_small_cap_truncates_and_says_so() -> None:
    completion = chat(max_tokens=2)
    assert completion["choices"][0]["finish_reason"] == "length"
    assert completion["usage"]["completion_tokens"] == 2


def test_a_reasoning_model_spends_a_small_cap_without_any_text() -> None:
    completion = chat(model="gpt-6-luna", max_completion_tokens=100)
    assert completion["choices"][0]["finish_reason"] == "length"
    assert completion["choices"][0]["message"]["content"] == ""
    assert completion["usage"]["completion_tokens_details"]["reasoning_tokens"] == 100


def test_effort_none_leaves_room_for_the_answer() -> None:
    completion = chat(model="gpt-6-luna", max_completion_tokens=100, reasoning_effort="none")
    assert completion["choices"][0]["finish_reason"] == "stop"


def test_several_choices_are_given_if_n_asks_for_several() -> None:
    choices = chat(n=3)["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in choices}) == 3


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "rate"}}])
def test_a_forced_tool_is_called_with_arguments_that_fit(choice: Any) -> None:
    parameters = {"type": "object", "properties": {"stars": {"type": "integer", "minimum": 1, "maximum": 5}}}
    tools = [{"type": "function", "function": {"name": "rate", "parameters": parameters}}]
    message = chat(tools=tools, tool_choice=choice)["choices"][0]["message"]
    (call,) = message["tool_calls"]
    assert (message["content"], call["function"]["name"]) == (None, "rate")
    assert 1 <= orjson.loads(call["function"]["arguments"])["stars"] <= 5


def test_responses_hold_reasoning_and_a_message_sometimes_in_two_items() -> None:
    many = [responses(f"text {n}", model="gpt-6-luna") for n in range(40)]
    assert {tuple(item.type for item in one.output) for one in many} == {("reasoning", "message")}
    assert {len(one.model_dump()["output"][1]["content"]) for one in many} == {1, 2}
    assert all(one.output_text.startswith("emulated: ") and one.output_text.endswith("asked.") for one in many)


def test_responses_are_incomplete_at_a_small_cap() -> None:
    response = responses(model="gpt-6-luna", max_output_tokens=50)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output_text == ""


def test_responses_fit_the_format_that_is_asked_for() -> None:
    format_ = {"type": "json_schema", "name": "answer", "strict": True, "schema": SENTIMENT}
    assert orjson.loads(responses("a great film", text={"format": format_}).output_text) == {"sentiment": "positive"}


@pytest.mark.parametrize(
    ("model", "dimensions", "length"),
    [("text-embedding-3-small", None, 1536), ("text-embedding-3-large", None, 3072), ("text-embedding-3-small", 8, 8)],
)
def test_embeddings_are_unit_vectors_one_an_input(model: str, dimensions: int | None, length: int) -> None:
    body = {"model": model, "input": ["a", "b", "a"], **({"dimensions": dimensions} if dimensions else {})}
    data = answer("/v1/embeddings", body, 1).body["data"]
    vectors = [entry["embedding"] for entry in data]
    assert [len(vector) for vector in vectors] == [length] * 3
    assert all(math.isclose(math.hypot(*vector), 1, rel_tol=1e-5) for vector in vectors)
    assert vectors[0] == vectors[2] != vectors[1]


def test_embeddings_are_base64_if_the_request_wants_it() -> None:
    body = {"model": "text-embedding-3-small", "input": "a", "dimensions": 4}
    (plain,) = answer("/v1/embeddings", body, 1).body["data"]
    (packed,) = answer("/v1/embeddings", {**body, "encoding_format": "base64"}, 1).body["data"]
    assert struct.unpack("<4f", base64.b64decode(packed["embedding"])) == pytest.approx(plain["embedding"], rel=1e-6)


def test_moderation_flags_categories_by_words() -> None:
    results = answer("/v1/moderations", {"model": "m", "input": ["I will kill you", "good day"]}, 1).body["results"]
    assert [(result["flagged"], result["categories"]["violence"]) for result in results] == [
        (True, True),
        (False, False),
    ]


@pytest.mark.parametrize(
    ("url", "body", "param"),
    [
        (CHAT, {}, "messages"),
        (CHAT, {"messages": "hello"}, "messages"),
        (CHAT, {"messages": []}, "messages"),
        (CHAT, {"messages": [{"content": "x"}]}, "messages[0].role"),
        (CHAT, {"messages": [{"role": "user", "content": "x"}], "max_completion_tokens": 0}, "max_completion_tokens"),
        (CHAT, {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "x"}], "max_tokens": 9}, "max_tokens"),
        (CHAT, {"messages": [{"role": "user"}], "response_format": {"type": "xml"}}, "response_format.type"),
        ("/v1/responses", {}, "input"),
        ("/v1/completions", {}, "prompt"),
        ("/v1/embeddings", {}, "input"),
        ("/v1/moderations", {}, "input"),
    ],
)  # fmt: skip
def test_a_bad_body_gets_a_400_that_names_the_parameter(url: str, body: dict[str, Any], param: str) -> None:
    response = answer(url, {"model": "plain-1", **body}, 1)
    assert (response.status, response.body["error"]["param"]) == (400, param)


NAMED = {"name": "n", "schema": {"type": "object"}}


@pytest.mark.parametrize(
    ("format_", "param"),
    [
        ({"format": {"type": "text"}}, "response_format.type"),
        ("json_object", "response_format"),
        ({"type": "json_schema", **NAMED}, "response_format.json_schema"),
        ({"type": "json_schema", "json_schema": "n"}, "response_format.json_schema"),
        ({"type": "json_schema", "json_schema": {**NAMED, "schema": "n"}}, "response_format.json_schema.schema"),
    ],
)
def test_a_response_format_of_another_shape_is_refused(format_: Any, param: str) -> None:
    body = {"model": "plain-1", "messages": [{"role": "user", "content": "x"}], "response_format": format_}
    response = answer(CHAT, body, 1)
    assert (response.status, response.body["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("text", "param"),
    [
        ("plain", "text"),
        ({"format": NAMED}, "text.format.type"),
        ({"format": {"type": "json_schema", "json_schema": NAMED}}, "text.format.name"),
    ],
)
def test_a_text_format_of_another_shape_is_refused(text: Any, param: str) -> None:
    response = answer("/v1/responses", {"model": "plain-1", "input": "x", "text": text}, 1)
    assert (response.status, response.body["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("url", "body", "kind"),
    [
        ("/v1/completions", {"prompt": ["a", "b"]}, Completion),
        ("/v1/embeddings", {"input": [1, 2, 3]}, CreateEmbeddingResponse),
        ("/v1/moderations", {"input": [{"type": "text", "text": "a"}]}, ModerationCreateResponse),
        ("/v1/images/generations", {"prompt": "a"}, ImagesResponse),
        ("/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}]}, Response),
    ],
)
def test_every_endpoint_answers_in_a_shape_that_the_client_knows(
    url: str, body: dict[str, Any], kind: type[BaseModel]
) -> None:
    response = answer(url, {"model": "some-model", **body}, 1)
    assert response.status == 200
    kind.model_validate(response.body)


@pytest.mark.parametrize(
    "body",
    [
        {"response_format": asking({"$ref": "#/$defs/absent"})},
        {"response_format": asking({"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}})},
        {"response_format": asking({"type": "string", "pattern": "("})},
        {"tools": [{"type": "function", "function": {"parameters": 7}}], "tool_choice": "required"},
    ],
)
def test_a_request_that_the_emulator_cannot_process_is_a_400_too(body: dict[str, Any]) -> None:
    request = {"model": "plain-1", "messages": [{"role": "user", "content": "x"}], **body}
    assert answer(CHAT, request, 1).status == 400
