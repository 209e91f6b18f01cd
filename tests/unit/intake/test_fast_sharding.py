"""Shards are the same, whether their rows come at once or one by one."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.batch_api.limits import Limits
from dropbatch.intake.intake import take_in
from dropbatch.messages import IntakeMessage
from tests.both_ways import both_ways
from tests.driving import drop, only_job
from tests.fakes import WORK, FakeContext


@pytest.mark.slow
@given(
    st.lists(st.sampled_from([("a", 1), ("a", 90), ("b", 1)]), min_size=1, max_size=40),
    st.integers(1, 12),
    st.integers(300, 1500),
)
def test_the_shards_are_the_same(rows: list[tuple[str, int]], requests: int, size: int) -> None:
    lines = [
        {
            "custom_id": f"row-{row}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": model, "messages": [{"role": "user", "content": "x" * length}]},
        }
        for row, (model, length) in enumerate(rows)
    ]
    limits = Limits(batch_requests=requests, batch_bytes=size, line_bytes=size)

    def shards() -> Any:
        with TemporaryDirectory() as folder:
            fake = FakeContext(Path(folder), limits=limits)
            drop(fake, "r.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
            take_in(fake.context, IntakeMessage.from_json(fake.intake.take() or ""))
            job = only_job(fake)
            names = fake.objects.keys(WORK, f"jobs/{job.id}/shards/")
            return job.rows, [(name.rpartition("/")[2], fake.objects.content(WORK, name)) for name in names]

    fast, strict = both_ways(shards)
    assert fast == strict
