"""Fast path: the requests of many rows, kept as one form and the cells that fill it.

What a `Request` says of one row, a `RequestChunk` says of a thousand. Rows whose requests are not of one form have
none; each of them gets a `Request`.

Building requests takes 12 times as long without it and `recipes/fast_body`.
"""

from collections.abc import Iterable, Sequence
from itertools import compress, repeat
from typing import Any

from dropbatch.batch_api.estimates import RequestEstimate
from dropbatch.batch_api.limits import Limits
from dropbatch.batch_api.request import LINE, NO_FRAME, BodyFrame, Request
from dropbatch.batch_api.token_estimates import ExpectedTokens, TokenEstimate, estimate_tokens


class RequestChunk:
    """The requests of rows that follow one another from `number` on, all to the same model.

    Their bodies are one `form`, with a `%b` for each of the `columns`, of which each row has one cell. They are made
    only on demand: validation needs their sizes alone. `expected` is None if their tokens depend on each body. `frame`
    is the form before and after its columns.
    """

    __slots__ = (
        "_columns",
        "_form",
        "_frame",
        "_sizes",
        "count",
        "endpoint",
        "estimate",
        "expected",
        "model",
        "number",
    )

    def __init__(
        self,
        endpoint: str,
        model: str,
        estimate: RequestEstimate,
        number: int,
        count: int,
        form: bytes,
        columns: Sequence[Sequence[bytes]],
        expected: TokenEstimate | None = None,
        frame: BodyFrame = NO_FRAME,
    ) -> None:
        self.endpoint, self.model, self.estimate, self.expected = endpoint, model, estimate, expected
        self.number, self.count = number, count
        self._form, self._columns, self._frame = form, columns, frame
        self._sizes: list[int] | None = None

    @property
    def sizes(self) -> list[int]:
        """The size of each body in bytes."""
        if self._sizes is None:
            fixed = len(self._form % ((b"",) * len(self._columns)))
            cells = [map(len, column) for column in self._columns]
            whole = map(sum, zip(*cells, strict=True)) if len(cells) > 1 else cells[0] if cells else [0] * self.count
            self._sizes = [fixed + size for size in whole]
        return self._sizes

    def add_expected(self, total: ExpectedTokens, places: Iterable[int], tokens: Sequence[int]) -> None:
        """Add the expected tokens of the requests at these places; `tokens` are a quarter of the bytes of each."""
        if self.expected is not None:
            total.add(self.expected, sum(tokens), len(tokens))
            return
        bodies = self.bodies()
        for place, each in zip(places, tokens, strict=True):
            total.add(estimate_tokens(self.endpoint, self.model, bodies[place], self.estimate.unread_bytes), each)

    def fits(self, limits: Limits) -> bool:
        """Return whether each request may be sent: no line and no list of inputs is too long."""
        return (
            max(self.line_sizes()) <= min(limits.line_bytes, limits.batch_bytes)
            and self.estimate.embedding_inputs <= limits.batch_embedding_inputs
        )

    def bodies(self) -> list[bytes]:
        """Return the bodies in the order of their rows."""
        return [self._form % row for row in self._rows()]

    def contents(self, frame: BodyFrame) -> Sequence[bytes]:
        """Return what stands for each body within a frame: see `BodyFrame.content`."""
        if frame != self._frame:
            return list(map(frame.content, self.bodies()))
        if len(self._columns) == 1:
            return self._columns[0]
        start, end = (len(text) + text.count(b"%") for text in frame)
        form = self._form[start : len(self._form) - end]
        return [form % row for row in self._rows()]

    def line_sizes(self) -> list[int]:
        """Return the size in bytes of each request as a line that has its row's number as `custom_id`."""
        fixed = Request(self.endpoint, self.model, b"").line_size("")
        last = self.number + self.count - 1
        if len(str(self.number)) == len(str(last)):
            fixed += len(str(last))
            return [size + fixed for size in self.sizes]
        return [size + fixed + len(str(number)) for number, size in enumerate(self.sizes, self.number)]

    def lines(self, wanted: Sequence[bool] | None = None) -> bytes:
        """Return the requests as lines of a batch file: all, or those of the rows that are wanted."""
        line = LINE % (b'"%d"', self.endpoint.encode(), self._form)
        numbers = range(self.number, self.number + self.count)
        rows: Iterable[tuple[Any, ...]] = zip(numbers, *self._columns, strict=True)
        return b"".join([line % row for row in (rows if wanted is None else compress(rows, wanted))])

    def _rows(self) -> Iterable[tuple[bytes, ...]]:
        return zip(*self._columns, strict=True) if self._columns else repeat((), self.count)
