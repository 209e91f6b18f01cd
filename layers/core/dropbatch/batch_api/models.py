"""The names of models, and the families of OpenAI's models by what they refuse. Checked 2026-11-27.

The refusals are those of OpenAI's reasoning and model guides and of its own 400 answers. The table has certain facts
only: a model that is not in it is another server's, or too new, and Dropbatch never refuses it anything.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

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


SAMPLING: Final = ("temperature", "top_p", "logprobs", "top_logprobs")
_PENALTIES: Final = ("presence_penalty", "frequency_penalty", "logit_bias")
DEFAULTS: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("temperature", "top_p"), 1),
    **dict.fromkeys(("presence_penalty", "frequency_penalty", "top_logprobs"), 0),
    "logprobs": False,
    "logit_bias": {},
}
"""The values of these members that change nothing: every model takes them."""

LOGPROBS: Final = "message.output_text.logprobs"
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
