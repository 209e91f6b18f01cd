"""Which format a dropped file has, by its name alone."""

from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

from dropbatch.domain.errors import Rejected
from dropbatch.domain.problems import Problem
from dropbatch.formats.compression import Compression


class Kind(StrEnum):
    """How rows lie in a file. Whether a jsonl is a raw drop only its first line tells: see `Layout.raw`."""

    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    TXT = "txt"


_KINDS = {"csv": Kind.CSV, "tsv": Kind.TSV, "jsonl": Kind.JSONL, "ndjson": Kind.JSONL, "txt": Kind.TXT}
_KNOWN = "csv, tsv, jsonl, ndjson or txt (each may end in .gz or .zst)"
_NOT_YET = {"parquet": "save the table as csv or jsonl"}
_COMPRESSIONS = {"gz": Compression.GZIP, "zst": Compression.ZSTD}
_WORKBOOKS = frozenset({"xlsx", "xls", "xlsm", "xlsb", "ods", "numbers"})


@dataclass(frozen=True, slots=True)
class FileType:
    """What a name says: `reviews.CSV.gz` is a gzipped csv with the extension `csv` and the stem `reviews`."""

    kind: Kind
    extension: str
    compression: Compression
    stem: str


def file_type(key: str) -> FileType:
    """The type of the file under an S3 key. Rejected (`unknown_extension`) where it is none that can be read."""
    name = key.rpartition("/")[2]
    stem, dot, extension = name.rpartition(".")
    extension = extension.lower() if dot else ""
    compression = _COMPRESSIONS.get(extension, Compression.NONE)
    if compression:
        stem, dot, extension = stem.rpartition(".")
        extension = extension.lower() if dot else ""
    kind = _KINDS.get(extension)
    if kind is None:
        raise Rejected.because(Problem("unknown_extension", _advice(extension, compression)))
    return FileType(kind, extension, compression, stem)


def _advice(extension: str, compression: Compression) -> str:
    if not extension:
        inside = f"The name ends in {compression}, but does not say what is inside"
        what = inside if compression else "The name has no extension"
        return f"{what}; let it end in {_KNOWN} and drop it again."
    if extension in _WORKBOOKS:
        return (
            f"A spreadsheet (.{extension}) cannot be read; save the sheet as “CSV UTF-8 (Comma delimited)” and drop "
            "the .csv."
        )
    if extension in _NOT_YET:
        return f".{extension} is not supported yet; {_NOT_YET[extension]} and drop it as {_KNOWN}."
    if extension == "json":
        return "A .json file cannot be read row by row; write one object a line and drop it as .jsonl."
    near = get_close_matches(extension, _KINDS, 1)
    hint = f" (did you mean .{near[0]}?)" if near else ""
    return f"The extension .{extension} is unknown{hint}; save the file as {_KNOWN} and drop it again."
