"""A client of a stack: what it uploads, which run it waits for, and the rows that it reads."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from dropbatch.client import NotDoneError, Run, Stack, WrongUseError
from dropbatch.domain.states import JobState
from tests.driving import RECIPE, drop, jobs, rows
from tests.fakes import INBOX, RESULTS, FakeContext, response_line
from tests.stacks import FakeUploads, fake_stack

LABELS = b"""\
model: gpt-6-luna
prompt: "{{ text }}"
schema:
  mood: [good, bad]
"""


@pytest.fixture
def stack(fake: FakeContext) -> Stack:
    return fake_stack(fake)


def written(folder: Path, name: str, data: bytes, recipe: bytes = RECIPE) -> tuple[Path, Path]:
    """Return a file and a recipe on disk."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    (folder / "recipe.yaml").write_bytes(recipe)
    return folder / name, folder / "recipe.yaml"


def answered(fake: FakeContext, stack: Stack, folder: Path, name: str, data: bytes, recipe: bytes = RECIPE) -> Run:
    file, path = written(folder, name, data, recipe)
    return stack.wait(stack.put(file, recipe=path))


def mood(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Answer `good` for the first row, and `bad` for all others."""
    content = json.dumps({"mood": "good" if request["custom_id"] == "1" else "bad"})
    message = {"role": "assistant", "content": content}
    body = {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}
    return "output", response_line(request, 200, body)


def test_a_file_is_put_into_a_folder_of_its_name_with_its_recipe(
    fake: FakeContext, stack: Stack, tmp_path: Path
) -> None:
    file, recipe = written(tmp_path / "here", "reviews.csv", rows(2), b"system: file://a/b.md\n" + RECIPE)
    (file.parent / "a").mkdir()
    (file.parent / "a" / "b.md").write_text("Be brief.")

    upload = stack.put(file, recipe=recipe, labels={"run": "7"})

    assert upload.key == "reviews/reviews.csv"
    assert upload.recipe_written
    assert fake.objects.head(INBOX, upload.key).version_id == upload.version_id
    assert fake.objects.head(INBOX, upload.key).labels == {"run": "7"}
    assert fake.objects.keys(INBOX) == ["reviews/a/b.md", "reviews/recipe.yaml", "reviews/reviews.csv"]
    uploads = stack.uploads
    assert isinstance(uploads, FakeUploads)
    assert uploads.keys[-1] == upload.key, "the file comes last, when its recipe is there"


def test_a_recipe_that_has_not_changed_is_not_uploaded_again(stack: Stack, tmp_path: Path) -> None:
    file, recipe = written(tmp_path / "here", "a.csv", rows(1))
    stack.put(file, recipe=recipe)

    assert not stack.put(file, recipe=recipe).recipe_written
    recipe.write_bytes(RECIPE.replace(b"luna", b"nova"))
    assert stack.put(file, recipe=recipe).recipe_written


@pytest.mark.parametrize(
    ("to", "key"),
    [("lake/x", "lake/x/a.csv"), ("/lake/", "lake/a.csv"), (f"s3://{INBOX}/lake/", "lake/a.csv"), ("", "a.csv")],
)
def test_the_folder_may_be_written_in_any_form(stack: Stack, to: str, key: str) -> None:
    assert stack.key_for(Path("a.csv"), to) == key


def test_a_file_that_cannot_be_read_is_not_uploaded(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(WrongUseError, match="CSV UTF-8"):
        stack.put(tmp_path / "a.xlsx")
    with pytest.raises(WrongUseError, match="no file"):
        stack.put(tmp_path / "b.csv")
    with pytest.raises(WrongUseError, match="is not in the inbox"):
        stack.put(written(tmp_path, "a.csv", rows(1))[0], to="s3://another/lake")


def test_waiting_ends_with_the_run_of_the_very_upload(fake: FakeContext, stack: Stack, tmp_path: Path) -> None:
    first = answered(fake, stack, tmp_path / "here", "a.csv", rows(2))
    seen: list[str] = []
    second = stack.wait(
        stack.put(written(tmp_path / "here", "a.csv", rows(3))[0]), on_change=lambda run: seen.append(run.status)
    )

    assert first.rows["total"] == 2
    assert second.rows["total"] == 3
    assert second.status == "succeeded"
    assert second.job_id != first.job_id
    assert "succeeded" not in seen[:-1]
    assert [run.job_id for run in stack.runs("a/a.csv")] == [first.job_id, second.job_id]
    assert stack.run("a/a.csv").job_id == second.job_id
    assert stack.run("a/a.csv", 1).job_id == first.job_id


def test_an_older_run_never_counts_for_an_upload_that_is_not_noticed(
    fake: FakeContext, stack: Stack, tmp_path: Path
) -> None:
    answered(fake, stack, tmp_path / "here", "a.csv", rows(2))
    fake.objects.drop("a/a.csv", rows(2))  # its event is lost
    version = fake.objects.head(INBOX, "a/a.csv").version_id
    upload = type(stack.put(tmp_path / "here" / "a.csv"))("a/a.csv", version)

    fake.intake.messages.clear()
    with pytest.raises(NotDoneError, match="has not begun"):
        stack.wait(upload, timeout=100)


def test_an_upload_whose_work_an_open_run_does_has_that_run(fake: FakeContext, stack: Stack, tmp_path: Path) -> None:
    file, recipe = written(tmp_path / "here", "a.csv", rows(2), RECIPE + b"hold: true\n")
    first = stack.put(file, recipe=recipe)
    assert stack.wait(first).is_held

    second = stack.put(file)
    run = stack.wait(second)

    assert run.is_held
    assert run.version_id == first.version_id != second.version_id
    assert len(stack.runs("a/a.csv")) == 1


def test_a_rejected_file_has_its_problems(fake: FakeContext, stack: Stack, tmp_path: Path) -> None:
    run = answered(fake, stack, tmp_path / "here", "a.csv", b"comment\nx\n")

    assert run.is_rejected
    assert any("no column 'text'" in problem for problem in run.problems)
    with pytest.raises(WrongUseError, match="was rejected"):
        list(stack.results(run))


def test_a_held_run_ends_the_waiting_unless_the_caller_waits_through(
    fake: FakeContext, stack: Stack, tmp_path: Path
) -> None:
    file, recipe = written(tmp_path / "here", "a.csv", rows(2), RECIPE + b"hold: true\n")
    upload = stack.put(file, recipe=recipe)

    assert stack.wait(upload).is_held
    with pytest.raises(NotDoneError, match="is still held"):
        stack.wait(upload, timeout=300, stop_if_held=False)
    (marked,) = stack.approve("a/a.csv")
    assert marked.marker == "a/a.csv.approve"
    assert stack.wait(upload, stop_if_held=False).is_complete


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz", "a.jsonl", "a.json", "a.txt", "a.parquet"])
def test_the_rows_come_back_in_order_with_their_answers(
    fake: FakeContext, stack: Stack, tmp_path: Path, name: str
) -> None:
    texts = ["plain", 'quoted "a, b"', "ü 🙂; semicolon", "= formula"]
    fake.openai.answer = mood

    run = answered(fake, stack, tmp_path / "here", name, _file(name, texts), LABELS)
    found = list(stack.results(run))

    assert [row["text"] for row in found] == texts
    assert [row["mood"] for row in found] == ["good", "bad", "bad", "bad"]
    assert {row["_status"] for row in found} == {"ok"}


def _file(name: str, texts: list[str]) -> bytes:
    objects = [{"id": number, "text": text} for number, text in enumerate(texts)]
    if name.endswith(".jsonl"):
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in objects).encode()
    if name.endswith(".json"):
        return json.dumps(objects, indent=2).encode()
    if name.endswith(".txt"):
        return "\n".join(texts).encode() + b"\n"
    if name.endswith(".parquet"):
        return _table(objects)
    separator = "\t" if ".tsv" in name else ","
    quoted = ['"' + text.replace('"', '""') + '"' for text in texts] if separator == "," else texts
    data = "".join(f"{first}{separator}{second}\n" for first, second in [("id", "text"), *enumerate(quoted)]).encode()
    return gzip.compress(data) if name.endswith(".gz") else data


def _table(objects: list[dict[str, Any]]) -> bytes:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(objects), out)
    return out.getvalue()


def test_the_recipe_of_a_run_says_how_its_answers_are_read(fake: FakeContext, stack: Stack, tmp_path: Path) -> None:
    data = "Umfrage\n\nid~text\n1~grün\n".encode("cp1252")
    keys = b'delimiter: "~"\nheader: 3\nencoding: windows-1252\n'

    run = answered(fake, stack, tmp_path / "here", "a.csv", data, RECIPE + keys)

    (row,) = stack.results(run)
    assert row["text"] == "grün"
    assert row["_status"] == "ok"


def test_a_run_of_ready_requests_has_openai_s_responses(fake: FakeContext, stack: Stack, tmp_path: Path) -> None:
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "hi"}]}
    line = {"custom_id": "x", "method": "POST", "url": "/v1/chat/completions", "body": body}
    file, _ = written(tmp_path / "here", "a.jsonl", json.dumps(line).encode() + b"\n")

    run = stack.wait(stack.put(file))

    assert [row["custom_id"] for row in stack.results(run)] == ["x"]


def test_a_download_continues_where_it_was_broken_off(fake: FakeContext, stack: Stack, tmp_path: Path) -> None:
    run = answered(fake, stack, tmp_path / "here", "a.csv", rows(3000))
    key = run.objects["responses"]
    whole = fake.objects.content(RESULTS, key)
    stops = iter([True])

    def stop(name: str, got: int, size: int) -> None:
        if name == "responses.jsonl" and got > 20_000 and next(stops, False):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stack.download(run, tmp_path / "out", progress=stop)
    files = {each.name: each for each in stack.download(run, tmp_path / "out")}

    assert (tmp_path / "out" / "responses.jsonl").read_bytes() == whole
    assert 0 < files["responses.jsonl"].fetched < len(whole)
    assert "recipe/recipe.yaml" in files
    assert not list((tmp_path / "out").rglob("*.part"))
    assert all(each.fetched == 0 for each in stack.download(run, tmp_path / "out")), "all of it is there already"
    (answers,) = stack.download(run, tmp_path / "other", only=["answers"])
    assert answers.path == tmp_path / "other" / "a.answers.csv"
    with pytest.raises(WrongUseError, match=r"has no nothing\.csv"):
        stack.download(run, tmp_path / "other", only=["nothing.csv"])


def test_a_part_of_another_content_is_not_continued(fake: FakeContext, stack: Stack, tmp_path: Path) -> None:
    run = answered(fake, stack, tmp_path / "here", "a.csv", rows(2))
    stack.download(run, tmp_path / "out", only=["answers"])
    fake.objects.drop(run.objects["answers"], b"changed", bucket=RESULTS)

    (again,) = stack.download(run, tmp_path / "out", only=["answers"])

    assert again.path.read_bytes() == b"changed"


def test_markers_act_on_the_files_of_a_folder_for_which_they_are_meant(
    fake: FakeContext, stack: Stack, tmp_path: Path
) -> None:
    fake.objects.drop("lake/recipe.yaml", RECIPE + b"hold: true\n")
    for name in ("a.csv", "b.csv"):
        drop(fake, f"lake/{name}", rows(2))
    fake.objects.drop("lake/c.csv", rows(1))  # its event is lost, so it has no run
    for _ in range(20):
        stack.sleep(10)

    assert [each.key for each in stack.approve("lake/")] == ["lake/a.csv", "lake/b.csv"]
    for _ in range(60):
        stack.sleep(30)
    assert all(job.state is JobState.SUCCEEDED for job in jobs(fake) if "c.csv" not in job.drop.key)
    assert stack.approve("lake/") == []
    assert stack.retry("lake/") == []
    assert [each.key for each in stack.rerun("lake/")][:2] == ["lake/a.csv", "lake/b.csv"]
    with pytest.raises(WrongUseError, match="no file below nothing/"):
        stack.cancel("nothing/")
    with pytest.raises(WrongUseError, match="no file lake"):
        stack.cancel("lake")


def test_a_rerun_is_waited_for_by_its_marker(fake: FakeContext, stack: Stack, tmp_path: Path) -> None:
    first = answered(fake, stack, tmp_path / "here", "a.csv", rows(2), LABELS)
    fake.objects.drop("a/recipe.yaml", LABELS.replace(b"good, bad", b"good, bad, mixed"))

    (marked,) = stack.rerun("a/a.csv")
    run = stack.wait(marked.upload)

    assert run.number == 2
    assert run.job_id != first.job_id


def test_jobs_are_listed_by_the_index_or_else_by_their_files(fake: FakeContext, stack: Stack, tmp_path: Path) -> None:
    answered(fake, stack, tmp_path / "here", "a.csv", rows(2))
    answered(fake, stack, tmp_path / "here", "b.csv", rows(3))
    stack.sleep(120)  # the index is written once a minute

    assert [(job.key, job.status, job.rows["total"]) for job in stack.jobs()] == [
        ("b/b.csv", "succeeded", 3),
        ("a/a.csv", "succeeded", 2),
    ]
    assert [job.key for job in stack.jobs("a/")] == ["a/a.csv"]

    entry = {"job_id": "1", "key": "x/y.csv", "state": "held", "status": "running", "held_reason": "cost", "new": 1}
    fake.objects.drop("index.json", json.dumps({"schema_version": 1, "jobs": [entry]}).encode(), bucket=RESULTS)
    (found,) = stack.jobs()
    assert (found.key, found.status, found.held_reason, found.paid_usd) == ("x/y.csv", "held", "cost", None)
    assert [job.key for job in stack.jobs("x/")] == ["x/y.csv"], "a folder without an index is in that of the root"
    assert stack.jobs("z/") == []

    of_folder = {**entry, "key": "a/a.csv", "state": "succeeded", "status": "duplicate"}
    fake.objects.drop("a/index.json", json.dumps({"jobs": [of_folder]}).encode(), bucket=RESULTS)
    assert [(job.key, job.status) for job in stack.jobs("a/")] == [("a/a.csv", "duplicate")]


def test_the_cost_of_a_month_is_divided_by_folder_and_model(fake: FakeContext, stack: Stack, tmp_path: Path) -> None:
    run = answered(fake, stack, tmp_path / "here", "a.csv", rows(50))

    this, last = stack.cost(2)

    assert float(this.paid) == pytest.approx(run.paid, abs=1e-5)
    assert this.saved > 0
    assert [line.name for line in this.parts["folder"]] == ["a"]
    assert [line.name for line in this.parts["model"]] == ["gpt-6-luna"]
    assert last.paid == 0
    with pytest.raises(WrongUseError, match="not by colour"):
        stack.cost(by=["colour"])


def test_a_file_without_a_run_is_named(stack: Stack) -> None:
    with pytest.raises(WrongUseError, match=r"nothing.csv has no run in the stack a-stack"):
        stack.run("nothing.csv")
    with pytest.raises(WrongUseError, match="has no run 7"):
        stack.run("nothing.csv", 7)
