"""The contract of the port to OpenAI: the fake keeps it, and so does the real adapter against the emulator."""

import json
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx2
import openai as sdk
import pytest
from pydantic import TypeAdapter

from dropbatch.adapters import openai as adapter
from dropbatch.adapters.openai import OpenAIBatches
from dropbatch.collection.batch_failure import Failure, classify_failure
from dropbatch.domain.errors import (
    ErrorKind,
    OpenAIAuthError,
    OpenAIBillingError,
    OpenAIError,
    OpenAINotFoundError,
    OpenAIOutcomeUnknownError,
    OpenAIPermissionError,
    OpenAIRateLimitError,
    OpenAIRequestError,
)
from dropbatch.domain.states import OpenAIStatus
from dropbatch.ports import Answering, OpenAI, RemoteUsage
from local.openai_emulator.faults import AnyFault
from local.openai_emulator.testing import RunningEmulator, running_emulator
from tests.fakes import FakeClock, FakeOpenAI, answer_ok

CHAT = "/v1/chat/completions"
REQUEST = b'{"model": "gpt-6-luna", "messages": [{"role": "user", "content": "hello"}]}'
OTHER_KEY = "sk-other-project"
RETIRED, RETIRED_AT = "o1", datetime(2026, 10, 23, tzinfo=UTC).timestamp()
"""A model that OpenAI has shut down, and when."""


@dataclass
class Key:
    """The source from which the adapter reads the key: the content of the secret, and the cached value."""

    value: str
    cached: str | None = None

    def __call__(self, fresh: bool) -> tuple[str, str]:
        key = self.value if fresh or self.cached is None else self.cached
        self.cached = self.cached and key
        if not key:
            raise OpenAIAuthError("no_key")
        return key, f"version of {key}"


class Service(ABC):
    """A port, and the ways in which a test can change the service behind it."""

    openai: OpenAI
    answering: Answering

    @abstractmethod
    def finish(self) -> None:
        """End every batch."""

    @abstractmethod
    def set_key(self, key: str) -> None:
        """Store another key. OTHER_KEY belongs to another project; an unknown key is not accepted."""

    @abstractmethod
    def delete(self, file_id: str) -> None:
        """Delete a file, as OpenAI does after its expiry."""

    @abstractmethod
    def be_odd(self, how: str) -> None:
        """Behave from now on as some servers do: `stale`, `list_lag`, `no_metadata`, `ignore_range`, `break_off`,
        `slow_validation`, `no_delete`, `no_models`."""

    @abstractmethod
    def retire(self, model: str) -> None:
        """Have no model of this name from now on. It must be one that OpenAI has shut down."""

    @abstractmethod
    def refuse(self, method: str, path: str, status: int, code: str, error: OpenAIError) -> None:
        """Fail the calls of a method of the port, which goes to `path`, with this status and code: with this error."""


class Fake(Service):
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.openai = self.answering = self.fake = FakeOpenAI(self.clock)
        self.fake.ending = None
        self.fake.projects = {OTHER_KEY: "other"}

    def finish(self) -> None:
        self.fake.ending = OpenAIStatus.COMPLETED

    def set_key(self, key: str) -> None:
        self.fake.key, self.fake.key_valid = key, key in ("sk-fake", OTHER_KEY)

    def delete(self, file_id: str) -> None:
        del self.fake.files[file_id]

    def be_odd(self, how: str) -> None:
        match how:
            case "stale":
                self.fake.retrieve_lag = 100_000
            case "list_lag":
                self.fake.list_lag = 100_000
            case "no_metadata":
                self.fake.keeps_metadata = False
            case "ignore_range":
                self.fake.ignores_range = True
            case "break_off":
                self.fake.breaks_after = 100
            case "no_delete":
                self.fake.deletes_files = False
            case "no_models":
                self.fake.tells_models = False
            case "slow_validation":
                pass  # the fake validates a batch when it is next retrieved or listed
            case _:
                raise ValueError(f"{how}: FakeOpenAI cannot be so")

    def retire(self, model: str) -> None:
        self.fake.models = {"gpt-6-luna"} - {model}

    def refuse(self, method: str, path: str, status: int, code: str, error: OpenAIError) -> None:
        self.fake.faults[method] = error


class Real(Service):
    def __init__(self, openai: OpenAIBatches, emulator: RunningEmulator, key: Key, strike: Callable[..., None]) -> None:
        self.openai = self.answering = openai
        self.emulator, self.key, self.strike = emulator, key, strike
        emulator.delays.in_progress = 60

    def finish(self) -> None:
        self.emulator.finish()

    def set_key(self, key: str) -> None:
        self.key.value = key

    def delete(self, file_id: str) -> None:
        with sdk.OpenAI(base_url=self.emulator.base_url, api_key=self.emulator.api_key) as client:
            client.files.delete(file_id)

    def be_odd(self, how: str) -> None:
        match how:
            case "stale":
                self.strike("stale_retrieve", seconds=100_000)
            case "list_lag":
                self.strike("list_lag", seconds=100_000)
            case "slow_validation":
                self.emulator.delays.validating = 60
            case "break_off":
                self.strike("truncated_download", after_bytes=100)
            case "no_delete":
                self.strike("http_error", method="DELETE", status=405)
            case "no_models":
                self.strike("http_error", path="/v1/models/*", status=501)
            case _:
                self.strike(how)

    def retire(self, model: str) -> None:
        self.emulator.advance(max(0.0, RETIRED_AT - time.time()))

    def refuse(self, method: str, path: str, status: int, code: str, error: OpenAIError) -> None:
        self.strike("http_error", path=path, status=status, code=code)


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[RunningEmulator]:
    with running_emulator(tmp_path / "emulator", keys={"sk-emulated": "default", OTHER_KEY: "other"}) as running:
        yield running


