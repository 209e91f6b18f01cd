"""Each fault does what the README says, as a client sees it."""

import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_args

import httpx2
import openai
import orjson
import pytest
from pydantic import TypeAdapter

from local import openai_emulator
from local.openai_emulator.faults import AnyFault, Fault
from local.openai_emulator.settings import Upstream
from tests.unit.emulator.service import CHAT, chat

ROWS = [chat(n) for n in range(1, 10)]
parsed: TypeAdapter[Fault] = TypeAdapter(AnyFault)


@pytest.fixture
def strike(service: Any) -> Callable[..., None]:
    return lambda kind, **members: service.running.faults.add(parsed.validate_python({"kind": kind, **members}))


def ids(lines: list[dict[str, Any]]) -> list[str]:
    return sorted(line["custom_id"] for line in lines)


def test_the_readme_has_a_row_for_each_kind() -> None:
    readme = (Path(openai_emulator.__file__).parent / "README.md").read_text()
    kinds = {get_args(fault.model_fields["kind"].annotation)[0] for fault in get_args(get_args(AnyFault)[0])}
    assert kinds <= set(re.findall(r"^\| `(\w+)` \|", readme, re.MULTILINE))


@pytest.mark.parametrize(
    ("shape", "response", "code"),
    [
        ("status_zero", {"status_code": 0, "request_id": "", "body": {}}, None),
        ("not_run", None, "batch_expired"),
        ("no_response_member", "absent", "batch_expired"),
    ],
)
def test_every_third_row_fails_in_the_shape_that_is_asked_for(
    service: Any, strike: Any, shape: str, response: Any, code: str | None
) -> None:
    strike("fail_rows", every=3, shape=shape, code="batch_expired")
    batch = service.ended(ROWS)
    errors = service.lines(batch.error_file_id)
    assert ids(errors) == ["row-3", "row-6", "row-9"]
    assert [line.get("response", "absent") for line in errors] == [response] * 3
    assert {line["error"] and line["error"]["code"] for line in errors} == {code}


def test_a_row_fails_over_http_with_the_status_and_code(service: Any, strike: Any) -> None:
    strike("fail_rows", contains="row-4", status=429, code="rate_limit_exceeded")
    (line,) = service.lines(service.ended(ROWS).error_file_id)
    assert line["error"] is None
    assert (line["response"]["status_code"], line["response"]["body"]["error"]["code"]) == (429, "rate_limit_exceeded")


def test_a_batch_of_which_all_rows_failed_has_no_output_file(service: Any, strike: Any) -> None:
    strike("fail_rows")
    batch = service.ended(ROWS)
    assert (batch.status, batch.output_file_id, batch.request_counts.failed) == ("completed", None, 9)


def test_a_fault_affects_its_models_a_maximum_number_of_times(service: Any, strike: Any) -> None:
    strike("fail_rows", times=2, model="plain*")
    assert service.ended([chat(1, model="other-1")]).request_counts.failed == 0
    assert service.ended(ROWS).request_counts.failed == 2
    assert service.ended(ROWS).request_counts.failed == 0


def test_a_fraction_is_the_same_rows_each_time(service: Any, strike: Any) -> None:
    strike("fail_rows", fraction=0.3)
    rows = [chat(n, f"text {n}") for n in range(300)]
    first, second = (ids(service.lines(service.ended(rows).error_file_id)) for _ in range(2))
    assert first == second
    assert 60 < len(first) < 120


def test_a_missing_row_is_counted_but_is_in_neither_file(service: Any, strike: Any) -> None:
    strike("missing_rows", custom_ids=["row-2"])
    batch = service.ended(ROWS)
    assert "row-2" not in ids(service.lines(batch.output_file_id))
    assert (batch.request_counts.completed, batch.error_file_id) == (9, None)


def test_a_duplicate_row_is_in_its_file_twice(service: Any, strike: Any) -> None:
    strike("duplicate_rows", every=9)
    assert ids(service.lines(service.ended(ROWS).output_file_id)).count("row-9") == 2


