"""One bad line fails the batch, with the service's code and the line's number."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from local.openai_emulator.settings import BatchLimits
from tests.unit.emulator.service import chat


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in chat(2).items() if key != name}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{not json", "invalid_json_line"),
        (b"[]", "invalid_json_line"),
        (b"", "invalid_json_line"),
        (b'\xef\xbb\xbf{"custom_id": "2"}', "invalid_json_line"),
        (orjson.dumps(chat(2)).replace(b"hello", b"\xff"), "invalid_json_line"),
        (orjson.dumps(chat(2)).replace(b'"hello"', b"NaN"), "invalid_json_line"),
        (without("custom_id"), "missing_required_parameter"),
        (without("method"), "missing_required_parameter"),
        (without("url"), "missing_required_parameter"),
        (without("body"), "missing_required_parameter"),
        ({**chat(2), "body": {"messages": []}}, "missing_required_parameter"),
        (chat(2, model=""), "missing_required_parameter"),
        ({**chat(2), "custom_id": 2}, "invalid_request"),
        ({**chat(2), "custom_id": ""}, "invalid_request"),
        (orjson.dumps(chat(2)).replace(b"hello", rb"\ud800"), "invalid_json_line"),
        ({**chat(2), "method": "GET"}, "invalid_request"),
        ({**chat(2), "body": []}, "invalid_request"),
        ({**chat(2), "url": "/v1/responses"}, "invalid_url"),
        (chat(1), "duplicate_custom_id"),
        (chat(2, stream=True), "streaming_unsupported"),
        (chat(2, model="plain-2"), "mismatched_model"),
        (b'{"custom_id":"2","method":"POST","url":"/v1/chat/completions","body":{"model":"plain-1","messages":'
         + b"[" * 600 + b"]" * 600 + b"}}", "invalid_request"),
    ],
)  # fmt: skip
def test_a_bad_line_fails_the_batch_with_its_number(service: Any, line: Any, code: str) -> None:
    raw = line if isinstance(line, bytes) else orjson.dumps(line)
    batch = service.ended(b"\n".join([orjson.dumps(chat(1)), raw, orjson.dumps(chat(3))]))
    assert batch.status == "failed"
    assert [(error.code, error.line) for error in batch.errors.data] == [(code, 2)]
    assert (batch.output_file_id, batch.error_file_id) == (None, None)


def test_an_empty_file_fails_the_batch(service: Any) -> None:
    assert [error.code for error in service.ended(b"").errors.data] == ["empty_file"]


def test_an_unknown_model_fails_the_batch(service_with: Callable[..., Any]) -> None:
    batch = service_with(models=("plain-2",)).ended([chat(1)])
    assert [(error.code, error.param) for error in batch.errors.data] == [("model_not_found", "body.model")]


@pytest.mark.parametrize(("requests", "status"), [(2, "completed"), (3, "failed")])
def test_the_requests_of_a_batch_have_a_maximum(service_with: Callable[..., Any], requests: int, status: str) -> None:
    service = service_with(limits=BatchLimits(requests=2))
    assert service.ended([chat(n) for n in range(requests)]).status == status


@pytest.mark.parametrize(("inputs", "status"), [(["a", "b"], "completed"), (["a", "b", "c"], "failed")])
def test_the_embedding_inputs_of_a_batch_have_a_maximum(
    service_with: Callable[..., Any], inputs: list[str], status: str
) -> None:
    service = service_with(limits=BatchLimits(embedding_inputs=2))
    body = {"model": "text-embedding-3-small", "input": inputs, "dimensions": 3}
    line = {"custom_id": "1", "method": "POST", "url": "/v1/embeddings", "body": body}
    assert service.ended([line], "/v1/embeddings").status == status


def test_the_bytes_of_a_batch_file_have_a_maximum(service_with: Callable[..., Any]) -> None:
    line = orjson.dumps(chat(1)) + b"\n"
    service = service_with(limits=BatchLimits(file_bytes=len(line)))
    assert service.ended(line).status == "completed"
    assert service.ended(line + b" ").status == "failed"


def test_enqueued_tokens_are_limited_by_model_and_freed_at_the_end(service_with: Callable[..., Any]) -> None:
    line = chat(1, "x" * 4000)
    service = service_with(token_limits={"plain*": 1500})
    service.running.delays.in_progress = 100
    first, second = service.create([line]), service.create([line])
    service.running.advance(0)
    second = service.client.batches.retrieve(second.id)
    (error,) = second.errors.data
    assert error.code == "token_limit_exceeded"
    assert error.message == (
        "Enqueued token limit reached for plain-1 in organization org-emulated. Limit: 1,500 enqueued tokens. "
        "Please try again once some in_progress batches have been completed."
    )
    service.running.finish()
    assert service.client.batches.retrieve(first.id).status == "completed"
    assert service.ended([line]).status == "completed"


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b""])
def test_lines_may_have_any_common_line_end(service: Any, ending: bytes) -> None:
    lines = [orjson.dumps(chat(1, "\u2028\u2029\u0085\x00😀")), orjson.dumps(chat(2))]
    batch = service.ended((ending or b"\n").join(lines) + ending)
    assert batch.request_counts.completed == 2