@pytest.fixture
def key(emulator: RunningEmulator) -> Key:
    return Key(emulator.api_key)


@pytest.fixture
def strike(emulator: RunningEmulator) -> Callable[..., None]:
    """Add a fault to the emulator."""
    parsed: TypeAdapter[Any] = TypeAdapter(AnyFault)
    return lambda kind, **members: emulator.faults.add(parsed.validate_python({"kind": kind, **members}))


@pytest.fixture
def real(emulator: RunningEmulator, key: Key, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIBatches]:
    monkeypatch.setattr(adapter, "RETRY_SECONDS", 0)
    adapted = OpenAIBatches(key, emulator.base_url)
    yield adapted
    adapted.close()


@pytest.fixture(params=["fake", "real"])
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Service:
    if request.param == "fake":
        return Fake()
    monkeypatch.setattr(adapter, "PAGE_BATCHES", 2)
    return Real(*(request.getfixturevalue(name) for name in ("real", "emulator", "key", "strike")))


def batch_file(tmp_path: Path, *ids: str) -> Path:
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "hello"}]}
    lines = [{"custom_id": name, "method": "POST", "url": CHAT, "body": body} for name in ids]
    path = tmp_path / "batch.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def submit(openai: OpenAI, tmp_path: Path, *ids: str, **metadata: str) -> Any:
    file_id = openai.upload(batch_file(tmp_path, *ids), "batch.jsonl")
    return openai.create(file_id, CHAT, {"dropbatch": "j/0.0/0", **metadata})


def content(openai: OpenAI, file_id: str, start: int = 0) -> bytes:
    with openai.streaming(file_id, start) as download:
        return b"".join(download.blocks())


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
    lines = [json.loads(line) for line in content(service.openai, ended.output_file_id).split(b"\n") if line]
    assert {line["custom_id"] for line in lines} == {"1", "2", "3"}


def test_a_completed_batch_reports_the_tokens_of_its_answers(service: Service, tmp_path: Path) -> None:
    made = submit(service.openai, tmp_path, "1", "2", "3")
    service.finish()
    ended = service.openai.retrieve(made.id)
    assert ended.output_file_id
    lines = [json.loads(line) for line in content(service.openai, ended.output_file_id).split(b"\n") if line]
    usages = [line["response"]["body"]["usage"] for line in lines]
    read, written = (sum(usage[kind] for usage in usages) for kind in ("prompt_tokens", "completion_tokens"))
    assert ended.usage is not None
    assert (ended.usage.input, ended.usage.output) == (read, written)


def test_batches_are_listed_page_by_page_the_newest_first(service: Service, tmp_path: Path) -> None:
    made = [submit(service.openai, tmp_path, "1").id for _ in range(5)]
    pages = list(service.openai.newest())
    assert len(pages) == 3
    assert [batch.id for page in pages for batch in page] == made[::-1]


def test_an_empty_list_ends(service: Service) -> None:
    assert [batch for page in service.openai.newest() for batch in page] == []


def test_a_running_batch_is_cancelled_and_an_ended_one_stays_as_it_is(service: Service, tmp_path: Path) -> None:
    made = submit(service.openai, tmp_path, "1")
    service.openai.cancel(made.id)
    service.finish()
    assert service.openai.retrieve(made.id).status is OpenAIStatus.CANCELLED
    service.openai.cancel(made.id)
    assert service.openai.retrieve(made.id).status is OpenAIStatus.CANCELLED


def test_a_missing_file_or_batch_is_not_found(service: Service) -> None:
    with pytest.raises(OpenAINotFoundError):
        service.openai.retrieve("batch_none")
    with pytest.raises(OpenAINotFoundError):
        content(service.openai, "file-none")
    with pytest.raises(OpenAINotFoundError):
        service.openai.create("file-none", CHAT, {})
    with pytest.raises(OpenAINotFoundError):
        service.openai.cancel("batch_none")


@pytest.mark.parametrize("wrong", ["", "sk-wrong"], ids=["none", "wrong"])
def test_every_call_reports_a_key_that_is_not_accepted(service: Service, tmp_path: Path, wrong: str) -> None:
    made = submit(service.openai, tmp_path, "1")
    service.set_key(wrong)
    openai = service.openai
    calls: list[Callable[[], object]] = [
        lambda: openai.upload(batch_file(tmp_path, "1"), "batch.jsonl"),
        lambda: openai.create(made.input_file_id, CHAT, {}),
        lambda: openai.retrieve(made.id),
        lambda: list(openai.newest()),
        lambda: openai.cancel(made.id),
        lambda: openai.sees(made.input_file_id),
        lambda: content(openai, made.input_file_id),
        lambda: openai.delete_file(made.input_file_id),
        lambda: openai.has_model("gpt-6-luna"),
        lambda: service.answering.ask(CHAT, REQUEST),
    ]
    for call in calls:
        with pytest.raises(OpenAIAuthError):
            call()


