"""Answers are collected in any number of invocations, with the same results as in a single long one."""

import gzip
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dropbatch.answers.output_files import AnswerLines
from dropbatch.batch_api.limits import Limits
from dropbatch.collection import answer_files, bucket_file, result_writer
from dropbatch.collection.collect import collect
from dropbatch.delivery import render_shard as rendering
from dropbatch.domain.states import JobState, OpenAIStatus, ShardState
from dropbatch.intake.carry_over import Former, carry_over
from dropbatch.messages import BatchMessage, message_for
from dropbatch.reporting.event_members import results_prefix
from dropbatch.rows.job_rows import JobRows
from dropbatch.storage.job_files import JobFiles
from dropbatch.storage.repository import Repository
from tests.driving import RECIPE, deliver, drop, jobs, only_job, result_json, rows, run, sent_rows
from tests.fakes import RESULTS, WORK, FakeContext, FakeObjects, Killer, answer_ok, response_line

TEXTS = rows(45)
OBJECTS = b"".join(b'{"text":"row %d"}\n' % row for row in range(45))
REQUESTS = b"".join(
    b'{"custom_id":"mine-%d","method":"POST","url":"/v1/chat/completions","body":{"model":"m%d","messages":[{"role":"user","content":"hi"}]}}\n'
    % (row, row % 2)
    for row in range(45)
)
GAPS = b"text\n" + b"".join(b"row %d\n" % row if row % 8 > 4 else b'" "\n' for row in range(45))
DROPS = {
    "gaps.csv": GAPS,  # rows that are not sent
    "a.csv": TEXTS,
    "a.csv.gz": gzip.compress(TEXTS, mtime=0),
    "a.jsonl": OBJECTS,
    "a.txt": TEXTS,
    "raw.jsonl": REQUESTS,
}


def answer(request: dict[str, Any]) -> Any:
    """Answer a request. Every seventh row fails permanently, every eleventh is truncated."""
    row = int(request["custom_id"])
    if row % 7 == 0:
        return "error", response_line(request, 400, {"error": {"code": "bad_thing", "message": "no"}})
    where, line = answer_ok(request)
    if row % 11 == 0:
        line["response"]["body"]["choices"][0]["finish_reason"] = "length"
    return where, line


def dropped(folder: Path, name: str, killer: Killer | None = None, batch_requests: int = 10) -> FakeContext:
    fake = FakeContext(folder, limits=Limits(batch_requests=batch_requests), killer=killer)
    fake.openai.answer = answer
    if name != "raw.jsonl":
        fake.objects.drop("recipe.yaml", RECIPE + (b'when: "{{ text | trim }}"\n' if name == "gaps.csv" else b""))
    drop(fake, name, DROPS[name])
    return fake


def results(fake: FakeContext) -> dict[str, bytes]:
    """Return the files of the results, except those with times."""
    prefix = results_prefix(only_job(fake))
    names = [key.removeprefix(prefix) for key in fake.objects.keys(RESULTS, prefix)]
    kept = [name for name in names if name not in ("report.html", "status.json", "summary.json")]
    return {name: fake.objects.content(RESULTS, prefix + name) for name in kept}


@pytest.mark.slow
@pytest.mark.parametrize("name", DROPS)
def test_running_out_of_time_anywhere_does_not_change_the_results(name: str, tmp_path: Path) -> None:
    whole = dropped(tmp_path, name)
    run(whole, ticks=200)
    expected = results(whole)
    # All have a quote. All except the raw file have a recipe. One file has blank rows.
    assert len(expected) == {"raw.jsonl": 3, "gaps.csv": 6}.get(name, 5)
    for seed in range(12):
        dice = random.Random(seed)
        fake = dropped(tmp_path, name)
        fake.seconds_left = lambda dice=dice: dice.choice([300.0, 90.0, 45.0, 5.0])  # type: ignore[misc]  # a clock for each run
        run(fake, ticks=400)
        assert only_job(fake).state is JobState.PARTIAL
        assert results(fake) == expected, f"seed {seed}"


def in_small_steps(patch: pytest.MonkeyPatch, dice: random.Random) -> None:
    """Process a few bytes and rows at a time."""
    patch.setattr(result_writer, "CHUNK_ROWS", 2)
    patch.setattr(rendering, "CHUNK_ROWS", 2)
    patch.setattr(bucket_file, "PART_BYTES", 700)
    patch.setattr(answer_files, "_room", lambda _: dice.choice([0, 1000, 10**9]))
    patch.setattr(AnswerLines.__init__, "__defaults__", (dice.choice([0, 10**9]),))
    patch.setattr("tests.fakes.download.BLOCK_BYTES", 300)

    def blocks(
        self: FakeObjects, bucket: str, key: str, version_id: str | None = None, start: int = 0
    ) -> Iterator[bytes]:
        data = self._find(bucket, key, version_id).data
        return (data[at : at + 61] for at in range(start, len(data), 61))

    patch.setattr(FakeObjects, "blocks", blocks)


