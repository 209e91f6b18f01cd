"""The layout of a drop: all that is needed to read any shard of it again, and to write in its format."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dropbatch.formats.csv.dialect import Dialect
from dropbatch.formats.file_types import Kind
from dropbatch.formats.transcoding import PLAIN, Storage


@dataclass(frozen=True, slots=True)
class Layout:
    """The facts about a drop that its rows do not hold.

    `columns` is the header of a csv or tsv, the names of a table's columns, ("text",) for a txt and empty for a jsonl.
    `encoding` is a Python codec. `head` is what is before the first row: the byte-order mark and the header record
    with its line end, verbatim except blank lines. `line_end` is that of the first record. `padding` is how many empty
    values each row of a csv or tsv has after the header's columns, and `is_sure` whether a row confirms the delimiter.
    Of JSON that is not JSON Lines, `head` is up to the first object, `separator` between two, and `tail` after the
    last. `storage` is the form of the drop in S3.
    """

    kind: Kind
    raw: bool
    columns: tuple[str, ...]
    delimiter: str | None
    encoding: str
    head: bytes
    line_end: str
    bom: bool
    quoting: str | None = None
    escape: str | None = None
    padding: int = 0
    is_sure: bool = True
    separator: bytes = b""
    tail: bytes = b""
    storage: Storage = PLAIN

    @property
    def dialect(self) -> Dialect:
        """The dialect of a csv or tsv; that of the answers for a txt, which become a csv."""
        return Dialect(self.delimiter or ",", self.quoting, self.escape)

    @property
    def is_a_line_a_row(self) -> bool:
        """True if every line that is not blank is a row."""
        return self.kind in (Kind.JSONL, Kind.TXT)

    @property
    def is_array(self) -> bool:
        """True if the drop is one JSON array."""
        return b"]" in self.tail

    @property
    def unit(self) -> str:
        """The unit of a problem's `line`: a table has rows, and no lines."""
        return "Row" if self.kind is Kind.PARQUET else "Line"

    def to_json(self) -> dict[str, Any]:
        """Return the layout as it is stored with its job."""
        return {
            "kind": self.kind.value,
            "raw": self.raw,
            "columns": list(self.columns),
            "delimiter": self.delimiter,
            "encoding": self.encoding,
            "head": b64encode(self.head).decode(),
            "line_end": self.line_end,
            "bom": self.bom,
            "quoting": self.quoting,
            "escape": self.escape,
            "padding": self.padding,
            "is_sure": self.is_sure,
            "separator": b64encode(self.separator).decode(),
            "tail": b64encode(self.tail).decode(),
            "storage": [self.storage.codec, self.storage.is_cr],
        }

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> "Layout":
        """Return the layout that was stored."""
        return cls(
            kind=Kind(members["kind"]),
            raw=members["raw"],
            columns=tuple(members["columns"]),
            delimiter=members["delimiter"],
            encoding=members["encoding"],
            head=b64decode(members["head"]),
            line_end=members["line_end"],
            bom=members["bom"],
            # A job of an earlier release lacks these.
            quoting=members.get("quoting", "double"),
            escape=members.get("escape"),
            padding=members.get("padding", 0),
            is_sure=members.get("is_sure", True),
            separator=b64decode(members.get("separator", "")),
            tail=b64decode(members.get("tail", "")),
            storage=Storage(*members.get("storage", ("", False))),
        )
