"""One request to OpenAI, and many at once, as lines of a batch file.

A request is a pure function of a row and a recipe: it is built again, byte for byte the same, whenever it is needed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import repeat

import orjson

from dropbatch.batch_api.estimates import BYTES_PER_TOKEN, RequestEstimate, estimate_request

_LINE = b'{"custom_id":%b,"method":"POST","url":"%b","body":%b}\n'
"""The url needs no escapes: endpoints are a closed list."""


@dataclass(slots=True)
class Request:
    """A request body, as JSON without line feeds, with its endpoint and model.

    The builder passes the `estimate` if it knows it beforehand. Else it is made from the body at its first use.

    The class is not frozen, because an object is made for every row, and a frozen one costs three times as much.
    """

    endpoint: str
    model: str
    body: bytes
    estimate: RequestEstimate | None = field(default=None, compare=False, repr=False)

    def line(self, custom_id: str) -> bytes:
        """Return the request as a line of a batch file, with its line feed."""
        return _LINE % (orjson.dumps(custom_id), self.endpoint.encode(), self.body)

    def line_size(self, custom_id: str) -> int:
        """Return the number of bytes of that line."""
        return len(_LINE) - 3 * len("%b") + len(orjson.dumps(custom_id)) + len(self.endpoint.encode()) + len(self.body)

    @property
    def embedding_inputs(self) -> int:
        """Its share of the embedding inputs of a batch; 0 for other endpoints."""
        return self._estimated().embedding_inputs

    @property
    def expected_output_bytes(self) -> int:
        """The bytes that the answer to it is expected to take in the output file."""
        return self._estimated().output_bytes

    @property
    def asks_for_list(self) -> bool:
        """True if it asks for a list of inputs."""
        return self._estimated().is_list

    @property
    def estimated_input_tokens(self) -> int:
        """A quarter of its bytes: fair for prose in most languages."""
        return len(self.body) // BYTES_PER_TOKEN

    def _estimated(self) -> RequestEstimate:
        if self.estimate is None:
            self.estimate = estimate_request(self.endpoint, self.model, self.body)
        return self.estimate


class RequestChunk:
    """The requests of `count` consecutive rows, the first of which has the number `number`, all for the same model.

    Their bodies are one `form`, with a `%b` for each of the `columns`, of which each row has one cell. The bodies are
    made on demand, because the validation of rows needs only their sizes.
    """

    __slots__ = ("_columns", "_form", "_sizes", "count", "endpoint", "estimate", "model", "number")

    def __init__(
        self,
        endpoint: str,
        model: str,
        estimate: RequestEstimate,
        number: int,
        count: int,
        form: bytes,
        columns: Sequence[Sequence[bytes]],
    ) -> None:
        self.endpoint, self.model, self.estimate = endpoint, model, estimate
        self.number, self.count = number, count
        self._form, self._columns = form, columns
        self._sizes: list[int] | None = None

    @property
    def sizes(self) -> list[int]:
        """The number of bytes of each body."""
        if self._sizes is None:
            fixed = len(self._form % ((b"",) * len(self._columns)))
            cells = [map(len, column) for column in self._columns]
            whole = map(sum, zip(*cells, strict=True)) if len(cells) > 1 else cells[0] if cells else [0] * self.count
            self._sizes = [fixed + size for size in whole]
        return self._sizes

    def bodies(self) -> list[bytes]:
        """Return the body of each request."""
        return [self._form % row for row in self._rows()]

    def line_sizes(self) -> list[int]:
        """Return the number of bytes of each as a line, whose `custom_id` is the row's number."""
        fixed = Request(self.endpoint, self.model, b"").line_size("")
        last = self.number + self.count - 1
        if len(str(self.number)) == len(str(last)):
            fixed += len(str(last))
            return [size + fixed for size in self.sizes]
        return [size + fixed + len(str(number)) for number, size in enumerate(self.sizes, self.number)]

    def lines(self) -> bytes:
        """Return all of them as lines of a batch file."""
        line = _LINE % (b'"%d"', self.endpoint.encode(), self._form)
        numbers = range(self.number, self.number + self.count)
        return b"".join([line % row for row in zip(numbers, *self._columns, strict=True)])

    def _rows(self) -> Iterable[tuple[bytes, ...]]:
        return zip(*self._columns, strict=True) if self._columns else repeat((), self.count)
