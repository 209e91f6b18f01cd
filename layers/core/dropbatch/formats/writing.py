"""Writes answers in the format of the drop: a record's bytes as they were, and the answer's columns after them.

The author of a row can influence its answer. Therefore a text that a spreadsheet would run as a formula gets an
apostrophe in front, in the columns that are added, unless the recipe says otherwise. The drop's own bytes stay.
"""

import json
import re
from collections.abc import Sequence
from itertools import repeat
from typing import Any, Protocol

from dropbatch.formats.csv.dialect import as_text
from dropbatch.formats.csv.strict_reader import values_of
from dropbatch.formats.encodings import UTF_8, encode_text, encode_texts
from dropbatch.formats.file_types import FileType, Kind
from dropbatch.formats.layout import Layout
from dropbatch.json_encoding import to_json

_JSON_SPACE = b" \t\r\n"

_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")
"""The start of a text that a spreadsheet runs as a formula (OWASP, CSV injection)."""

_NUMBER = re.compile(r"[-+]?(\d[\d.,]*|[.,]\d+)([eE][-+]?\d+)?%?", re.ASCII)
"""A harmless text with the same start: a number, written as in any country."""


def answers_extension(file_type: FileType) -> str:
    """Return the extension of the answers without .gz: that of the drop, but csv for a txt, which has no columns."""
    return "csv" if file_type.kind is Kind.TXT else file_type.extension


def answers_head(layout: Layout, names: Sequence[str]) -> bytes:
    """Return what is before the first answered row, if the columns `names` are added."""
    if layout.kind in (Kind.JSONL, Kind.JSON, Kind.PARQUET):
        return layout.head
    dialect = layout.dialect
    names = _in_encoding(names, layout.encoding)
    if layout.kind is Kind.TXT:
        text = "".join(dialect.fields([*layout.columns, *names]))[len(dialect.delimiter) :]
        return layout.head + encode_text(text + layout.line_end, layout.encoding)
    body = layout.head.rstrip(b"\r\n")
    added = dialect.delimiter * layout.padding + "".join(dialect.fields(names))
    return body + encode_text(added, layout.encoding) + layout.head[len(body) :]


def rows_separator(layout: Layout) -> bytes:
    """Return what is between two rows, of the answers and of the failed file, besides their own bytes."""
    return layout.separator


def file_tail(layout: Layout) -> bytes:
    """Return what is behind the last row of the answers and of the failed file, as they lie in S3."""
    return layout.storage.stored(layout.tail)


class RowWriter(Protocol):
    """Writes answered rows in one layout. What an answer adds does not depend on its row, and so is made without it."""

    def columns(self, rows: Sequence[Sequence[Any]], at: int = 0) -> Sequence[str]:
        """Return what the values of each row add to it, the first under the name at `at`; further values follow.

        A value is None, a str, a bool, a number, anything else that is JSON, or an `orjson.Fragment` of it, which keeps
        numbers exact. In a csv None is empty, and what is neither text nor None is its JSON.
        """
        ...

    def values(self, columns: str) -> Sequence[Any]:
        """Return the values that a row's `columns` were made of, as a reader of the answers finds them."""
        ...

    def rows(self, raw: Sequence[bytes], columns: Sequence[str]) -> Sequence[bytes]:
        """Return the bytes of records without a problem, with their columns added."""
        ...

    def bad_row(self, raw: bytes, columns: str) -> bytes:
        """Return the same for a record that has a problem: it has as many columns as the others, and is text.

        What is no text is replaced. Missing values are empty, and values too many are left out.
        """
        ...


def row_writer(layout: Layout, names: Sequence[str], *, keeps_formulas: bool = False) -> RowWriter:
    """Return the writer of a drop's answers, whose columns are called `names`.

    `keeps_formulas` leaves added texts of a csv or tsv as they are, though a spreadsheet would run them.
    """
    if layout.kind in (Kind.JSONL, Kind.JSON):
        return _Objects(names)
    if layout.kind is Kind.PARQUET:
        return _Beside(names)
    return (_Texts if layout.kind is Kind.TXT else _Separated)(layout, keeps_formulas=keeps_formulas)