def test_a_body_may_come_as_a_string(service: Any, strike: Any) -> None:
    strike("string_bodies", every=2)
    bodies = {line["custom_id"]: line["response"]["body"] for line in service.lines(service.ended(ROWS).output_file_id)}
    assert isinstance(bodies["row-1"], dict)
    assert orjson.loads(bodies["row-2"])["object"] == "chat.completion"


@pytest.mark.parametrize(
    ("how", "finish", "content"),
    [
        ("refusal", "stop", None),
        ("content_filter", "content_filter", '{"emulat'),
        ("empty", "stop", ""),
        ("not_json", "stop", "emulated: this is not JSON"),
        ("schema", "stop", '{"emulated": "this violates the schema"}'),
        ("truncated", "length", '{"emulated":"emu'),
    ],
)
def test_answers_are_spoiled_as_the_fault_says(
    service: Any, strike: Any, how: str, finish: str, content: str | None
) -> None:
    strike("spoil_answers", how=how)
    body = service.answer(chat(1, response_format={"type": "json_object"}))
    (choice,) = body["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == (finish, content)
    assert bool(choice["message"]["refusal"]) is (how == "refusal")


def test_a_row_is_answered_with_the_given_text(service: Any, strike: Any) -> None:
    strike("answer_rows", contains="row-4", status=400, body={"error": {"code": "odd"}})
    strike("answer_rows", contains="row-5", body={"said": ["{{prompt}}"], "usage": {"prompt_tokens": 7}})
    batch = service.ended(ROWS)
    (failed,) = service.lines(batch.error_file_id)
    assert (failed["response"]["status_code"], failed["response"]["body"]) == (400, {"error": {"code": "odd"}})
    given = {line["custom_id"]: line["response"]["body"] for line in service.lines(batch.output_file_id)}
    assert given["row-5"]["said"] == ["hello"]
    assert given["row-6"]["choices"]


def test_a_batch_may_expire_after_a_number_of_rows(service: Any, strike: Any) -> None:
    strike("expire_after_rows", rows=4)
    batch = service.ended(ROWS)
    assert batch.status == "expired"
    assert len(service.lines(batch.output_file_id)) == 4
    errors = service.lines(batch.error_file_id)
    assert [line["error"]["code"] for line in errors] == ["batch_expired"] * 5


def test_an_empty_error_file_can_be_provoked(service: Any, strike: Any) -> None:
    strike("empty_error_file")
    assert service.lines(service.ended(ROWS).error_file_id) == []


def test_an_error_file_id_may_be_blank(service: Any, strike: Any) -> None:
    strike("blank_error_file_id")
    assert service.ended(ROWS).error_file_id == ""


def test_the_output_file_id_may_come_late(service: Any, strike: Any) -> None:
    strike("late_output_id", seconds=100_000)
    batch = service.ended(ROWS)
    assert (batch.status, batch.output_file_id) == ("completed", None)
    service.running.advance(100_000)
    assert service.client.batches.retrieve(batch.id).output_file_id


def test_a_created_batch_may_be_listed_late(service: Any, strike: Any) -> None:
    strike("list_lag", seconds=30)
    batch = service.create(ROWS)
    assert service.client.batches.list().data == []
    assert service.client.batches.retrieve(batch.id).id == batch.id
    service.running.advance(30)
    assert [listed.id for listed in service.client.batches.list()] == [batch.id]


def test_a_batch_may_be_retrieved_as_it_was(service: Any, strike: Any) -> None:
    batch = service.create(ROWS)
    service.running.finish()
    strike("stale_retrieve", seconds=100_000)
    stale = service.client.batches.retrieve(batch.id)
    assert (stale.status, stale.output_file_id, stale.request_counts.completed) == ("validating", None, 0)
    (listed,) = service.client.batches.list().data
    assert (listed.status, listed.request_counts.completed) == ("completed", 9)
    service.running.advance(100_000)
    assert service.client.batches.retrieve(batch.id) == listed


@pytest.mark.parametrize(("at", "retrieved"), [("list", {"key": "k"}), ("everywhere", None)])
def test_a_batch_may_be_shown_without_its_metadata(service: Any, strike: Any, at: str, retrieved: Any) -> None:
    strike("no_metadata", at=at)
    batch = service.create(ROWS, metadata={"key": "k"})
    assert [listed.metadata for listed in service.client.batches.list()] == [None]
    assert service.client.batches.retrieve(batch.id).metadata == retrieved


def test_an_account_may_have_no_money_left(service: Any, strike: Any) -> None:
    strike("http_error", status=429, code="insufficient_quota", method="POST", path="/v1/batches")
    with pytest.raises(openai.RateLimitError) as refusal:
        service.create(ROWS)
    assert (refusal.value.code, refusal.value.type) == ("insufficient_quota", "insufficient_quota")


def test_a_key_may_be_refused_for_one_path_alone(service: Any, strike: Any) -> None:
    strike("http_error", status=403, path="/v1/files*")
    assert service.client.batches.list().data == []
    with pytest.raises(openai.PermissionDeniedError):
        service.upload(ROWS)


def test_one_file_may_be_gone(service: Any, strike: Any) -> None:
    batch = service.ended(ROWS)
    strike("http_error", status=404, path=f"/v1/files/{batch.output_file_id}*")
    with pytest.raises(openai.NotFoundError):
        service.lines(batch.output_file_id)
    assert service.lines(batch.input_file_id)


def test_a_batch_may_stall_until_it_is_retrieved(service: Any, strike: Any) -> None:
    strike("stuck_until_retrieved")
    service.create(ROWS)
    service.running.finish()
    (batch,) = service.client.batches.list().data
    assert batch.status == "validating"
    service.client.batches.retrieve(batch.id)
    service.running.advance(0)
    assert service.client.batches.retrieve(batch.id).status == "expired"


def test_a_phase_may_take_long(service: Any, strike: Any) -> None:
    strike("delay", phase="finalizing", seconds=1000)
    batch = service.create(ROWS)
    service.running.advance(0)
    service.running.advance(999)
    assert service.client.batches.retrieve(batch.id).status == "finalizing"
    service.running.advance(1)
    assert service.client.batches.retrieve(batch.id).status == "completed"


def test_a_status_may_have_another_name(service: Any, strike: Any) -> None:
    strike("rename_status", status="completed", name="done")
    assert service.ended(ROWS).status == "done"


def test_a_fresh_file_may_not_be_found_yet(service: Any, strike: Any) -> None:
    strike("file_not_found", seconds=60)
    file_id = service.upload(ROWS)
    call = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h"}
    early = service.client.batches.create(**call)
    service.running.advance(0)
    (error,) = service.client.batches.retrieve(early.id).errors.data
    assert (error.code, error.message.startswith(f"Cannot find file {file_id}")) == ("invalid_request", True)
    service.running.advance(60)
    later = service.client.batches.create(**call)
    service.running.finish()
    assert service.client.batches.retrieve(later.id).status == "completed"


@pytest.mark.parametrize(("how", "error"), [("drop", openai.APIConnectionError), ("500", openai.InternalServerError)])
def test_a_batch_may_be_created_though_the_answer_is_lost(
    service: Any, strike: Any, how: str, error: type[Exception]
) -> None:
    strike("create_answer_lost", how=how, times=1)
    with pytest.raises(error):
        service.create(ROWS, metadata={"key": "k"})
    assert [batch.metadata for batch in service.client.batches.list()] == [{"key": "k"}]


@pytest.mark.parametrize(("drop", "error"), [(True, openai.APIConnectionError), (False, openai.InternalServerError)])
def test_a_call_may_fail_without_effect(service: Any, strike: Any, drop: bool, error: type[Exception]) -> None:
    strike("http_error", method="post", path="/v1/batches", status=500, drop=drop, times=1)
    with pytest.raises(error):
        service.create(ROWS)
    assert service.client.batches.list().data == []
    service.create(ROWS)


def test_a_batch_may_fail_with_any_code(service: Any, strike: Any) -> None:
    strike("fail_batch", code="something_new", line=3)
    (error,) = service.ended(ROWS).errors.data
    assert (error.code, error.line) == ("something_new", 3)


@pytest.mark.slow
def test_faults_delays_batches_and_the_clock_are_controlled_over_http(service: Any) -> None:
    control = httpx2.Client(base_url=service.running.control_url)
    with control:
        assert control.get("/health").json()["status"] == "ok"
        added = control.post("/faults", json=[{"kind": "list_lag", "seconds": 5}, {"kind": "fail_rows", "every": 2}])
        assert [fault["kind"] for fault in added.json()["data"]] == ["list_lag", "fail_rows"]
        assert control.post("/faults", json={"kind": "fail_rows", "evrey": 2}).status_code == 422
        assert control.delete("/faults").json() == {"data": []}

        before = control.get("/delays").json()
        assert control.post("/delays", json={"in_progress": 60}).json() == {**before, "in_progress": 60}
        batch = service.create(ROWS, metadata={"key": "k"})
        shown = control.get("/batches").json()["data"][-1]
        assert (shown["metadata"], shown["completed"], shown["output_file_id"]) == ({"key": "k"}, 0, None)
        assert control.post(f"/batches/{batch.id}/expire").status_code == 200
        control.post("/delays", json=before)
        now = control.post("/clock", json={"advance": 3600}).json()["now"]
        shown = next(one for one in control.get("/batches").json()["data"] if one["id"] == batch.id)
    expired = service.client.batches.retrieve(batch.id)
    assert expired.status == shown["status"] == "expired"
    assert (expired.error_file_id, expired.request_counts.completed, expired.request_counts.failed) == (
        shown["error_file_id"],
        shown["completed"],
        shown["failed"],
    )
    assert service.create(ROWS).created_at >= int(now)


def test_requests_are_forwarded_to_another_server(service_with: Callable[..., Any]) -> None:
    class Model(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = orjson.loads(self.rfile.read(int(self.headers["content-length"])))
            text = body["messages"][0]["content"]
            answered = orjson.dumps({"path": self.path, "said": text, "usage": {"prompt_tokens": 2}})
            self.send_response(500 if text == "bad" else 200)
            self.send_header("content-length", str(len(answered)))
            self.end_headers()
            self.wfile.write(answered)

        def log_message(self, *_: Any) -> None:
            """Keep the tests' output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        service = service_with(upstream=Upstream(f"http://127.0.0.1:{server.server_address[1]}/base/v1"))
        batch = service.ended([chat(1, "good"), chat(2, "bad")])
        server.shutdown()
    (good,), (bad,) = service.lines(batch.output_file_id), service.lines(batch.error_file_id)
    assert good["response"]["body"] == {
        "path": "/base/v1/chat/completions",
        "said": "good",
        "usage": {"prompt_tokens": 2},
    }
    assert (bad["custom_id"], bad["response"]["status_code"]) == ("row-2", 500)
    assert batch.usage.input_tokens == 4


def test_an_unreachable_upstream_server_gives_status_zero(service_with: Callable[..., Any]) -> None:
    service = service_with(upstream=Upstream("http://127.0.0.1:9/v1"))
    (line,) = service.lines(service.ended([chat(1)]).error_file_id)
    assert line["response"]["status_code"] == 0


def test_a_fault_may_affect_a_body_once_and_not_its_retry(service: Any, strike: Any) -> None:
    strike("fail_rows", contains="two", each=1)
    first = service.ended([chat(1, "one"), chat(2, "two"), chat(3, "three")])
    again = service.ended([chat(9, "two")])
    assert (first.request_counts.failed, again.request_counts.failed) == (1, 0), "though under another id"
