"""The rows of a raw drop: lines that are ready requests for OpenAI's Batch API."""

from collections.abc import Iterator

from dropbatch import fast_paths
from dropbatch.formats.jsonl import reader
from dropbatch.formats.jsonl.fast_raw_requests import LineTemplates
from dropbatch.formats.lines import Lines
from dropbatch.formats.records import Chunk


def read_chunks(lines: Lines, number: int) -> Iterator[Chunk]:
    """Yield the rows of lines; `number` is the first row's. It chooses between the fast path and line by line."""
    return _fast_chunks(lines, number) if fast_paths.enabled() else reader.read_chunks(lines, number)


def _fast_chunks(lines: Lines, number: int) -> Iterator[Chunk]:
    templates = LineTemplates()
    while raws := lines.take():
        line = lines.number - len(raws)
        chunks = list(templates.chunks(raws, number, line))
        if len(chunks) == 1 and len(chunks[0].raws) == len(raws):
            yield chunks[0]
            number += len(raws)
            continue
        # Each chunk is yielded when just its lines are taken, so that reading can continue behind it.
        lines.give_back(raws)
        ends = [*(chunk.lines[0] - line for chunk in chunks[1:]), len(raws)]
        start = 0
        for chunk, end in zip(chunks, ends, strict=False):  # there is no chunk if all lines are blank
            lines.skip(raws[start:end])
            yield chunk
            number, start = number + len(chunk.raws), end
        lines.skip(raws[start:])
