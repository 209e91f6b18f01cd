"""The life of a batch, from creation to its files, through the real client."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from local.openai_emulator.settings import BatchLimits, Delays
from local.openai_emulator.testing import running_emulator
from tests.unit.emulator.service import CHAT, chat


def test_every_row_is_answered_once_in_another_order(service: Any) -> None:
    batch = service.ended([chat(n) for n in range(1, 101)], metadata={"key": "job/0/0"})
    assert batch.status == "completed"
    assert (batch.error_file_id, batch.metadata, batch.model) == (None, {"key": "job/0/0"}, "plain-1")
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (100, 100, 0)
    ids = [line["custom_id"] for line in service.lines(batch.output_file_id)]
    assert sorted(ids) == sorted(f"row-{n}" for n in range(1, 101))
    assert ids != [f"row-{n}" for n in range(1, 101)]


def test_the_usage_of_a_batch_is_the_sum_over_its_rows(service: Any) -> None:
    batch = service.ended([chat(n, "x" * n, model="gpt-6-luna") for n in range(1, 20)])
    usages = [line["response"]["body"]["usage"] for line in service.lines(batch.output_file_id)]
    assert batch.usage.input_tokens == sum(usage["prompt_tokens"] for usage in usages)
    assert batch.usage.output_tokens == sum(usage["completion_tokens"] for usage in usages)
    hidden = sum(usage["completion_tokens_details"]["reasoning_tokens"] for usage in usages)
    assert batch.usage.output_tokens_details.reasoning_tokens == hidden > 0


def test_a_row_that_the_model_refuses_as_malformed_goes_to_the_error_file(service: Any) -> None:
    bad = {**chat(2), "body": {"model": "plain-1"}}
    batch = service.ended([chat(1), bad])
    assert [line["custom_id"] for line in service.lines(batch.output_file_id)] == ["row-1"]
    (line,) = service.lines(batch.error_file_id)
    assert line["error"] is None
    assert line["response"]["status_code"] == 400
    assert line["response"]["body"]["error"]["param"] == "messages"
    assert batch.request_counts.failed == 1


def test_a_batch_passes_through_its_phases_in_time_without_a_call(service_with: Callable[..., Any]) -> None:
    service = service_with(delays=Delays(validating=10, in_progress=100, finalizing=10))
    batch = service.create([chat(n) for n in range(1, 11)])
    assert batch.status == "validating"
    seen = []
    for seconds in (10, 50, 50, 10):
        service.running.advance(seconds)
        batch = service.client.batches.retrieve(batch.id)
        seen.append((batch.status, batch.request_counts.completed))
    assert seen == [("in_progress", 0), ("in_progress", 5), ("finalizing", 10), ("completed", 10)]
    assert batch.in_progress_at < batch.finalizing_at < batch.completed_at


def test_a_cancelled_batch_keeps_what_was_answered_and_names_the_rest(service_with: Callable[..., Any]) -> None:
    service = service_with(delays=Delays(0, 100, 0, 5))
    batch = service.create([chat(n) for n in range(1, 11)])
    service.running.advance(0)
    service.running.advance(42)
    assert service.client.batches.cancel(batch.id).status == "cancelling"
    service.running.advance(5)
    batch = service.client.batches.retrieve(batch.id)
    assert batch.status == "cancelled"
    errors = service.lines(batch.error_file_id)
    assert len(service.lines(batch.output_file_id)) == 4
    assert [(line["response"], line["error"]["code"]) for line in errors] == [(None, "batch_cancelled")] * 6


def test_cancelling_a_completed_batch_is_a_conflict(service: Any) -> None:
    batch = service.ended([chat(1)])
    with pytest.raises(openai.ConflictError):
        service.client.batches.cancel(batch.id)


def test_a_batch_expires_after_a_day_with_what_was_answered(service_with: Callable[..., Any]) -> None:
    service = service_with(delays=Delays(0, 200_000, 0, 0))
    batch = service.create([chat(n) for n in range(1, 11)])
    service.running.advance(0)
    service.running.advance(80_000)
    service.running.advance(6_400)
    batch = service.client.batches.retrieve(batch.id)
    assert (batch.status, len(service.lines(batch.output_file_id))) == ("expired", 4)
    assert {line["error"]["code"] for line in service.lines(batch.error_file_id)} == {"batch_expired"}


@pytest.mark.slow
def test_batches_are_listed_newest_first_over_pages(service: Any) -> None:
    file_id = service.upload([chat(1)])
    ids = [
        service.client.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h").id
        for _ in range(25)
    ]
    page = service.client.batches.list()
    assert [batch.id for batch in page.data] == ids[:4:-1]
    assert page.has_more
    assert [batch.id for batch in service.client.batches.list(limit=3)] == ids[::-1]


def test_the_input_file_may_be_deleted_once_the_batch_runs(service_with: Callable[..., Any]) -> None:
    service = service_with(delays=Delays(0, 10, 0, 0))
    batch = service.create([chat(1), chat(2)])
    service.running.advance(0)
    service.client.files.delete(batch.input_file_id)
    service.running.finish()
    assert service.client.batches.retrieve(batch.id).request_counts.completed == 2


def test_an_unknown_input_file_is_refused_at_once(service: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="Cannot find file"):
        service.client.batches.create(input_file_id="file-none", endpoint=CHAT, completion_window="24h")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"endpoint": "/v1/nothing"}, "endpoint"),
        ({"completion_window": "48h"}, "completion_window"),
        ({"metadata": {f"k{n}": "v" for n in range(17)}}, "metadata"),
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata"),
        ({"metadata": {"k": 1}}, "metadata.k"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 60}}, "output_expires_after.seconds"),
        ({"extra_body": {"window": "24h"}}, "window"),
    ],
)
def test_a_create_with_a_bad_parameter_is_refused_by_name(service: Any, change: dict[str, Any], param: str) -> None:
    call = {"input_file_id": service.upload([chat(1)]), "endpoint": CHAT, "completion_window": "24h"}
    with pytest.raises(openai.BadRequestError) as refusal:
        service.client.batches.create(**{**call, **change})
    assert refusal.value.param == param
    assert service.client.batches.list().data == []


def test_metadata_at_its_limits_is_kept(service: Any) -> None:
    metadata = {f"{n:02}" * 32: "v" * 512 for n in range(16)}
    assert service.create([chat(1)], metadata=metadata).metadata == metadata


def test_output_files_live_as_long_as_the_batch_says(service: Any) -> None:
    batch = service.ended([chat(1)], output_expires_after={"anchor": "created_at", "seconds": 7200})
    file = service.client.files.retrieve(batch.output_file_id)
    assert (file.expires_at - file.created_at, file.purpose) == (7200, "batch_output")


def test_the_batches_created_in_an_hour_have_a_maximum(service_with: Callable[..., Any]) -> None:
    service = service_with(limits=BatchLimits(created_an_hour=2))
    for _ in range(2):
        service.create([chat(1)])
    with pytest.raises(openai.RateLimitError):
        service.create([chat(1)])
    service.running.advance(3600)
    service.create([chat(1)])


@pytest.mark.slow
def test_everything_is_still_there_after_a_restart(tmp_path: Path) -> None:
    delays = Delays(0, 100, 0, 0)
    content = b'{"custom_id":"%d","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":"x"}}\n'
    with (
        running_emulator(tmp_path, delays=delays) as before,
        openai.OpenAI(base_url=before.base_url, api_key="sk-emulated") as client,
    ):
        upload = io.BytesIO(b"".join(content % n for n in range(10)))
        file = client.files.create(file=("in.jsonl", upload), purpose="batch")
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h")
        before.advance(0)
        before.advance(55)
    with (
        running_emulator(tmp_path, delays=delays) as after,
        openai.OpenAI(base_url=after.base_url, api_key="sk-emulated") as client,
    ):
        client.batches.cancel(batch.id)
        after.advance(0)
        batch = client.batches.retrieve(batch.id)
        assert batch.status == "cancelled"
        answered, rest = (client.files.content(i).content for i in (batch.output_file_id, batch.error_file_id) if i)
        assert (answered.count(b"\n"), rest.count(b"\n")) == (5, 5)
        assert client.files.retrieve(file.id).bytes == file.bytes