def test_a_key_keeps_its_version_until_a_fresh_one_is_requested(service: Service, tmp_path: Path) -> None:
    first = service.openai.key_version()
    service.set_key(OTHER_KEY)
    assert service.openai.key_version() == first
    other = service.openai.key_version(fresh=True)
    assert other != first
    submit(service.openai, tmp_path, "1")
    assert service.openai.key_version() == other
    service.set_key("")
    for fresh in (True, False):
        with pytest.raises(OpenAIAuthError):
            service.openai.key_version(fresh)


def test_the_list_continues_after_a_batch(service: Service, tmp_path: Path) -> None:
    made = [submit(service.openai, tmp_path, "1").id for _ in range(4)]
    assert [batch.id for page in service.openai.newest(after=made[2]) for batch in page] == [made[1], made[0]]
    assert [batch.id for page in service.openai.newest(after=made[0]) for batch in page] == []
    with pytest.raises(OpenAIRequestError):
        list(service.openai.newest(after="batch_none"))


def test_a_file_is_visible_until_it_is_deleted(service: Service, tmp_path: Path) -> None:
    file_id = service.openai.upload(batch_file(tmp_path, "1"), "batch.jsonl")
    assert service.openai.sees(file_id)
    assert not service.openai.sees("file-none")
    service.delete(file_id)
    assert not service.openai.sees(file_id)
    with pytest.raises(OpenAINotFoundError):
        content(service.openai, file_id)
    with pytest.raises(OpenAINotFoundError):
        service.openai.create(file_id, CHAT, {})


def test_a_deleted_file_is_gone_and_may_be_deleted_again(service: Service, tmp_path: Path) -> None:
    made = submit(service.openai, tmp_path, "1")
    service.finish()
    output = service.openai.retrieve(made.id).output_file_id or ""
    for file_id in (made.input_file_id, output):
        assert service.openai.sees(file_id)
        assert service.openai.delete_file(file_id) is True
        assert not service.openai.sees(file_id)
        assert service.openai.delete_file(file_id) is True
    assert service.openai.retrieve(made.id).output_file_id == output, "the batch stays"


def test_a_key_of_another_project_deletes_no_file(service: Service, tmp_path: Path) -> None:
    made = submit(service.openai, tmp_path, "1")
    service.set_key(OTHER_KEY)
    assert service.openai.delete_file(made.input_file_id) is True
    service.set_key("sk-fake" if isinstance(service, Fake) else "sk-emulated")
    assert service.openai.sees(made.input_file_id)


def test_a_server_may_delete_no_file(service: Service, tmp_path: Path) -> None:
    made = submit(service.openai, tmp_path, "1")
    service.be_odd("no_delete")
    assert service.openai.delete_file(made.input_file_id) is False
    assert service.openai.sees(made.input_file_id)


def test_a_model_exists_or_not_or_the_server_does_not_say(service: Service) -> None:
    service.retire(RETIRED)
    assert service.openai.has_model("gpt-6-luna") is True
    assert service.openai.has_model(RETIRED) is False
    service.be_odd("no_models")
    assert service.openai.has_model(RETIRED) is None


ENDPOINTS = {
    CHAT: {"messages": [{"role": "user", "content": "hello"}]},
    "/v1/responses": {"input": "hello"},
    "/v1/embeddings": {"input": "hello"},
    "/v1/moderations": {"input": "hello"},
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_request_is_answered_at_once_as_in_a_batch(service: Service, tmp_path: Path, endpoint: str) -> None:
    body = {"model": "gpt-6-luna", **ENDPOINTS[endpoint]}
    response = service.answering.ask(endpoint, json.dumps(body).encode())
    path = tmp_path / "batch.jsonl"
    path.write_text(json.dumps({"custom_id": "1", "method": "POST", "url": endpoint, "body": body}) + "\n")
    made = service.openai.create(service.openai.upload(path, "batch.jsonl"), endpoint, {})
    service.finish()
    (line,) = content(service.openai, service.openai.retrieve(made.id).output_file_id or "").splitlines()
    in_batch = json.loads(line)["response"]
    times = ("created", "created_at", "completed_at")
    assert response.status == in_batch["status_code"] == 200
    at_once = json.loads(response.body)
    assert {name: item for name, item in at_once.items() if name not in times} == {
        name: item for name, item in in_batch["body"].items() if name not in times
    }


def test_a_request_for_a_model_that_is_gone_has_a_response_that_says_so(service: Service) -> None:
    service.retire(RETIRED)
    response = service.answering.ask(CHAT, REQUEST.replace(b"gpt-6-luna", RETIRED.encode()))
    assert (response.status, json.loads(response.body)["error"]["code"]) == (404, "model_not_found")


def test_a_key_of_another_project_sees_nothing_of_the_first(service: Service, tmp_path: Path) -> None:
    made = submit(service.openai, tmp_path, "1")
    service.set_key(OTHER_KEY)
    assert not service.openai.sees(made.input_file_id)
    assert [batch for page in service.openai.newest() for batch in page] == []
    calls: list[Callable[[], object]] = [
        lambda: service.openai.retrieve(made.id),
        lambda: service.openai.cancel(made.id),
        lambda: service.openai.create(made.input_file_id, CHAT, {}),
        lambda: content(service.openai, made.input_file_id),
    ]
    for call in calls:
        with pytest.raises(OpenAINotFoundError):
            call()


@pytest.mark.slow
@pytest.mark.parametrize("start", [0, 1, 150, 10_000_000])
def test_a_download_starts_at_the_requested_byte(service: Service, tmp_path: Path, start: int) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(range(256)) * 40_000)
    file_id = service.openai.upload(path, "large.jsonl")
    with service.openai.streaming(file_id, start) as download:
        blocks = list(download.blocks())
    assert (download.start, download.size) == (start, 10_240_000)
    assert b"".join(blocks) == path.read_bytes()[start:]
    assert max(map(len, blocks)) <= 1_048_576


