"""The tokens of the answers to a request, by its settings: its schema, its cap, its effort of reasoning.

The settings are the same for most requests of a job, so their estimate is made once.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import msgspec
import orjson

from dropbatch.batch_api.endpoints import CHAT, COMPLETIONS, EMBEDDINGS, IMAGES, MODERATIONS, RESPONSES
from dropbatch.batch_api.estimates import BYTES_PER_TOKEN, MAX_ANSWERS
from dropbatch.batch_api.models import family_of
from dropbatch.batch_api.schema_sizes import schema_size
from dropbatch.domain.quotes import LOW_CAP, MIN_REASONING_CAP, NONE, SCHEMA, TOOLS, TYPICAL, Tokens

TYPICAL_ANSWER = Tokens(20, 200, 1_000)
"""The tokens of an answer of which nothing says how long it is: a paragraph or two."""

DEFAULT_COMPLETION_TOKENS = 16
"""The cap of `/v1/completions` if a request gives none."""

IMAGE_TOKENS: Final = {"low": 272, "medium": 1_056, "high": 4_160}
"""The tokens of a square image that is made, by its quality; a longer one takes half as many more."""

REASONING: Final = {
    "none": Tokens(0, 0, 0),
    "minimal": Tokens(0, 8, 64),
    "low": Tokens(16, 128, 512),
    "medium": Tokens(64, 512, 2_048),
    "high": Tokens(256, 2_048, 8_192),
    "xhigh": Tokens(512, 4_096, 16_384),
    "max": Tokens(1_024, 8_192, 32_768),
}
"""The tokens with which a model reasons before it answers, by effort. A model decides it for each question: the
bounds are for the average of a job's rows."""


class _Tool(msgspec.Struct):
    """The member of a tool that says whether OpenAI charges for its calls."""

    type: Any = None


_tools = msgspec.json.Decoder(list[_Tool])


@dataclass(frozen=True, slots=True)
class AnswerEstimate:
    """The estimate that the settings of a request give: its answers, and the bytes of its schema and its tools."""

    output: Tokens
    cap: int
    basis: str
    form: str
    notes: frozenset[str]
    bytes: int


class _Settings:
    """The settings of a request, of which `token_estimates` reads the JSON."""

    def __init__(self, settings: tuple[bytes, ...]) -> None:
        self.tools, self.response_format, self.text, *values = settings
        self.reasoning, self.effort, *caps, n, self.quality = map(_loaded, values)
        self._cap = next((count for count in map(_count, caps) if count), 0)
        self.answers = min(_count(n) or 1, MAX_ANSWERS)

    def cap_of(self, endpoint: str) -> int:
        """Return the maximum of the tokens of one answer; 0 if it has none."""
        return self._cap or (DEFAULT_COMPLETION_TOKENS if endpoint == COMPLETIONS else 0)


@lru_cache(maxsize=256)
def answer_estimate(endpoint: str, model: str, settings: tuple[bytes, ...]) -> AnswerEstimate:
    """Return what the settings of a request say: they are the same for most requests of a job."""
    found = _Settings(settings)
    shape = _shape(found.response_format if endpoint == CHAT else found.text)
    output, basis, notes = _output(endpoint, model, found, shape)
    tools = 0
    if found.tools not in (b"null", b"[]"):
        tools = len(found.tools)
        notes = notes | {TOOLS} if _is_charged(found.tools) else notes
    form = hashlib.sha256(f"{endpoint}\n{shape.schema}".encode()).hexdigest()[:16]
    return AnswerEstimate(output, found.cap_of(endpoint) * found.answers, basis, form, notes, shape.bytes + tools)


def _output(endpoint: str, model: str, settings: _Settings, shape: "_Shape") -> tuple[Tokens, str, frozenset[str]]:
    """Return the tokens of all answers to a request, the basis of that, and notes."""
    total = Tokens()
    if endpoint in (EMBEDDINGS, MODERATIONS):
        return total, NONE, frozenset()
    if endpoint in IMAGES:
        total.add(_image(settings.quality), settings.answers)
        return total, NONE, frozenset()
    said, basis, notes = shape.said or TYPICAL_ANSWER, SCHEMA if shape.said else TYPICAL, frozenset[str]()
    cap = settings.cap_of(endpoint)
    effort = _effort(model, settings) if endpoint in (CHAT, RESPONSES) else None
    each = Tokens(said.low, said.likely, said.high)
    each.add(REASONING.get(effort or "none", REASONING["medium"]))
    if cap:
        each = Tokens(min(each.low, cap), min(each.likely, cap), min(each.high, cap))
        if cap < MIN_REASONING_CAP and effort not in (None, "none", "minimal"):
            notes = frozenset({LOW_CAP})
    total.add(each, settings.answers)
    return total, basis, notes


def _effort(model: str, settings: _Settings) -> str | None:
    """Return the effort with which a model reasons; None for one that does not, or of which that is not known."""
    nested = settings.reasoning.get("effort") if isinstance(settings.reasoning, dict) else None
    given = settings.effort or nested
    family = family_of(model)
    if isinstance(given, str) and (family is None or family.reasons):
        return given
    return family.effort if family is not None and family.reasons else None


def _image(quality: Any) -> Tokens:
    square = IMAGE_TOKENS.get(quality) if isinstance(quality, str) else None
    if square is None:
        return Tokens(IMAGE_TOKENS["low"], IMAGE_TOKENS["medium"], IMAGE_TOKENS["high"] * 3 // 2)
    return Tokens(square, square, square * 3 // 2)


@dataclass(frozen=True, slots=True)
class _Shape:
    """The form of answers that a request asks for: the bytes of the schema, and the tokens of JSON that fits it."""

    bytes: int
    said: Tokens | None
    schema: str


def _shape(form: bytes) -> _Shape:
    """Return the shape that a `response_format` or a `text` asks for."""
    members = _loaded(form)
    wanted = members.get("format", members) if isinstance(members, dict) else None
    wanted = wanted.get("json_schema", wanted) if isinstance(wanted, dict) else None
    schema = wanted.get("schema") if isinstance(wanted, dict) else None
    if not isinstance(schema, dict):
        return _Shape(0, None, "")
    written = orjson.dumps(schema)
    said = Tokens(*(max(1, round(size / BYTES_PER_TOKEN)) for size in schema_size(schema)))
    return _Shape(len(written), said, written.decode())


def _is_charged(tools: bytes) -> bool:
    """Return whether a list of tools has others than functions, which OpenAI does not charge for."""
    try:
        found = _tools.decode(tools)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return any(tool.type not in ("function", "custom") for tool in found)


def _loaded(data: bytes) -> Any:
    """Return the value of some JSON; None for texts that are not Unicode, which OpenAI refuses."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
