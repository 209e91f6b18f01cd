"""The rows of a txt: each line that is not blank is one, with its text as the column `text`."""

from collections.abc import Iterator

from dropbatch import fast_paths
from dropbatch.domain.problems import Problem
from dropbatch.formats.encodings import undecodable
from dropbatch.formats.fast_text_lines import read_cells
from dropbatch.formats.layout import Layout
from dropbatch.formats.lines import Lines
from dropbatch.formats.records import Chunk, Record, Records


def read_chunks(lines: Lines, layout: Layout, number: int) -> Iterator[Chunk]:
    """Yield the rows of lines; `number` is the first row's. It chooses between the fast path and line by line."""
    is_fast = fast_paths.enabled()
    while raws := lines.take():
        line = lines.number - len(raws)
        chunk: Chunk | None = read_cells(raws, layout, number, line) if is_fast else None
        if chunk is None:
            records = list(_records(raws, layout, number, line))
            if not records:
                continue
            chunk = Records(records)
        yield chunk
        number += len(chunk.raws)


def _records(raws: list[bytes], layout: Layout, number: int, line: int) -> Iterator[Record]:
    encoding = layout.encoding
    for at, raw in enumerate(raws, line):
        if raw.isspace():
            continue
        try:
            text = raw.removesuffix(b"\n").removesuffix(b"\r").decode(encoding)
        except UnicodeDecodeError as error:
            yield Record(number, at, raw, None, undecodable(error, at, encoding))
        else:
            if layout.storage.is_cr and "\r" in text:
                message = f"Line {at} holds a line feed, and the lines above end in carriage returns; end all in LF."
                yield Record(number, at, raw, None, Problem("mixed_line_ends", message, line=at))
            else:
                yield Record(number, at, raw, {"text": text})
        number += 1
