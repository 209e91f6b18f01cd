import json
from typing import Any

import pytest

from dropbatch.batch_api.request import Request
from dropbatch.domain.errors import RowRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.formats.jsonl.raw_request import raw_custom_id, raw_request
from dropbatch.storage.unique_ids import UniqueIds
from tests.unit.formats.reading_drops import rows

REQUEST = {"custom_id": "1", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": "x"}}


def line(**changes: Any) -> bytes:
    members = {name: value for name, value in (REQUEST | changes).items() if value != "left out"}
    return json.dumps(members).encode()


def refused(data: bytes) -> Problem:
    first, record = rows("r.jsonl", line() + b"\n" + data)
    raw_request(first)
    with pytest.raises(RowRejectedError) as caught:
        raw_request(record)
    (problem,) = caught.value.problems
    assert "Line 2" in problem.message
    assert problem.line == 2
    return problem


def test_a_body_is_passed_on_as_it_was_written() -> None:
    body = (
        b'{ "model": "m", "seed" : 1234567890123456789012345678901234567890, "temperature": 1.0e0, "input": "\\u00e9" }'
    )
    data = b'{"body": %b, "url": "/v1/responses", "method": "POST", "custom_id": "a\\u0062", "note": 1}' % body
    [record] = rows("r.jsonl", data)
    assert raw_request(record) == ("ab", Request("/v1/responses", "m", body))
    assert raw_custom_id(record) == "ab"


def test_a_moderation_may_leave_out_its_model() -> None:
    [record] = rows("r.jsonl", line(url="/v1/moderations", body={"input": "x"}))
    assert raw_request(record).request.model == ""


@pytest.mark.parametrize(
    ("changes", "code", "key", "words"),
    [
        ({"custom_id": "left out"}, "missing_custom_id", "custom_id", "has no custom_id"),
        ({"custom_id": ""}, "invalid_custom_id", "custom_id", "empty"),
        ({"custom_id": 7}, "invalid_custom_id", "custom_id", "quotes"),
        ({"method": "left out"}, "missing_method", "method", "has no method"),
        ({"method": "GET"}, "invalid_method", "method", '"method": "POST"'),
        ({"url": "left out", "body": "left out"}, "missing_url", "url", "has no url and body"),
        ({"url": "/v1/chat/completion"}, "invalid_url", "url", "did you mean /v1/chat/completions?"),
        ({"url": "https://api.openai.com/v1/embeddings"}, "invalid_url", "url", "did you mean /v1/embeddings?"),
        ({"url": "?"}, "invalid_url", "url", "known are /v1/responses"),
        ({"url": []}, "invalid_url", "url", "known are /v1/responses"),
        ({"body": "left out"}, "missing_body", "body", "has no body"),
        ({"body": []}, "invalid_body", "body", "not an object"),
        ({"body": {"input": "x"}}, "missing_model", "body.model", "add it"),
        ({"body": {"model": None, "input": "x"}}, "missing_model", "body.model", "add it"),
        ({"body": {"model": "", "input": "x"}}, "missing_model", "body.model", "add it"),
        ({"body": {"model": 5, "input": "x"}}, "invalid_model", "body.model", "not a string"),
        ({"body": {"model": "Jane Doe born 1970", "input": "x"}}, "invalid_model", "body.model", "256 letters"),
        ({"body": {"model": "a" * 3000, "input": "x"}}, "invalid_model", "body.model", "256 letters"),
        ({"url": "u" * 300_000}, "invalid_url", "url", "known are"),
        ({"url": "/v1/moderations", "body": {"model": 5, "input": "x"}}, "invalid_model", "body.model", "not a string"),
        ({"body": {"model": "m", "stream": True, "input": "x"}}, "streaming", "body.stream", "remove stream"),
    ],
)
def test_a_request_that_openai_would_refuse_is_named(changes: dict[str, Any], code: str, key: str, words: str) -> None:
    problem = refused(line(**changes))
    assert (problem.code, problem.key) == (code, key)
    assert words in problem.message


CHAT = {"url": "/v1/chat/completions"}
RESPONSES = {"url": "/v1/responses"}
MODERATIONS = {"url": "/v1/moderations"}


def messages(*contents: Any, role: Any = "user") -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": role, "content": content} for content in contents]}


@pytest.mark.parametrize(
    ("changes", "code", "key"),
    [
        (CHAT | {"body": {"model": "m"}}, "missing_messages", "body.messages"),
        (CHAT | {"body": {"model": "m", "messages": None}}, "missing_messages", "body.messages"),
        (CHAT | {"body": {"model": "m", "messages": []}}, "missing_messages", "body.messages"),
        (CHAT | {"body": {"model": "m", "messages": "hello"}}, "invalid_messages", "body.messages"),
        (CHAT | {"body": {"model": "m", "messages": {"role": "user"}}}, "invalid_messages", "body.messages"),
        (CHAT | {"body": {"model": "m", "messages": ["hello"]}}, "invalid_messages", "body.messages"),
        (CHAT | {"body": {"model": "m", "messages": [{"content": "a"}]}}, "invalid_messages", "body.messages"),
        (CHAT | {"body": messages("a", role="")}, "invalid_messages", "body.messages"),
        (CHAT | {"body": messages("a", role=1)}, "invalid_messages", "body.messages"),
        (CHAT | {"body": {"model": "m", "messages": [{"role": "user"}]}}, "empty_input", "body.messages"),
        (CHAT | {"body": messages(None)}, "empty_input", "body.messages"),
        (CHAT | {"body": messages("", " \n")}, "empty_input", "body.messages"),
        (CHAT | {"body": messages([])}, "empty_input", "body.messages"),
        (CHAT | {"body": messages([{"type": "text", "text": ""}])}, "empty_input", "body.messages"),
        ({"body": {"model": "m"}}, "missing_input", "body.input"),
        ({"body": {"model": "m", "input": None}}, "missing_input", "body.input"),
        ({"body": {"model": "m", "input": ""}}, "empty_input", "body.input"),
        ({"body": {"model": "m", "input": " "}}, "empty_input", "body.input"),
        ({"body": {"model": "m", "input": []}}, "empty_input", "body.input"),
        ({"body": {"model": "m", "input": ["a", ""]}}, "empty_input", "body.input"),
        ({"body": {"model": "m", "input": [[1], []]}}, "empty_input", "body.input"),
        (MODERATIONS | {"body": {}}, "missing_input", "body.input"),
        (MODERATIONS | {"body": {"input": ["", "a"]}}, "empty_input", "body.input"),
        (MODERATIONS | {"body": {"input": [{"type": "text", "text": ""}]}}, "empty_input", "body.input"),
        (RESPONSES | {"body": {"model": "m"}}, "missing_input", "body.input"),
        (RESPONSES | {"body": {"model": "m", "input": []}}, "empty_input", "body.input"),
        (RESPONSES | {"body": {"model": "m", "input": [{"role": "user", "content": ""}]}}, "empty_input", "body.input"),
        (
            RESPONSES | {"body": {"model": "m", "input": [{"content": [{"type": "input_text", "text": " "}]}]}},
            "empty_input",
            "body.input",
        ),
        ({"url": "/v1/completions", "body": {"model": "m", "prompt": " "}}, "empty_input", "body.prompt"),
        ({"url": "/v1/images/generations", "body": {"model": "m", "prompt": ""}}, "empty_input", "body.prompt"),
    ],
)
def test_a_request_without_a_question_is_named(changes: dict[str, Any], code: str, key: str) -> None:
    problem = refused(line(**changes))
    assert (problem.code, problem.key) == (code, key)


@pytest.mark.parametrize(
    "changes",
    [
        CHAT | {"body": messages("", "a")},
        CHAT | {"body": messages([{"type": "image_url", "image_url": {"url": "data:"}}])},
        CHAT | {"body": {"model": "m", "messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]}},
        CHAT | {"body": messages("a", role="developer")},
        {"body": {"model": "m", "input": [1, 2, 3]}},
        {"body": {"model": "m", "input": [[1], [2, 3]]}},
        MODERATIONS | {"body": {"input": [{"type": "text", "text": ""}, {"type": "image_url", "image_url": {}}]}},
        RESPONSES | {"body": {"model": "m", "prompt": {"id": "pmpt_1"}}},
        RESPONSES | {"body": {"model": "m", "previous_response_id": "resp_1"}},
        RESPONSES | {"body": {"model": "m", "conversation": {"id": "conv_1"}}},
        RESPONSES | {"body": {"model": "m", "input": [{"type": "function_call_output", "call_id": "1", "output": ""}]}},
        {"url": "/v1/completions", "body": {"model": "m", "prompt": ["a", "b"]}},
        {"url": "/v1/completions", "body": {"model": "m"}},
    ],
)
def test_a_request_with_any_question_is_accepted(changes: dict[str, Any]) -> None:
    [record] = rows("r.jsonl", line(**changes))
    assert raw_request(record).custom_id == "1"


@pytest.mark.parametrize(
    ("data", "code"), [(b"{", "not_json"), (b"[]", "not_an_object"), (b'{"a":\xff}', "invalid_utf8")]
)
def test_a_line_that_is_not_an_object_keeps_its_problem(data: bytes, code: str) -> None:
    assert refused(data).code == code


def test_stream_may_be_false() -> None:
    [record] = rows("r.jsonl", line(body={"model": "m", "stream": False, "input": "x"}))
    assert raw_request(record).request.model == "m"


def test_an_id_is_new_only_once() -> None:
    ids = UniqueIds()
    names = [b"request-%d" % number for number in range(20_000)]
    assert all(ids.add(name) for name in names)
    assert not any(ids.add(name) for name in names)
    assert ids.add(b"Request-1")
    assert ids.add(b"\x00")


def test_all_problems_of_a_line_are_reported_together() -> None:
    first, record = rows("r.jsonl", line() + b"\n" + line(custom_id=1, method="GET", url="?", body={"stream": True}))
    raw_request(first)
    with pytest.raises(RowRejectedError) as caught:
        raw_request(record)
    codes = [problem.code for problem in caught.value.problems]
    assert codes == ["invalid_custom_id", "invalid_method", "invalid_url", "missing_model", "streaming"]
