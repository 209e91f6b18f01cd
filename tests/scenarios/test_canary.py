"""A canary: some rows are sent before all others, and decide whether these follow; over fakes."""

import gzip
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.states import BatchState, HeldReason, JobState, OpenAIStatus
from dropbatch.reporting.phrases import about
from tests.driving import (
    RECIPE,
    batches,
    deliver,
    drop,
    only_job,
    published,
    result,
    result_json,
    rows,
    run,
    sent_rows,
)
from tests.fakes import RESULTS, FakeContext, answer_ok, response_line

CANARY = RECIPE + b"canary: {rows: 5, min_ok: 0.8}\n"


def fails_for(*bad: int) -> Any:
    """Return an answerer that refuses the rows with these numbers for good."""

    def answer(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if int(request["custom_id"]) in bad:
            return "error", response_line(request, 400, {"error": {"code": "content_policy", "message": "no"}})
        return answer_ok(request)

    return answer


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    """Batches of ten rows."""
    fake = FakeContext(tmp_path, limits=Limits(batch_requests=10))
    fake.objects.drop("recipe.yaml", CANARY)
    return fake


def dear(output_tokens: int) -> Any:
    """Answer each row well, with this many tokens of output."""

    def answer(request: dict[str, Any]) -> Any:
        where, line = answer_ok(request)
        line["response"]["body"]["usage"] = {"prompt_tokens": 10, "completion_tokens": output_tokens}
        return where, line

    return answer


def sent(fake: FakeContext) -> list[int]:
    """Return the rows that were sent so far, in order, each as often as it was sent."""
    return sorted(int(row) for batch in sent_rows(fake) for row in batch)


def test_the_first_rows_are_sent_alone_and_the_others_follow_if_enough_are_good(fake: FakeContext) -> None:
    fake.openai.ending = None
    fake.openai.answer = fails_for(2)
    drop(fake, "a.csv", rows(25))
    run(fake, ticks=5)
    assert sent(fake) == [1, 2, 3, 4, 5]
    first = "5 rows are sent first. The others follow if 80% of these have a good answer, at the price quoted."
    assert first in published(fake, "accepted")[-1].text.splitlines()
    fake.openai.ending = OpenAIStatus.COMPLETED
    run(fake)
    job = only_job(fake)
    assert job.state is JobState.PARTIAL
    assert sent(fake) == list(range(1, 26)), "each row once"
    assert result_json(fake, "summary.json")["rows"]["ok"] == 24
    answers = result(fake, "a.answers.csv").decode().splitlines()
    assert [line.split(",")[0] for line in answers[1:]] == [f"row {number}" for number in range(1, 26)]
    assert fake.topics.events() == ["accepted", "ended"]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt", "a.json", "a.csv.gz"])
def test_a_bad_canary_holds_the_others_and_shows_its_answers(fake: FakeContext, name: str) -> None:
    texts = [f"row {number}" for number in range(1, 26)]
    data = {
        "csv": rows(25),
        "jsonl": "".join(json.dumps({"text": text}) + "\n" for text in texts).encode(),
        "txt": "\n".join(texts).encode(),
        "json": json.dumps([{"text": text} for text in texts]).encode(),
    }
    content = gzip.compress(data["csv"]) if name.endswith(".gz") else data[name.rpartition(".")[2]]
    fake.openai.answer = fails_for(2, 4)
    drop(fake, name, content)
    run(fake, ticks=20)
    job = only_job(fake)
    assert (job.state, job.held_reason) == (JobState.HELD, HeldReason.CANARY)
    assert sent(fake) == [1, 2, 3, 4, 5]
    question = published(fake, "held")[-1]
    assert question.subject == f"{name}: waits for your approval, see the first answers"
    assert "of the 5 rows that were sent first, 3 have a good answer" in question.text
    assert "at least 80% good answers" in question.text
    assert "canary.html" in question.text
    page = result(fake, "canary.html").decode()
    assert "3 of 5 rows have a good answer" in page
    assert "row 1" in page
    assert "row 6" not in page
    keys = [key for key in fake.objects.keys(RESULTS) if ".canary." in key]
    (key,) = keys
    shown = fake.objects.content(RESULTS, key)
    shown = gzip.decompress(shown) if key.endswith(".gz") else shown
    assert b"row 5" in shown
    assert b"row 6" not in shown
    if key.endswith(".json"):
        assert len(json.loads(shown)) == 5

    fake.clock.sleep(2)
    drop(fake, f"{name}.approve", b"")
    run(fake)
    assert only_job(fake).state is JobState.PARTIAL
    assert "the rows that were not sent yet go to OpenAI" in published(fake, "marker")[-1].text
    assert sent(fake) == list(range(1, 26)), "no row of the canary is sent again"
    assert result_json(fake, "summary.json")["rows"]["ok"] == 23


def test_messages_name_the_share_of_good_answers_as_it_was_written(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b"canary: {rows: 5, min_ok: 0.995}\n")
    fake.openai.answer = fails_for(1)
    drop(fake, "a.csv", rows(25))
    run(fake, ticks=20)
    assert "if 99.5% of these have a good answer" in published(fake, "accepted")[-1].text
    assert "at least 99.5% good answers" in published(fake, "held")[-1].text


def test_a_question_before_the_start_says_what_is_sent_first_and_once(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", CANARY + b"hold: true\ndedupe: true\n")
    drop(fake, "a.csv", rows(25) + b"row 1\n")
    run(fake, ticks=3)
    lines = published(fake, "held")[-1].text.splitlines()
    first = "5 rows are sent first. The others follow if 80% of these have a good answer, at the price quoted."
    assert first in lines
    assert "1 row has the same request as an earlier row, which is sent once for all of them." in lines
    fake.openai.answer = fails_for(1, 2, 3)
    fake.clock.sleep(2)
    drop(fake, "a.csv.approve", b"")
    run(fake, ticks=20)
    assert only_job(fake).held_reason is HeldReason.CANARY
    assert first not in published(fake, "held")[-1].text.splitlines()


def test_exactly_enough_good_answers_are_enough(fake: FakeContext) -> None:
    fake.openai.answer = fails_for(1)
    drop(fake, "a.csv", rows(25))
    run(fake)
    assert only_job(fake).state is JobState.PARTIAL


def test_rows_that_are_retried_are_judged_by_their_last_try(fake: FakeContext) -> None:
    seen: set[str] = set()

    def once(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if request["custom_id"] not in seen:
            seen.add(request["custom_id"])
            return "error", response_line(request, 500, {"error": {"code": "server_error"}})
        return answer_ok(request)

    fake.openai.answer = once
    drop(fake, "a.csv", rows(15))
    run(fake, ticks=120)
    assert only_job(fake).state is JobState.SUCCEEDED


def test_a_cancel_ends_it_with_the_answers_of_the_canary(fake: FakeContext) -> None:
    fake.openai.answer = fails_for(1, 2, 3)
    drop(fake, "a.csv", rows(25))
    run(fake, ticks=20)
    fake.clock.sleep(2)
    drop(fake, "a.csv.cancel", b"")
    run(fake)
    assert only_job(fake).state is JobState.CANCELLED
    assert sent(fake) == [1, 2, 3, 4, 5]
    counts = result_json(fake, "summary.json")["rows"]
    assert (counts["ok"], counts["cancelled"]) == (2, 20)


def test_a_canary_that_is_too_dear_holds_the_others(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b"canary: {rows: 5, max_usd: 0.01}\n")
    fake.openai.answer = dear(10_000)
    drop(fake, "a.csv", rows(25))
    run(fake, ticks=20)
    assert only_job(fake).held_reason is HeldReason.CANARY
    assert "allows 1 cent for them" in published(fake, "held")[-1].text


def test_a_canary_that_is_dearer_than_quoted_at_most_holds_the_others(fake: FakeContext) -> None:
    fake.openai.answer = dear(1_000_000)
    drop(fake, "a.csv", rows(25))
    run(fake, ticks=20)
    assert only_job(fake).held_reason is HeldReason.CANARY
    assert "more for a row than was quoted at most" in published(fake, "held")[-1].text
    asked = only_job(fake).asked_usd
    assert asked is not None
    assert f"All rows will likely cost {about(asked)}." in published(fake, "held")[-1].text, "the price to approve"


def test_a_canary_whose_own_price_is_over_its_limit_is_not_sent(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b"canary: {rows: 5, max_usd: 0.0000001}\n")
    drop(fake, "a.csv", rows(25))
    run(fake, ticks=20)
    assert only_job(fake).held_reason is HeldReason.COST
    assert "`max_usd` of the recipe's `canary`" in published(fake, "held")[-1].text
    assert fake.openai.batches == {}

    fake.clock.sleep(2)
    drop(fake, "a.csv.approve", b"")
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED, "its price is not asked for a second time"
    assert fake.topics.events() == ["accepted", "held", "marker", "ended"]


def test_the_limit_of_a_canary_is_not_that_of_all_rows(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b"canary: {rows: 5, max_usd: 0.01}\n")
    drop(fake, "a.csv", rows(500))
    run(fake)
    job = only_job(fake)
    assert job.quote is not None
    assert job.quote.price is not None
    assert job.quote.price.likely > Decimal("0.05")
    assert job.state is JobState.SUCCEEDED
    assert fake.topics.events() == ["accepted", "ended"]


def test_the_rows_of_a_dear_model_are_compared_with_their_own_quote(fake: FakeContext) -> None:
    """The first rows ask a model that is many times as dear as that of the others."""

    def answer(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        where, line = answer_ok(request)
        line["response"]["body"]["usage"] = {"prompt_tokens": 10, "completion_tokens": 1_500}
        return where, line

    fake.objects.drop("recipe.yaml", b'model: "{{ model }}"\nprompt: "{{ text }}"\ncanary: 5\n')
    fake.openai.answer = answer
    models = ["gpt-6-sol"] * 5 + ["gpt-6-luna"] * 95
    drop(fake, "a.csv", "\n".join(["model,text", *(f"{model},{n}" for n, model in enumerate(models))]).encode())
    run(fake)
    assert fake.topics.events() == ["accepted", "ended"]
    assert only_job(fake).state is JobState.SUCCEEDED


def test_the_question_about_a_canary_names_the_limits_of_the_other_rows(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b"canary: {rows: 5, max_usd: 0.01}\n")
    fake.max_month_usd = Decimal(1)
    fake.openai.answer = fails_for(1, 2)
    fake.openai.ending = None
    drop(fake, "a.csv", rows(500))
    run(fake, ticks=5)
    month = fake.context.repository.month_spending("2025-06")
    month.spent += 1  # by other jobs
    fake.context.repository.save(month)
    fake.openai.ending = OpenAIStatus.COMPLETED
    run(fake, ticks=10)
    question = published(fake, "held")[-1].text
    assert "of the 5 rows that were sent first, 3 have a good answer" in question
    assert "It will likely pass the limit of the month: nothing is left for 2025-06 of the $1 " in question
    assert "for its first rows needs an approval" not in question, "the other rows are not limited by it"


def test_a_random_sample_may_be_the_canary(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b"canary: {rows: 5, sample: true, seed: 3}\n")
    fake.openai.ending = None
    drop(fake, "a.csv", rows(95))
    run(fake, ticks=5)
    first = sent(fake)
    assert len(first) == 5
    assert first != [1, 2, 3, 4, 5]
    assert len({batch.shard for batch in batches(fake) if batch.is_canary}) > 1
    fake.openai.ending = OpenAIStatus.COMPLETED
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED
    assert sent(fake) == list(range(1, 96))


def test_a_file_of_no_more_rows_has_no_canary(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows(5))
    run(fake)
    assert only_job(fake).canary is None
    assert only_job(fake).state is JobState.SUCCEEDED


def test_rows_that_are_not_sent_do_not_count(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", CANARY + b"when: \"{{ text if text != 'row 2' }}\"\n")
    fake.openai.ending = None
    drop(fake, "a.csv", rows(25))
    run(fake, ticks=5)
    assert sent(fake) == [1, 3, 4, 5, 6]


def test_building_it_twice_gives_the_same_batches(fake: FakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies after the rows were marked, and before the job has started."""
    fake.openai.ending = None
    drop(fake, "a.csv", rows(25))
    insert = fake.table.insert

    def fails_for_batches(item: Mapping[str, Any]) -> None:
        if item["sk"].startswith("batch#"):
            raise ConnectionError
        insert(item)

    with monkeypatch.context() as patched:
        patched.setattr(fake.table, "insert", fails_for_batches)
        run(fake, ticks=2)
    run(fake, ticks=30)
    assert sent(fake) == [1, 2, 3, 4, 5]
    fake.openai.ending = OpenAIStatus.COMPLETED
    run(fake)
    assert sent(fake) == list(range(1, 26))


def test_a_canary_whose_judge_died_is_judged_by_the_next_poll(
    fake: FakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("dropbatch.collection.collect.judge_canary", lambda *_: None)
        drop(fake, "a.csv", rows(25))
        deliver(fake)
        run(fake, ticks=1)
        assert all(batch.state is BatchState.COLLECTED for batch in batches(fake) if batch.is_canary)
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED


def test_an_unpriced_canary_is_judged_by_its_answers_alone(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", CANARY.replace(b"gpt-6-luna", b"nobody-knows-1"))
    drop(fake, "a.csv", rows(25))
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED


@pytest.mark.parametrize(
    "value", ["0", "1001", "{min_ok: 0.5}", "{rows: 5, min_ok: 2}", "{rows: 5, max_usd: 0}", "many"]
)
def test_a_wrong_canary_is_refused(fake: FakeContext, value: str) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + f"canary: {value}\n".encode())
    drop(fake, "a.csv", rows(2))
    run(fake, ticks=5)
    assert only_job(fake).state is JobState.REJECTED
    assert "canary" in published(fake, "rejected")[-1].text


def test_rows_that_share_an_answer_count_once(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", CANARY + b"dedupe: true\n")
    fake.openai.ending = None
    drop(fake, "a.csv", b"text\n" + b"".join(b"row %d\n" % (number // 2) for number in range(50)))
    run(fake, ticks=5)
    assert sent(fake) == [1, 3, 5, 7, 9]
    fake.openai.ending = OpenAIStatus.COMPLETED
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED
    assert sent(fake) == list(range(1, 51, 2))
    assert result_json(fake, "summary.json")["rows"]["ok"] == 50
