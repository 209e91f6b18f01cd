"""The members of a request about prompt caching, and the 400s that OpenAI answers to wrong ones.

A request may hold more than four breakpoints: OpenAI writes the latest four, and looks up earlier ones.
"""

from collections.abc import Iterator
from typing import Any

from local.openai_emulator.errors import ApiError, wrong_type

_OPTIONS = "prompt_cache_options"
_BREAKPOINT = "prompt_cache_breakpoint"
_KEY = "prompt_cache_key"
_MAX_KEY = 64
_MODES = ("implicit", "explicit")
_BLOCKS = ("text", "image_url", "input_audio", "file", "input_text", "input_image", "input_file")
"""The types of content blocks that carry a breakpoint."""


def check_cache_members(question: str, body: dict[str, Any], *, takes_breakpoints: bool) -> None:
    """Raise the 400 that OpenAI answers to a wrong member about caching; `question` holds the messages."""
    _check_key(body.get(_KEY))
    options = body.get(_OPTIONS)
    found = list(_breakpoints(question, body.get(question)))
    if not takes_breakpoints:
        for param in [_OPTIONS] * (options is not None) + [path for path, _, _ in found]:
            text = f"Unsupported parameter: '{param}' is not supported with this model."
            raise ApiError(400, text, code="unsupported_parameter", param=param)
        return
    if options is not None:
        _check_options(body, options)
    for path, can_carry, value in found:
        if not can_carry:
            raise _unknown(path)
        _check_members(path, value, {"mode": ("explicit",), "ttl": ("30m", "12h")}, required="mode")


def _check_key(key: object) -> None:
    if key is None:
        return
    if not isinstance(key, str):
        raise wrong_type(_KEY, "a string", key)
    if len(key) > _MAX_KEY:
        text = (
            f"Invalid '{_KEY}': string too long. Expected a string with maximum length {_MAX_KEY}, but got a string "
            f"with length {len(key)} instead."
        )
        raise ApiError(400, text, code="string_above_max_length", param=_KEY)


def _check_options(body: dict[str, Any], options: object) -> None:
    _check_members(_OPTIONS, options, {"mode": _MODES, "ttl": ("30m",)})
    if body.get("prompt_cache_retention") is not None:
        text = f"'prompt_cache_retention' cannot be used together with '{_OPTIONS}'."
        raise ApiError(400, text, code="invalid_parameter", param="prompt_cache_retention")


def _check_members(path: str, value: object, known: dict[str, tuple[str, ...]], required: str | None = None) -> None:
    """Raise a 400 unless a value is an object that has only these members, with these values."""
    if not isinstance(value, dict):
        raise wrong_type(path, "an object", value)
    if required is not None and required not in value:
        param = f"{path}.{required}"
        raise ApiError(400, f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param)
    for name, given in value.items():
        if name not in known:
            raise _unknown(f"{path}.{name}")
        if given is not None and given not in known[name]:
            values = " and ".join(f"'{one}'" for one in known[name])
            text = f"Invalid value: '{given}'. Supported values are: {values}."
            raise ApiError(400, text, code="invalid_value", param=f"{path}.{name}")


def _unknown(param: str) -> ApiError:
    return ApiError(400, f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)


def _breakpoints(name: str, messages: object) -> Iterator[tuple[str, bool, object]]:
    """Yield the path of each breakpoint of a conversation, whether its block can carry one, and its value."""
    for number, message in enumerate(messages if isinstance(messages, list) else ()):
        if not isinstance(message, dict):
            continue
        at = f"{name}[{number}]"
        if message.get(_BREAKPOINT) is not None:
            yield f"{at}.{_BREAKPOINT}", False, message[_BREAKPOINT]
        content = message.get("content")
        for place, block in enumerate(content if isinstance(content, list) else ()):
            if isinstance(block, dict) and block.get(_BREAKPOINT) is not None:
                can_carry = block.get("type") in _BLOCKS and message.get("role") != "assistant"
                yield f"{at}.content[{place}].{_BREAKPOINT}", can_carry, block[_BREAKPOINT]
