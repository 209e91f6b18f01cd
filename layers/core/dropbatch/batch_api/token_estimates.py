"""Estimates of the tokens of a request: those of its prompt beside a quarter of its bytes, and those of its answers.

For a recipe the estimate is made once, for a ready request from the members that matter. What differs from row to row
is texts, and a quarter of a request's bytes counts them. The rest of its bytes, the names and settings around the
texts, is taken off again, because a model does not read it.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

import msgspec
import orjson

from dropbatch.batch_api.endpoints import CHAT, COMPLETIONS, EMBEDDINGS, IMAGES, MODERATIONS, RESPONSES
from dropbatch.batch_api.estimates import BYTES_PER_TOKEN, MAX_ANSWERS
from dropbatch.batch_api.media_tokens import audio_tokens, file_tokens, image_tokens
from dropbatch.batch_api.models import family_of
from dropbatch.batch_api.schema_sizes import schema_size
from dropbatch.domain.quotes import FILE, IMAGE, LOW_CAP, MIN_REASONING_CAP, NONE, SCHEMA, TOOLS, TYPICAL, Tokens

MESSAGE_TOKENS, REQUEST_TOKENS = 4, 3
"""The tokens around a message, and around all of them."""

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


@dataclass(frozen=True, slots=True)
class TokenEstimate:
    """The tokens of a request: `more_input` is what its prompt has beside a quarter of its bytes, and may be negative.

    `form` is a hash of what decides the form of its answers, `basis` where their estimate comes from. `cap` is the
    maximum of their tokens, 0 if it has none.
    """

    more_input: Tokens
    output: Tokens
    basis: str = NONE
    form: str = ""
    notes: frozenset[str] = frozenset()
    cap: int = 0

    @property
    def has_media(self) -> bool:
        """True if its bytes may be those of images, files or sounds: a row of the same form may have others."""
        return not self.notes.isdisjoint((IMAGE, FILE))


@dataclass(slots=True)
class ExpectedTokens:
    """The sum of the estimates of requests to one model. The output has the notes and the form of the first."""

    tokens: int = 0  # a quarter of their bytes
    more_input: Tokens = field(default_factory=Tokens)
    output: Tokens = field(default_factory=Tokens)
    basis: str = ""
    form: str = ""
    notes: set[str] = field(default_factory=set)
    caps: int = 0  # the sum of the caps of those that have one
    uncapped: int = 0  # the number of requests without a cap

    def add(self, estimate: TokenEstimate, tokens: int, requests: int = 1) -> None:
        """Add requests that have the same estimate. `tokens` are a quarter of their bytes."""
        self.tokens += tokens
        self.more_input.add(estimate.more_input, requests)
        self.output.add(estimate.output, requests)
        if estimate.notes:
            self.notes |= estimate.notes
        if estimate.cap:
            self.caps += estimate.cap * requests
        else:
            self.uncapped += requests
        if not self.basis or estimate.basis == TYPICAL:
            self.basis = estimate.basis
        self.form = self.form or estimate.form

    def take(self, requests: int, of: int, tokens: int) -> "ExpectedTokens":
        """Remove the share of some of the requests, whose bytes make `tokens`, and return it."""
        taken = replace(
            self,
            tokens=tokens,
            more_input=self.more_input.take(requests, of),
            output=self.output.take(requests, of),
            notes=set(self.notes),
        )
        self.tokens -= tokens
        return taken

    @property
    def input(self) -> Tokens:
        """The estimated tokens of all prompts."""
        more = self.more_input
        return Tokens(*(max(0, self.tokens + each) for each in (more.low, more.likely, more.high)))


_ABSENT: Final = msgspec.Raw(b"null")


class _Members(msgspec.Struct, gc=False):
    """The members of a body that the estimate depends on. Their types are the sender's business."""

    messages: msgspec.Raw = _ABSENT
    input: msgspec.Raw = _ABSENT
    instructions: msgspec.Raw = _ABSENT
    prompt: msgspec.Raw = _ABSENT
    tools: msgspec.Raw = _ABSENT
    response_format: msgspec.Raw = _ABSENT
    text: msgspec.Raw = _ABSENT
    reasoning: msgspec.Raw = _ABSENT
    reasoning_effort: msgspec.Raw = _ABSENT
    max_tokens: msgspec.Raw = _ABSENT
    max_completion_tokens: msgspec.Raw = _ABSENT
    max_output_tokens: msgspec.Raw = _ABSENT
    n: msgspec.Raw = _ABSENT
    quality: msgspec.Raw = _ABSENT

    @property
    def prompts(self) -> tuple[bytes, ...]:
        """The members that hold what the model reads."""
        return bytes(self.messages), bytes(self.input), bytes(self.instructions), bytes(self.prompt)

    @property
    def settings(self) -> tuple[bytes, ...]:
        """The members that are the same for most requests of a job, in the order of `_Settings`."""
        return tuple(
            map(
                bytes,
                (
                    *(self.tools, self.response_format, self.text, self.reasoning, self.reasoning_effort),
                    *(self.max_completion_tokens, self.max_output_tokens, self.max_tokens, self.n, self.quality),
                ),
            )
        )


