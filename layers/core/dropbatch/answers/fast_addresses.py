"""Fast path: the rows that the lines of an output file name, read many lines at once.

It reads lines that name their rows as Dropbatch sent them. `output_files` reads all others line by line.

Finding the rows of lines takes 1.5 times as long without it.
"""

from collections.abc import Sequence
from itertools import repeat

import msgspec
import orjson

from dropbatch.answers.raw_json import DECODE_ERRORS


class _Line(msgspec.Struct, gc=False):
    custom_id: str


_decoder = msgspec.json.Decoder(_Line)


def read_rows(data: bytes, lines: Sequence[bytes]) -> Sequence[int] | None:
    """Return the number of the row that each line of `data` names; None if a line is blank, broken or names no row."""
    try:
        names = ",".join([line.custom_id for line in _decoder.decode_lines(data)])
        rows: Sequence[int] = orjson.loads(f"[{names}]")  # takes no zero before a number
    except DECODE_ERRORS:
        return None
    return rows if len(rows) == len(lines) and has_whole_lines(lines) and names.replace(",", "").isdecimal() else None


def has_whole_lines(lines: Sequence[bytes]) -> bool:
    """Return whether as many objects as there are lines must be one in each line, if these are read at once.

    The decoder passes over blank lines, takes two objects in one line, and one object in two. No object goes on with a
    brace that opens right after one that closes.
    """
    return all(map(bytes.startswith, lines, repeat(b"{"))) and all(map(bytes.endswith, lines, repeat(b"}")))
