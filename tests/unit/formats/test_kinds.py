import pytest

from dropbatch.domain.errors import Rejected
from dropbatch.formats.compression import Compression
from dropbatch.formats.kinds import FileType, Kind, file_type


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("in/reviews.csv", FileType(Kind.CSV, "csv", Compression.NONE, "reviews")),
        ("REVIEWS.CSV", FileType(Kind.CSV, "csv", Compression.NONE, "REVIEWS")),
        ("a b/2026.01.tsv.GZ", FileType(Kind.TSV, "tsv", Compression.GZIP, "2026.01")),
        ("x/y.ndjson", FileType(Kind.JSONL, "ndjson", Compression.NONE, "y")),
        ("y.jsonl.gz", FileType(Kind.JSONL, "jsonl", Compression.GZIP, "y")),
        ("lines.txt", FileType(Kind.TXT, "txt", Compression.NONE, "lines")),
        ("in/x.csv.zst", FileType(Kind.CSV, "csv", Compression.ZSTD, "x")),
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
        ("reviews.gz", "ends in .gz, but does not say what is inside"),
        ("reviews.zst", "ends in .zst, but does not say what is inside"),
        ("Book1.XLSX", "CSV UTF-8"),
        ("rows.json", ".jsonl"),
        ("rows.parquet", "not supported yet"),
        ("rows.tar.gz", "csv, tsv, jsonl, ndjson or txt"),
    ],
)
def test_another_extension_is_refused_with_what_to_do(key: str, advice: str) -> None:
    with pytest.raises(Rejected) as caught:
        file_type(key)
    [problem] = caught.value.problems
    assert problem.code == "unknown_extension"
    assert advice in problem.message