class _Part(msgspec.Struct, gc=False):
    """The members of a message, or of a part of its content."""

    type: Any = None
    role: Any = None
    content: msgspec.Raw = _ABSENT
    text: msgspec.Raw = _ABSENT
    tool_calls: msgspec.Raw = _ABSENT
    arguments: msgspec.Raw = _ABSENT
    output: msgspec.Raw = _ABSENT
    detail: Any = None
    image_url: Any = None
    file: Any = None
    file_data: Any = None
    input_audio: Any = None


ROW_MEMBERS: Final = frozenset({"messages", "input", "instructions", "prompt"})
"""The members that count by their length. If a row decides another one of `TOKEN_MEMBERS`, its request has an estimate
of its own."""

TOKEN_MEMBERS: Final = frozenset(_Members.__struct_fields__)
"""The names of the members of a body that the estimate depends on."""

_members = msgspec.json.Decoder(_Members)
_part = msgspec.json.Decoder(_Part)
_part_list = msgspec.json.Decoder(list[_Part])
_list = msgspec.json.Decoder(list[msgspec.Raw])

_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def estimate_tokens(endpoint: str, model: str, body: bytes, unread_bytes: int = 0) -> TokenEstimate:
    """Return the estimate of a request with this body; one that cannot be read counts as its bytes say.

    `unread_bytes` of the body do not count in the quarter of its bytes.
    """
    prompt = _Prompt(model)
    try:
        members = _members.decode(body)
        for raw in members.prompts:
            prompt.read(raw)
    except _ERRORS:
        members, prompt = _Members(), _Prompt(model)
        prompt.bytes = len(body)
    said = _said(endpoint, model, members.settings)
    around = 0
    if endpoint in (CHAT, RESPONSES):
        around = MESSAGE_TOKENS * max(1, prompt.messages) + REQUEST_TOKENS
    more = around - (len(body) - unread_bytes - prompt.bytes - said.bytes) // BYTES_PER_TOKEN
    low, likely, high = prompt.media
    output, cap = said.output, said.cap
    if endpoint == COMPLETIONS:
        inputs = max(1, len(list(_texts(bytes(members.prompt)))))
        output, cap = Tokens(output.low * inputs, output.likely * inputs, output.high * inputs), cap * inputs
    notes = said.notes | prompt.notes if prompt.notes else said.notes
    more_input = Tokens(more + low, more + likely, more + high)
    return TokenEstimate(more_input, output, said.basis, said.form, notes, cap)


