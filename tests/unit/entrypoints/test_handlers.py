"""The handlers, called with real payloads: their answers, logs and metrics are those that AWS sees."""

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import collect_handler
import poll_handler
import submit_handler
from dropbatch.batch_api.limits import COMPLETION_WINDOW_SECONDS
from dropbatch.domain.states import JobState, OpenAIStatus
from dropbatch.entrypoints import bootstrap
from dropbatch.entrypoints.observability import PowertoolsObserver
from dropbatch.storage.repository import Repository
from tests.driving import RECIPE, jobs, only_job
from tests.fakes import FakeContext, FakeQueue

EVENTS = Path("events")
INBOX = "dropbatch-inboxbucket-1a2b3c4d5e6f"
CONTEXT = SimpleNamespace(aws_request_id="the-request", get_remaining_time_in_millis=lambda: 300_000)


def payload(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())


class Functions:
    """The three functions over fakes, and their standard output."""

    def __init__(self, fake: FakeContext, capsys: pytest.CaptureFixture[str]) -> None:
        self.fake = fake
        self._capsys = capsys
        self.written: list[dict[str, Any]] = []

    def submit(self, event: Any) -> list[str]:
        return self._failed(submit_handler, event)

    def collect(self, event: Any) -> list[str]:
        return self._failed(collect_handler, event)

    def poll(self) -> None:
        poll_handler.handler(payload("scheduler_tick"), CONTEXT)  # type: ignore[arg-type]  # what it reads of it
        self._read()

    def run(self, ticks: int = 20) -> None:
        """Deliver every message to its function, and poll, until nothing is open."""
        ways: list[tuple[FakeQueue, Callable[[Any], list[str]]]] = [
            (self.fake.intake, self.submit),
            (self.fake.dispatch, self.submit),
            (self.fake.collect, self.collect),
        ]
        for _ in range(ticks):
            self.poll()
            for queue, function in ways:
                while (message := queue.take()) is not None:
                    assert function(sqs(message)) == []
            if not any(True for _ in self.fake.table.open_items("job")):
                return
            self.fake.clock.sleep(60)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Return the lines of the log."""
        return [line for line in self.written if "_aws" not in line]

    def line(self, message: str) -> dict[str, Any]:
        (found,) = [line for line in self.lines if line["message"] == message]
        return found

    def metrics(self, name: str) -> list[dict[str, Any]]:
        """Return the lines that wrote a metric."""
        return [line for line in self.written if name in line and "_aws" in line]

    def counted(self, name: str) -> list[dict[str, Any]]:
        """Return the lines of the log that counted something about a job."""
        return [line for line in self.lines if name in line]

    def _failed(self, module: ModuleType, event: Any) -> list[str]:
        answer = module.handler(event, CONTEXT)
        self._read()
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def _read(self) -> None:
        self.written += [json.loads(line) for line in self._capsys.readouterr().out.splitlines()]


def sqs(*bodies: Any) -> Any:
    """Return an SQS event with these messages, `m0`, `m1` and so on."""
    record = payload("sqs_dispatch")["Records"][0]
    return {"Records": [{**record, "messageId": f"m{n}", "body": json.dumps(body)} for n, body in enumerate(bodies)]}


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Functions:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", tmp_path.name)  # loggers of one service share a stream
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Dropbatch")
    fake = FakeContext(tmp_path)

    @cache
    def observer() -> PowertoolsObserver:  # made by the first call: a logger keeps the stream that it finds
        return bootstrap.observer.__wrapped__()  # not the process's, which keeps the stream of another test

    def context(_remaining: Callable[[], int]) -> Any:
        return replace(fake.context, observer=observer())

    for module in (submit_handler, poll_handler, collect_handler):
        monkeypatch.setattr(module, "build_context", context)
    for module in (submit_handler, collect_handler):
        monkeypatch.setattr(module, "queue_names", lambda _here: defaultdict(lambda: FakeQueue(fake.clock)))
    monkeypatch.setattr("dropbatch.entrypoints.sqs_records.observer", observer)
    monkeypatch.setattr(poll_handler, "observer", observer)
    return Functions(fake, capsys)


def upload(functions: Functions, event: Any, data: bytes) -> str:
    """Put the object of an event into the inbox, and return its key."""
    found = json.loads(event["Records"][0]["body"])["detail"]["object"]
    functions.fake.objects.drop(found["key"], data, bucket=INBOX, version_id=found.get("version-id"))
    return str(found["key"])


def submit_one_row(functions: Functions, data: bytes = b"text\nhello\n") -> None:
    """Drop a recipe and a csv, and have the submit function handle the csv's event."""
    functions.fake.objects.drop("recipe.yaml", RECIPE, bucket=INBOX)
    upload(functions, payload("sqs_drop"), data)
    functions.submit(payload("sqs_drop"))


