"""Each command: what it prints, what it does, and how it ends."""

import errno
import json
import os
import re
import time
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dropbatch.adapters import openai
from dropbatch.cli import transfer, watch
from dropbatch.cli.views import HOLDS
from dropbatch.domain.errors import OpenAIAuthError
from dropbatch.domain.states import APPROVABLE, HeldReason
from dropbatch.money.prices import prices_of
from dropbatch.polling.poll import poll
from dropbatch.ports import Response
from tests.driving import RECIPE, rows
from tests.fakes import RESULTS, response_line
from tests.unit.cli.conftest import Terminal

MOODS = b"""\
model: gpt-6-luna
prompt: "{{ text }}"
schema:
  mood: [good, bad]
"""


def half_refused(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Answer every other row, and refuse the others."""
    is_even = int(request["custom_id"]) % 2 == 0
    message = {"role": "assistant", "content": "ok"} if is_even else {"role": "assistant", "refusal": "no"}
    body = {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}
    return "output", response_line(request, 200, body)


@pytest.fixture
def filled(terminal: Terminal) -> Terminal:
    """Return a terminal in a folder with a file and a recipe."""
    terminal.write("recipe.yaml", MOODS)
    terminal.write("a.csv", rows(4))
    return terminal


@pytest.fixture
def answered(filled: Terminal) -> Terminal:
    """Return the same, with one run of the file."""
    filled("put", "a.csv", "--wait")
    return filled


def test_init_drafts_a_recipe_and_replaces_none(filled: Terminal) -> None:
    assert "is there already" in filled("init", "a.csv", code=2).err
    assert "dropbatch check a.csv" in filled("init", "a.csv", "--ask", "Is it angry?", "--force").out
    assert "angry: boolean" in (filled.folder / "recipe.yaml").read_text()
    assert filled("init", "a.csv", "-o", "other.yaml", "--json").members["columns"] == ["text"]
    assert "no file b.csv" in filled("init", "b.csv", code=2).err
    assert "angry (boolean)" in filled("check", "a.csv").out


def test_check_says_what_the_stack_would_say(filled: Terminal) -> None:
    good = filled("check", "a.csv").out
    assert "a.csv can be used: 4 rows." in good
    assert "under a cent" in good
    assert filled("check", "a.csv", "--json").members["quote"]["requests"] == 4

    filled.write("other.yaml", RECIPE.replace(b"text", b"txet"))
    bad = filled("check", "a.csv", "--recipe", "other.yaml", code=3).out
    assert "would be rejected" in bad
    assert "did you mean" in bad
    assert filled("check", "a.csv", "--recipe", "other.yaml", "--json", code=3).members["problems"]["total"] == 1
    assert "cannot be read" in filled("check", "a.csv", "--recipe", "gone.yaml", code=2).err
    (filled.folder / "recipe.yaml").unlink()
    assert "`dropbatch init a.csv` drafts one." in filled("check", "a.csv", code=3).out
    filled.write("a.xlsx", b"PK")
    assert "a.xlsx would be rejected" in filled("check", "a.xlsx", code=3).out
    assert filled("check", "a.xlsx", "--json", code=3).members["status"] == "rejected"


class Answers:
    """The synchronous API of a test: it says `good`, except about row 2."""

    def __init__(self, *_: object) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def ask(self, endpoint: str, body: bytes) -> Response:
        self.asked.append((endpoint, json.loads(body)))
        if "row 2" in str(body):
            return Response(400, b'{"error": {"message": "no", "code": "content_policy"}}')
        answer = {
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": '{"mood": "good"}'}}
            ],
            "usage": {"prompt_tokens": 100_000, "completion_tokens": 100_000, "total_tokens": 200_000},
        }
        return Response(200, json.dumps(answer).encode())


def test_try_says_the_price_first_and_shows_answers_beside_rows(
    filled: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = Answers()
    made: list[Any] = []
    monkeypatch.setattr(openai, "OpenAIBatches", lambda key, url: made.append((key(False)[0], url)) or answers)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")

    assert "--yes asks without this question" in filled("try", "a.csv", code=130).err, "nobody is there to answer"
    declined = filled("try", "a.csv", typed="n\n", code=130)
    assert "3 rows" not in declined.out
    assert not answers.asked
    ended = filled("try", "a.csv", "--rows", "1", typed="y\n")
    assert "about 1 row at once, at the full price" in ended.err
    assert "row 1" in ended.out
    assert "good" in ended.out
    assert made == [("sk-mine", "")]
    assert "This cost " in ended.out
    assert answers.asked[0][0] == "/v1/chat/completions"

    failed = filled("try", "a.csv", "--yes", "--json", code=1).members["rows"]
    assert [row["outcome"] for row in failed] == ["ok", "error", "ok", "ok"]
    assert failed[0]["answers"] == {"mood": "good"}
    assert failed[1]["error"] == "content_policy"
    prices = prices_of("gpt-6-luna")
    assert prices is not None
    assert prices.standard is not None
    rates = prices.standard.rates[0]
    assert failed[0]["paid_usd"] == float((rates["input"] + rates["output"]) / 10), "the standard price of 100,000 each"
    assert failed[1]["paid_usd"] == 0


def test_try_takes_the_key_of_the_stack(filled: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(openai, "OpenAIBatches", lambda key, url: made.append((key(False)[0], url)) or Answers())
    filled.services.answers["secretsmanager", "get_secret_value"] = {"SecretString": "sk-stack"}
    filled.services.answers["lambda", "get_function_configuration"] = {
        "Environment": {"Variables": {"OPENAI_BASE_URL": "http://here/v1"}}
    }

    filled("try", "a.csv", "-y", "-n", "1")

    assert made == [("sk-stack", "http://here/v1")]


def test_try_ends_with_a_sentence_if_the_key_is_not_accepted(filled: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refuses(Answers):
        def ask(self, endpoint: str, body: bytes) -> Response:
            raise OpenAIAuthError("invalid_api_key")

    monkeypatch.setattr(openai, "OpenAIBatches", Refuses)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-old")

    assert "does not accept the API key" in filled("try", "a.csv", "--yes", code=5).err
    monkeypatch.setenv("OPENAI_API_KEY", "ключ")
    assert "OPENAI_API_KEY is not an API key" in filled("try", "a.csv", "--yes", code=5).err
    monkeypatch.delenv("OPENAI_API_KEY")
    filled.services.answers["secretsmanager", "get_secret_value"] = {"SecretString": "replace-me"}
    filled.services.answers["lambda", "get_function_configuration"] = {}
    assert "The stack has no API key yet" in filled("try", "a.csv", "--yes", code=5).err
    assert "Between 1 and 100" in filled("try", "a.csv", "--yes", "-n", "0", code=2).err
    (filled.folder / "recipe.yaml").unlink()
    assert "dropbatch init a.csv" in filled("try", "a.csv", "--yes", code=2).err


def test_put_uploads_and_says_how_to_follow(filled: Terminal) -> None:
    ended = filled("put", "a.csv", "--to", "lake/")
    assert "dropbatch watch lake/a.csv" in ended.out
    assert "Uploaded the recipe" in ended.err
    again = filled("put", "a.csv", "--to", "lake/", "--json")
    assert again.members["key"] == "lake/a.csv"
    assert not again.members["recipe_written"]


def test_put_waits_and_downloads(filled: Terminal) -> None:
    ended = filled("put", "a.csv", "--wait")

    assert "a/a.csv: succeeded" in ended.out
    assert "Rows: 4 (4 ok)" in ended.out
    assert "mood: good 4" in ended.out
    assert "a/a.csv succeeded; 4 ok" in ended.err
    answers = filled.folder / "a.csv.results" / "a.answers.csv"
    assert answers.read_text().splitlines()[1] == "row 1,good,ok,"
    members = filled("put", "a.csv", "--wait", "--json", "-o", "there").members
    assert members["status"] == "succeeded"
    assert members["run"] == 2
    assert "there/report.html" in members["files"]


def test_put_without_any_recipe_uploads_nothing(terminal: Terminal) -> None:
    terminal.write("a.csv", rows(1))
    assert "dropbatch init a.csv" in terminal("put", "a.csv", code=2).err
    assert not terminal.fake.objects.keys("the-inbox")
    terminal.fake.objects.drop("recipe.yaml", RECIPE)
    terminal("put", "a.csv")


def test_the_exit_code_says_how_the_run_ended(filled: Terminal) -> None:
    filled.fake.openai.answer = half_refused
    filled.write("recipe.yaml", RECIPE)
    partial = filled("put", "a.csv", "--wait", code=1)
    assert "2 refused" in partial.out
    assert filled("status", "a/a.csv", code=1).out == filled("show", "a/a.csv", "--text", code=1).out

    filled.write("recipe.yaml", RECIPE.replace(b"text", b"nothing"))
    assert "no column 'nothing'" in filled("put", "a.csv", "--to", "x", "--wait", code=3).out

    filled.write("recipe.yaml", RECIPE + b"hold: true\n")
    held = filled("put", "a.csv", "--to", "y", "--wait", code=4)
    assert "dropbatch approve y/a.csv" in held.out
    assert "has not ended" not in held.out
    assert "is still held" in filled("watch", "y/a.csv", "--through-holds", "--timeout", "60", code=6).err
    assert filled("watch", "y/a.csv", code=4).out == held.out


@pytest.mark.parametrize("reason", HeldReason)
def test_a_run_that_waits_says_why_and_how_it_continues(filled: Terminal, reason: HeldReason) -> None:
    filled.write("recipe.yaml", RECIPE + b"hold: true\n")
    filled("put", "a.csv", "--wait", code=4)
    run = filled.stack.run("a/a.csv")
    status = {**run.members, "held_reason": str(reason)}
    filled.fake.objects.drop(run.prefix + "status.json", json.dumps(status).encode(), bucket=RESULTS)

    shown = filled("status", "a/a.csv", code=4).out

    assert f"a/a.csv: waits for a decision: {HOLDS[reason]}\n" in shown
    assert ("dropbatch approve a/a.csv" in shown) is (reason in APPROVABLE)
    assert ("dropbatch retry a/a.csv" in shown) is (reason is HeldReason.FAILING)
    assert ("dropbatch doctor" in shown) is (reason not in {*APPROVABLE, HeldReason.FAILING})
    assert "dropbatch cancel a/a.csv" in shown


def test_status_lists_jobs_newest_first(answered: Terminal) -> None:
    answered("put", "a.csv", "--to", "b", "--wait")

    lines = answered("status").out.splitlines()
    assert [line.split()[0] for line in lines] == ["file", "b/a.csv", "a/a.csv"]
    assert "and 1 more" in answered("status", "--limit", "1").out
    assert [job["key"] for job in answered("status", "b/", "--json").members["jobs"]] == ["b/a.csv"]
    assert answered("status", "a/a.csv", "--json").members["details"]["rows"]["ok"] == 4
    assert "has no run" in answered("status", "c.csv", code=2).err


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
def test_status_shows_what_the_stack_says_about_progress(filled: Terminal) -> None:
    filled("put", "a.csv")
    filled.stack.sleep(1)
    run = filled.stack.run("a/a.csv")
    batch = {"key": "0.0/1", "requests": 4, "completed": 1, "failed": 0, "age_seconds": 300}
    eta = {"earliest": "2025-06-15T16:00:00Z", "latest": "2025-06-15T18:00:00Z"}
    status = {
        "status": "running",
        "phase": "waiting_for_tokens",
        "rows": {"total": 4},
        "requests": {"total": 4, "completed": 1, "failed": 0},
        "open_batches": [batch],
        "eta": eta,
    }
    filled.fake.objects.drop(run.prefix + "status.json", json.dumps(status).encode(), bucket=RESULTS)

    shown = filled("status", "a/a.csv").out

    assert "waits for room under the model's token limit" in shown
    assert "Requests: 1 of 4" in shown
    assert "batch 0.0/1: 1 of 4, 5 minutes old" in shown
    assert "Expected between 2025-06-15 18:00 and 2025-06-15 20:00" in shown, "in the time zone of the machine"
    assert re.search(r"2025-06-\d\d \d\d:\d\d\n", filled("status").out)


def test_an_empty_stack_says_what_to_do(terminal: Terminal) -> None:
    assert "dropbatch put FILE" in terminal("status").out
    assert terminal("status", "--json").members == {"stack": "a-stack", "jobs": []}


def test_watch_ends_with_the_run(filled: Terminal) -> None:
    filled("put", "a.csv")
    filled.stack.sleep(1)

    ended = filled("watch", "a/a.csv")

    assert "a/a.csv: succeeded" in ended.out
    assert "a/a.csv succeeded; 4 ok" in ended.err
    assert filled("watch", "a/a.csv", "--json").members["status"] == "succeeded"


def test_get_downloads_what_is_wanted(answered: Terminal) -> None:
    assert "Results: there/" in answered("get", "a/a.csv", "--to", "there", "--only", "answers").out
    assert [path.name for path in (answered.folder / "there").iterdir() if path.suffix == ".csv"] == ["a.answers.csv"]
    members = answered("get", "s3://the-inbox/a/a.csv", "--run", "1", "--json").members
    assert "a.csv.results/summary.json" in members["files"]
    assert "has no failed" in answered("get", "a/a.csv", "--only", "failed", code=2).err
    assert "a.csv: File exists" in answered("get", "a/a.csv", "--to", "a.csv", code=2).err


def test_get_downloads_the_newest_runs_of_a_folder(filled: Terminal) -> None:
    for name in ("a.csv", "b.csv", "deep/c.csv"):
        filled.fake.objects.drop(f"lake/{name}", rows(2))
    filled.write("no.csv", b"txet\nx\n")
    for folder, file in (("lake", "a.csv"), ("lake/deep", "a.csv"), ("lake/../x", "a.csv")):
        filled.fake.objects.drop(f"{folder}/recipe.yaml", MOODS)
        if ".." not in folder:
            filled("put", file, "--to", folder, "--wait")
    filled("put", "no.csv", "--to", "lake", "--wait", code=3)

    ended = filled("get", "lake/", "--to", "there", "--only", "answers", code=3)

    found = sorted(str(path.relative_to("there")) for path in Path("there").rglob("*.csv") if path.is_file())
    assert found == ["a.csv/a.answers.csv", "deep/a.csv/a.answers.csv"]
    assert ended.out == "Results of 2 of 3 files: there/\n"
    assert "Left out: lake/no.csv rejected." in ended.err
    assert len(filled("get", "lake/deep/", "--json").members["runs"][0]["files"]) > 3
    assert (filled.folder / "deep.results" / "a.csv" / "report.html").exists()
    assert "names a run of one file" in filled("get", "lake/", "--run", "1", code=2).err
    assert "no failed" in filled("get", "lake/deep/", "--only", "failed").err
    assert "no file below gone/" in filled("get", "gone/", code=2).err


@pytest.mark.parametrize("command", ["watch", "show", "diff", "get", "status", "approve", "cancel", "retry", "rerun"])
def test_a_key_that_is_empty_is_no_folder(answered: Terminal, command: str) -> None:
    """`dropbatch cancel "$KEY"` without a KEY must not cancel all runs."""
    if command == "status":
        assert "a/a.csv" in answered("status", "").out
        return
    assert "The key is empty" in answered(command, "", code=2).err


@pytest.mark.parametrize("command", ["watch", "show", "diff"])
def test_commands_for_one_run_say_that_a_folder_is_none(answered: Terminal, command: str) -> None:
    assert "a/ is a folder: `dropbatch status a/`" in answered(command, "a/", code=2).err


def test_a_folder_of_the_inbox_is_named_from_its_top(filled: Terminal) -> None:
    for folder in ("../x", "a/./b"):
        assert "is not a folder of the inbox" in filled("put", "a.csv", "--to", folder, code=2).err
    assert filled("put", "a.csv", "--to", "", "--json").members["key"] == "a.csv"


def test_a_result_that_cannot_be_written_is_a_sentence(answered: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(watch, "print_json", full)
    assert "The output: No space left on device." in answered("status", "--json", code=2).err


def test_show_opens_the_report_in_a_browser(answered: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    assert "succeeded" in answered("show", "a/a.csv").out
    assert not opened, "no terminal, no browser"

    monkeypatch.setattr(transfer, "sys", SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: True)))
    answered("show", "a/a.csv")
    assert opened == [(answered.folder / "a.csv.results" / "report.html").resolve().as_uri()]
    answered("show", "a/a.csv", "--text")
    assert len(opened) == 1
    assert answered("show", "a/a.csv", "--json").members["job_id"]


def test_diff_shows_what_changed(answered: Terminal) -> None:
    assert "only one run" in answered("diff", "a/a.csv", code=2).err
    answered.write("recipe.yaml", MOODS.replace(b"[good, bad]", b"[bad, good]"))
    answered("put", "a.csv", "--wait")

    shown = answered("diff", "a/a.csv").out

    assert "a/a.csv: run 1 → run 2" in shown
    assert "4 of 4 rows have another answer." in shown
    assert ["good", "bad", "4"] in [line.split() for line in shown.splitlines()]
    assert ["cost", "$0.00001", "$0.00001"] in [line.split() for line in shown.splitlines()]
    assert answered("diff", "a/a.csv", "--with", "1", "--json").members["changed"] == 4


def test_cost_is_divided_as_wanted(answered: Terminal) -> None:
    shown = answered("cost", "--by", "month,folder,model", "--months", "1").out
    assert shown.splitlines()[1].split()[0] == "2025-06"
    assert "gpt-6-luna" in shown
    members = answered("cost", "--by", "folder", "--json").members
    assert [month["month"] for month in members["months"]] == ["2025-06", "2025-05", "2025-04"]
    assert [line["name"] for line in members["months"][0]["by_folder"]] == ["a"]
    assert "not colour" in answered("cost", "--by", "colour", code=2).err
    for months in ("0", "61"):
        assert "equal to" in answered("cost", "--months", months, code=2).err


@pytest.mark.parametrize("command", ["approve", "cancel", "retry", "rerun"])
def test_a_marker_is_written(answered: Terminal, command: str) -> None:
    assert f"Wrote a/a.csv.{command}" in answered(command, "a/a.csv").out
    assert "no file b.csv" in answered(command, "b.csv", code=2).err
    (marker,) = answered(command, "a/a.csv", "--json").members["markers"]
    assert answered.fake.objects.head("the-inbox", marker["marker"]).version_id == marker["version_id"]


def test_a_marker_for_a_folder_says_if_it_has_nothing_to_do(answered: Terminal) -> None:
    assert "Nothing to do" in answered("approve", "a/").out
    assert "Wrote a/a.csv.rerun" in answered("rerun", "a/").out


def test_a_rerun_can_be_waited_for(answered: Terminal) -> None:
    answered.fake.objects.drop("a/recipe.yaml", MOODS.replace(b"[good, bad]", b"[bad, good]"))
    assert "a/a.csv, run 2: succeeded" in answered("rerun", "a/a.csv", "--wait").out
    answered.fake.objects.drop("a/recipe.yaml", MOODS.replace(b"[good, bad]", b"[mixed, good]"))
    assert answered("rerun", "a/a.csv", "--wait", "--json").members["run"] == 3


def test_doctor_prints_findings_with_remedies(terminal: Terminal) -> None:
    poll(terminal.fake.context)
    terminal.services.answers |= {
        ("cloudformation", "describe_stacks"): {"Stacks": [{"StackStatus": "CREATE_COMPLETE"}]},
        ("secretsmanager", "get_secret_value"): {"SecretString": "replace-me"},
        ("lambda", "get_account_settings"): {
            "AccountLimit": {"ConcurrentExecutions": 9, "UnreservedConcurrentExecutions": 9}
        },
        ("cloudwatch", "describe_alarms"): {"MetricAlarms": [{"AlarmName": "a-StepsFailed", "StateValue": "OK"}]},
        ("sqs", "get_queue_attributes"): {"Attributes": {"ApproximateNumberOfMessages": "0"}},
        ("sns", "list_subscriptions_by_topic"): {"Subscriptions": [{"SubscriptionArn": "x", "Endpoint": "y"}]},
    }

    shown = terminal("doctor", code=1).out

    assert "PROBLEM: No OpenAI API key is stored" in shown
    assert "put-secret-value" in shown
    assert "warning: Only 9 of 9 functions" in shown
    assert "ok: No alarm is active." in shown
    findings = terminal("doctor", "--json", code=1).members["findings"]
    assert {finding["check"] for finding in findings} >= {"outputs", "key", "schedule", "alarms", "quotas"}
