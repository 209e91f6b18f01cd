"""The requests and the answers of fake batches: what a request is answered with, counts, and does wrong."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from dropbatch.answers.usage import read_usage
from dropbatch.ports import RemoteUsage

MAX_REQUESTS = 50_000


def echo(request: dict[str, Any]) -> str:
    """Return a text that follows from the body of this request, so that a mix-up of rows shows."""
    return "ok " + hashlib.sha256(json.dumps(request["body"], sort_keys=True).encode()).hexdigest()[:8]


def answer_ok(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Answer with a chat completion that echoes the request, or classifies as positive if a schema asks for it."""
    content = echo(request)
    schema = request["body"].get("response_format", {}).get("json_schema", {}).get("schema")
    if schema:
        content = json.dumps({name: member.get("enum", ["text"])[0] for name, member in schema["properties"].items()})
    body = {
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
    }
    return "output", response_line(request, 200, body)


def tokens_of(body: dict[str, Any]) -> int:
    """Return the input tokens of a request: a quarter of the bytes of its body, without the members about caching."""
    read = {name: item for name, item in body.items() if not name.startswith("prompt_cache_")}
    return len(json.dumps(read, separators=(",", ":"))) // 4


def response_line(request: dict[str, Any], status: int, body: Any) -> dict[str, Any]:
    return {
        "id": "batch_req_" + request["custom_id"],
        "custom_id": request["custom_id"],
        "response": {"status_code": status, "request_id": "req", "body": body},
        "error": None,
    }


def usage_of(answers: Sequence[tuple[str, Any] | None]) -> RemoteUsage:
    """Return the tokens of all answers of a batch; of those that are missing from its files, too."""
    usage = RemoteUsage(0, 0, 0, 0)
    for _, line in filter(None, answers):
        response = line.get("response") if isinstance(line, dict) else None
        body = response.get("body") if isinstance(response, dict) else None
        found = read_usage(body.get("usage")) if isinstance(body, dict) else None
        if found is not None:
            usage = RemoteUsage(
                usage.input + found.input_tokens,
                usage.cached + found.cached_tokens,
                usage.output + found.output_tokens,
                usage.reasoning + found.reasoning_tokens,
            )
    return usage


def wrong_lines(requests: list[dict[str, Any]], endpoint: str) -> list[tuple[str, str, int | None]]:
    """Return the faults that the service finds in the lines of a batch file."""
    if not requests:
        return [("empty_file", "The batch input file is empty.", None)]
    if len(requests) > MAX_REQUESTS:
        return [("invalid_request", "The batch contains too many requests.", None)]
    errors: list[tuple[str, str, int | None]] = []
    seen: set[str] = set()
    model = requests[0]["body"].get("model")
    for number, request in enumerate(requests, 1):
        if request["custom_id"] in seen:
            errors.append(("duplicate_custom_id", "The custom_id is a duplicate.", number))
        seen.add(request["custom_id"])
        if request["url"] != endpoint:
            errors.append(("invalid_url", "The URL does not match the batch endpoint.", number))
        if request["body"].get("model") != model:
            errors.append(("mismatched_model", "All requests must use the same model.", number))
    return errors