DROPS = sorted(path.stem for path in EVENTS.glob("sqs_drop*.json"))


@pytest.mark.parametrize("name", [name for name in DROPS if name not in ("sqs_drop_long_key", "sqs_drop_empty")])
def test_a_drop_is_accepted_under_its_exact_key(functions: Functions, name: str) -> None:
    functions.fake.objects.drop("recipe.yaml", RECIPE, bucket=INBOX)
    event = payload(name)
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "hi"}]}
    raw = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    key = upload(functions, event, json.dumps(raw).encode() if name.endswith("multipart") else b"text\nhello\n")
    assert functions.submit(event) == []
    assert (only_job(functions.fake).drop.key, only_job(functions.fake).state) == (key, JobState.RUNNING)


def test_a_key_that_leaves_no_room_for_results_is_rejected(functions: Functions) -> None:
    event = payload("sqs_drop_long_key")
    upload(functions, event, b"text\nhello\n")
    assert functions.submit(event) == []
    assert functions.fake.topics.events() == ["rejected"]


def test_an_empty_file_is_checked_again_before_it_is_rejected(functions: Functions) -> None:
    functions.fake.objects.drop("recipe.yaml", RECIPE, bucket=INBOX)
    event = payload("sqs_drop_empty")
    upload(functions, event, b"")
    assert functions.submit(event) == []
    assert functions.fake.topics.events() == []
    functions.run()
    assert functions.fake.topics.events() == ["rejected"]


def test_a_drop_delivered_twice_is_one_job(functions: Functions) -> None:
    functions.fake.objects.drop("recipe.yaml", RECIPE, bucket=INBOX)
    upload(functions, payload("sqs_drop"), b"text\nhello\n")
    for name in ("sqs_drop", "sqs_drop_redelivered"):
        assert functions.submit(payload(name)) == []
    assert len(jobs(functions.fake)) == 1


@pytest.mark.parametrize("name", ["sqs_console_folder", "sqs_marker_cancel", "sqs_marker_console_folder"])
def test_an_object_that_is_not_a_drop_makes_no_job(functions: Functions, name: str) -> None:
    event = payload(name)
    upload(functions, event, b"")
    assert functions.submit(event) == []
    assert jobs(functions.fake) == []
    assert functions.fake.topics.events() == []


def test_a_recipe_is_checked(functions: Functions) -> None:
    event = payload("sqs_recipe")
    upload(functions, event, RECIPE)
    assert functions.submit(event) == []
    assert [(n.event, n.status) for n in functions.fake.topics.published] == [("recipe", "usable")]


@pytest.mark.parametrize("name", ["sqs_dispatch", "sqs_collect"])
def test_a_message_about_a_job_that_is_gone_is_done(functions: Functions, name: str) -> None:
    function = functions.submit if name == "sqs_dispatch" else functions.collect
    assert function(payload(name)) == []


def test_an_unknown_message_is_redelivered_and_logged_without_its_text(functions: Functions) -> None:
    event = payload("sqs_not_json")
    assert functions.submit(event) == [event["Records"][0]["messageId"]]
    line = functions.line("a message failed and will come again")
    assert (line["level"], line["error"]) == ("ERROR", "JSONDecodeError")
    assert line["message_id"] == event["Records"][0]["messageId"]
    assert "this is no JSON" not in json.dumps(functions.written)


def test_a_message_that_fails_leaves_the_others_done(functions: Functions) -> None:
    functions.fake.objects.drop("recipe.yaml", RECIPE, bucket=INBOX)
    upload(functions, payload("sqs_drop"), b"text\nhello\n")
    good = json.loads(payload("sqs_drop")["Records"][0]["body"])
    assert functions.submit(sqs({"v": 1}, good, [])) == ["m0", "m2"]
    assert only_job(functions.fake).state is JobState.RUNNING


def test_work_that_is_not_due_yet_waits_in_the_table_and_not_in_a_queue(functions: Functions) -> None:
    functions.fake.objects.drop("recipe.yaml", RECIPE, bucket=INBOX)
    functions.fake.openai.answer = lambda _request: None
    upload(functions, payload("sqs_drop"), b"text\nhello\n")
    assert functions.submit(payload("sqs_drop")) == []
    functions.run(ticks=2)
    assert only_job(functions.fake).state is JobState.RUNNING
    assert functions.fake.collect.messages == []
    (batch,) = Repository(functions.fake.table).open_batches()
    assert batch.not_before > functions.fake.clock() - 120
    assert not batch.sent_at