def test_a_download_from_the_end_of_a_file_is_empty(service: Service, tmp_path: Path) -> None:
    file_id = service.openai.upload(batch_file(tmp_path, "1"), "batch.jsonl")
    size = len(content(service.openai, file_id))
    with service.openai.streaming(file_id, size) as download:
        assert (list(download.blocks()), download.start, download.size) == ([], size, size)
    with pytest.raises(OpenAIOutcomeUnknownError), service.openai.streaming(file_id, size + 1) as download:
        list(download.blocks())


def test_a_server_may_ignore_the_requested_range(service: Service, tmp_path: Path) -> None:
    file_id = service.openai.upload(batch_file(tmp_path, "1"), "batch.jsonl")
    whole = content(service.openai, file_id)
    service.be_odd("ignore_range")
    with service.openai.streaming(file_id, 10) as download:
        assert (download.start, download.size) == (0, len(whole))
        assert b"".join(download.blocks()) == whole


def test_a_download_that_breaks_off_raises_outcome_unknown_and_can_be_resumed(service: Service, tmp_path: Path) -> None:
    file_id = service.openai.upload(batch_file(tmp_path, "1", "2"), "batch.jsonl")
    whole = content(service.openai, file_id)
    service.be_odd("break_off")
    got, breaks = b"", 0
    while len(got) < len(whole):
        try:
            with service.openai.streaming(file_id, len(got)) as download:
                for block in download.blocks():
                    got += block
        except OpenAIOutcomeUnknownError:
            breaks += 1
    assert got == whole
    assert breaks >= len(whole) // 100


def test_a_batch_may_be_retrieved_later_than_it_is_listed(service: Service, tmp_path: Path) -> None:
    made = submit(service.openai, tmp_path, "1")
    service.finish()
    service.be_odd("stale")
    stale = service.openai.retrieve(made.id)
    assert (stale.status in (OpenAIStatus.VALIDATING, OpenAIStatus.IN_PROGRESS), stale.output_file_id) == (True, None)
    ((listed,),) = service.openai.newest()
    assert listed.status is OpenAIStatus.COMPLETED


def test_a_batch_may_be_listed_later_than_it_is_created(service: Service, tmp_path: Path) -> None:
    service.be_odd("list_lag")
    made = submit(service.openai, tmp_path, "1")
    assert [batch for page in service.openai.newest() for batch in page] == []
    assert service.openai.retrieve(made.id).id == made.id


@pytest.mark.parametrize("metadata", [{"k" * 65: "v"}, {"k": "v" * 513}, {str(n): "" for n in range(17)}], ids=len)
def test_metadata_has_its_bounds(service: Service, tmp_path: Path, metadata: dict[str, str]) -> None:
    file_id = service.openai.upload(batch_file(tmp_path, "1"), "batch.jsonl")
    with pytest.raises(OpenAIRequestError):
        service.openai.create(file_id, CHAT, metadata)


def test_a_file_that_is_deleted_before_its_batch_was_validated_is_not_found(service: Service, tmp_path: Path) -> None:
    service.be_odd("slow_validation")
    made = submit(service.openai, tmp_path, "1")
    service.delete(made.input_file_id)
    service.finish()
    failed = service.openai.retrieve(made.id)
    assert failed.status is OpenAIStatus.FAILED
    assert classify_failure(failed.errors).kind is Failure.FILE


def test_a_server_may_drop_the_metadata(service: Service, tmp_path: Path) -> None:
    service.be_odd("no_metadata")
    made = submit(service.openai, tmp_path, "1")
    ((listed,),) = service.openai.newest()
    assert dict(listed.metadata) == dict(service.openai.retrieve(made.id).metadata) == {}
    assert listed.input_file_id == made.input_file_id


