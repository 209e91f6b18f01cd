"""`make scale` with few rows: the script for ten million rows, which checks its own result."""

from pathlib import Path

from benchmarks.inputs import FOLDER
from dropbatch.batch_api.limits import Limits
from tools.capacity.ten_million import Day, take_through

ROWS, AT_ONCE = 3_000, 4


def test_a_drop_of_many_batches_is_answered_completely(tmp_path: Path) -> None:
    limits = Limits(batch_requests=250)
    day = Day(ROWS, limits, AT_ONCE, batch_minutes=20, expiring=2, reading_seconds=0.0)
    figures = take_through(day, tmp_path / "scale")
    assert figures.outcomes == {"ok": ROWS}
    assert figures.job.shards == ROWS // limits.batch_requests
    assert figures.stages["reading"].invocations > 1  # it took several invocations
    assert len(figures.created) > figures.job.shards  # expired rows were retried
    assert {batch["status"] for batch in figures.created} == {"completed", "expired"}
    assert figures.minutes >= figures.job.shards // AT_ONCE * day.batch_minutes  # batches waited for one another
    assert not (tmp_path / "scale").exists()
    assert not (FOLDER / f"{ROWS}.csv").exists()
