"""The rows of many lines are those that Python's csv.reader gives, wherever a block ends."""

import csv
import io
import time
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.domain.errors import DropRejectedError
from dropbatch.formats import lines as chunked
from dropbatch.formats.csv import strict_reader
from dropbatch.formats.csv.dialect import Dialect
from dropbatch.formats.csv.fast_reader import split_cells
from dropbatch.formats.csv.reader import read_chunks
from dropbatch.formats.csv.rows import RowShape, to_record
from dropbatch.formats.lines import Lines

pytestmark = pytest.mark.usefixtures("with_fast_paths")

ODD = st.lists(
    st.sampled_from(['"', '""', ",", "\n", "\r\n", "\r", "a", "1,2\n", '"x\ny",2\n', "é", "\x85"]), max_size=25
)


@pytest.mark.slow
@given(ODD.map("".join), st.integers(1, 40), st.integers(5, 60), st.booleans())
def test_lines_parsed_together_equal_lines_parsed_one_by_one(text: str, chunk: int, limit: int, spoilt: bool) -> None:
    """A chunk may end in a record, in a blank line, before or after a broken row."""
    data = text.encode()
    if spoilt:
        data = data.replace(b"\xc3", b"\xff")  # no longer UTF-8, because of an é
    lines = (
        data.splitlines(keepends=True) if b"\r" not in data and b"\x85" not in data else io.BytesIO(data).readlines()
    )

    def told(records: Iterator[Any]) -> tuple[list[Any], Any]:
        found = []
        try:
            for record in records:
                found.append(record)  # noqa: PERF402  # rows before a rejection count
        except DropRejectedError as rejected:
            return found, list(rejected.problems)
        return found, None

    shape = RowShape(["p", "q"], Dialect(","), "utf-8")

    def slowly() -> Iterator[Any]:
        rows = strict_reader.read_rows(iter(lines), Dialect(","), "utf-8", limit)
        for number, (raw, line, row, problem) in enumerate(rows, 1):
            yield to_record(number, line, raw, row, problem, shape)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunked, "CHUNK_BYTES", chunk)
        longest = max(map(len, lines), default=0)  # the length of a single line is checked before
        found = read_chunks(Lines([data], longest), shape, limit)
        quickly = told(record for part in found for record in part.records())
    assert quickly == told(slowly())


FIELDS = st.sampled_from(['"', '""', "a", "", "1,2", '"', "é😀", "\r", "\x85", "\x00", " "])


LINE_ENDS = st.sampled_from(["\n", "\r\n"])


@pytest.mark.slow
@given(
    st.lists(
        (FIELDS | LINE_ENDS | st.just("a\nb")).map(lambda field: f'"{field}"') | FIELDS | LINE_ENDS | LINE_ENDS,
        max_size=20,
    ),
    st.sampled_from(["", ","]),
    st.integers(1, 3),
)
def test_cells_are_those_that_csv_sees(pieces: list[str], between: str, width: int) -> None:
    raws = io.BytesIO(between.join(pieces).encode()).readlines()
    found = split_cells(raws, width, ",", "utf-8")
    if found is not None:
        cells, heights = found
        reader = csv.reader([raw.decode() for raw in raws[: sum(heights)]], strict=True)
        rows = [(row, reader.line_num) for row in reader]
        assert [row for row, _ in rows] == list(map(list, zip(*cells, strict=True)))
        assert [end for _, end in rows] == list(accumulate(heights))


@pytest.mark.slow
@given(
    st.lists(st.tuples(*[st.lists(FIELDS | st.just("b\nc"), max_size=4).map("".join)] * 3), min_size=1, max_size=6),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([",", ";", "\t", " "]),
    st.booleans(),
)
def test_lines_that_csv_writes_are_parsed_together(
    table: list[tuple[str, str, str]], line_end: str, delimiter: str, ends: bool
) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows(table)  # quotes a carriage return only where it may end lines
    text = out.getvalue().replace("\r\n", line_end)
    text = text if ends else text.removesuffix(line_end)
    found = split_cells(io.BytesIO(text.encode()).readlines(), 3, delimiter, "utf-8")
    assert found is not None
    cells, heights = found
    assert cells == list(map(list, zip(*table, strict=True)))
    assert sum(heights) == len(table) + sum(field.count("\n") for row in table for field in row)


MANY = 1_000_000


def test_a_text_with_a_million_quotes_is_copied_once() -> None:
    """Copied at each quote, as it once was, it takes minutes."""
    began = time.process_time()
    found = split_cells([b'1,"' + b'""a' * MANY + b'"\n'], 2, ",", "utf-8")
    assert time.process_time() - began < 5
    assert found == ([["1"], ['"a' * MANY]], [1])


def test_a_line_of_many_texts_with_quotes_is_copied_once() -> None:
    began = time.process_time()
    found = split_cells([b",".join([b'"a""b"'] * MANY) + b"\n"], MANY, ",", "utf-8")
    assert time.process_time() - began < 10
    assert found is not None
    assert found[0] == [['a"b']] * MANY


@pytest.mark.parametrize(("width", "least", "most"), [(9_000, 8, 16), (1_000, 16, 64), (10, 1_000, 2_000)])
def test_several_rows_are_parsed_together_even_if_they_are_wide(width: int, least: int, most: int) -> None:
    """But only as many as a megabyte holds, because all their values are in memory."""
    row = b",".join([b"a word"] * width) + b"\n"
    rows = 2_000_000 // len(row) + 1
    shape = RowShape([f"c{column}" for column in range(width)], Dialect(","), "utf-8")
    counts = [len(chunk.raws) for chunk in read_chunks(Lines([row * rows], len(row)), shape, len(row))]
    assert sum(counts) == rows
    assert least <= max(counts) <= most
