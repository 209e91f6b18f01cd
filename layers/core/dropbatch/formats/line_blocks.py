"""Cuts a stream of blocks at line feeds, many lines at a time: for files that we or OpenAI wrote."""

from collections.abc import Callable, Iterable, Iterator


def whole_lines(blocks: Iterable[bytes], is_complete: Callable[[], bool] = lambda: True) -> Iterator[bytes]:
    """Yield the stream in pieces that end in a line feed each, then what is left behind the last one.

    `is_complete`, asked at the end, says whether that rest is a line: it is not if the stream broke off.
    """
    parts: list[bytes | memoryview] = []
    for block in blocks:
        end = block.rfind(b"\n") + 1
        parts.append(memoryview(block)[:end] if end else block)
        if end:
            yield b"".join(parts)
            parts = [block[end:]]
    rest = b"".join(parts)
    if rest and is_complete():
        yield rest
