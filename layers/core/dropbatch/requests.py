"""One request to OpenAI, as a line of a batch file, and what it is expected to take.

A request is a pure function of a row and a recipe: it is built again, byte for byte the same, whenever it is needed.
What it takes is estimated cheaply: for a recipe once, for a ready request from the few members that matter.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import msgspec
import orjson

EMBEDDINGS = "/v1/embeddings"

BYTES_PER_DIMENSION = 24
"""What one number of an embedding takes as JSON (measured: 34.6 KB for 1,536), with some room."""

BYTES_PER_BASE64_DIMENSION = 6
"""What one 32-bit number of an embedding takes in base64."""

ANSWER_BYTES = 1024
"""What an answer takes besides its tokens."""

BYTES_PER_TOKEN = 4
DEFAULT_TOKENS = 1_000
MOST_TOKENS = 4_000
"""Caps are set generously: hardly an answer is longer than this, whatever its cap."""


_MODEL_NAME = re.compile(r"[A-Za-z0-9._:/@-]{1,256}")
"""OpenAI's names (`ft:gpt-4.1-mini:org::id` too) and those of servers that have an organisation's name in front. A
model's name may come out of a row, and goes into keys, logs and notifications."""

_LINE = b'{"custom_id":%b,"method":"POST","url":"%b","body":%b}\n'
"""An endpoint is one of a closed list, and needs no escapes."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a request takes: embedding inputs it counts for, and bytes its answer is expected to have."""

    embedding_inputs: int
    output_bytes: int


@dataclass(slots=True)
class Request:
    """A request body, as JSON without line feeds, and where it goes.

    Not frozen, because it is made for every row, and a frozen one costs three times as much.

    `expectation` is handed over where the builder knows it beforehand; else it is read from the body when first asked.
    """

    endpoint: str
    model: str
    body: bytes
    expectation: Expectation | None = field(default=None, compare=False, repr=False)

    def line(self, custom_id: str) -> bytes:
        """The request as a line of a batch file, with its line feed."""
        return _LINE % (orjson.dumps(custom_id), self.endpoint.encode(), self.body)

    def line_size(self, custom_id: str) -> int:
        """How many bytes that line has."""
        return len(_LINE) - 3 * len("%b") + len(orjson.dumps(custom_id)) + len(self.endpoint.encode()) + len(self.body)

    @property
    def embedding_inputs(self) -> int:
        """How many of a batch's embedding inputs it takes; 0 for other endpoints."""
        return self._expected().embedding_inputs

    @property
    def expected_output_bytes(self) -> int:
        """How many bytes its answer is expected to take in the output file."""
        return self._expected().output_bytes

    @property
    def estimated_input_tokens(self) -> int:
        """A quarter of its bytes: fair for prose in most languages."""
        return len(self.body) // BYTES_PER_TOKEN

    def _expected(self) -> Expectation:
        if self.expectation is None:
            self.expectation = expectation(self.endpoint, self.model, self.body)
        return self.expectation


class Requests:
    """Requests of rows that follow one another from `number` on, all for the same model.

    Their bodies are one `form`, with a `%b` for each of the `columns`, of which each row has one cell. They are made
    only when they are asked for: where rows are validated, their sizes do.
    """

    __slots__ = ("_columns", "_form", "_sizes", "count", "endpoint", "expectation", "model", "number")

    def __init__(
        self,
        endpoint: str,
        model: str,
        expectation: Expectation,
        number: int,
        count: int,
        form: bytes,
        columns: Sequence[Sequence[bytes]],
    ) -> None:
        self.endpoint, self.model, self.expectation = endpoint, model, expectation
        self.number, self.count = number, count
        self._form, self._columns = form, columns
        self._sizes: list[int] | None = None

    @property
    def sizes(self) -> list[int]:
        """How many bytes each body has."""
        if self._sizes is None:
            fixed = len(self._form % ((b"",) * len(self._columns)))
            cells = [map(len, column) for column in self._columns]
            whole = map(sum, zip(*cells, strict=True)) if len(cells) > 1 else cells[0] if cells else [0] * self.count
            self._sizes = [fixed + size for size in whole]
        return self._sizes

    def bodies(self) -> list[bytes]:
        return [self._form % row for row in self._rows()]

    def line_sizes(self) -> list[int]:
        """How many bytes each has as a line, under its row's number."""
        fixed = Request(self.endpoint, self.model, b"").line_size("")
        last = self.number + self.count - 1
        if len(str(self.number)) == len(str(last)):
            fixed += len(str(last))
            return [size + fixed for size in self.sizes]
        return [size + fixed + len(str(number)) for number, size in enumerate(self.sizes, self.number)]

    def lines(self) -> bytes:
        """All of them as lines of a batch file."""
        line = _LINE % (b'"%d"', self.endpoint.encode(), self._form)
        numbers = range(self.number, self.number + self.count)
        return b"".join([line % row for row in zip(numbers, *self._columns, strict=True)])

    def _rows(self) -> Iterable[tuple[bytes, ...]]:
        return zip(*self._columns, strict=True) if self._columns else repeat((), self.count)


def is_model_name(text: str) -> bool:
    """Whether a text can be the name of a model."""
    return _MODEL_NAME.fullmatch(text) is not None


class _Members(msgspec.Struct):
    """The members of a body that its answer's size depends on. Their types are the sender's business."""

    input: msgspec.Raw = msgspec.Raw(b"null")
    dimensions: Any = None
    encoding_format: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    n: Any = None


RELEVANT = frozenset(_Members.__struct_fields__)
"""The names of the body's members that its expectation depends on."""

_members = msgspec.json.Decoder(_Members)
_list = msgspec.json.Decoder(list[msgspec.Raw])


def expectation(endpoint: str, model: str, body: bytes) -> Expectation:
    """What a request with this body takes; a body that cannot be read counts as an ordinary one."""
    try:
        members = _members.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        members = _Members()
    if endpoint != EMBEDDINGS:
        caps = (members.max_completion_tokens, members.max_output_tokens, members.max_tokens)
        cap = next((count for count in map(_count, caps) if count), DEFAULT_TOKENS)
        answers = _count(members.n) or 1
        return Expectation(0, (ANSWER_BYTES + BYTES_PER_TOKEN * min(cap, MOST_TOKENS)) * answers)
    dimensions = _count(members.dimensions) or (3072 if "3-large" in model else 1536)
    size = BYTES_PER_BASE64_DIMENSION if members.encoding_format == "base64" else BYTES_PER_DIMENSION
    inputs = _inputs(bytes(members.input))
    return Expectation(inputs, inputs * dimensions * size)


def _count(value: Any) -> int:
    """A positive whole number, or 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _inputs(data: bytes) -> int:
    """How many inputs a request's `input` is: a list of texts or token lists counts each, a list of tokens is one."""
    if not data.startswith(b"["):
        return 1
    try:
        items = _list.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 1
    tokens = bool(items) and bytes(items[0])[:1] not in (b'"', b"[")
    return 1 if tokens else max(1, len(items))
