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


@pytest.mark.parametrize("system", ["Be brief.", "What all rows share. " * 300])
def test_the_indexes_of_a_recipes_shards_are_the_same(system: str) -> None:
    recipe = f"model: gpt-6-luna\nsystem: {system}\nprompt: '{{{{ text }}}}'\n".encode()

    def indexes() -> Any:
        with TemporaryDirectory() as folder:
            fake = FakeContext(Path(folder), limits=Limits(batch_requests=3))
            fake.objects.drop("recipe.yaml", recipe)
            drop(fake, "r.csv", b"text\n" + b"".join(b"%s\n" % (b"x" * length) for length in range(1, 60)))
            take_in(fake.context, IntakeMessage.from_json(fake.intake.take() or ""))
            job = only_job(fake)
            batches = [batch.tokens for batch in fake.context.repository.batches(job.id)]
            names = [name for name in fake.objects.keys(WORK, f"jobs/{job.id}/") if "index" in name]
            return batches, [(name.rpartition("/")[2], fake.objects.content(WORK, name)) for name in names]

    fast, slow = both_ways(indexes)
    assert fast == slow
    assert len(fast[0]) == len(fast[1]) == 20
