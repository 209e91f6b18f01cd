"""The parameters of a request that its model refuses, each with a sentence that says what to do."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from dropbatch.batch_api.endpoints import CHAT, RESPONSES
from dropbatch.batch_api.models import DEFAULTS, LOGPROBS, SAMPLING, Family, When, family_of

VARIES: Final = object()
"""The placeholder in a request for a value that differs from row to row: it is not checked."""


class Refusal(NamedTuple):
    """A member of a request that its model refuses, as in `reasoning.effort`, and a sentence that says what to do."""

    key: str
    sentence: str


_OTHER_NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    CHAT: {
        "max_output_tokens": "max_completion_tokens",
        "reasoning": "reasoning_effort, as in reasoning_effort: low",
        "text": "response_format or verbosity",
        "instructions": "a message with the role system (the key system of the short form)",
    },
    RESPONSES: {
        "max_completion_tokens": "max_output_tokens",
        "max_tokens": "max_output_tokens",
        "reasoning_effort": "reasoning, as in reasoning: {effort: low}",
        "response_format": "text, as in text: {format: …}",
        "verbosity": "text, as in text: {verbosity: low}",
    },
}
"""Members that only the other of two endpoints has, and this endpoint's names for them."""


def refusals(endpoint: str, model: str, body: Mapping[str, Any]) -> Iterator[Refusal]:
    """Yield the members of a request's body that a model is known to refuse; none if the model is not known."""
    family = family_of(model)
    if family is None or endpoint not in _OTHER_NAMES:
        return
    for name, advice in _OTHER_NAMES[endpoint].items():
        if body.get(name) is not None:
            yield Refusal(name, f"{endpoint} has no {name}; write {advice}.")
    given = body.get("reasoning_effort") if endpoint == CHAT else _effort_of(body.get("reasoning"))
    key, written = ("reasoning_effort",) * 2 if endpoint == CHAT else ("reasoning.effort", "reasoning: {effort")
    if not family.reasons:
        if given is not None:
            yield Refusal(key, f"{model} does not reason, and refuses an effort; leave {key.partition('.')[0]} out.")
        return
    if endpoint == CHAT and body.get("max_tokens") is not None:
        yield Refusal("max_tokens", f"{model} refuses max_tokens; write max_completion_tokens instead.")
    if isinstance(given, str) and given not in (*family.efforts, *family.unsure):
        yield Refusal(key, f"{model} has no effort {given[:40]}; {_effort_advice(given, family.efforts)}.")
        return  # what depends on the effort is seen when it is corrected
    effort = family.effort if given is None else given
    usual = f" (with {effort} effort unless told otherwise)" if given is None else ""
    none = f"{written}: none{'' if endpoint == CHAT else '}'}"
    way_out = f"{usual}; leave it out, or write {none}." if "none" in family.efforts else "; leave it out."
    yield from _refused_values(family, model, body, effort, way_out)
    if endpoint == CHAT:
        yield from _refused_tools(family, model, body, effort)


def _effort_of(reasoning: Any) -> Any:
    return reasoning.get("effort") if isinstance(reasoning, Mapping) else reasoning and VARIES


def _effort_advice(given: str, efforts: tuple[str, ...]) -> str:
    others = f"it has {', '.join(efforts)}" if len(efforts) > 1 else f"it has {efforts[0]} only"
    nearest = {"minimal": ("none", "low"), "none": ("minimal", "low"), "max": ("xhigh", "high"), "xhigh": ("high",)}
    like = next((effort for effort in nearest.get(given, ()) if effort in efforts), None)
    return f"{others}; write {like or efforts[0]}"


def _refused_values(
    family: Family, model: str, body: Mapping[str, Any], effort: Any, way_out: str
) -> Iterator[Refusal]:
    for name in (*SAMPLING, *family.fixed):
        when = When.NEVER if name in family.fixed else family.sampling
        if _is_set(name, body.get(name)) and _is_refused(when, effort):
            yield Refusal(name, f"{model} {_refuses(name, when, way_out)}")
    included = body.get("include")
    if isinstance(included, list) and LOGPROBS in included and _is_refused(family.sampling, effort):
        yield Refusal("include", f"{model} {_refuses(LOGPROBS, family.sampling, way_out)}")


def _refuses(name: str, when: When, way_out: str) -> str:
    but = f" but the default ({DEFAULTS[name]})" if name in ("temperature", "top_p") else ""
    return f"takes no {name}{but}" + ("; leave it out." if when is When.NEVER else f" while it reasons{way_out}")


def _refused_tools(family: Family, model: str, body: Mapping[str, Any], effort: Any) -> Iterator[Refusal]:
    if not _is_refused(family.tools, effort):
        return
    if family.tools is When.NEVER:
        sentence = f"{model} calls functions in {RESPONSES} only; ask that endpoint."
    else:
        sentence = (
            f"{model} calls functions in {CHAT} with reasoning_effort: none only; write that, or ask {RESPONSES}."
        )
    for name in ("tools", "functions"):
        value = body.get(name)
        listed = [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
        if any(name == "functions" or one.get("type") == "function" for one in listed):
            yield Refusal(name, sentence)


def _is_refused(when: When, effort: Any) -> bool:
    return when is When.NEVER or (when is When.WITHOUT_EFFORT and effort not in ("none", VARIES))


def _is_set(name: str, value: Any) -> bool:
    """Return whether a value is there, and not the default. A text counts as unset: any model refuses its type."""
    return value is not None and value is not VARIES and not isinstance(value, str) and value != DEFAULTS[name]
