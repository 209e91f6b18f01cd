"""The check of a batch's input file: one bad line fails the whole batch, late, with the service's own codes."""

import hashlib
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from local.openai_emulator.settings import BatchLimits
from local.openai_emulator.store import BatchError

MAX_KEPT_ERRORS = 50


@dataclass(slots=True)
class InputFile:
    """The findings of validation: where each line starts, the one model, the input tokens.

    A token is four bytes of a body, without the members about prompt caching.
    """

    offsets: "array[int]" = field(default_factory=lambda: array("Q"))
    model: str = ""
    tokens: int = 0
    errors: list[BatchError] = field(default_factory=list)


def line_offsets(path: Path) -> "array[int]":
    """Return the byte at which each line of a valid file starts."""
    offsets: array[int] = array("Q")
    position = 0
    with path.open("rb") as file:
        for line in file:
            offsets.append(position)
            position += len(line)
    return offsets


def first_model(path: Path) -> str:
    """Return the model on the first line, which faults go by before validation; empty if it cannot be read."""
    with path.open("rb") as file:
        try:
            model = orjson.loads(file.readline())["body"]["model"]
        except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
            return ""
    return model if isinstance(model, str) else ""


def validate(path: Path, endpoint: str, *, limits: BatchLimits, models: tuple[str, ...]) -> InputFile:
    """Read the input file once. `models` are the ones that exist; empty means all."""
    found = InputFile()
    if path.stat().st_size > limits.file_bytes:
        found.errors.append(
            BatchError(
                code="invalid_request",
                message=f"Batch input file is too large: the maximum is {limits.file_bytes} bytes.",
            )
        )
        return found
    seen: set[bytes] = set()
    inputs = 0
    position = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            found.offsets.append(position)
            position += len(line)
            if number > limits.requests:
                message = f"The batch contains too many requests: the maximum is {limits.requests}."
                found.errors.append(BatchError(code="invalid_request", message=message))
                return found
            if len(found.errors) < MAX_KEPT_ERRORS:
                error, request = _check_line(line, endpoint, seen)
                error = error or _check_model(request["body"]["model"], found, models)
                if error is not None:
                    error.line = number
                    found.errors.append(error)
                    continue
                body = request["body"]
                read = {name: item for name, item in body.items() if not name.startswith("prompt_cache_")}
                found.tokens += _body_bytes(read) // 4
                inputs += _embedding_inputs(endpoint, body)
    if position == 0:
        message = "The batch input file is empty. Please ensure that the batch input file is not empty."
        found.errors.append(BatchError(code="empty_file", message=message))
    if inputs > limits.embedding_inputs:
        message = f"The batch contains too many embedding inputs: the maximum is {limits.embedding_inputs}."
        found.errors.append(BatchError(code="invalid_request", message=message))
    return found


def _check_line(line: bytes, endpoint: str, seen: set[bytes]) -> tuple[BatchError | None, dict[str, Any]]:
    """Return what is wrong with one line on its own, and the request that it holds."""
    try:
        # orjson refuses a byte-order mark, invalid UTF-8, NaN and lone surrogates, as a strict reader should.
        request = orjson.loads(line)
    except orjson.JSONDecodeError:
        return BatchError(code="invalid_json_line", message="This line is not parseable as valid JSON."), {}
    if not isinstance(request, dict):
        return BatchError(code="invalid_json_line", message="This line is not a JSON object."), {}
    for name in ("custom_id", "method", "url", "body"):
        if request.get(name) is None:
            return _missing(name), request
    custom_id, body = request["custom_id"], request["body"]
    if not isinstance(custom_id, str) or not custom_id:
        return _invalid("custom_id", "Invalid type for 'custom_id': expected a non-empty string."), request
    # 16 bytes an id instead of the id: 50,000 of them stay small however long the ids are.
    digest = hashlib.blake2b(custom_id.encode(), digest_size=16).digest()
    if digest in seen:
        message = (
            "The custom_id for this request is a duplicate of another request. "
            "The custom_id parameter must be unique for each request in a batch."
        )
        return BatchError(code="duplicate_custom_id", message=message, param="custom_id"), request
    seen.add(digest)
    if request["method"] != "POST":
        return _invalid("method", "Invalid value for 'method': only 'POST' is supported."), request
    if request["url"] != endpoint:
        message = "The URL provided for this request does not match the batch endpoint."
        return BatchError(code="invalid_url", message=message, param="url"), request
    return _check_body(body), request


def _check_body(body: object) -> BatchError | None:
    if not isinstance(body, dict):
        return _invalid("body", "Invalid type for 'body': expected an object.")
    if body.get("model") in (None, ""):
        return _missing("body.model")
    if not isinstance(body["model"], str):
        return _invalid("body.model", "Invalid type for 'body.model': expected a string.")
    if not _body_bytes(body):
        return _invalid("body", "The body is nested too deeply.")
    if body.get("stream"):
        message = "The 'stream' parameter is not supported in the Batch API."
        return BatchError(code="streaming_unsupported", message=message, param="body.stream")
    return None


def _check_model(model: str, found: InputFile, models: tuple[str, ...]) -> BatchError | None:
    if models and model not in models:
        message = f"The provided model '{model}' is not supported by the Batch API."
        return BatchError(code="model_not_found", message=message, param="body.model")
    if not found.model:
        found.model = model
    if model != found.model:
        message = (
            f"The provided model '{model}' does not match the expected model '{found.model}'. "
            "All requests in a batch must use the same model."
        )
        return BatchError(code="mismatched_model", message=message, param="body.model")
    return None


def _body_bytes(body: dict[str, Any]) -> int:
    """Return the bytes of a body as compact JSON; 0 if it is nested too deeply to be written."""
    try:
        return len(orjson.dumps(body))
    except orjson.JSONEncodeError:
        return 0


def _embedding_inputs(endpoint: str, body: dict[str, Any]) -> int:
    """Return how many texts one request asks vectors for: a list of numbers is one text in tokens."""
    value = body.get("input")
    if endpoint != "/v1/embeddings" or value is None:
        return 0
    return len(value) if isinstance(value, list) and value and not isinstance(value[0], int) else 1


def _missing(name: str) -> BatchError:
    return BatchError(code="missing_required_parameter", message=f"Missing required parameter: '{name}'.", param=name)


def _invalid(name: str, message: str) -> BatchError:
    return BatchError(code="invalid_request", message=message, param=name)
