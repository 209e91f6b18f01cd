"""JSON encoding of whatever a row, an example or an answer holds, and the types of JSON that others wrote."""

import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson


def to_json(value: Any) -> bytes:
    """Return `value` as compact JSON on one line. Numbers stay as they are; NaN is null, a lone surrogate U+FFFD.

    Raise TypeError if it holds something that JSON does not know.
    """
    try:
        return orjson.dumps(value, default=_default)
    except TypeError:
        # Lone surrogates, and integers beyond 64 bits: the standard library takes them.
        return json.dumps(_encodable(value), ensure_ascii=False, separators=(",", ":"), default=_as_plain).encode()


def replace_surrogates(text: str) -> str:
    """Return `text` with every lone surrogate replaced by U+FFFD, so that it can be encoded."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _default(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value)) if value.is_finite() else None
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def _as_plain(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value, default=_default))


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return replace_surrogates(value)
    if isinstance(value, dict):
        return {replace_surrogates(str(name)): _encodable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return an object as it is, and an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def as_list(value: Any) -> Sequence[Any]:
    """Return a list as it is, and an empty one for anything else."""
    return value if isinstance(value, list) else []
