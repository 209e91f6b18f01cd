"""What OpenAI has published of its models: when each is shut down, and what each refuses. Checked 2026-11-27.

The ends are those of OpenAI's page of deprecations (SOURCE) and of its Python SDK, which gives the dates at the names
of the models. What models refuse stands in OpenAI's reasoning and model guides and in its own 400 answers. Only what
is certain stands here: a model that is not here is another server's, or too new, and is never refused anything.

An end is told, never enforced: another server may serve the model under the same name, or a plan of its own keep it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple

from dropbatch.batch_api.endpoints import CHAT, RESPONSES
from dropbatch.domain.problems import Notice

SOURCE = "https://developers.openai.com/api/docs/deprecations"

NOTICE_DAYS = 7
"""How long before a model's end people are told of it: a batch may take a day, and a retry as long again."""

MAX_NOTICES = 5
"""A drop may name a model in every row. The notices of this many are told, and the others counted."""

_ENDS = (
    # The day, the models with their dated snapshots, and what OpenAI names in their place; if that has an end itself,
    # what it names in place of that. A name goes before a beginning, which a star ends.
    ("2027-04-01", "gpt-5.1 gpt-5.1-20* gpt-5.3-codex gpt-5.4-nano gpt-5.4-nano-20*", ""),
    ("2027-01-20", "gpt-audio gpt-audio-20* gpt-audio-mini gpt-audio-mini-20*", ""),
    ("2027-01-14", "gpt-4o gpt-4o-20* gpt-4o-mini gpt-4o-mini-20*", "gpt-6-luna"),
    ("2027-01-14", "gpt-4.1 gpt-4.1-20* gpt-4.1-mini gpt-4.1-mini-20*", "gpt-6-luna"),
    ("2026-12-11", "gpt-5 gpt-5-20*", "gpt-5.6-sol gpt-6.1-sol"),
    ("2026-12-11", "gpt-5-mini gpt-5-mini-20*", "gpt-5.6-terra gpt-6.1-terra"),
    ("2026-12-11", "gpt-5-nano gpt-5-nano-20*", "gpt-5.6-luna gpt-6-luna"),
    ("2026-12-11", "gpt-5-pro gpt-5-pro-20* o3 o3-20* o3-pro o3-pro-20*", "gpt-5.6-sol"),
    ("2026-12-01", "gpt-image-1.5 gpt-image-1.5-20* gpt-image-1-mini chatgpt-image-latest", "gpt-image-2"),
    ("2026-10-23", "gpt-image-1 gpt-image-1-20*", "gpt-image-2"),
    ("2026-10-23", "gpt-3.5-turbo gpt-3.5-turbo-0125 o4-mini o4-mini-20*", "gpt-5.6-terra"),
    ("2026-10-23", "gpt-4 gpt-4-0613 gpt-4-1106-preview gpt-4-turbo gpt-4-turbo-20*", "gpt-5.6-sol"),
    ("2026-10-23", "gpt-4o-2024-05-13 o1 o1-20* o1-pro o1-pro-20* o3-mini o3-mini-20*", "gpt-5.6-sol"),
    ("2026-10-23", "gpt-4.1-nano gpt-4.1-nano-20*", "gpt-5.6-luna"),
    ("2026-09-28", "gpt-3.5-turbo-1106", "gpt-5.6-terra"),
    ("2026-09-28", "gpt-3.5-turbo-instruct gpt-3.5-turbo-instruct-* babbage-002 davinci-002", ""),
    ("2026-09-24", "sora-*", ""),
    ("2026-08-10", "gpt-5.2-chat-latest gpt-5.3-chat-latest", "gpt-5.5"),
    ("2026-07-23", "gpt-5-chat-latest gpt-5.1-chat-latest gpt-5-codex gpt-5.2-codex", "gpt-5.6-sol"),
    ("2026-07-23", "gpt-5.1-codex gpt-5.1-codex-max", "gpt-5.6-sol"),
    ("2026-07-23", "gpt-5.1-codex-mini", "gpt-5.6-terra"),
    ("2026-07-23", "o3-deep-research o3-deep-research-20*", "gpt-5.6-sol"),
    ("2026-07-23", "o4-mini-deep-research o4-mini-deep-research-20*", "gpt-5.6-sol"),
    ("2026-07-23", "computer-use-preview computer-use-preview-20*", "gpt-5.4-mini"),
    ("2026-07-23", "gpt-4o-search-preview* gpt-4o-mini-search-preview*", "gpt-6-luna"),
    ("2026-05-12", "dall-e-2 dall-e-3", "gpt-image-2"),
    ("2026-05-07", "gpt-4o-audio-preview* gpt-4o-mini-audio-preview*", "gpt-audio-1.5"),
    ("2026-03-26", "gpt-4-0314 gpt-4-0125-preview gpt-4-turbo-preview", "gpt-5.6-sol"),
    ("2026-02-17", "chatgpt-4o-latest", "gpt-5.6-sol"),
    ("2026-02-12", "codex-mini-latest", "gpt-5.6-terra"),
    ("2025-10-27", "o1-mini o1-mini-20*", "gpt-5.6-terra"),
    ("2025-07-28", "o1-preview o1-preview-20*", "gpt-5.6-sol"),
    ("2025-07-14", "gpt-4.5-preview gpt-4.5-preview-20*", "gpt-6-luna"),
    ("2025-06-06", "gpt-4-32k gpt-4-32k-0314 gpt-4-32k-0613", "gpt-6-luna"),
    ("2024-12-06", "gpt-4-vision-preview gpt-4-1106-vision-preview", "gpt-6-luna"),
    ("2024-09-13", "gpt-3.5-turbo-16k gpt-3.5-turbo-16k-0613 gpt-3.5-turbo-0301 gpt-3.5-turbo-0613", "gpt-5.6-terra"),
)


