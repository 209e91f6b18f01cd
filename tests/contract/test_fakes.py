"""Behaviour that the fakes have and adapters do not."""

from pathlib import Path

import pytest

from tests.fakes import INBOX, FakeContext, FakeObserver


def test_lines_above_info_are_kept_with_their_level() -> None:
    observer = FakeObserver()
    observer.info("polled", jobs=1)
    observer.warning("a lease ran out", job_id="j")
    try:
        raise KeyError("SECRET")
    except KeyError:
        observer.exception("a step failed")
    assert observer.warnings == [("WARNING", "a lease ran out"), ("ERROR", "a step failed")]
    assert observer.lines == ['polled {"jobs": 1}', 'a lease ran out {"job_id": "j"}', "a step failed KeyError {}"]


def test_a_full_disk_stops_calls_that_write_to_it(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, scratch_bytes=10)
    fake.objects.drop("k", b"x" * 8)
    for _ in range(2):
        copied = b"".join(fake.context.objects.blocks(INBOX, "k"))
        (tmp_path / f"copy-{len(list(tmp_path.iterdir()))}").write_bytes(copied)
    with pytest.raises(OSError, match="No space left"):
        fake.context.objects.blocks(INBOX, "k")
    with pytest.raises(OSError, match="No space left"):
        fake.context.openai.key_version()
    assert fake.context.table.get("p", "s") is None, "nothing of the table is on the disk"
