"""How a drop's rows are laid out: all it takes to read any shard of it again, and to write in its format."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dropbatch.formats.kinds import Kind


@dataclass(frozen=True, slots=True)
class Layout:
    """The facts about a drop that its rows do not hold.

    `columns` is the header of a csv or tsv, the names of a table's columns, ("text",) for a txt and empty for a jsonl.
    `encoding` is a Python codec. `head` is what stands before the first row: the byte-order mark and the header record
    with its line end, verbatim save for blank lines. `line_end` is that of the first record.
    """

    kind: Kind
    raw: bool
    columns: tuple[str, ...]
    delimiter: str | None
    encoding: str
    head: bytes
    line_end: str
    bom: bool

    @property
    def unit(self) -> str:
        """What a problem's `line` counts: a table has rows, and no lines."""
        return "Row" if self.kind is Kind.PARQUET else "Line"

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind.value,
            "raw": self.raw,
            "columns": list(self.columns),
            "delimiter": self.delimiter,
            "encoding": self.encoding,
            "head": b64encode(self.head).decode(),
            "line_end": self.line_end,
            "bom": self.bom,
        }

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> "Layout":
        return cls(
            kind=Kind(members["kind"]),
            raw=members["raw"],
            columns=tuple(members["columns"]),
            delimiter=members["delimiter"],
            encoding=members["encoding"],
            head=b64decode(members["head"]),
            line_end=members["line_end"],
            bom=members["bom"],
        )
