import re
import sys

import pytest

from dropbatch.domain.errors import DropRejectedError
from dropbatch.formats.compression import Compression
from dropbatch.formats.file_types import KINDS, FileType, Kind, check_deployed, file_type


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("in/reviews.csv", FileType(Kind.CSV, "csv", Compression.NONE, "reviews")),
        ("REVIEWS.CSV", FileType(Kind.CSV, "csv", Compression.NONE, "REVIEWS")),
        ("a b/2026.01.tsv.GZ", FileType(Kind.TSV, "tsv", Compression.GZIP, "2026.01")),
        ("x/y.ndjson", FileType(Kind.JSONL, "ndjson", Compression.NONE, "y")),
        ("y.jsonl.gz", FileType(Kind.JSONL, "jsonl", Compression.GZIP, "y")),
        ("a/t.Parquet", FileType(Kind.PARQUET, "parquet", Compression.NONE, "t")),
        ("lines.txt", FileType(Kind.TXT, "txt", Compression.NONE, "lines")),
        ("in/rows.JSON.gz", FileType(Kind.JSONL, "json", Compression.GZIP, "rows")),
        ("in/x.csv.zst", FileType(Kind.CSV, "csv", Compression.ZSTD, "x")),
    ],
)
def test_a_name_says_the_layout_of_its_rows(key: str, expected: FileType) -> None:
    assert file_type(key) == expected


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("report.pdf", "csv, tsv, jsonl, ndjson, json, txt (each may end in .gz or .zst) or parquet"),
        ("reviews.cvs", "did you mean .csv?"),
        ("folder.csv/reviews", "has no extension"),
        ("reviews.gz", "ends in .gz, but does not say what is inside"),
        ("reviews.zst", "ends in .zst, but does not say what is inside"),
        ("Book1.XLSX", "CSV UTF-8"),
        ("rows.jsno", "did you mean .json?"),
        ("rows.parquet.gz", "compressed within"),
        ("rows.tar.gz", "csv, tsv, jsonl, ndjson, json, txt (each may end in .gz or .zst) or parquet"),
    ],
)
def test_another_extension_is_refused_with_what_to_do(key: str, advice: str) -> None:
    with pytest.raises(DropRejectedError) as caught:
        file_type(key)
    [problem] = caught.value.problems
    assert problem.code == "unknown_extension"
    assert advice in problem.message


def test_the_refusal_of_an_extension_names_each_known_one() -> None:
    with pytest.raises(DropRejectedError) as caught:
        file_type("report.pdf")
    [problem] = caught.value.problems
    assert set(KINDS) <= set(re.findall(r"\w+", problem.message))


def test_parquet_is_accepted_only_if_its_library_is_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    check_deployed(Kind.PARQUET)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for kind in set(Kind) - {Kind.PARQUET}:
        check_deployed(kind)
    with pytest.raises(DropRejectedError) as caught:
        check_deployed(Kind.PARQUET)
    [problem] = caught.value.problems
    assert problem.code == "parquet_disabled"
    assert "`make deploy PARQUET=enabled`" in problem.message
