"""Members of JSON, decoded one by one: values are handed on exactly as they were written."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from dropbatch.json_encoding import as_list, as_mapping, to_json

DECODE_ERRORS = (msgspec.DecodeError, ValueError, RecursionError)
"""The errors of text that is not JSON, or has another shape."""

decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


def decode_member(raw: msgspec.Raw | None) -> Any:
    """Return the value of a member; None if there is no such member."""
    return None if raw is None else msgspec.json.decode(raw)


def exact_value(raw: msgspec.Raw) -> Any:
    """Return text, booleans, null and whole numbers as Python's, and any other value as the very JSON that came."""
    data = bytes(raw).strip()
    if data[:1] in (b'"', b"t", b"f", b"n"):
        return msgspec.json.decode(data)
    if len(data) < 19 and data.lstrip(b"-").isdigit() and data != b"-0":
        return int(data)
    return fragment(data)


def fragment(data: bytes) -> orjson.Fragment:
    """Return JSON to be handed on as it came, without white space that could end a line or a field."""
    return orjson.Fragment(data.replace(b"\n", b" ").replace(b"\r", b" ").replace(b"\t", b" "))


def repair_json(line: bytes) -> bytes:
    """Return a line as strict JSON.

    Lone surrogates, NaN and bytes that are not UTF-8 are replaced, raw control characters escaped. Raise ValueError or
    RecursionError if the line is not JSON even then.
    """
    return to_json(json.loads(line.decode(errors="replace"), parse_constant=lambda _: None, strict=False))


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """Return the items of a list, each as an object; empty for anything but a list."""
    return [as_mapping(item) for item in as_list(value)]


def joined_text(value: Any) -> str:
    """Return a text as it is; of a list of parts, which some servers give, their texts joined."""
    if isinstance(value, str):
        return value
    texts = (as_mapping(part).get("text") for part in as_list(value))
    return "".join(text for text in texts if isinstance(text, str))
