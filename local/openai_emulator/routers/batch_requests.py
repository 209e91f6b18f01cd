"""A request for a new batch: what it says, and what OpenAI refuses at once, in its own words."""

from dataclasses import dataclass
from typing import Any

import orjson

from local.openai_emulator.answers import ENDPOINTS
from local.openai_emulator.errors import ApiError, missing_parameter, wrong_type
from local.openai_emulator.routers.expiry import read_lifetime

MAX_METADATA_PAIRS = 16
MAX_METADATA_KEY_CHARACTERS = 64
MAX_METADATA_VALUE_CHARACTERS = 512

_KNOWN = frozenset({"input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"})


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """A request for a batch that passed the checks; its output files live `output_seconds`."""

    input_file_id: str
    endpoint: str
    metadata: dict[str, str] | None
    output_seconds: int


def read_batch_request(body: bytes) -> BatchRequest:
    """Read the body of a request; raise ApiError for what OpenAI refuses at once."""
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ApiError(400, "We could not parse the JSON body of your request.") from error
    if not isinstance(given, dict):
        raise wrong_type("body", "an object", given)
    for name in given:
        if name not in _KNOWN:
            raise ApiError(400, f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)
    _check_required(given, "input_file_id")
    _check_required(given, "endpoint", ENDPOINTS)
    _check_required(given, "completion_window", ("24h",))
    _check_metadata(given.get("metadata"))
    lifetime = _read_output_lifetime(given.get("output_expires_after"))
    return BatchRequest(given["input_file_id"], given["endpoint"], given.get("metadata"), lifetime)


def _check_required(given: dict[str, Any], name: str, supported: tuple[str, ...] = ()) -> None:
    value = given.get(name)
    if value is None:
        raise missing_parameter(name)
    if not isinstance(value, str):
        raise wrong_type(name, "a string", value)
    if supported and value not in supported:
        listed = ", ".join(f"'{one}'" for one in supported)
        message = f"Invalid value: '{value}'. Supported values are: {listed}."
        raise ApiError(400, message, code="invalid_value", param=name)


def _check_metadata(metadata: object) -> None:
    if metadata is None:
        return
    if not isinstance(metadata, dict):
        raise wrong_type("metadata", "an object", metadata)
    if len(metadata) > MAX_METADATA_PAIRS:
        message = (
            "Invalid 'metadata': too many properties. Expected an object with at most "
            f"{MAX_METADATA_PAIRS} properties, but got an object with {len(metadata)} properties instead."
        )
        raise ApiError(400, message, code="object_above_max_properties", param="metadata")
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise wrong_type(f"metadata.{key}", "a string", value)
        _check_length("key", key, MAX_METADATA_KEY_CHARACTERS)
        _check_length("value", value, MAX_METADATA_VALUE_CHARACTERS)


def _check_length(what: str, text: str, maximum: int) -> None:
    if len(text) > maximum:
        message = (
            f"Invalid 'metadata': {what} too long. Expected a string with maximum length {maximum}, "
            f"but got a string with length {len(text)} instead."
        )
        raise ApiError(400, message, code="string_above_max_length", param="metadata")


def _read_output_lifetime(after: object) -> int:
    """Return how many seconds the output files live."""
    if after is not None and not isinstance(after, dict):
        raise wrong_type("output_expires_after", "an object", after)
    after = after or {}
    return read_lifetime("output_expires_after", after.get("anchor"), after.get("seconds"), given=bool(after))