PATHS = {
    "upload": "/v1/files",
    "create": "/v1/batches",
    "retrieve": "/v1/batches/*",
    "newest": "/v1/batches",
    "cancel": "/v1/batches/*",
    "sees": "/v1/files/*",
    "streaming": "/v1/files/*/content",
    "delete_file": "/v1/files/*",
    "has_model": "/v1/models/*",
}
REFUSALS: list[tuple[int, str, OpenAIError]] = [
    (401, "invalid_api_key", OpenAIAuthError("invalid_api_key")),
    (403, "insufficient_permissions", OpenAIPermissionError("insufficient_permissions")),
    (403, "unsupported_country_region_territory", OpenAIPermissionError("unsupported_country_region_territory")),
    (429, "insufficient_quota", OpenAIBillingError("insufficient_quota")),
    (400, "billing_hard_limit_reached", OpenAIBillingError("billing_hard_limit_reached")),
    (401, "account_deactivated", OpenAIBillingError("account_deactivated")),
    (429, "rate_limit_exceeded", OpenAIRateLimitError("rate_limit_exceeded", 60)),
    (400, "invalid_value", OpenAIRequestError("invalid_value", 400)),
    (503, "overloaded", OpenAIOutcomeUnknownError("overloaded")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("status", "code", "error"), REFUSALS, ids=lambda value: value if type(value) is str else "")
def test_each_call_says_what_a_refusal_is_about(
    service: Service, tmp_path: Path, status: int, code: str, error: OpenAIError
) -> None:
    made = submit(service.openai, tmp_path, "1")
    openai = service.openai
    calls: Mapping[str, Callable[[], object]] = {
        "upload": lambda: openai.upload(batch_file(tmp_path, "1"), "batch.jsonl"),
        "create": lambda: openai.create(made.input_file_id, CHAT, {}),
        "retrieve": lambda: openai.retrieve(made.id),
        "newest": lambda: list(openai.newest()),
        "cancel": lambda: openai.cancel(made.id),
        "sees": lambda: openai.sees(made.input_file_id),
        "streaming": lambda: content(openai, made.input_file_id),
        "delete_file": lambda: openai.delete_file(made.input_file_id),
        "has_model": lambda: openai.has_model("gpt-6-luna"),
    }
    assert calls.keys() == PATHS.keys()
    for method, call in calls.items():
        service.refuse(method, PATHS[method], status, code, error)
        with pytest.raises(type(error)) as raised:
            call()
        assert (type(raised.value), raised.value.code, raised.value.kind) == (type(error), code, error.kind)


@pytest.mark.parametrize(("status", "code", "error"), REFUSALS, ids=lambda value: value if type(value) is str else "")
def test_a_single_request_has_a_response_if_it_is_refused_for_its_own_sake(
    service: Service, status: int, code: str, error: OpenAIError
) -> None:
    service.refuse("ask", CHAT, status, code, error)
    if type(error) is OpenAIRequestError:
        response = service.answering.ask(CHAT, REQUEST)
        assert (response.status, json.loads(response.body)["error"]["code"]) == (status, code)
        return
    with pytest.raises(type(error)) as raised:
        service.answering.ask(CHAT, REQUEST)
    assert (type(raised.value), raised.value.code) == (type(error), code)


def test_refusal_kinds_separate_blocked_accounts_from_temporary_errors() -> None:
    kinds = {code: error.kind for _, code, error in REFUSALS}
    assert kinds["insufficient_quota"] is ErrorKind.ACCOUNT
    assert kinds["rate_limit_exceeded"] is kinds["overloaded"] is ErrorKind.PASSING
    assert kinds["insufficient_permissions"] is ErrorKind.PERMISSION


# What tests can read from the fake


def test_the_fake_counts_batches_and_paid_answers_though_the_metadata_is_dropped(tmp_path: Path) -> None:
    fake = FakeOpenAI(FakeClock())
    fake.keeps_metadata = False
    fake.answer = lambda request: None if request["custom_id"] == "3" else answer_ok(request)
    for key in ("j/0.0/0", "j/0.0/0.1"):
        file_id = fake.upload(batch_file(tmp_path, "1", "2", "3"), "batch.jsonl")
        fake.retrieve(fake.create(file_id, CHAT, {"dropbatch": key, "job": "j"}).id)
    assert fake.batches_by_key() == {"j/0.0/0": 1, "j/0.0/0.1": 1}
    assert fake.paid_answers() == Counter({("j", 1): 2, ("j", 2): 2})


@pytest.mark.parametrize(
    ("change", "code", "line"),
    [
        ({"custom_id": "1"}, "duplicate_custom_id", 2),
        ({"url": "/v1/responses"}, "invalid_url", 2),
        ({"body": {"model": "other"}}, "mismatched_model", 2),
    ],
)
def test_a_batch_file_that_the_service_refuses_fails(
    service: Service, tmp_path: Path, change: dict[str, Any], code: str, line: int
) -> None:
    path = batch_file(tmp_path, "1", "2")
    first, second = (json.loads(text) for text in path.read_text().splitlines())
    path.write_text(json.dumps(first) + "\n" + json.dumps({**second, **change}) + "\n")
    made = service.openai.create(service.openai.upload(path, "batch.jsonl"), CHAT, {})
    service.finish()
    failed = service.openai.retrieve(made.id)
    assert failed.status is OpenAIStatus.FAILED
    assert [(name, number) for name, _, number in failed.errors] == [(code, line)]


# Behaviour of servers: only against the emulator


def test_a_replaced_key_is_read_again_before_a_call_fails(real: OpenAIBatches, key: Key, tmp_path: Path) -> None:
    key.cached = "sk-former"
    assert real.key_version() == "version of sk-former"
    assert list(real.newest()) == [[]]
    key.cached = "sk-former"
    submit(real, tmp_path, "1")
    assert real.key_version() == f"version of {key.value}", "that with which the batch was created"


def test_a_create_whose_answer_is_lost_is_not_repeated(
    real: OpenAIBatches, emulator: RunningEmulator, tmp_path: Path, strike: Callable[..., None]
) -> None:
    for how in ("drop", "500"):
        strike("create_answer_lost", how=how, times=1)
        with pytest.raises(OpenAIOutcomeUnknownError):
            submit(real, tmp_path, "1", how=how)
    assert [batch.metadata["how"] for batch in emulator.batches] == ["drop", "500"]
    assert [batch.metadata["how"] for page in real.newest() for batch in page] == ["500", "drop"]


def test_a_429_says_when_to_retry(real: OpenAIBatches, tmp_path: Path, strike: Callable[..., None]) -> None:
    made = submit(real, tmp_path, "1")
    strike("http_error", status=429, code="rate_limit_exceeded", retry_after=7)
    with pytest.raises(OpenAIRateLimitError) as raised:
        real.create(made.input_file_id, CHAT, {})
    assert (raised.value.code, raised.value.seconds) == ("rate_limit_exceeded", 7)


def test_a_refusal_keeps_its_code_but_not_its_text(
    real: OpenAIBatches, tmp_path: Path, strike: Callable[..., None]
) -> None:
    made = submit(real, tmp_path, "1")
    strike("http_error", status=400, code="string_too_long", message="SECRET TEXT")
    with pytest.raises(OpenAIRequestError) as raised:
        real.create(made.input_file_id, CHAT, {})
    assert raised.value.code == "string_too_long"
    assert "SECRET" not in str(raised.value)


def test_an_error_of_the_server_leaves_the_outcome_unknown(
    real: OpenAIBatches, emulator: RunningEmulator, tmp_path: Path, strike: Callable[..., None]
) -> None:
    made = submit(real, tmp_path, "1")
    for member in ({"status": 503}, {"drop": True}):
        emulator.faults.clear()
        strike("http_error", **member)
        with pytest.raises(OpenAIOutcomeUnknownError):
            real.create(made.input_file_id, CHAT, {})


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


# Requests and responses over HTTP: against prepared responses

BATCH = {"id": "batch_1", "status": "validating", "created_at": 1, "input_file_id": "file-1", "object": "batch"}
OWN = "https://api.openai.com/v1"


class Wire:
    """A transport that answers requests with the given responses in order, repeats the last one, and keeps requests."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def adapter(self, base_url: str = OWN) -> OpenAIBatches:
        return OpenAIBatches(lambda _fresh: ("sk-x", "v"), base_url, httpx2.MockTransport(self))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "RETRY_SECONDS", 0)


def refusal(status: int, code: str | None = "some_code", **headers: str) -> httpx2.Response:
    return httpx2.Response(status, json={"error": {"code": code, "message": "no"}}, headers=headers)


@pytest.mark.parametrize(
    ("base_url", "expires"),
    [
        (OWN, True),
        ("https://eu.api.openai.com/v1", True),
        ("http://127.0.0.1:8080/v1", False),
        ("https://api.openai.com.example.org/v1", False),
        ("https://notapi.openai.com/v1", False),
        ("https://example.org/api.openai.com/v1", False),
    ],
)
def test_files_get_an_expiry_at_openai_only(tmp_path: Path, base_url: str, expires: bool) -> None:
    upload, create = lifetimes(tmp_path, Wire.adapter, base_url)
    week = {"anchor": "created_at", "seconds": 604_800}
    assert json.loads(create).get("output_expires_after") == (week if expires else None)
    for member in (b'name="expires_after[anchor]"\r\n\r\ncreated_at', b'name="expires_after[seconds]"\r\n\r\n604800'):
        assert (member in upload) is expires


def lifetimes(tmp_path: Path, adapted: Callable[[Wire, str], OpenAIBatches], base_url: str = OWN) -> list[bytes]:
    """Return the bodies of an upload and of a create."""
    wire = Wire(httpx2.Response(200, json={"id": "file-1"}), httpx2.Response(200, json=BATCH))
    openai = adapted(wire, base_url)
    openai.create(openai.upload(batch_file(tmp_path, "1"), "batch.jsonl"), CHAT, {})
    openai.close()
    return [request.read() for request in wire.requests]


@pytest.mark.parametrize(("days", "request_days"), [(1, 3), (3, 3), (30, 30)])
def test_the_stack_says_how_long_files_are_kept_but_a_running_batch_has_its_requests(
    tmp_path: Path, days: int, request_days: int
) -> None:
    upload, create = lifetimes(
        tmp_path,
        lambda wire, url: OpenAIBatches(lambda _: ("sk-x", "v"), url, httpx2.MockTransport(wire), file_days=days),
    )
    assert json.loads(create)["output_expires_after"] == {"anchor": "created_at", "seconds": days * 86_400}
    assert b'name="expires_after[seconds]"\r\n\r\n%d\r\n' % (request_days * 86_400) in upload


@pytest.mark.parametrize(
    "answer",
    [
        refusal(405),
        refusal(501),
        httpx2.Response(404, text="<html>Not Found</html>"),
    ],
    ids=["405", "501", "page"],
)
def test_a_server_may_have_no_call_to_delete_a_file_or_to_retrieve_a_model(answer: httpx2.Response) -> None:
    wire = Wire(answer)
    assert wire.adapter().delete_file("file-1") is False
    assert wire.adapter().has_model("m") is None
    assert len(wire.requests) == 2, "neither is retried"


@pytest.mark.parametrize("code", [None, "not_found", "http_404"])
def test_only_the_code_of_a_missing_model_says_that_it_is_missing(code: str | None) -> None:
    assert Wire(refusal(404, code)).adapter().has_model("m") is None
    for status in (403, 404):
        assert Wire(refusal(status, "model_not_found")).adapter().has_model("m") is False
    with pytest.raises(OpenAIPermissionError):
        Wire(refusal(403, code)).adapter().has_model("m")


def test_a_page_with_status_200_is_no_model() -> None:
    assert Wire(httpx2.Response(200, text="<html>Welcome</html>")).adapter().has_model("m") is None


def test_a_403_about_a_model_is_an_error_of_the_key() -> None:
    with pytest.raises(OpenAIPermissionError):
        Wire(refusal(403, "insufficient_permissions")).adapter().has_model("m")


def test_the_name_of_a_model_is_escaped_in_the_path() -> None:
    wire = Wire(httpx2.Response(200, json={"id": "x"}))
    assert wire.adapter().has_model("ft:gpt-6-luna:org/a::id") is True
    assert wire.requests[0].url.raw_path.startswith(b"/v1/models/ft")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 60),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "1.2"}, 2),
        ({"retry-after": "0"}, 1),
        ({"retry-after": "86400"}, 900),
        ({"retry-after": "soon"}, 60),
        ({"retry-after": "nan"}, 60),
        ({"retry-after-ms": "2500", "retry-after": "9"}, 3),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9),
    ],
)
def test_a_429_passes_its_waiting_time_to_the_caller(headers: dict[str, str], seconds: int) -> None:
    wire = Wire(refusal(429, **headers))
    began = time.monotonic()
    with pytest.raises(OpenAIRateLimitError) as raised:
        wire.adapter().retrieve("batch_1")
    assert raised.value.seconds == seconds
    assert (len(wire.requests), time.monotonic() - began < 5) == (1, True)


@pytest.mark.parametrize(("ahead", "least", "most"), [(300, 290, 301), (-300, 1, 1)])
def test_a_429_may_give_a_date(ahead: int, least: int, most: int) -> None:
    wire = Wire(refusal(429, **{"retry-after": formatdate(time.time() + ahead, usegmt=True)}))
    with pytest.raises(OpenAIRateLimitError) as raised:
        wire.adapter().retrieve("batch_1")
    assert least <= raised.value.seconds <= most


def test_an_exhausted_quota_is_recognised_by_its_code_or_its_type() -> None:
    quota = "insufficient_quota"
    for error in ({"code": quota}, {"code": "x", "type": quota}, {"code": None, "type": quota}):
        with pytest.raises(OpenAIBillingError) as raised:
            Wire(httpx2.Response(429, json={"error": error})).adapter().create("file-1", CHAT, {})
        assert raised.value.code == quota


CALLS: dict[str, Callable[[OpenAIBatches, Path], object]] = {
    "upload": lambda openai, path: openai.upload(path, "batch.jsonl"),
    "create": lambda openai, _: openai.create("file-1", CHAT, {}),
    "streaming": lambda openai, _: content(openai, "file-1"),
    "retrieve": lambda openai, _: openai.retrieve("batch_1"),
    "newest": lambda openai, _: list(openai.newest()),
    "cancel": lambda openai, _: openai.cancel("batch_1"),
    "sees": lambda openai, _: openai.sees("file-1"),
    "delete_file": lambda openai, _: openai.delete_file("file-1"),
    "has_model": lambda openai, _: openai.has_model("gpt-6-luna"),
    "ask": lambda openai, _: openai.ask(CHAT, REQUEST),
}


@pytest.mark.parametrize("lost", [httpx2.ReadTimeout("t"), httpx2.ConnectError("c"), refusal(500)], ids=type)
@pytest.mark.parametrize("name", CALLS)
def test_read_calls_are_tried_twice_and_writes_once(tmp_path: Path, name: str, lost: Any) -> None:
    wire = Wire(lost)
    with pytest.raises(OpenAIOutcomeUnknownError):
        CALLS[name](wire.adapter(), batch_file(tmp_path, "1"))
    once = name in ("upload", "create", "streaming", "delete_file", "has_model", "ask")
    assert len(wire.requests) == (1 if once else 2)
    timeouts = [request.extensions["timeout"] for request in wire.requests]
    assert {timeout["connect"] for timeout in timeouts} == {5}
    assert {timeout["read"] for timeout in timeouts} == {
        {"create": 25, "upload": 60, "streaming": 60, "has_model": 5, "ask": 30}.get(name, 15)
    }
    # The longest duration of a call in a poll. For a create it is less than the minute that a lease leaves.
    slowest = sum(2 * timeout["connect"] + timeout["write"] + timeout["read"] for timeout in timeouts)
    assert slowest <= {"create": 59, "upload": 90, "streaming": 90}.get(name, 80)


@pytest.mark.parametrize("base_url", [OWN, "http://127.0.0.1:8080/openai/v1"])
def test_a_single_request_is_sent_byte_for_byte(base_url: str) -> None:
    wire = Wire(httpx2.Response(200, content=b'{"id": "x",  "n": 1.50}'))
    body = '{"model":"m",  "input":"größe 😀"}'.encode()
    response = wire.adapter(base_url).ask("/v1/responses", body)
    assert (response.status, response.body) == (200, b'{"id": "x",  "n": 1.50}')
    (request,) = wire.requests
    assert (request.method, str(request.url)) == ("POST", f"{base_url}/responses")
    assert request.read() == body
    assert request.headers["content-type"] == "application/json"


def test_a_page_with_status_200_is_no_response() -> None:
    for text in ("<html>Welcome</html>", "[]", ""):
        with pytest.raises(OpenAIOutcomeUnknownError):
            Wire(httpx2.Response(200, text=text)).adapter().ask(CHAT, REQUEST)


@pytest.mark.slow
def test_an_upload_to_a_slow_server_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Dripping(httpx2.BaseTransport):
        taken = 0

        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            assert isinstance(request.stream, httpx2.SyncByteStream)
            for block in request.stream:
                self.taken += len(block)
                time.sleep(0.02)
            return httpx2.Response(200, json={"id": "file-1"})

    monkeypatch.setattr(adapter, "SEND_SECONDS", 0.1)
    path, slow = tmp_path / "large", Dripping()
    path.write_bytes(b"x" * 10_000_000)
    with pytest.raises(OpenAIOutcomeUnknownError):
        OpenAIBatches(lambda _fresh: ("sk-x", "v"), OWN, slow).upload(path, "batch.jsonl")
    assert 0 < slow.taken < 2_000_000


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_in_another_format_leaves_the_outcome_unknown(tmp_path: Path, status: int) -> None:
    """Some proxies send one: it must not hold jobs, and a batch must not count as gone."""
    wire = Wire(httpx2.Response(status, text="<html>Not here</html>"))
    # Of these two, a page with 404 says that the server has no such call.
    others = CALLS.keys() - ({"delete_file", "has_model"} if status == 404 else set())
    for call in (CALLS[name] for name in others):
        with pytest.raises(OpenAIOutcomeUnknownError):
            call(wire.adapter(), batch_file(tmp_path, "1"))


@pytest.mark.parametrize("answer", ["<html>Welcome</html>", "{}", '{"id": 1}', '{"id": "file-2"}'])
def test_an_answer_about_another_object_does_not_prove_that_a_file_is_visible(answer: str) -> None:
    try:
        seen = Wire(httpx2.Response(200, text=answer)).adapter().sees("file-1")
    except OpenAIOutcomeUnknownError:
        return
    assert answer == '{"id": "file-2"}'
    assert not seen


def test_an_upload_whose_answer_is_unreadable_has_an_unknown_outcome(tmp_path: Path) -> None:
    for text in ("<html>Welcome</html>", "{}", "[]", ""):
        with pytest.raises(OpenAIOutcomeUnknownError):
            Wire(httpx2.Response(200, text=text)).adapter().upload(batch_file(tmp_path, "1"), "batch.jsonl")


class Pieces(httpx2.SyncByteStream):
    """A body without a length."""

    def __iter__(self) -> Iterator[bytes]:
        yield from (b"0123", b"4567")


@pytest.mark.parametrize(
    ("status", "headers", "extent"),
    [
        (206, {"content-range": "bytes 2-9/10"}, (2, 10)),
        (206, {"content-range": "bytes 1-8/*"}, (1, None)),  # it may begin earlier than requested
        (200, {}, (0, None)),
        (200, {"content-length": "8"}, (0, 8)),
    ],
)
def test_a_download_has_the_offset_and_size_that_the_server_states(
    status: int, headers: dict[str, str], extent: tuple[int, int | None]
) -> None:
    wire = Wire(httpx2.Response(status, headers=headers, stream=Pieces()))
    with wire.adapter().streaming("file-1", 2) as download:
        assert (download.start, download.size) == extent
        assert b"".join(download.blocks()) == b"01234567"
    (request,) = wire.requests
    assert (request.headers["range"], request.headers["accept-encoding"]) == ("bytes=2-", "identity")


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (206, {}),
        (206, {"content-range": "lines 2-9/10"}),
        (206, {"content-range": "bytes 2-99/100"}),  # more was announced
        (206, {"content-range": "bytes 2-9/10", "content-encoding": "br"}),
        (200, {"content-length": "9"}),
        (416, {"content-range": "bytes */1"}),
    ],
)
def test_a_download_that_contradicts_its_headers_has_an_unknown_outcome(status: int, headers: dict[str, str]) -> None:
    wire = Wire(httpx2.Response(status, headers=headers, stream=Pieces()))
    with pytest.raises(OpenAIOutcomeUnknownError):
        content(wire.adapter(), "file-1", 2)


def test_a_refusal_without_a_usable_code_gets_its_status_as_code() -> None:
    for code in ({"a": 1}, "two words", "", None):
        with pytest.raises(OpenAIRequestError) as raised:
            Wire(httpx2.Response(422, json={"error": {"code": code, "message": "no"}})).adapter().retrieve("batch_1")
        assert (raised.value.code, raised.value.status) == ("http_422", 422)


def test_a_line_number_that_is_not_a_number_is_ignored() -> None:
    errors = [{"code": "bad", "message": None, "line": line} for line in (3, "3", True, None)]
    wire = Wire(httpx2.Response(200, json={**BATCH, "status": "failed", "errors": {"data": errors}}))
    assert [error[1:] for error in wire.adapter().retrieve("batch_1").errors] == [
        ("", 3),
        ("", None),
        ("", None),
        ("", None),
    ]


USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 15,
}


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (USAGE, RemoteUsage(10, 4, 5, 3)),
        ({"input_tokens": 10, "output_tokens": 5}, RemoteUsage(10, 0, 5, 0)),
        (USAGE | {"input_tokens_details": None, "output_tokens_details": None}, RemoteUsage(10, 0, 5, 0)),
        ({**USAGE, "input_tokens": 0, "input_tokens_details": None}, RemoteUsage(0, 0, 5, 3)),
        ({"input_tokens": 0, "output_tokens": 0}, None),
        ({"input_tokens": "10", "output_tokens": 5}, None),
        ({"input_tokens": -1, "output_tokens": 5}, None),
        (USAGE | {"input_tokens_details": [4]}, None),
        ({}, None),
        (None, None),
        ("none", None),
    ],
)
def test_the_tokens_of_a_batch_are_none_if_the_server_does_not_count_them(usage: Any, expected: Any) -> None:
    wire = Wire(httpx2.Response(200, json={**BATCH, "status": "completed", "usage": usage}))
    assert wire.adapter().retrieve("batch_1").usage == expected


def test_the_tokens_of_a_batch_count_once_it_has_ended() -> None:
    wire = Wire(httpx2.Response(200, json={**BATCH, "status": "in_progress", "usage": USAGE}))
    assert wire.adapter().retrieve("batch_1").usage is None
