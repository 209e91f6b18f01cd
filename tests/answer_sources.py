"""Answer files in memory."""

from collections.abc import Iterator, Sequence


class Held:
    """A source of the lines of a batch, read in odd, small blocks."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    @property
    def size(self) -> int:
        return len(self._content)

    def blocks(self) -> Iterator[bytes]:
        return (self._content[at : at + 61] for at in range(0, len(self._content), 61))

    def read(self, places: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        return [self._content[start : start + length] for start, length in places]

    def addresses(self) -> None:
        return None

    def keep(self) -> None:
        """Do nothing: the content is in memory already."""

    def close(self) -> None:
        """Do nothing: no file is open."""
