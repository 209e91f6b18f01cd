"""The shape of a row under a header, and the problem of a row that has too few values or too many."""

from collections.abc import Sequence
from dataclasses import dataclass

from dropbatch.domain.problems import Problem
from dropbatch.formats.csv.dialect import Dialect
from dropbatch.formats.records import Record


@dataclass(frozen=True, slots=True)
class RowShape:
    """The shape that each row must have.

    `padding` is how many empty values each row has after those of the header's columns. `is_sure` says whether the rows
    confirm the delimiter.
    """

    columns: Sequence[str]
    dialect: Dialect
    encoding: str
    padding: int = 0
    is_sure: bool = True

    @property
    def width(self) -> int:
        """The number of a row's values."""
        return len(self.columns) + self.padding


def to_record(
    number: int, line: int, raw: bytes, row: list[str] | None, problem: Problem | None, shape: RowShape
) -> Record:
    """Return the record of a row's values, or of its problem if it has none."""
    if row is None:
        return Record(number, line, raw, None, problem)
    columns = shape.columns
    if len(row) != shape.width or (shape.padding and any(row[len(columns) :])):
        return Record(number, line, raw, None, _ragged(line, row, shape))
    return Record(number, line, raw, dict(zip(columns, row, strict=False)))  # the padding has no names


def _ragged(line: int, row: Sequence[str], shape: RowShape) -> Problem:
    values, columns = len(row), len(shape.columns)
    has, wants = f"{values} value{'s' * (values != 1)}", f"{columns} column{'s' * (columns != 1)}"
    what = f"Line {line} has {has} where the header has {wants}"
    if values == columns and shape.padding:
        what = f"Line {line} does not end in {shape.dialect.delimiter_name} as the rows before it do"
    kind, remedy = _remedy(row, shape)
    if not shape.is_sure:
        remedy += ', or name in the recipe what separates the values, as in `delimiter: ";"`'
    return Problem("ragged_row", f"{what}; {remedy}.", line=line, kind=kind)


def _remedy(row: Sequence[str], shape: RowShape) -> tuple[str, str]:
    """Return what kind of ragged row this is, and what to do about it."""
    values, columns = len(row), len(shape.columns)
    name = shape.dialect.delimiter_name
    extra = row[shape.width :] if values > shape.width else row[columns:]
    if values > columns and extra and not any(row[columns:]):
        if values < shape.width:
            return "no_delimiter_at_end", f"the other rows end in more of {name}: add what is missing at its end"
        end = "it ends" if values == columns + 1 else "it ends several times"
        return "delimiter_at_end", f"{end} in {name} that no value follows: remove it"
    if values > columns:
        remedy = _remedy_for_more(shape.dialect, name)
        return "too_many_values", f"{remedy}, or name the column in the header" if shape.padding else remedy
    if values == columns and shape.padding:
        return "no_delimiter_at_end", "add it" if shape.padding == 1 else f"add {shape.padding} of them"
    return "too_few_values", f"add what is missing after {name}"


def _remedy_for_more(dialect: Dialect, name: str) -> str:
    if dialect.has_quotes:
        return f"put values that hold {name} into double quotes"
    if dialect.escape is not None:
        return f"put {dialect.escape} before {name} that is part of a value"
    return f"values cannot hold {name} where the recipe says or the file shows that quotes have no meaning: replace it"
