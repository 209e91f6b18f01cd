"""The rows that the report shows, and its cross-tables: kept while a shard is rendered, when rows and answers meet.

The report shows the first rows of the drop, column by column, and examples of each reason for a row without a good
answer. Long texts are cut, so that they take a fixed amount of memory and of JSON. They stay in S3.
"""

import json
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from dropbatch.answers.cross_tables import MAX_ANSWER_COLUMNS, MAX_ANSWER_VALUES, CrossTables
from dropbatch.delivery.row_results import RowChunk
from dropbatch.delivery.run_comparison import few_values
from dropbatch.domain.drops import cut
from dropbatch.domain.jobs import Shard
from dropbatch.domain.outcomes import Outcome
from dropbatch.formats.reading import read_rows
from dropbatch.formats.records import Record
from dropbatch.json_encoding import replace_surrogates, to_json
from dropbatch.rows.job_rows import JobRows
from dropbatch.storage.batch_results import Result
from dropbatch.storage.fingerprints import VALUE_BYTES, compared_columns, named

MAX_ROWS = 200
"""How many rows the report shows: the first of the drop."""

MAX_COLUMNS = 8
"""How many columns of the drop, and how many of the answers, are kept of each row."""

MAX_CELL = 160
MAX_ANSWER = 400
"""How many characters of a cell of the drop, and of one of an answer, are kept."""

MAX_EXAMPLES = 3
"""How many rows of each reason a shard keeps as examples, and a job shows: the first ones."""

MAX_REASONS = 40

FLUSH_ROWS, FLUSH_BYTES = 1_024, 1_048_576
"""How many rows, or how many bytes of them, are read at once for the cross-tables."""

WHOLE_BLOCKS, EACH_BLOCK = 4, 8
"""How many blocks of `FLUSH_ROWS` rows of a shard are counted one after another, and which of the others are then.

To read all rows once more takes a fifth of the time of collecting them. So the cross-tables of a large file are those
of a part of its rows, from all of its shards; the report says of how many.
"""

MAX_READ_COLUMNS = 50
"""How many columns of the drop may become part of a cross-table: the first ones."""

_NULL = "null"


class RowCollector:
    """The first rows of a drop, and examples of rows without a good answer; `kept` is what an earlier call had."""

    def __init__(self, rows: JobRows, kept: Mapping[str, Any]) -> None:
        self._rows = rows
        self._writer = rows.writer()
        compiled = rows.compiled
        self._used = compiled.used_columns if compiled is not None else ()
        self._width = len(compiled.columns) if compiled is not None else 0
        self.first: list[list[Any]] = list(kept.get("first", ()))
        self.examples: list[list[Any]] = list(kept.get("examples", ()))

    def to_json(self) -> dict[str, Any]:
        """Return the rows as JSON members."""
        return {"first": self.first, "examples": self.examples}

    def write(self, chunk: RowChunk) -> None:
        """Keep those rows of a chunk that the report shows."""
        found = [result for result, _ in chunk.found]
        first = MAX_ROWS + 1 - chunk.first_row
        if first > 0:
            raws = chunk.raws[:first]
            for record, result in zip(self._records(chunk.first_row, raws), found, strict=False):
                self.first.append(self._shown(record, result))
        if [result.outcome for result in found].count(Outcome.OK) < len(found):
            for raw, result in zip(chunk.raws, found, strict=True):
                if result.outcome is not Outcome.OK:
                    self._add_example(raw, result)

    def _add_example(self, raw: bytes, result: Result) -> None:
        same = [each for each in self.examples if each[3:5] == [result.outcome, result.code]]
        if len(same) >= MAX_EXAMPLES or (not same and len(self.examples) >= MAX_REASONS):
            return
        self.examples.append(self.shown(raw, result))

    def shown(self, raw: bytes, result: Result) -> list[Any]:
        """Return a row as the report shows it."""
        (record,) = self._records(result.row, [raw])
        return self._shown(record, result)

    def _records(self, number: int, raws: Sequence[bytes]) -> list[Record]:
        return list(read_rows(raws, self._rows.layout, first_number=number, first_line=1))

    def _shown(self, record: Record, result: Result) -> list[Any]:
        """Return a row as it is kept: number, cells by the names of their columns, answers, outcome and code."""
        cells: Mapping[str, Any] = record.values or {"": record.raw[: 4 * MAX_CELL].decode(errors="replace").strip()}
        names = [*(name for name in self._used if name in cells), *(name for name in cells if name not in self._used)]
        chosen = set(names[:MAX_COLUMNS])
        shown = {cut(name, 60): _shortened(value, MAX_CELL) for name, value in cells.items() if name in chosen}
        answers: list[str] = []
        if self._writer is not None and result.columns:
            values = self._writer.values(result.columns)[: min(self._width, MAX_COLUMNS)]
            answers = [_shortened(value, MAX_ANSWER) for value in values]
        return [result.row, shown, answers, str(result.outcome), result.code]