def test_every_log_line_has_the_ids_of_its_item(functions: Functions) -> None:
    submit_one_row(functions)
    functions.run()
    job = only_job(functions.fake)
    assert job.state is JobState.SUCCEEDED
    for line in functions.lines:
        assert line["request_id"] == "the-request", line
        assert line["service"] == functions.fake.scratch.name
        if line["message"] != "polled":
            assert line["job_id"] == job.id, line
    for message in ("batch submitted", "batch ended", "batch collected"):
        line = functions.line(message)
        assert (line["shard"], line["batch"]) == (0, f"{job.id}/0.0/0")
        assert line["openai_id"].startswith("batch_")
    assert functions.line("taking in")["version_id"] == job.drop.version_id
    assert job.drop.key not in json.dumps(functions.written)


def test_ids_of_one_message_do_not_stay_for_the_next(functions: Functions) -> None:
    first, second = {"v": 1, "job_id": "a", "batch": None}, {"v": 1}
    functions.collect(sqs(first, second))
    assert "job_id" not in functions.line("a message failed and will come again")


def test_jobs_rows_and_batches_are_measured(functions: Functions) -> None:
    functions.fake.openai.ending = None
    submit_one_row(functions)
    functions.run(ticks=4)
    functions.fake.openai.ending = OpenAIStatus.COMPLETED
    functions.run()

    job = only_job(functions.fake)
    (accepted,) = functions.counted("JobsAccepted")
    assert (accepted["JobsAccepted"], accepted["service"], accepted["message"]) == (
        1,
        functions.fake.scratch.name,
        "counted",
    )
    (ended,) = functions.counted("JobsEnded")
    assert (ended["JobsEnded"], ended["status"], ended["job_id"]) == (1, "succeeded", job.id)
    assert [(rows["Rows"], rows["outcome"]) for rows in functions.counted("Rows")] == [(1, "ok")]
    (polled, *_) = opened = functions.metrics("BatchesOpen")
    assert max(line["BatchesOpen"][0] for line in opened) == 1
    (about,) = polled["_aws"]["CloudWatchMetrics"]
    assert (about["Namespace"], about["Dimensions"]) == ("Dropbatch", [["service"]])


def test_a_job_without_trouble_reports_no_metric_but_that_polls_finish(functions: Functions) -> None:
    """AWS bills a metric for each hour in which it is reported."""
    submit_one_row(functions)
    functions.run()

    reported = {
        metric["Name"]
        for line in functions.written
        for about in line.get("_aws", {}).get("CloudWatchMetrics", [])
        for metric in about["Metrics"]
    }
    assert reported == {"BatchesOpen"}


def test_jobs_and_rows_are_metrics_if_the_stack_says_so(functions: Functions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOB_METRICS", "enabled")
    submit_one_row(functions)
    functions.run()

    (accepted,) = functions.metrics("JobsAccepted")
    (about,) = accepted["_aws"]["CloudWatchMetrics"]
    assert (accepted["JobsAccepted"], about["Dimensions"]) == ([1], [["service"]])
    (rows,) = functions.metrics("Rows")
    assert (rows["Rows"], rows["outcome"], rows["_aws"]["CloudWatchMetrics"][0]["Dimensions"]) == (
        [1],
        "ok",
        [["service", "outcome"]],
    )
    assert len(functions.metrics("JobsEnded")) == 1


def test_a_batch_that_is_open_for_too_long_is_measured_in_seconds(functions: Functions) -> None:
    functions.fake.openai.ending = None
    submit_one_row(functions)
    functions.run(ticks=4)
    assert functions.metrics("OldestOpenBatchSeconds") == []

    functions.fake.clock.sleep(COMPLETION_WINDOW_SECONDS)
    functions.poll()
    (line,) = functions.metrics("OldestOpenBatchSeconds")
    assert line["OldestOpenBatchSeconds"][0] > COMPLETION_WINDOW_SECONDS
    (age,) = line["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    assert age["Unit"] == "Seconds"


def test_a_rejected_drop_is_counted(functions: Functions) -> None:
    submit_one_row(functions, b"id,text\n1\n")
    (rejected,) = functions.counted("JobsRejected")
    assert rejected["JobsRejected"] == 1


def test_settings_that_are_missing_are_named_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INBOX_BUCKET", raising=False)
    monkeypatch.delenv("TABLE", raising=False)
    bootstrap._context.cache_clear()
    with pytest.raises(RuntimeError, match=r"INBOX_BUCKET.*TABLE"):
        bootstrap.build_context(lambda: 1000)
