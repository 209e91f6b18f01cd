"""The results of a shard: how many rows are written at once."""

from pathlib import Path

import pytest

from dropbatch.delivery import render_shard
from tests.fakes import WORK, FakeContext


def test_fewer_rows_are_written_at_once_if_their_results_are_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render_shard, "MAX_CHUNK_BYTES", 1_000)
    fake = FakeContext(tmp_path)
    fake.objects.put(WORK, "small", b"x" * 400, "")
    fake.objects.put(WORK, "large", b"x" * 40_000, "")
    assert render_shard._rows_at_once(fake.context, ["small"], 20) == 47
    assert render_shard._rows_at_once(fake.context, ["small", "large"], 20) == 1
    assert render_shard._rows_at_once(fake.context, [], 0) == render_shard.CHUNK_ROWS
