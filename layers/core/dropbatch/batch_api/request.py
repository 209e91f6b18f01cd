"""One request to OpenAI, as a line of a batch file.

A request is a pure function of a row and a recipe: it is built again, byte for byte the same, whenever it is needed.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from dropbatch.batch_api.estimates import BYTES_PER_TOKEN, RequestEstimate, estimate_request
from dropbatch.batch_api.token_estimates import TokenEstimate, estimate_tokens

LINE = b'{"custom_id":%b,"method":"POST","url":"%b","body":%b}\n'
"""The url needs no escapes: endpoints are a closed list."""


class BodyFrame(NamedTuple):
    """Bytes with which bodies begin and end. What differs between such bodies is between them."""

    start: bytes
    end: bytes

    def holds(self, body: bytes) -> bool:
        """Return whether a body has both."""
        is_long = len(body) >= len(self.start) + len(self.end)
        return is_long and body.startswith(self.start) and body.endswith(self.end)

    def content(self, body: bytes) -> bytes:
        """Return what stands for a body: two bodies have the same if, and only if, they are the same."""
        if not self.holds(body):
            return NOT_FRAMED + body
        return body[len(self.start) : len(body) - len(self.end)]


NO_FRAME = BodyFrame(b"", b"")

NOT_FRAMED = b"\xff"
"""The start of what stands for a body without the frame: a byte that no JSON has."""


@dataclass(slots=True)
class Request:
    """A request body, as JSON without line feeds, with its endpoint and model.

    The builder passes the estimates if it knows them beforehand. Else they are made from the body at their first use.

    The class is not frozen, because an object is made for every row, and a frozen one costs three times as much.
    """

    endpoint: str
    model: str
    body: bytes
    estimate: RequestEstimate | None = field(default=None, compare=False, repr=False)
    expected: TokenEstimate | None = field(default=None, compare=False, repr=False)

    def line(self, custom_id: str) -> bytes:
        """Return the request as a line of a batch file, with its line feed."""
        return LINE % (orjson.dumps(custom_id), self.endpoint.encode(), self.body)

    def line_size(self, custom_id: str) -> int:
        """Return the number of bytes of that line."""
        return len(LINE) - 3 * len("%b") + len(orjson.dumps(custom_id)) + len(self.endpoint.encode()) + len(self.body)

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
        """A quarter of the bytes that the model reads: fair for prose in most languages."""
        unread = self.estimate.unread_bytes if self.estimate is not None else 0
        return (len(self.body) - unread) // BYTES_PER_TOKEN

    @property
    def expected_tokens(self) -> TokenEstimate:
        """The tokens that its prompt and the answers to it are expected to have."""
        if self.expected is None:
            unread = self._estimated().unread_bytes
            self.expected = estimate_tokens(self.endpoint, self.model, self.body, unread)
        return self.expected

    def _estimated(self) -> RequestEstimate:
        if self.estimate is None:
            self.estimate = estimate_request(self.endpoint, self.model, self.body)
        return self.estimate
