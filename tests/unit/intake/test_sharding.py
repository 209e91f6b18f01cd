"""One batch ends and the next begins exactly at a limit: one under, on it, one over."""

import json
from pathlib import Path

import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.states import JobState
from tests.driving import drop, only_job, result, run
from tests.fakes import FakeContext


def raw(rows: int, *, model: str = "gpt-6-luna", pad: int = 0) -> list[dict[str, object]]:
    body = {"model": model, "messages": [{"role": "user", "content": "x" * (pad or 1)}]}
    return [
        {"custom_id": f"{model}-{row}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        for row in range(rows)
    ]


def batches(folder: Path, lines: list[dict[str, object]], limits: Limits) -> list[int]:
    """Return the numbers of requests of a raw drop's batches, and check that all rows come back."""
    fake = FakeContext(folder, limits=limits)
    drop(fake, "ready.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED
    assert [json.loads(line)["custom_id"] for line in result(fake, "responses.jsonl").splitlines()] == [
        line["custom_id"] for line in lines
    ]
    return [batch.total for batch in fake.openai.batches.values()]


@pytest.mark.parametrize(("rows", "sizes"), [(4, [4]), (5, [5]), (6, [5, 1]), (10, [5, 5]), (11, [5, 5, 1])])
def test_a_batch_has_a_maximum_number_of_requests(tmp_path: Path, rows: int, sizes: list[int]) -> None:
    assert batches(tmp_path, raw(rows), Limits(batch_requests=5)) == sizes


@pytest.mark.parametrize(("spare", "sizes"), [(-1, [2, 1]), (0, [3]), (1, [3])])
def test_a_batch_has_a_maximum_number_of_bytes(tmp_path: Path, spare: int, sizes: list[int]) -> None:
    probe = FakeContext(tmp_path)
    lines = raw(3, pad=100)
    drop(probe, "ready.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    run(probe)
    (batch,) = probe.openai.batches.values()
    size = len(probe.openai.contents[batch.input_file_id])
    assert batches(tmp_path, lines, Limits(batch_bytes=size + spare)) == sizes


def test_each_model_has_a_batch_of_its_own(tmp_path: Path) -> None:
    mixed = [line for pair in zip(raw(4, model="a"), raw(4, model="b"), strict=True) for line in pair]
    assert batches(tmp_path, mixed, Limits(batch_requests=4)) == [4, 4]


@pytest.mark.parametrize(("inputs", "count"), [(5, 1), (6, 2), (7, 2)])
def test_embedding_inputs_are_counted_not_requests(tmp_path: Path, inputs: int, count: int) -> None:
    fake = FakeContext(tmp_path, limits=Limits(batch_embedding_inputs=6))
    lines = [
        {
            "custom_id": name,
            "method": "POST",
            "url": "/v1/embeddings",
            "body": {"model": "text-embedding-3-small", "input": ["x"] * size},
        }
        for name, size in (("one", 1), ("many", inputs))
    ]
    drop(fake, "ready.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    fake.openai.answer = lambda request: None
    run(fake, ticks=3)
    if inputs <= 6:
        assert len(fake.openai.batches) == count
    else:
        assert fake.topics.events() == ["rejected"]


def test_a_request_over_the_byte_limit_is_rejected_with_its_line(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, limits=Limits(batch_bytes=300))
    lines = [*raw(1), *raw(1, model="b", pad=300)]
    drop(fake, "ready.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    run(fake)
    (problem,) = json.loads(result(fake, "rejected.json"))["problems"]["first"]
    assert problem["code"] == "line_too_long"
    assert problem["line"] == 2


def test_answers_that_are_expected_to_be_large_make_smaller_batches(tmp_path: Path) -> None:
    assert len(batches(tmp_path, raw(6), Limits(batch_output_bytes=10_500))) == 3
