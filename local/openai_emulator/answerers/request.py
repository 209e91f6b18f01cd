"""A request to answer, the answer to it, and the tokens that a text counts as: UTF-8 bytes / 4."""

import hashlib
import random
from dataclasses import dataclass
from typing import Any

import orjson

from local.openai_emulator.errors import ApiError, wrong_type
from local.openai_emulator.faults import Spoiling
from local.openai_emulator.lengths import ANSWER_TOKENS, MAX_SHARE, filler
from local.openai_emulator.refusals import effort_of, kind_of
from local.openai_emulator.schemas import fill
from local.openai_emulator.store import Tokens

REFUSAL = "emulated: I'm sorry, but I can't help with that."

_EFFORT_TOKENS = {
    "none": (0, 1),
    "minimal": (0, 17),
    "low": (64, 64),
    "medium": (256, 256),
    "high": (1024, 1024),
    "xhigh": (2048, 2048),
    "max": (4096, 4096),
}
"""Hidden tokens by effort: at least the first, plus less than the second."""

_DATED = {
    "gpt-5.4-mini": "gpt-5.4-mini-2026-03-17",
    "gpt-5.5": "gpt-5.5-2026-04-23",
}
"""The snapshot that answers, for the models that have a dated one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response's status code, body and the tokens it cost."""

    status: int
    body: Any
    tokens: Tokens

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class CutText:
    """A text that fits the token cap, the hidden tokens before it, and whether the cap cut it."""

    text: str
    hidden_tokens: int
    is_cut: bool


class AnswerRequest:
    """One request: its body, and the random source that its hash seeds."""

    def __init__(self, url: str, body: dict[str, Any], now: int, spoil: Spoiling | None) -> None:
        self.url = url
        self.body = body
        self.now = now
        self.spoil = spoil
        self.digest = hashlib.blake2b(orjson.dumps(body, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()
        self.source = random.Random(int(self.digest[:12], 16))
        self.model: str = body["model"]

    def token_cap(self, *names: str) -> int | None:
        """Return the number under the first of the names that is given; None if none of them is."""
        for name in names:
            value = self.body.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise wrong_type(name, "an integer", value)
            if value < 1:
                message = (
                    f"Invalid '{name}': integer below minimum value. Expected a value >= 1, but got {value} instead."
                )
                raise ApiError(400, message, code="integer_below_min_value", param=name)
            return value
        return None

    @property
    def dated_model(self) -> str:
        return _DATED.get(self.model, self.model)

    @property
    def reasons(self) -> bool:
        kind = kind_of(self.model)
        return kind is not None and bool(kind.efforts)

    def text(self, about: str, choice: int = 0) -> str:
        """Write a text that says that it is emulated; each choice has another one."""
        if self.spoil == "empty":
            return ""
        opening = f"emulated: answer {self.digest[:8]}{f'.{choice}' if choice else ''} to {len(about):,} characters."
        source = random.Random(f"{self.digest}.{choice}")
        tokens: float = source.randint(*ANSWER_TOKENS)
        cap = self.token_cap("max_completion_tokens", "max_output_tokens", "max_tokens")
        words = int(min(tokens, tokens if cap is None else cap * MAX_SHARE) * 0.8)  # a word has five bytes
        return f"{opening} {filler(words, source)}. No model was asked."

    def structured(self, schema: object, about: str) -> str:
        """Write JSON that fits the schema."""
        match self.spoil:
            case "empty":
                return ""
            case "not_json":
                return "emulated: this is not JSON"
            case "schema":
                return '{"emulated": "this violates the schema"}'
        return self.json_for(schema, about)

    def json_for(self, schema: object, about: str) -> str:
        """Write JSON that fits the schema, whatever a fault spoils."""
        return orjson.dumps(fill(schema, about, self.source)).decode()

    def cut(self, text: str, cap: int | None) -> CutText:
        """Cut a text to the tokens that the cap leaves once the model has reasoned, or that a fault leaves."""
        hidden = self._reasoning_tokens()
        whole = count_tokens(text)
        room = None if cap is None else cap - hidden
        if self.spoil == "truncated":
            room = min(room or whole, whole) // 2
        if room is None or room >= whole:
            return CutText(text, hidden, is_cut=False)
        return CutText(clip(text, max(room, 0)), min(hidden, cap or hidden), is_cut=True)

    def _reasoning_tokens(self) -> int:
        """Return how many hidden tokens a reasoning model spends before it says anything."""
        kind = kind_of(self.model)
        if kind is None or not kind.efforts:
            return 0
        minimum, spread = _EFFORT_TOKENS[effort_of(self.url, self.body) or kind.effort]
        return minimum + int(self.digest[:8], 16) % spread


def count_tokens(text: str) -> int:
    return (len(text.encode()) + 3) // 4


def clip(text: str, tokens: int) -> str:
    """Return the text's first tokens; a character is never cut in two."""
    return text.encode()[: tokens * 4].decode(errors="ignore")
