"""The parameters that models refuse, in the words of OpenAI's own 400.

The emulator replaces OpenAI, so it has a small table of its own, by patterns of names. Dropbatch's knowledge of models
comes from elsewhere. A model that fits no pattern is not OpenAI's, and takes every parameter.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from local.openai_emulator.cache_members import check_cache_members
from local.openai_emulator.errors import ApiError

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"

_ALL_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of model: the `efforts` it takes, none if it does not reason, and the `effort` it has by default.

    `breakpoints` says whether it takes cache breakpoints.
    """

    efforts: tuple[str, ...] = ()
    effort: str = "medium"
    tools_in_chat: bool = True  # also while it reasons
    breakpoints: bool = False


_KINDS = (
    # The first pattern that fits counts.
    ("gpt-6-astra*", Kind(_ALL_EFFORTS[2:], tools_in_chat=False, breakpoints=True)),
    ("gpt-6.1-*", Kind(_ALL_EFFORTS[2:], tools_in_chat=False, breakpoints=True)),
    ("gpt-6-*", Kind(("none", *_ALL_EFFORTS[2:]), tools_in_chat=False, breakpoints=True)),
    ("gpt-5.6*", Kind(("none", *_ALL_EFFORTS[2:]), tools_in_chat=False, breakpoints=True)),
    ("gpt-5.5*", Kind(("none", *_ALL_EFFORTS[2:6]))),
    ("gpt-5.4*", Kind(("none", *_ALL_EFFORTS[2:6]), "none")),
    ("gpt-5.2*", Kind(("none", *_ALL_EFFORTS[2:6]), "none")),
    ("gpt-5.1*", Kind(("none", *_ALL_EFFORTS[2:5]), "none")),
    ("gpt-5-chat*", Kind()),
    ("gpt-5*", Kind(_ALL_EFFORTS[1:5])),
    ("o[134]*", Kind(_ALL_EFFORTS[2:5])),
    ("gpt-[34]*", Kind()),
)


@lru_cache
def kind_of(model: str) -> Kind | None:
    """Return the kind of one of OpenAI's models; None for any other."""
    return next((kind for pattern, kind in _KINDS if fnmatchcase(model, pattern)), None)


def effort_of(url: str, body: dict[str, Any]) -> Any:
    """Return the effort that a request names; None if it names none."""
    if url == CHAT:
        return body.get("reasoning_effort")
    reasoning = body.get("reasoning")
    return reasoning.get("effort") if isinstance(reasoning, dict) else None


def check_refusals(url: str, body: dict[str, Any]) -> None:
    """Raise the 400 that OpenAI answers to what the request's model does not take."""
    kind = kind_of(body["model"])
    if kind is None or url not in (CHAT, RESPONSES):
        return
    _check_names(url, body)
    check_cache_members("messages" if url == CHAT else "input", body, takes_breakpoints=kind.breakpoints)
    given = effort_of(url, body)
    if given is not None:
        _check_effort(url, body["model"], kind, given)
    if not kind.efforts:
        return
    if url == CHAT and body.get("max_tokens") is not None:
        text = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
        raise ApiError(400, text, code="unsupported_parameter", param="max_tokens")
    if (given or kind.effort) != "none":
        _check_while_reasoning(url, body, kind)


_MOVED = {
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
}
"""Names of chat completions, and what they are called in the Responses API."""


def _check_names(url: str, body: dict[str, Any]) -> None:
    if url == CHAT:
        for name in ("max_output_tokens", "reasoning", "text", "instructions"):
            if body.get(name) is not None:
                raise ApiError(400, f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)
        return
    for name, moved in _MOVED.items():
        if body.get(name) is not None:
            text = (
                f"Unsupported parameter: '{name}'. In the Responses API, this parameter has moved to '{moved}'. "
                "Try again with the new parameter."
            )
            raise ApiError(400, text, code="unsupported_parameter", param=name)


def _check_effort(url: str, model: str, kind: Kind, given: object) -> None:
    param = "reasoning_effort" if url == CHAT else "reasoning.effort"
    if not kind.efforts:
        if url == CHAT:
            raise ApiError(400, f"Unrecognized request argument supplied: {param}")
        text = f"Unsupported parameter: '{param}' is not supported with this model."
        raise ApiError(400, text, code="unsupported_parameter", param=param)
    if given not in _ALL_EFFORTS:
        text = f"Invalid value: '{given}'. Supported values are: {_listed(_ALL_EFFORTS)}."
        raise ApiError(400, text, code="invalid_value", param=param)
    if given not in kind.efforts:
        what = f"'{param}' does not support '{given}' with this model"
        what = what if url == CHAT else f"'{given}' is not supported with the '{model}' model"
        text = f"Unsupported value: {what}. Supported values are: {_listed(kind.efforts)}."
        raise ApiError(400, text, code="unsupported_value", param=param)


def _check_while_reasoning(url: str, body: dict[str, Any], kind: Kind) -> None:
    for name in ("temperature", "top_p"):
        value = body.get(name)
        if value is None or value == 1:
            continue
        if url == CHAT:
            text = f"Unsupported value: '{name}' does not support {value} with this model. Only the default (1) value "
            raise ApiError(400, text + "is supported.", code="unsupported_value", param=name)
        text = f"Unsupported parameter: '{name}' is not supported with this model."
        raise ApiError(400, text, code="unsupported_parameter", param=name)
    for name in ("logprobs", "top_logprobs"):
        if body.get(name):
            text = f"Unsupported parameter: '{name}' is not supported with this model."
            raise ApiError(400, text, code="unsupported_parameter", param=name)
    tools = body.get("tools") if url == CHAT and not kind.tools_in_chat else None
    if isinstance(tools, list) and any(isinstance(tool, dict) and tool.get("type") == "function" for tool in tools):
        text = (
            f"Function tools with reasoning_effort are not supported for {body['model']} in /v1/chat/completions. "
            "To use function tools, use /v1/responses or set reasoning_effort to 'none'."
        )
        raise ApiError(400, text, param="reasoning_effort")


def _listed(values: tuple[str, ...]) -> str:
    quoted = [f"'{value}'" for value in values]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])}, and {quoted[-1]}"