class _Separated:
    """Rows of a csv or tsv: fields are added at the end of their last line."""

    def __init__(self, layout: Layout, *, keeps_formulas: bool) -> None:
        self._layout = layout
        self._keeps_formulas = keeps_formulas
        self._encoding = layout.encoding
        self._dialect = layout.dialect

    def columns(self, rows: Sequence[Sequence[Any]], at: int = 0) -> Sequence[str]:  # noqa: ARG002  # they have no names
        columns: Sequence[Sequence[Any]] = list(zip(*rows, strict=True))
        if not self._keeps_formulas:
            columns = list(map(_without_formulas, columns))
        if self._encoding != UTF_8:
            columns = [_in_encoding(values, self._encoding) for values in columns]
        fields = [self._dialect.fields(values) for values in columns]
        return list(map("".join, zip(*fields, strict=True)))

    def values(self, columns: str) -> Sequence[Any]:
        return (values_of(columns, self._dialect) or [columns])[1:]

    def rows(self, raw: Sequence[bytes], columns: Sequence[str]) -> Sequence[bytes]:
        bodies = self._bodies(raw)
        added = encode_texts(columns, self._encoding)
        return [body + more + row[len(body) :] for row, body, more in zip(raw, bodies, added, strict=True)]

    def _bodies(self, raw: Sequence[bytes]) -> Sequence[bytes]:
        """Return rows without their line ends."""
        bodies = list(map(bytes.rstrip, raw, repeat(b"\r\n")))
        escape = self._dialect.escape
        if escape is None:
            return bodies
        return [row[: len(body) + self._ends_in_escape(body, escape)] for row, body in zip(raw, bodies, strict=True)]

    def _ends_in_escape(self, body: bytes, escape: str) -> bool:
        """Return whether the last sign of a row escapes what follows, which is part of the last value then."""
        text = body.decode(self._encoding)
        return (len(text) - len(text.rstrip(escape))) % 2 == 1

    def bad_row(self, raw: bytes, columns: str) -> bytes:
        width = len(self._layout.columns) + self._layout.padding
        text = raw.decode(self._encoding, "replace")
        values = values_of(text, self._dialect)
        if values is None:  # their ends are unknown
            values = [text.rstrip("\r\n")]
        elif len(values) <= width and _is_text(raw, self._encoding):
            return self.rows([raw], [self._dialect.delimiter * (width - len(values)) + columns])[0]
        values = [*values[:width], *[""] * (width - len(values))]
        end = raw[len(raw.rstrip(b"\r\n")) :]
        return self._sound("".join(self._dialect.fields(values))[1:]) + encode_text(columns, self._encoding) + end

    def _sound(self, text: str) -> bytes:
        """Return the bytes of a text, with a question mark for what the encoding lacks."""
        return text.encode(self._encoding, "replace")


class _Texts(_Separated):
    """Lines of text, each of which becomes the first field of a csv."""

    def rows(self, raw: Sequence[bytes], columns: Sequence[str]) -> Sequence[bytes]:
        return [self._row(row, added) for row, added in zip(raw, columns, strict=True)]

    def _row(self, raw: bytes, columns: str) -> bytes:
        body = raw.removesuffix(b"\n").removesuffix(b"\r")
        end = raw[len(body) :]
        if b'"' in body or b"," in body or b"\r" in body:
            body = b'"' + body.replace(b'"', b'""') + b'"'
        return body + encode_text(columns, self._encoding) + end

    def bad_row(self, raw: bytes, columns: str) -> bytes:
        return self._row(self._sound(raw.decode(self._encoding, "replace")), columns)


class _Objects:
    """JSON Lines: members are added at the end of their object."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = [f",{to_json(name).decode()}:" for name in names]

    def columns(self, rows: Sequence[Sequence[Any]], at: int = 0) -> Sequence[str]:
        names = self._names[at : at + len(rows[0])] if rows else ()
        return [
            "".join([name + to_json(value).decode() for name, value in zip(names, values, strict=True)])
            for values in rows
        ]

    def values(self, columns: str) -> Sequence[Any]:
        return list(json.loads("{" + columns[1:] + "}").values())

    def rows(self, raw: Sequence[bytes], columns: Sequence[str]) -> Sequence[bytes]:
        return [self._row(row, added) for row, added in zip(raw, columns, strict=True)]

    def _row(self, raw: bytes, columns: str) -> bytes:
        body = raw.rstrip(_JSON_SPACE)
        is_empty = not body[1:-1].strip(_JSON_SPACE)
        added = columns.encode()
        return b"%b%b}%b" % (body[:-1], added[1:] if is_empty else added, raw[len(body) :])

    def bad_row(self, raw: bytes, columns: str) -> bytes:
        body = raw.rstrip(_JSON_SPACE)
        return b'{"_raw":%b%b}%b' % (to_json(body.decode(errors="replace")), columns.encode(), raw[len(body) :])


class _Beside(_Objects):
    """Rows of a table: what is added to each is an object of its own, which `formats.parquet` puts beside it."""

    def _row(self, raw: bytes, columns: str) -> bytes:  # noqa: ARG002  # the row itself stays where it was dropped
        return b"{%b}\n" % columns[1:].encode()

    def bad_row(self, raw: bytes, columns: str) -> bytes:
        return self._row(raw, columns)


def failed_head(layout: Layout) -> bytes:
    """Return what is before the first row of the failed file, whose rows are their records' own bytes."""
    return layout.head


def failed_row(layout: Layout, number: int, raw: bytes) -> bytes:
    """Return what represents a row in the failed file: its record's own bytes, or the number of a table's row."""
    return b"%d\n" % number if layout.kind is Kind.PARQUET else raw


def _is_text(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def without_apostrophe(text: str) -> str:
    """Return an added text of a csv without the apostrophe that was put in front of a formula."""
    return text[1:] if text[:1] == "'" and text[1:].startswith(_FORMULA_SIGNS) else text


def _in_encoding(values: Sequence[Any], encoding: str) -> Sequence[str]:
    """Return values as texts of an encoding: a reference to what it lacks (`&#8364;`) may hold the delimiter."""
    return [encode_text(as_text(value), encoding).decode(encoding) for value in values]


def _without_formulas(values: Sequence[Any]) -> Sequence[Any]:
    """Return a column's values, each text that is a formula with an apostrophe in front, which makes it a text."""
    try:
        if not any(map(str.startswith, values, repeat(_FORMULA_SIGNS))):
            return values
    except TypeError:  # not all of them are texts
        pass
    return [
        "'" + value
        if isinstance(value, str) and value.startswith(_FORMULA_SIGNS) and not _NUMBER.fullmatch(value)
        else value
        for value in values
    ]