class _Prompt:
    """The bytes of the texts of a prompt, its messages, and the tokens of what is not text."""

    __slots__ = ("_model", "bytes", "media", "messages", "notes")

    def __init__(self, model: str) -> None:
        self._model = model
        self.bytes = 0
        self.messages = 0
        self.media = (0, 0, 0)
        self.notes: frozenset[str] = frozenset()

    def read(self, raw: bytes) -> None:
        """Add a text, a message, a part of one, or a list of these."""
        first = raw[:1]
        if first == b'"':
            self.bytes += len(raw) - 2
        elif first == b"{":
            self._read_part(_part.decode(raw))
        elif first == b"[":
            self._read_list(raw)
        elif raw != b"null":
            self.bytes += BYTES_PER_TOKEN  # a token in place of a text

    def _read_list(self, raw: bytes) -> None:
        try:
            parts = _part_list.decode(raw)
        except msgspec.ValidationError:  # not all are objects
            for item in _list.decode(raw):
                self.read(bytes(item))
            return
        for part in parts:
            self._read_part(part)

    def _read_part(self, part: _Part) -> None:
        kind = part.type
        if part.role is not None or kind == "message":
            self.messages += 1
            self.read(bytes(part.content))
            self._read_call(part)
        elif isinstance(kind, str) and kind.endswith("text"):
            self.read(bytes(part.text))
        elif kind in ("image_url", "input_image"):
            detail = part.image_url.get("detail") if isinstance(part.image_url, dict) else part.detail
            self._add(image_tokens(self._model, detail if isinstance(detail, str) else None), IMAGE)
        elif kind in ("file", "input_file"):
            data = part.file.get("file_data") if isinstance(part.file, dict) else part.file_data
            self._add(file_tokens(len(data) if isinstance(data, str) else 0), FILE)
        elif kind == "input_audio" and isinstance(part.input_audio, dict):
            data = part.input_audio.get("data")
            self._add(audio_tokens(len(data) if isinstance(data, str) else 0, part.input_audio.get("format")), FILE)
        else:
            self._read_call(part)

    def _read_call(self, part: _Part) -> None:
        """Add a call of a tool, or its result."""
        for raw in (part.tool_calls, part.arguments, part.output):
            if raw is not _ABSENT:
                self.bytes += len(bytes(raw))

    def _add(self, tokens: Tokens, note: str) -> None:
        low, likely, high = self.media
        self.media = low + tokens.low, likely + tokens.likely, high + tokens.high
        self.notes |= {note}


@dataclass(frozen=True, slots=True)
class _Said:
    """The estimate that the settings of a request give: its answers, and the bytes of its schema and its tools."""

    output: Tokens
    cap: int
    basis: str
    form: str
    notes: frozenset[str]
    bytes: int


class _Settings:
    """The settings of a request, of which `_Members.settings` are the JSON."""

    def __init__(self, settings: tuple[bytes, ...]) -> None:
        self.tools, self.response_format, self.text, *values = settings
        self.reasoning, self.effort, *caps, n, self.quality = map(_loaded, values)
        self._cap = next((count for count in map(_count, caps) if count), 0)
        self.answers = min(_count(n) or 1, MAX_ANSWERS)

    def cap_of(self, endpoint: str) -> int:
        """Return the maximum of the tokens of one answer; 0 if it has none."""
        return self._cap or (DEFAULT_COMPLETION_TOKENS if endpoint == COMPLETIONS else 0)


@lru_cache(maxsize=256)
def _said(endpoint: str, model: str, settings: tuple[bytes, ...]) -> _Said:
    """Return what the settings of a request say: they are the same for most requests of a job."""
    found = _Settings(settings)
    shape = _shape(found.response_format if endpoint == CHAT else found.text)
    output, basis, notes = _output(endpoint, model, found, shape)
    tools = 0
    if found.tools not in (b"null", b"[]"):
        tools = len(found.tools)
        notes = notes | {TOOLS} if _is_charged(found.tools) else notes
    form = hashlib.sha256(f"{endpoint}\n{shape.schema}".encode()).hexdigest()[:16]
    return _Said(output, found.cap_of(endpoint) * found.answers, basis, form, notes, shape.bytes + tools)


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
        kinds = [_part.decode(tool).type for tool in _list.decode(tools)]
    except _ERRORS:
        return False
    return any(kind not in ("function", "custom") for kind in kinds)


def _texts(raw: bytes) -> Iterator[bytes]:
    """Yield the texts, or lists of tokens, of a list of these."""
    if raw.startswith(b"["):
        yield from (bytes(item) for item in _list.decode(raw) if bytes(item)[:1] in (b'"', b"["))


def _loaded(data: bytes) -> Any:
    """Return the value of some JSON; None for texts that are not Unicode, which OpenAI refuses."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
