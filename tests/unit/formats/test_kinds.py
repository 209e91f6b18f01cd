import pytest

from dropbatch.domain.errors import Rejected
from dropbatch.formats.kinds import FileType, Kind, file_type


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("in/reviews.csv", FileType(Kind.CSV, "csv", False, "reviews")),
        ("REVIEWS.CSV", FileType(Kind.CSV, "csv", False, "REVIEWS")),
        ("a b/2026.01.tsv.GZ", FileType(Kind.TSV, "tsv", True, "2026.01")),
        ("x/y.ndjson", FileType(Kind.JSONL, "ndjson", False, "y")),
        ("y.jsonl.gz", FileType(Kind.JSONL, "jsonl", True, "y")),
        ("lines.txt", FileType(Kind.TXT, "txt", False, "lines")),
    ],
)
def test_a_name_says_how_its_rows_lie(key: str, expected: FileType) -> None:
    assert file_type(key) == expected


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("report.pdf", "csv, tsv, jsonl, ndjson or txt"),
        ("reviews.cvs", "did you mean .csv?"),
        ("folder.csv/reviews", "has no extension"),
        ("reviews.gz", "what is inside"),
        ("Book1.XLSX", "CSV UTF-8"),
        ("rows.json", ".jsonl"),
        ("rows.parquet", "not supported yet"),
        ("rows.csv.zst", "not supported yet"),
        ("rows.tar.gz", "csv, tsv, jsonl, ndjson or txt"),
    ],
)
def test_another_extension_is_refused_with_what_to_do(key: str, advice: str) -> None:
    with pytest.raises(Rejected) as caught:
        file_type(key)
    [problem] = caught.value.problems
    assert problem.code == "unknown_extension"
    assert advice in problem.message
