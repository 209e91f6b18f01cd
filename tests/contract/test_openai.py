"""What the port promises of OpenAI, kept by the fake and by the real adapter, against the emulator, alike."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from dropbatch.adapters import openai as adapter
from dropbatch.adapters.openai import OpenAIBatches
from dropbatch.domain.errors import (
    OpenAIBusy,
    OpenAIKeyRejected,
    OpenAINotFound,
    OpenAIRefused,
    OpenAIUnsure,
)
from dropbatch.domain.jobs import OpenAIStatus
from dropbatch.ports import OpenAI
from local.openai_emulator.faults import AnyFault
from local.openai_emulator.testing import RunningEmulator, running_emulator
from tests.fakes import FakeClock, FakeOpenAI

CHAT = "/v1/chat/completions"


@dataclass
class Key:
    """Where the adapter reads the key: what the secret holds, and what a cache still gives."""

    value: str
    cached: str | None = None

    def __call__(self, fresh: bool) -> tuple[str, str]:
        key = self.value if fresh or self.cached is None else self.cached
        self.cached = self.cached and key
        if not key:
            raise OpenAIKeyRejected("no_key")
        return key, f"version of {key}"


@dataclass(frozen=True)
class Service:
    openai: OpenAI
    finish: Callable[[], None]  # lets every batch come to its end
    set_key: Callable[[str], None]


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[RunningEmulator]:
    with running_emulator(tmp_path / "emulator") as running:
        yield running


@pytest.fixture
def key(emulator: RunningEmulator) -> Key:
    return Key(emulator.api_key)


@pytest.fixture
def real(emulator: RunningEmulator, key: Key) -> Iterator[OpenAIBatches]:
    adapter = OpenAIBatches(key, emulator.base_url)
    yield adapter
    adapter.close()


@pytest.fixture(params=["fake", "real"])
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Service:
    if request.param == "fake":
        fake = FakeOpenAI(FakeClock())
        fake.ending = None

        def finish() -> None:
            fake.ending = OpenAIStatus.COMPLETED

        def set_key(value: str) -> None:
            fake.key, fake.key_valid = value, value == "sk-fake"

        return Service(fake, finish, set_key)
    monkeypatch.setattr(adapter, "PAGE", 2)
    emulator: RunningEmulator = request.getfixturevalue("emulator")
    key: Key = request.getfixturevalue("key")
    emulator.delays.in_progress = 60

    def set_key(value: str) -> None:
        key.value = value

    return Service(request.getfixturevalue("real"), emulator.finish, set_key)


def batch_file(tmp_path: Path, *ids: str) -> Path:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
    lines = [{"custom_id": name, "method": "POST", "url": CHAT, "body": body} for name in ids]
    path = tmp_path / "batch.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def submit(openai: OpenAI, tmp_path: Path, *ids: str, **metadata: str) -> Any:
    file_id = openai.upload(batch_file(tmp_path, *ids), "batch.jsonl")
    return openai.create(file_id, CHAT, {"dropbatch": "j/0.0/0", **metadata})


def test_a_batch_is_known_by_its_file_and_its_metadata(service: Service, tmp_path: Path) -> None:
    file_id = service.openai.upload(batch_file(tmp_path, "1"), "batch.jsonl")
    made = service.openai.create(file_id, CHAT, {"dropbatch": "j/0.0/0"})
    found = service.openai.retrieve(made.id)
    for batch in (made, found):
        assert (batch.id, batch.input_file_id, dict(batch.metadata)) == (made.id, file_id, {"dropbatch": "j/0.0/0"})
    assert (found.output_file_id, found.error_file_id) == (None, None)


def test_a_completed_batch_has_a_line_for_every_request(service: Service, tmp_path: Path) -> None:
    made = submit(service.openai, tmp_path, "1", "2", "3")
    service.finish()
    ended = service.openai.retrieve(made.id)
    assert ended.status is OpenAIStatus.COMPLETED
    assert (ended.total, ended.completed, ended.failed, ended.error_file_id) == (3, 3, 0, None)
    assert ended.output_file_id
    service.openai.download(ended.output_file_id, tmp_path / "output")
    lines = [json.loads(line) for line in (tmp_path / "output").read_text().splitlines()]
    assert {line["custom_id"] for line in lines} == {"1", "2", "3"}


def test_batches_are_listed_page_by_page_the_newest_first(service: Service, tmp_path: Path) -> None:
    made = [submit(service.openai, tmp_path, "1").id for _ in range(5)]
    pages = list(service.openai.newest())
    assert len(pages) == 3
    assert [batch.id for page in pages for batch in page] == made[::-1]


def test_a_list_of_nothing_ends(service: Service) -> None:
    assert [batch for page in service.openai.newest() for batch in page] == []


def test_a_running_batch_is_cancelled_and_an_ended_one_stays_as_it_is(service: Service, tmp_path: Path) -> None:
    made = submit(service.openai, tmp_path, "1")
    service.openai.cancel(made.id)
    service.finish()
    assert service.openai.retrieve(made.id).status is OpenAIStatus.CANCELLED
    service.openai.cancel(made.id)
    assert service.openai.retrieve(made.id).status is OpenAIStatus.CANCELLED


def test_what_is_not_there_is_not_found(service: Service, tmp_path: Path) -> None:
    with pytest.raises(OpenAINotFound):
        service.openai.retrieve("batch_none")
    with pytest.raises(OpenAINotFound):
        service.openai.download("file-none", tmp_path / "nothing")
    with pytest.raises(OpenAINotFound):
        service.openai.create("file-none", CHAT, {})
    with pytest.raises(OpenAINotFound):
        service.openai.cancel("batch_none")


@pytest.mark.parametrize("wrong", ["", "sk-wrong"], ids=["none", "wrong"])
def test_every_call_says_that_the_key_is_not_accepted(service: Service, tmp_path: Path, wrong: str) -> None:
    made = submit(service.openai, tmp_path, "1")
    service.set_key(wrong)
    openai = service.openai
    calls: list[Callable[[], object]] = [
        lambda: openai.upload(batch_file(tmp_path, "1"), "batch.jsonl"),
        lambda: openai.create(made.input_file_id, CHAT, {}),
        lambda: openai.retrieve(made.id),
        lambda: list(openai.newest()),
        lambda: openai.cancel(made.id),
        lambda: openai.download(made.input_file_id, tmp_path / "nothing"),
    ]
    for call in calls:
        with pytest.raises(OpenAIKeyRejected):
            call()


def test_a_keys_version_changes_with_the_key_and_back(service: Service) -> None:
    first = service.openai.key_version()
    service.set_key("sk-another")
    assert service.openai.key_version() != first


# What only a server does: against the emulator alone.


@pytest.fixture
def strike(emulator: RunningEmulator) -> Callable[..., None]:
    """Adds a fault to the emulator."""
    parsed: TypeAdapter[Any] = TypeAdapter(AnyFault)
    return lambda kind, **members: emulator.faults.add(parsed.validate_python({"kind": kind, **members}))


def test_a_key_that_was_replaced_is_read_anew_before_a_call_is_given_up(real: OpenAIBatches, key: Key) -> None:
    key.cached = "sk-former"
    assert list(real.newest()) == [[]]


def test_a_create_whose_answer_is_lost_is_unsure_and_made_once(
    real: OpenAIBatches, emulator: RunningEmulator, tmp_path: Path, strike: Callable[..., None]
) -> None:
    for how in ("drop", "500"):
        strike("create_answer_lost", how=how, times=1)
        with pytest.raises(OpenAIUnsure):
            submit(real, tmp_path, "1", how=how)
    assert [batch.metadata["how"] for batch in emulator.batches] == ["drop", "500"]
    assert [batch.metadata["how"] for page in real.newest() for batch in page] == ["500", "drop"]


def test_a_429_says_when_to_come_again(real: OpenAIBatches, tmp_path: Path, strike: Callable[..., None]) -> None:
    made = submit(real, tmp_path, "1")
    strike("http_error", status=429, code="rate_limit_exceeded", retry_after=7)
    with pytest.raises(OpenAIBusy) as raised:
        real.create(made.input_file_id, CHAT, {})
    assert (raised.value.code, raised.value.seconds) == ("rate_limit_exceeded", 7)


def test_a_refusal_has_its_code_and_not_its_text(
    real: OpenAIBatches, tmp_path: Path, strike: Callable[..., None]
) -> None:
    made = submit(real, tmp_path, "1")
    strike("http_error", status=400, code="billing_hard_limit_reached", message="SECRET TEXT")
    with pytest.raises(OpenAIRefused) as raised:
        real.create(made.input_file_id, CHAT, {})
    assert raised.value.code == "billing_hard_limit_reached"
    assert "SECRET" not in str(raised.value)


def test_a_broken_server_leaves_it_open_what_happened(
    real: OpenAIBatches, emulator: RunningEmulator, tmp_path: Path, strike: Callable[..., None]
) -> None:
    made = submit(real, tmp_path, "1")
    for member in ({"status": 503}, {"drop": True}):
        emulator.faults.clear()
        strike("http_error", **member)
        with pytest.raises(OpenAIUnsure):
            real.create(made.input_file_id, CHAT, {})


def test_a_download_that_breaks_off_is_made_again_and_whole(
    real: OpenAIBatches, tmp_path: Path, strike: Callable[..., None]
) -> None:
    source = batch_file(tmp_path, *(str(number) for number in range(2000)))
    file_id = real.upload(source, "batch.jsonl")
    strike("truncated_download", after_bytes=100_000, times=2)
    real.download(file_id, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()


def test_a_failed_batch_says_what_is_wrong_with_which_line(
    real: OpenAIBatches, emulator: RunningEmulator, tmp_path: Path, strike: Callable[..., None]
) -> None:
    strike("fail_batch", code="invalid_json_line", message="not JSON", line=2)
    made = submit(real, tmp_path, "1", "2")
    emulator.finish()
    failed = real.retrieve(made.id)
    assert (failed.status, list(failed.errors)) == (OpenAIStatus.FAILED, [("invalid_json_line", "not JSON", 2)])


def test_another_spelling_of_a_status_is_the_same_status(
    real: OpenAIBatches, emulator: RunningEmulator, tmp_path: Path, strike: Callable[..., None]
) -> None:
    strike("rename_status", status="cancelled", name="canceled")
    emulator.delays.in_progress = 60
    made = submit(real, tmp_path, "1")
    real.cancel(made.id)
    emulator.finish()
    assert real.retrieve(made.id).status is OpenAIStatus.CANCELLED
