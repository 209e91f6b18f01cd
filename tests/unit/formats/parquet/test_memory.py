"""Memory stays bounded for any size of row group: peak memory of whole processes, as the kernel counts it."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys, time
from pathlib import Path

from dropbatch.batch_api.limits import Limits
from dropbatch.formats.parquet.reading import read_parquet
from dropbatch.formats.parquet.appended_columns import write_part
from dropbatch.formats.parquet.selected_rows import write_failed, write_some

what, path, rows = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])

def peak():
    [line] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1024

before = peak()
with path.open("rb") as file, path.with_suffix(".out").open("wb") as out:
    if what == "read":
        for _ in read_parquet(file, Limits()):
            pass
    elif what == "answers":
        line = b'{"answer":"positive","embedding":[' + b",".join([b"0.0123456789"] * 50) + b"]}"
        schemas = {"answer": None, "embedding": {"type": "array", "items": {"type": "number"}}}
        write_part(file, schemas, (line for _ in range(rows)), 1, rows, out, path.parent)
    elif what == "limit":
        schemas = {"answer": None}
        write_some(file, schemas, (b'{"answer":"a"}' for _ in range(rows - 1)), range(1, rows), out, path.parent)
    else:
        write_failed(file, range(1, rows + 1, 2), out, path.parent)
print(peak() - before)
"""

MAKE = """
import sys
import pyarrow as pa, pyarrow.parquet as pq

rows = int(sys.argv[2])
text = [f"{number * 7919:0800}" for number in range(rows)]
pq.write_table(pa.table({"id": range(rows), "text": text}), sys.argv[1], row_group_size=rows, use_dictionary=False)
"""


def run(*arguments: str) -> str:
    environment = {"PYTHONPATH": "layers/core", "PATH": ""}
    command = [sys.executable, "-c", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Return two files of one row group each, the larger one with 100 MB when decoded."""
    made = {}
    for rows in (2_000, 120_000):
        made[rows] = tmp_path_factory.mktemp("parquet") / f"{rows}.parquet"
        run(MAKE, str(made[rows]), str(rows))
    return made


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize("what", ["read", "answers", "limit", "failed"])
def test_a_row_group_of_100_mb_takes_little_more_memory_than_one_of_2(what: str, files: dict[int, Path]) -> None:
    small, large = (int(run(PROGRAM, what, str(path), str(rows))) for rows, path in files.items())
    assert large < 90
    assert large - small < 50
