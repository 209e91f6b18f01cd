"""A download of a file of OpenAI, from memory."""

from collections.abc import Iterator
from dataclasses import dataclass

from dropbatch.domain.errors import OpenAIOutcomeUnknownError

BLOCK_BYTES = 1_048_576


@dataclass(frozen=True)
class FakeDownload:
    """A file's content from `start` on. The connection breaks after `breaks_after` bytes."""

    content: bytes
    start: int
    breaks_after: int | None

    @property
    def size(self) -> int | None:
        return len(self.content)

    def blocks(self) -> Iterator[bytes]:
        if self.start > len(self.content):
            raise OpenAIOutcomeUnknownError("incomplete_answer")
        end = len(self.content) if self.breaks_after is None else min(len(self.content), self.start + self.breaks_after)
        for start in range(self.start, end, BLOCK_BYTES):
            yield self.content[start : min(start + BLOCK_BYTES, end)]
        if end < len(self.content):
            raise OpenAIOutcomeUnknownError("incomplete_answer")
