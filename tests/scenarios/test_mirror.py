"""`mirror: true`: a folder with only the newest answers, which reads as one table; over fakes."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from dropbatch.domain.errors import OpenAIOutcomeUnknownError, StaleItemError
from dropbatch.domain.states import JobState, OpenAIStatus
from tests.driving import drop, jobs, last_message, only_job, result, result_json, rows, run
from tests.fakes import RESULTS, FakeContext, Killer, answer_ok, response_line
from tests.schedules.invariants import check

RECIPE = b'model: gpt-6-luna\nprompt: "{{ text }}"\nmirror: true\n'
FOLDER = "lake/reviews/"
MIRROR = "_answers/lake/reviews/a.csv"


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    fake = FakeContext(tmp_path)
    fake.objects.drop("lake/recipe.yaml", RECIPE)
    return fake


def mirrored(fake: FakeContext, key: str = MIRROR) -> bytes:
    return fake.objects.content(RESULTS, key)


def saying(text: str) -> Any:
    def answer(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        where, line = answer_ok(request)
        line["response"]["body"]["choices"][0]["message"]["content"] = text
        return where, line

    return answer


def failing(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "error", response_line(request, 400, {"error": {"code": "invalid_value", "message": "no"}})


def test_the_newest_answers_are_under_the_drops_own_key_and_messages_say_where(fake: FakeContext) -> None:
    drop(fake, "lake/reviews/a.csv", rows(3))
    run(fake)
    job = only_job(fake)
    assert job.state is JobState.SUCCEEDED
    assert mirrored(fake) == result(fake, "a.answers.csv")
    assert (
        "The answers will also be in s3://the-results/_answers/lake/reviews/a.csv, which always holds those of the "
        "newest run."
    ) in last_message(fake, "accepted").text.splitlines()
    ended = last_message(fake, "ended")
    assert "Answers of the newest run: s3://the-results/_answers/lake/reviews/a.csv" in ended.text.splitlines()
    assert ended.detail["objects"]["mirror"] == MIRROR
    assert result_json(fake, "summary.json")["objects"]["mirror"] == MIRROR
    assert f"s3://the-results/{MIRROR}" in result(fake, "report.html").decode()


def test_the_answers_are_there_before_the_end_is_notified(fake: FakeContext) -> None:
    publish, found = fake.topics.publish, []

    def seen(audience: Any, notification: Any) -> None:
        if notification.event == "ended":
            found.append(mirrored(fake))
        publish(audience, notification)

    fake.topics.publish = seen  # type: ignore[method-assign]  # looks at S3 first
    drop(fake, "lake/reviews/a.csv", rows(3))
    run(fake)
    assert found == [result(fake, "a.answers.csv")] * 2


def test_nothing_is_mirrored_unless_the_recipe_says_so(fake: FakeContext) -> None:
    fake.objects.drop("lake/recipe.yaml", RECIPE.replace(b"mirror: true", b"mirror: false"))
    drop(fake, "lake/reviews/a.csv", rows(3))
    run(fake)
    assert fake.objects.keys(RESULTS, "_answers/") == []
    assert "mirror" not in last_message(fake, "ended").detail["objects"]
    assert "_answers" not in last_message(fake, "accepted").text + last_message(fake, "ended").text


def test_a_rerun_and_a_retry_replace_what_is_mirrored(fake: FakeContext) -> None:
    fake.openai.answer = lambda request: failing(request) if request["custom_id"] == "2" else answer_ok(request)
    drop(fake, "lake/reviews/a.csv", rows(3))
    run(fake)
    assert mirrored(fake).count(b",ok,") == 2
    fake.openai.answer = answer_ok
    fake.objects.drop("lake/recipe.yaml", RECIPE + b"attempts: 2\n")
    fake.clock.sleep(5)
    drop(fake, "lake/reviews/a.csv.retry", b"")
    run(fake)
    assert mirrored(fake).count(b",ok,") == 3
    assert mirrored(fake) == result(fake, "a.answers.csv", jobs(fake)[-1])
    fake.openai.answer = saying("again")
    fake.clock.sleep(5)
    drop(fake, "lake/reviews/a.csv.rerun", b"")
    run(fake)
    assert mirrored(fake).count(b",again,ok,") == 3


def test_a_run_without_a_good_answer_leaves_the_mirror_as_it_was(fake: FakeContext) -> None:
    drop(fake, "lake/reviews/a.csv", rows(3))
    run(fake)
    before = mirrored(fake)
    fake.openai.answer = failing
    fake.clock.sleep(5)
    drop(fake, "lake/reviews/a.csv", rows(4))
    run(fake)
    assert jobs(fake)[-1].state is JobState.FAILED
    assert mirrored(fake) == before
    ended = last_message(fake, "ended")
    assert (
        "This run has no good answer, so the mirror stays as it was: s3://the-results/_answers/lake/reviews/a.csv"
    ) in ended.text.splitlines()
    assert "mirror" not in ended.detail["objects"]


def test_a_cancelled_run_leaves_the_mirror_as_it_was(fake: FakeContext) -> None:
    fake.openai.ending = None
    fake.openai.answer = lambda request: None if request["custom_id"] == "2" else answer_ok(request)
    drop(fake, "lake/reviews/a.csv", rows(3))
    run(fake, ticks=1)
    drop(fake, "lake/reviews/a.csv.cancel", b"")
    run(fake)
    job = only_job(fake)
    assert job.state is JobState.CANCELLED
    assert fake.objects.keys(RESULTS, "_answers/") == []
    assert "This run was cancelled, so the mirror stays as it was: " in last_message(fake, "ended").text


def test_a_mirror_of_some_rows_is_refused(fake: FakeContext) -> None:
    drop(fake, "lake/recipe.yaml", RECIPE + b"limit: 10\n")
    run(fake)
    (problem,) = last_message(fake, "recipe").detail["problems"]["first"]
    assert problem["message"] == (
        "Line 3 of lake/recipe.yaml, key mirror: a mirror is a whole table, and limit takes only some of its rows; "
        "leave one of the two out."
    )


def test_a_mirror_that_cannot_be_written_is_retried_before_the_end_is_notified(fake: FakeContext) -> None:
    join, failures = fake.objects.join, []

    def fails(*args: Any, **more: Any) -> Any:
        if args[2].startswith("_answers/") and len(failures) < 3:
            failures.append(args[2])
            assert "ended" not in fake.topics.events()
            raise OSError("S3 is away")
        return join(*args, **more)

    fake.objects.join = fails  # type: ignore[method-assign]  # S3 fails a few times
    drop(fake, "lake/reviews/a.csv", rows(3))
    run(fake, ticks=200)
    assert len(failures) == 3
    assert only_job(fake).state is JobState.SUCCEEDED
    assert mirrored(fake) == result(fake, "a.answers.csv")
    assert fake.topics.events().count("ended") == 1


@pytest.mark.slow
def test_a_mirror_that_can_never_be_written_ends_the_job_at_its_deadline_and_is_reported(fake: FakeContext) -> None:
    join = fake.objects.join

    def fails(*args: Any, **more: Any) -> Any:
        if args[2].startswith("_answers/"):
            raise OSError("S3 takes nothing there")
        return join(*args, **more)

    fake.objects.join = fails  # type: ignore[method-assign]  # S3 fails permanently
    drop(fake, "lake/reviews/a.csv", rows(3))
    run(fake, ticks=400, step=6 * 3600)
    assert only_job(fake).state is JobState.SUCCEEDED
    assert fake.topics.events() == ["accepted", "held", "ended"]
    ended = last_message(fake, "ended")
    assert (
        "The mirror could not be written, so it stays as it was: "
        "s3://the-results/_answers/lake/reviews/a.csv" in ended.text.splitlines()
    )
    assert "mirror" not in ended.detail["objects"]
    assert "mirror" not in result_json(fake, "summary.json")["objects"]


def test_a_concurrent_write_to_the_mirror_is_replaced(fake: FakeContext) -> None:
    join, refused = fake.objects.join, []

    def meets(*args: Any, **more: Any) -> Any:
        if args[2].startswith("_answers/") and not refused:
            refused.append(args[2])
            fake.objects.put(RESULTS, MIRROR, b"by hand", "text/csv")
            with pytest.raises(StaleItemError):
                join(*args, **more)
            raise StaleItemError
        return join(*args, **more)

    fake.objects.join = meets  # type: ignore[method-assign]  # another writer comes between
    drop(fake, "lake/reviews/a.csv", rows(3))
    run(fake)
    assert refused
    assert mirrored(fake) == result(fake, "a.answers.csv")


@pytest.mark.slow
def test_a_kill_at_any_call_of_the_last_step_does_not_change_the_mirror(tmp_path: Path) -> None:
    def lived(points: frozenset[int]) -> FakeContext:
        fake = FakeContext(tmp_path, killer=Killer())
        assert fake.killer is not None
        fake.killer.points = set(points)
        fake.objects.drop("lake/recipe.yaml", RECIPE)
        drop(fake, "lake/reviews/a.csv", rows(3))
        run(fake, ticks=200)
        return fake

    whole = lived(frozenset()).killer
    assert whole is not None
    first = whole.calls.index("table.get", len(whole.calls) // 2)
    points = [point for point in whole.all_points() if point // 2 >= first]
    assert any(whole.calls[point // 2] == "objects.join" for point in points)
    for point in points:
        fake = lived(frozenset({point}))
        assert mirrored(fake) == result(fake, "a.answers.csv"), f"killed at {whole.calls[point // 2]}"
        check_ended(fake)


def check_ended(fake: FakeContext) -> None:
    assert only_job(fake).state is JobState.SUCCEEDED
    check(fake)


def table_of(name: str, rows: list[dict[str, Any]]) -> bytes:
    if name.endswith(".parquet"):
        out = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), out)
        return out.getvalue()
    if name.endswith(".csv"):
        return b"text,n\n" + b"".join(f"{row['text']},{row['n']}\n".encode() for row in rows)
    data = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    return gzip.compress(data) if name.endswith(".gz") else data


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "form"), [("parquet", "parquet"), ("csv", "csv"), ("jsonl", "json")])
def test_a_folder_of_mirrors_reads_as_one_table(fake: FakeContext, tmp_path: Path, ending: str, form: str) -> None:
    for day in (26, 27):
        for part in (1, 2):
            text = {"text": f"row {day}", "n": part}
            drop(fake, f"lake/reviews/dt=2026-11-{day}/part-{part}.{ending}", table_of(f"a.{ending}", [text] * 5))
    run(fake)
    fake.clock.sleep(5)
    drop(fake, f"lake/reviews/dt=2026-11-27/part-2.{ending}.rerun", b"")
    run(fake)
    folder = tmp_path / "bucket"
    for key in fake.objects.keys(RESULTS, "_answers/"):
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mirrored(fake, key))
    table = ds.dataset(folder / "_answers/lake/reviews", format=form, partitioning="hive").to_table()
    assert table.num_rows == 20
    assert set(table.column("_status").to_pylist()) == {"ok"}
    assert table.column("dt").value_counts().to_pylist() == [
        {"values": "2026-11-26", "counts": 10},
        {"values": "2026-11-27", "counts": 10},
    ]
    assert set(table.column("text").to_pylist()) == {"row 26", "row 27"}


@pytest.mark.parametrize(
    ("name", "mirror"),
    [("a.csv", "a.csv"), ("x/a.jsonl.gz", "x/a.jsonl.gz"), ("x/a.txt", "x/a.txt.csv"), ("x/a.json", "x/a.json")],
)
def test_a_mirror_keeps_form_and_compression(fake: FakeContext, name: str, mirror: str) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    data = b"text\nrow\n" if name.endswith("csv") else b"row\n" if name.endswith("txt") else b'{"text": "row"}\n'
    drop(fake, name, gzip.compress(data) if name.endswith(".gz") else data)
    run(fake)
    assert fake.objects.keys(RESULTS, "_answers/") == [f"_answers/{mirror}"]
    answers = result_json(fake, "summary.json")["objects"]["answers"]
    assert mirrored(fake, f"_answers/{mirror}") == fake.objects.content(RESULTS, answers)


def test_an_older_run_that_ends_later_does_not_replace_a_newer_one(fake: FakeContext) -> None:
    late: list[str] = []
    fake.openai.faults["retrieve"] = lambda batch_id: OpenAIOutcomeUnknownError("timeout") if batch_id in late else None
    fake.openai.ending = None
    drop(fake, "lake/reviews/a.csv", rows(3))
    run(fake, ticks=2)
    late += fake.openai.batches
    fake.openai.ending = OpenAIStatus.COMPLETED
    fake.clock.sleep(5)
    drop(fake, "lake/reviews/a.csv", rows(4))
    run(fake, ticks=3)
    older, newer = jobs(fake)
    assert (older.state, newer.state) == (JobState.RUNNING, JobState.SUCCEEDED)
    late.clear()
    run(fake, ticks=300)
    assert jobs(fake)[0].state is JobState.SUCCEEDED
    assert mirrored(fake) == result(fake, "a.answers.csv", newer)
    assert result(fake, "a.answers.csv", older) != mirrored(fake)
