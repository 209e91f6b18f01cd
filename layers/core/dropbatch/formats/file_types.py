"""File types: the format of a dropped file, by its name alone."""

from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from importlib.util import find_spec

from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.formats.compression import Compression


class Kind(StrEnum):
    """The arrangement of rows in a file. Only the first line of a jsonl shows whether it is a raw drop (`Layout.raw`).

    By its name, JSON is always JSONL. Only its first bytes show whether it is an array, or objects over several lines.
    """

    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    JSON = "json"
    TXT = "txt"
    PARQUET = "parquet"


KINDS = {
    "csv": Kind.CSV,
    "tsv": Kind.TSV,
    "jsonl": Kind.JSONL,
    "ndjson": Kind.JSONL,
    "json": Kind.JSONL,
    "txt": Kind.TXT,
    "parquet": Kind.PARQUET,
}
_KNOWN = "csv, tsv, jsonl, ndjson, json, txt (each may end in .gz or .zst) or parquet"
_COMPRESSIONS = {"gz": Compression.GZIP, "zst": Compression.ZSTD}
_WORKBOOKS = frozenset({"xlsx", "xls", "xlsm", "xlsb", "ods", "numbers"})


@dataclass(frozen=True, slots=True)
class FileType:
    """A file's type by its name: `reviews.CSV.gz` is a gzipped csv with the extension `csv` and the stem `reviews`."""

    kind: Kind
    extension: str
    compression: Compression
    stem: str


def file_type(key: str) -> FileType:
    """Return the type of the file under an S3 key; DropRejectedError (`unknown_extension`) if none can be read."""
    name = key.rpartition("/")[2]
    stem, dot, extension = name.rpartition(".")
    extension = extension.lower() if dot else ""
    compression = _COMPRESSIONS.get(extension, Compression.NONE)
    if compression:
        stem, dot, extension = stem.rpartition(".")
        extension = extension.lower() if dot else ""
    kind = KINDS.get(extension)
    if kind is Kind.PARQUET and compression:
        message = f"Parquet is compressed within, and cannot be read as {compression}; drop the .parquet as it is."
        raise DropRejectedError.because(Problem("unknown_extension", message))
    if kind is None:
        raise DropRejectedError.because(Problem("unknown_extension", _advice(extension, compression)))
    return FileType(kind, extension, compression, stem)


def check_deployed(kind: Kind) -> None:
    """Raise DropRejectedError (`parquet_disabled`) if the library that a kind needs is not deployed."""
    if kind is Kind.PARQUET and find_spec("pyarrow") is None:
        message = (
            "This stack is deployed without Parquet; switch it on with `make deploy PARQUET=enabled`, or save the "
            "table as csv or jsonl, and drop it again."
        )
        raise DropRejectedError.because(Problem("parquet_disabled", message))


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
    near = get_close_matches(extension, KINDS, 1)
    hint = f" (did you mean .{near[0]}?)" if near else ""
    return f"The extension .{extension} is unknown{hint}; save the file as {_KNOWN} and drop it again."