def unpacked(files: dict[str, bytes]) -> dict[str, bytes]:
    """Unpack the files. A file that several invocations packed has several members."""
    return {name: gzip.decompress(data) if name.endswith(".gz") else data for name, data in files.items()}


def told(fake: FakeContext) -> dict[str, Any]:
    """Return the rows and the cost in the summary, and the rows that the report may show."""
    summary = result_json(fake, "summary.json")
    stats = [json.loads(fake.objects.content(WORK, key)) for key in fake.objects.keys(WORK) if "stats.json" in key]
    samples = {"samples": [each["samples"] for each in stats]}
    return samples | {name: summary[name] for name in ("rows", "tokens", "cost", "reasons")}


@pytest.mark.slow
@pytest.mark.parametrize("name", DROPS)
def test_steps_of_any_size_give_the_same_results(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = dropped(tmp_path, name, batch_requests=25)
    run(whole, ticks=200)
    expected = unpacked(results(whole))
    steps = set()
    for seed in range(12):
        dice = random.Random(seed)
        with monkeypatch.context() as patch:
            in_small_steps(patch, dice)
            fake = dropped(tmp_path, name, batch_requests=25)
            fake.seconds_left = lambda dice=dice: dice.choice([300.0, 300.0, 300.0, 5.0])  # type: ignore[misc]  # a clock for each run
            run(fake, ticks=400)
        assert unpacked(results(fake)) == expected, f"seed {seed}"
        assert told(fake) == told(whole)
        steps |= {key.split("/")[2] for key in fake.objects.keys(WORK) if key.endswith("progress.json")}
    assert steps == {"answers", "results", "pieces"}, "fetching, judging and rendering were interrupted"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gaps.csv", "raw.jsonl"])
def test_a_kill_between_any_two_steps_does_not_change_the_results(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = dropped(tmp_path, name, batch_requests=25)
    run(whole, ticks=200)
    expected, calls = unpacked(results(whole)), 0
    for seed in range(15):
        dice, killer = random.Random(seed), Killer()
        with monkeypatch.context() as patch:
            in_small_steps(patch, dice)
            fake = dropped(tmp_path, name, killer, batch_requests=25)
            fake.seconds_left = lambda dice=dice: dice.choice([300.0, 300.0, 300.0, 5.0])  # type: ignore[misc]  # a clock for each run
            deliver(fake)  # a drop that kills its function twice while it is read is rejected
            killer.points = {2 * len(killer.calls) + dice.randrange(1500) for _ in range(10)}
            run(fake, ticks=400)
        assert unpacked(results(fake)) == expected, f"seed {seed}"
        assert told(fake) == told(whole)
        calls = max(calls, len(killer.calls))
    assert calls > 750, "the points lie where work is done"


def test_every_invocation_progresses_however_little_time_it_has(tmp_path: Path) -> None:
    fake = dropped(tmp_path, "a.csv")
    fake.openai.ending = None
    run(fake, ticks=3)
    job = only_job(fake)
    repository = fake.context.repository
    for batch in repository.batches(job.id):  # all have ended, and the messages about them are lost

        def end(current: Any) -> bool:
            from dropbatch.domain.states import BatchState, OpenAIStatus

            fake.openai.ending = OpenAIStatus.COMPLETED
            fake.openai.retrieve(current.openai_id)
            current.openai_status, current.ended_at = OpenAIStatus.COMPLETED, fake.context.now()
            current.move(BatchState.ENDED)
            return True

        repository.change(lambda sk=batch.sort_key: repository.batch(job.id, sk), end)  # type: ignore[misc]  # one batch at a time
        fake.seconds_left = lambda: 5.0
        collect(fake.context, BatchMessage(job.id, batch.sort_key))
    assert {shard.state for shard in repository.shards(job.id)} == {ShardState.OPEN}, "collecting took all the time"
    fake.collect.messages.clear()
    fake.collect.send(message_for(job))
    rendered = []
    while only_job(fake).state is JobState.RUNNING:
        message = fake.collect.take()
        assert message is not None
        collect(fake.context, BatchMessage.from_json(message))
        rendered.append(sum(shard.state is ShardState.RENDERED for shard in repository.shards(job.id)))
    assert rendered[:5] == [1, 2, 3, 4, 5]
    deliver(fake)
    assert only_job(fake).state is JobState.PARTIAL


def test_a_shard_that_has_been_carried_over_is_only_looked_up(tmp_path: Path) -> None:
    killer = Killer()
    fake = dropped(tmp_path, "a.csv", killer)
    run(fake, ticks=200)
    former = only_job(fake)
    fake.openai.ending = None
    drop(fake, "a.csv.retry", b"")
    run(fake, ticks=2)
    repository = Repository(fake.table)  # not of the context, which counts calls
    job = next(job for job in jobs(fake) if job.id != former.id)
    old = JobFiles(fake.context.objects, "the-work", former.id)
    again = JobRows(fake.context, job)
    origin = Former(old, again, recipes=1, today=None)
    for shard in repository.shards(job.id):
        killer.calls.clear()
        stays, sent, skipped, _ = carry_over(
            fake.context, repository.batches(former.id, shard.number), origin, again, shard
        )
        assert set(killer.calls) == {"objects.blocks"}
        made = {batch.sort_key: batch for batch in repository.batches(job.id, shard.number)}
        assert {batch.sort_key for batch in (*stays, *sent)} == set(made)
        assert all(batch.requests == made[batch.sort_key].requests for batch in (*stays, *sent))
        assert not skipped.codes


def test_a_line_that_is_not_strict_json_is_paid_once_and_delivered(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", RECIPE)

    def with_infinity(request: dict[str, Any]) -> Any:
        where, line = answer_ok(request)
        if request["custom_id"] == "2":
            line["response"]["body"]["choices"][0]["logprobs"] = {"content": [{"logprob": float("-inf")}]}
        return where, line

    fake.openai.answer = with_infinity
    drop(fake, "a.csv", rows(3))
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED
    assert sent_rows(fake) == [[1, 2, 3]]
    assert result_json(fake, "summary.json")["tokens"]["input"] == 30


def test_repeated_and_unmatched_answer_lines_count_as_paid(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.ending = None
    drop(fake, "a.csv", rows(3))
    run(fake, ticks=2)
    fake.openai.ending = OpenAIStatus.COMPLETED
    (batch,) = fake.openai.batches.values()
    ended = fake.openai.retrieve(batch.id)
    lines = fake.openai.files[ended.output_file_id or ""].splitlines(keepends=True)
    again = lines[0].replace(b'"batch_req_', b'"batch_req_again_')
    stranger = re.sub(rb'"custom_id": "\d"', b'"custom_id": "99"', lines[1])
    fake.openai.files[ended.output_file_id or ""] = b"".join([*lines, again, lines[2], stranger])
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED
    summary = result_json(fake, "summary.json")
    assert summary["tokens"]["input"] == 50, "three answers, another to the same row, and one to nobody's; no copy"


@pytest.mark.parametrize("at_once", [1, 3, 256])
def test_rows_keep_their_places_however_many_are_written_at_once(
    at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("collection.result_writer", "delivery.render_shard"):
        monkeypatch.setattr(f"dropbatch.{module}.CHUNK_ROWS", at_once)
    fake = FakeContext(tmp_path)
    fake.openai.answer = answer
    fake.objects.drop(
        "recipe.yaml", b'model: "m{{ kind }}"\nprompt: "{{ text }}"\nwhen: "{{ text }}"\nbad_rows: skip\n'
    )
    dice = random.Random(3)
    kinds = [dice.choice(["1,", "2,", "2,", "1,a", "2,a", "1,a,b"]) for _ in range(40)] + ["1,a"] * 10 + ["1,"] * 10
    drop(fake, "a.csv", b"kind,text\n" + "".join(kind + "\n" for kind in kinds).encode())
    run(fake, ticks=200)
    found = results(fake)["a.answers.csv"].decode().splitlines()[1:]
    for number, (kind, line) in enumerate(zip(kinds, found, strict=True), 1):
        if kind.endswith("a"):
            expected = "error,bad_thing" if number % 7 == 0 else "truncated,length" if number % 11 == 0 else "ok,"
        else:
            expected = "skipped,ragged_row" if kind.endswith("b") else "skipped,when"
        assert line.startswith(kind.removesuffix(",b") + ",")  # as many columns as the others
        assert line.endswith(expected)
    responses = [json.loads(line) for line in results(fake)["responses.jsonl"].splitlines()]
    assert [response["custom_id"] for response in responses] == [str(row) for row in range(1, len(kinds) + 1)]