def _shortened(value: Any, maximum: int) -> str:
    if isinstance(value, str) and value.startswith(('["', "[]")):  # a list, as a csv has it
        value = _list_of_texts(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ", ".join(value)
    text = value if isinstance(value, str) else "" if value is None else to_json(value).decode()
    return replace_surrogates(text if len(text) <= maximum else text[: maximum - 1] + "…")


def _list_of_texts(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


class CrossCounter:
    """A counter of a shard's rows by a value of the drop and a value of the answer.

    The answers' values are known by their fingerprints. The rows are read once more, many at once, for as long as a
    column of theirs has few values. Of a large shard only a part of the rows is read.
    """

    def __init__(self, rows: JobRows, shard: Shard, tables: CrossTables) -> None:
        self._rows, self._tables = rows, tables
        self._shard_row = shard.first_row
        self._columns = _answer_columns(rows)
        self._raws: list[bytes] = []
        self._prints: list[bytes | None] = []
        self._first_row = self._size = 0

    def write(self, chunk: RowChunk) -> None:
        """Count the rows of a chunk, now or later."""
        if not self._columns or not self._tables.is_open:
            return
        block = (chunk.first_row - self._shard_row) // FLUSH_ROWS
        if block >= WHOLE_BLOCKS and block % EACH_BLOCK:
            if self._raws:
                self.flush()
            return
        prints = [result.fingerprints for result, _ in chunk.found]
        good = [result.outcome for result, _ in chunk.found].count(Outcome.OK)
        if good > len(prints) - prints.count(None):  # results of an earlier release have none
            self._tables.close()
            return
        if not self._raws:
            self._first_row = chunk.first_row
        self._raws += chunk.raws
        self._prints += prints
        self._size += sum(map(len, chunk.raws))
        if len(self._raws) >= FLUSH_ROWS or self._size >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Count the rows that were not counted yet."""
        raws, prints, first_row = self._raws, self._prints, self._first_row
        self._raws, self._prints, self._size = [], [], 0
        good = [each for each in prints if each is not None]
        if not good or not self._tables.is_open:
            return
        dropped = self._dropped(first_row, raws)
        if len(good) < len(prints):
            places = [place for place, each in enumerate(prints) if each is not None]
            dropped = {name: [values[place] for place in places] for name, values in dropped.items()}
        answered = {
            name: [names.get(each[start : start + VALUE_BYTES], _NULL) for each in good]
            for name, (start, names) in self._columns.items()
        }
        self._tables.add(dropped, answered)

    def _dropped(self, first_row: int, raws: Sequence[bytes]) -> dict[str, Sequence[str]]:
        """Return the cells of rows, column by column, in the columns that may have few values."""
        known = self._tables.tables if self._tables.rows else None
        found: dict[str, list[Any]] = {}
        done = 0
        for chunk in read_rows([b"".join(raws)], self._rows.layout, first_number=first_row, first_line=1).chunks():
            columns = chunk.values()
            if columns is None:
                columns = _by_name([record.values or {} for record in chunk.records()])
            for name in known if known is not None else list(columns)[:MAX_READ_COLUMNS]:
                values = found.setdefault(name, [None] * done)
                values += columns.get(name) or [None] * len(chunk.raws)
            done += len(chunk.raws)
            for values in found.values():
                values += [None] * (done - len(values))
        texts = {name: _texts(values) for name, values in found.items()}
        return {name: values for name, values in texts.items() if values is not None}


def _answer_columns(rows: JobRows) -> dict[str, tuple[int, dict[bytes, str]]]:
    """Return the columns of the answers that have tables: where a fingerprint is, and the names of its values."""
    compiled = rows.compiled
    if compiled is None:
        return {}
    columns, values = compared_columns(compiled), few_values(compiled)
    few = [name for name in columns if 0 < len(values.get(name, ())) <= MAX_ANSWER_VALUES]
    return {
        name: (
            VALUE_BYTES * columns.index(name),
            {array("I", [print_]).tobytes(): text for print_, text in named(values, name).items()},
        )
        for name in few[:MAX_ANSWER_COLUMNS]
    }


def _by_name(records: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for record in records for name in list(record)[:MAX_READ_COLUMNS])
    return {name: [record.get(name) for record in records] for name in list(names)[:MAX_READ_COLUMNS]}


def _texts(values: Sequence[Any]) -> Sequence[str] | None:
    """Return a column's values as texts; None if they are lists or objects, of which nobody expects a table."""
    types = set(map(type, values))
    if types == {str}:
        return values
    if not types <= {str, int, float, bool, type(None)}:
        return None
    return [value if isinstance(value, str) else "" if value is None else to_json(value).decode() for value in values]
