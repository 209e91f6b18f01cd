"""The names of models, and the members of a request that each family of OpenAI's models refuses. Checked 2026-11-27.

The refusals are those of OpenAI's reasoning and model guides and of its own 400 answers. The table has certain facts
only: a model that is not in it is another server's, or too new, and Dropbatch never refuses it anything.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from dropbatch.batch_api.endpoints import CHAT, RESPONSES

EXAMPLE_MODEL = "gpt-6-luna"
"""The model that advice names."""

_MODEL_NAME = re.compile(r"[A-Za-z0-9._:/@-]{1,256}")
"""OpenAI's names (`ft:<model>:org::id` too) and those of servers that put an organisation's name in front. A model's
name may come out of a row, and becomes part of keys, logs and notifications."""

MODEL_NAME_RULE = "a name has at most 256 letters, digits and signs of . _ : / @ -"


def is_model_name(text: str) -> bool:
    """Return whether a text can be the name of a model."""
    return _MODEL_NAME.fullmatch(text) is not None


def base_of(model: str) -> str:
    """Return the model that a fine-tuned one was made of: both end on one day, and refuse the same."""
    return model.split(":")[1] if model.startswith("ft:") else model


class When(StrEnum):
    """The condition under which a model takes a member."""

    ALWAYS = "always"
    WITHOUT_EFFORT = "with the effort none only"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Family:
    """Models that take the same members of a request.

    `efforts` are those published, none for a model that does not reason. `unsure` are efforts that some sources say it
    takes as well. `effort` is the one that it uses if none is given. `sampling` says when it takes temperature and the
    like, `tools` when it calls functions in chat completions. `fixed` are more members that it takes at their defaults
    only.
    """

    efforts: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()
    effort: str = "medium"
    sampling: When = When.ALWAYS
    tools: When = When.ALWAYS
    fixed: tuple[str, ...] = ()

    @property
    def reasons(self) -> bool:
        """True if the models reason."""
        return bool(self.efforts)


_SAMPLING: Final = ("temperature", "top_p", "logprobs", "top_logprobs")
_PENALTIES: Final = ("presence_penalty", "frequency_penalty", "logit_bias")
_DEFAULTS: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("temperature", "top_p"), 1),
    **dict.fromkeys(("presence_penalty", "frequency_penalty", "top_logprobs"), 0),
    "logprobs": False,
    "logit_bias": {},
}
"""The values of these members that change nothing: every model takes them."""

_LOGPROBS: Final = "message.output_text.logprobs"
"""What `include` names to have log probabilities in responses."""

_LOW_TO_MAX = ("low", "medium", "high", "xhigh", "max")
_NONE_TO_MAX = ("none", *_LOW_TO_MAX)
_NONE_TO_XHIGH = ("none", "low", "medium", "high", "xhigh")
_FIRST = Family(("low", "medium", "high"), sampling=When.NEVER, fixed=_PENALTIES)

_FAMILIES = (
    ("gpt-6-luna gpt-6-sol", Family(_NONE_TO_MAX, sampling=When.WITHOUT_EFFORT, tools=When.WITHOUT_EFFORT)),
    ("gpt-6-astra gpt-6.1-sol", Family(_LOW_TO_MAX, ("none",), sampling=When.WITHOUT_EFFORT, tools=When.NEVER)),
    ("gpt-6.1-terra", Family(_LOW_TO_MAX, ("none",), sampling=When.WITHOUT_EFFORT)),
    ("gpt-5.6-luna", Family(_NONE_TO_MAX, sampling=When.WITHOUT_EFFORT, tools=When.WITHOUT_EFFORT)),
    ("gpt-5.6-sol gpt-5.6-terra", Family(_NONE_TO_MAX, ("minimal",), sampling=When.WITHOUT_EFFORT)),
    ("gpt-5.5", Family(_NONE_TO_XHIGH, sampling=When.WITHOUT_EFFORT)),
    ("gpt-5.2 gpt-5.4 gpt-5.4-mini gpt-5.4-nano", Family(_NONE_TO_XHIGH, (), "none", When.WITHOUT_EFFORT)),
    ("gpt-5.1", Family(("none", "low", "medium", "high"), (), "none", When.WITHOUT_EFFORT)),
    (
        "gpt-5 gpt-5-mini gpt-5-nano",
        Family(("minimal", "low", "medium", "high"), sampling=When.NEVER, fixed=_PENALTIES),
    ),
    ("gpt-5-pro", Family(("high",), (), "high", When.NEVER, fixed=_PENALTIES)),
    ("o1 o1-pro o3 o3-mini o3-pro o4-mini", _FIRST),
    ("gpt-4.1 gpt-4.1-mini gpt-4.1-nano gpt-4o gpt-4o-mini gpt-4-turbo gpt-4 gpt-3.5-turbo", Family()),
)
_FAMILY_OF: Final = {name: family for names, family in _FAMILIES for name in names.split()}
_SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4})$")


def family_of(model: str) -> Family | None:
    """Return the family of a model, or of the model that it is a snapshot or a fine-tuned form of; None if unknown."""
    return _FAMILY_OF.get(_SNAPSHOT.sub("", base_of(model)))


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
    for name in (*_SAMPLING, *family.fixed):
        when = When.NEVER if name in family.fixed else family.sampling
        if _is_set(name, body.get(name)) and _is_refused(when, effort):
            yield Refusal(name, f"{model} {_refuses(name, when, way_out)}")
    included = body.get("include")
    if isinstance(included, list) and _LOGPROBS in included and _is_refused(family.sampling, effort):
        yield Refusal("include", f"{model} {_refuses(_LOGPROBS, family.sampling, way_out)}")


def _refuses(name: str, when: When, way_out: str) -> str:
    but = f" but the default ({_DEFAULTS[name]})" if name in ("temperature", "top_p") else ""
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
    return value is not None and value is not VARIES and not isinstance(value, str) and value != _DEFAULTS[name]