class End(NamedTuple):
    """The day on which OpenAI shuts a model down, and the models that it names in its place, if any."""

    day: date
    replacements: tuple[str, ...]


def base_of(model: str) -> str:
    """Return the model that a fine-tuned one was made of: both end on one day, and refuse the same."""
    return model.split(":")[1] if model.startswith("ft:") else model


def _read_ends() -> tuple[dict[str, End], dict[str, End]]:
    """Return the ends by name, and by what the names of snapshots begin with."""
    names: dict[str, End] = {}
    beginnings: dict[str, End] = {}
    for day, listed, replacements in _ENDS:
        end = End(date.fromisoformat(day), tuple(replacements.split()))
        for name in listed.split():
            if name.endswith("*"):
                beginnings[name[:-1]] = end
            else:
                names[name] = end
    return names, beginnings


_BY_NAME, _BY_BEGINNING = _read_ends()
_BEGINNINGS = tuple(_BY_BEGINNING)


def end_of(model: str) -> End | None:
    """Return the published end of a model; None if none is known."""
    name = base_of(model)
    if name in _BY_NAME:
        return _BY_NAME[name]
    if not name.startswith(_BEGINNINGS):  # a drop may name a model in every row
        return None
    return next(end for beginning, end in _BY_BEGINNING.items() if name.startswith(beginning))


def notices_about(models: Iterable[str], now: int) -> list[Notice]:
    """Return what to tell of those models that OpenAI has shut down at this time (in Unix seconds), or soon will."""
    today = datetime.fromtimestamp(now, UTC).date()
    found = sorted(
        (end.day, model, end)
        for model in set(models)
        if (end := end_of(model)) is not None and today + timedelta(NOTICE_DAYS) >= end.day
    )
    notices = [_notice(model, end, gone=end.day <= today) for _, model, end in found[:MAX_NOTICES]]
    if len(found) > MAX_NOTICES:
        more = f"OpenAI has shut down {len(found) - MAX_NOTICES:,} more of the models, or soon will; see {SOURCE}."
        notices.append(Notice("model_gone", more))
    return notices


def _notice(model: str, end: End, *, gone: bool) -> Notice:
    if end.replacements:
        advice = f"write {' or '.join(end.replacements)} in its place"
    else:
        advice = f"choose another one ({SOURCE})"
    if gone:
        return Notice("model_gone", f"OpenAI shut the model {model} down on {end.day}; {advice}.")
    rest = "and what is not answered by then fails"
    return Notice("model_ends", f"OpenAI shuts the model {model} down on {end.day}, {rest}; {advice}.")


# What models refuse


class When(StrEnum):
    """When a model takes something."""

    ALWAYS = "always"
    WITHOUT_EFFORT = "with the effort none only"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Family:
    """Models that take the same. `efforts` are those published, none for a model that does not reason.

    `unsure` are efforts that some sources say it takes as well. `effort` is the one that it takes if none is given.
    `sampling` says when it takes temperature and the like, `tools` when it calls functions in chat completions.
    `fixed` are more members of a request that it takes at their defaults only.
    """

    efforts: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()
    effort: str = "medium"
    sampling: When = When.ALWAYS
    tools: When = When.ALWAYS
    fixed: tuple[str, ...] = ()

    @property
    def reasons(self) -> bool:
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
"""Stands in a request for what differs from row to row: it is not judged."""


class Refusal(NamedTuple):
    """A member of a request that its model refuses, as in `reasoning.effort`, and what to do, as a sentence."""

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
"""Members that only the other of two endpoints has, and what this one calls them."""


def refusals(endpoint: str, model: str, body: Mapping[str, Any]) -> Iterator[Refusal]:
    """Yield what a model is known to refuse of a request's body; nothing if the model is not known."""
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
    """Whether a value is there and is not the default. A text is sent as one, and refused for that, whatever model."""
    return value is not None and value is not VARIES and not isinstance(value, str) and value != _DEFAULTS[name]
