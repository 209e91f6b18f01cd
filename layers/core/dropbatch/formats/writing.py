"""Writes answers in the format of the drop: a record's bytes as they were, and the answer's columns after them.

A value that starts like a spreadsheet formula is written as it is: results are read by programs too, and what is
changed for one reader is wrong for the other.
"""

from collections.abc import Sequence
from typing import Any

from dropbatch.formats import separated
from dropbatch.formats.encodings import encoded
from dropbatch.formats.kinds import FileType, Kind
from dropbatch.formats.layout import Layout
from dropbatch.formats.records import Record
from dropbatch.json_values import to_json

_JSON_SPACE = b" \t\r\n"


def answers_extension(file_type: FileType) -> str:
    """The extension of the answers without .gz: that of the drop, but csv for a txt, which has no columns."""
    return "csv" if file_type.kind is Kind.TXT else file_type.extension


def answers_head(layout: Layout, names: Sequence[str]) -> bytes:
    """What stands before the first answered row, where the columns `names` are added."""
    if layout.kind is Kind.JSONL:
        return layout.head
    delimiter = _delimiter(layout)
    if layout.kind is Kind.TXT:
        text = delimiter.join(_quoted(name, delimiter) for name in (*layout.columns, *names))
        return layout.head + encoded(text + layout.line_end, layout.encoding)
    body = layout.head.rstrip(b"\r\n")
    added = "".join(delimiter + _quoted(name, delimiter) for name in names)
    return body + encoded(added, layout.encoding) + layout.head[len(body) :]


def answered(layout: Layout, record: Record, names: Sequence[str], values: Sequence[Any]) -> bytes:
    """A record with `values` added under `names`, both in the same order.

    A value is None, a str, a bool, a number, anything else that is JSON, or an `orjson.Fragment` of it, which keeps
    numbers exact. In a csv None is empty, and what is neither text nor None is its JSON.
    """
    if layout.kind is Kind.JSONL:
        return _answered_object(record, names, values)
    delimiter = _delimiter(layout)
    fields = [_quoted(_text(value), delimiter) for value in values]
    if layout.kind is Kind.TXT:
        body = record.raw.removesuffix(b"\n").removesuffix(b"\r")
        end = record.raw[len(body) :]
        if b'"' in body or b"," in body or b"\r" in body:
            body = b'"' + body.replace(b'"', b'""') + b'"'
        return body + encoded(delimiter + delimiter.join(fields), layout.encoding) + end
    body = record.raw.rstrip(b"\r\n")
    missing = 0
    if record.problem is not None:
        width = separated.width_of(record.raw, delimiter, layout.encoding)
        missing = max(0, len(layout.columns) - width) if width is not None else 0
    added = delimiter * (missing + 1) + delimiter.join(fields)
    return body + encoded(added, layout.encoding) + record.raw[len(body) :]


def failed_head(layout: Layout) -> bytes:
    """What stands before the first row of the failed file, whose rows are their records' own bytes."""
    return layout.head


def _answered_object(record: Record, names: Sequence[str], values: Sequence[Any]) -> bytes:
    body = record.raw.rstrip(_JSON_SPACE)
    end = record.raw[len(body) :]
    if record.values is None:
        body = b'{"_raw":' + to_json(body.decode(errors="replace")) + b"}"
    members = b",".join([to_json(name) + b":" + to_json(value) for name, value in zip(names, values, strict=True)])
    comma = b"" if record.values == {} or not members else b","
    return body[:-1] + comma + members + b"}" + end


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return to_json(value).decode()


def _quoted(text: str, delimiter: str) -> str:
    if '"' in text or delimiter in text or "\n" in text or "\r" in text:
        return '"' + text.replace('"', '""') + '"'
    return text


def _delimiter(layout: Layout) -> str:
    return layout.delimiter or ","
