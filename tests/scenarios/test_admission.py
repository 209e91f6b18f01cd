"""Admission over fakes: token limits, turns, and OpenAI's other limits."""

from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.errors import OpenAIRateLimitError
from dropbatch.domain.states import JobState, OpenAIStatus
from dropbatch.intake.intake import take_in
from dropbatch.messages import IntakeMessage
from dropbatch.polling.poll import poll
from dropbatch.ports import RemoteBatch
from dropbatch.storage.repository import Repository
from dropbatch.submission import admission, creates_per_hour, first_batches, token_limits
from tests.driving import RECIPE, deliver, drop, jobs, only_job, rows, run, sent_rows
from tests.fakes import FakeContext, answer_ok, response_line, tokens_of

MODEL = "gpt-6-luna"
ROW = 17
"""The estimated tokens of a row."""


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    """Return fakes in which a batch has at most two rows."""
    fake = FakeContext(tmp_path, limits=Limits(batch_requests=2))
    fake.objects.drop("recipe.yaml", RECIPE)
    return fake


@pytest.fixture
def wide(tmp_path: Path) -> FakeContext:
    """Return fakes in which a batch has all rows."""
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", RECIPE)
    return fake


def completed(fake: FakeContext) -> list[list[int]]:
    """Return the rows of every batch that was run."""
    states = [batch.status for batch in fake.openai.batches.values()]
    return [sent for sent, state in zip(sent_rows(fake), states, strict=True) if state is OpenAIStatus.COMPLETED]


def test_rows_over_the_token_limit_wait_and_spend_no_try(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b"attempts: 1\n")
    drop(fake, "a.csv", rows(12))
    fake.openai.token_limit = 60
    run(fake, ticks=300)
    assert only_job(fake).state is JobState.SUCCEEDED
    assert len(completed(fake)) == 6
    assert max(len(batch) for batch in sent_rows(fake)) == 2


def test_a_batch_larger_than_the_limit_is_split(wide: FakeContext) -> None:
    drop(wide, "a.csv", rows(40))
    wide.openai.token_limit = 100
    run(wide, ticks=300)
    assert only_job(wide).state is JobState.SUCCEEDED
    assert len(completed(wide)) > 4
    assert sorted(chain.from_iterable(completed(wide))) == list(range(1, 41)), "each row was run once"
    assert len(completed(wide)) + 1 == len(wide.openai.batches), "one refusal was enough to learn the limit"


def test_a_configured_limit_is_never_exceeded(fake: FakeContext) -> None:
    fake.token_limits = {"gpt-6-*": 100}
    fake.openai.token_limit = 100
    drop(fake, "a.csv", rows(20))
    run(fake, ticks=300)
    assert only_job(fake).state is JobState.SUCCEEDED
    assert len(completed(fake)) == len(sent_rows(fake))


@pytest.mark.slow
@pytest.mark.parametrize("given", [{}, {"*": 100}], ids=["learned", "given"])
def test_batches_that_are_refused_though_they_should_fit_become_smaller(
    wide: FakeContext, monkeypatch: pytest.MonkeyPatch, given: dict[str, int]
) -> None:
    """OpenAI counts five times the estimate: one row fits into the limit, but not two."""
    monkeypatch.setattr(wide.openai, "tokens", lambda batch: 5 * ROW * len(rows_of(wide, batch)))
    wide.token_limits = given
    wide.openai.token_limit = 100
    drop(wide, "a.csv", rows(12))
    run(wide, ticks=600)
    assert only_job(wide).state is JobState.SUCCEEDED
    assert sorted(completed(wide)) == [[row] for row in range(1, 13)]
    assert len(sent_rows(wide)) < 30, "refusals are few"


def rows_of(fake: FakeContext, batch: RemoteBatch) -> list[bytes]:
    return fake.openai.contents[batch.input_file_id].splitlines()


@pytest.mark.slow
def test_a_configured_limit_that_is_too_large_does_not_stop_the_job(wide: FakeContext) -> None:
    wide.token_limits = {"*": 1_000}
    wide.openai.token_limit = 100
    drop(wide, "a.csv", rows(50))
    run(wide, ticks=600)
    assert only_job(wide).state is JobState.SUCCEEDED


def test_simultaneous_refusals_count_as_one(fake: FakeContext) -> None:
    fake.openai.ending = None  # all are at OpenAI before the first is refused
    drop(fake, "a.csv", rows(40))
    run(fake, ticks=6)
    fake.openai.token_limit = 150
    run(fake, ticks=1)
    fake.openai.ending = OpenAIStatus.COMPLETED
    run(fake, ticks=2)
    refused = [batch for batch in fake.openai.batches.values() if batch.status is OpenAIStatus.FAILED]
    assert len(refused) > 10
    assert token_limits.token_limit(fake.context, MODEL) == 150


def test_a_refusal_without_a_number_sets_the_limit_to_the_tokens_in_flight(fake: FakeContext) -> None:
    room = 3

    def refuse(batch: RemoteBatch, _requests: Any) -> Any:
        before = [b for b in fake.openai.batches.values() if b.status is OpenAIStatus.IN_PROGRESS or b.id == batch.id]
        return [] if len(before) <= room else [("token_limit_exceeded", "Too much is enqueued.", None)]

    fake.openai.refuse = refuse
    drop(fake, "a.csv", rows(20))
    run(fake, ticks=600)
    assert only_job(fake).state is JobState.SUCCEEDED


@pytest.mark.slow
def test_a_learned_limit_grows_slowly_while_batches_are_accepted(fake: FakeContext) -> None:
    fake.openai.token_limit = 100
    drop(fake, "a.csv", rows(20))
    run(fake, ticks=300)
    repository = fake.context.repository
    learned = repository.limit(MODEL).tokens
    fake.openai.token_limit = None  # the limit is gone
    for number in range(3):
        fake.clock.sleep(token_limits.RAISE_SECONDS)
        drop(fake, f"b{number}.csv", rows(20 + number))
        run(fake, ticks=300)
    raised = repository.limit(MODEL).tokens
    assert learned is not None
    assert raised is not None
    assert learned * 1.3 < raised < learned * 2


def test_a_halved_limit_recovers_while_batches_are_accepted(fake: FakeContext) -> None:
    repository = fake.context.repository
    limit = repository.limit(MODEL)
    limit.tokens, limit.halvings, limit.changed_at = 100, 2, fake.context.now()
    repository.save(limit)
    for number, halvings in enumerate((1, 0)):
        fake.clock.sleep(token_limits.RAISE_SECONDS)
        drop(fake, f"{number}.csv", rows(1 + number))
        run(fake, ticks=60)
        assert repository.limit(MODEL).halvings == halvings
        assert repository.limit(MODEL).tokens == 100


def test_a_limit_that_cannot_be_read_counts_as_full(fake: FakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.token_limits = {"*": 60}
    fake.openai.ending = None
    drop(fake, "a.csv", rows(6))
    run(fake, ticks=1)
    began = len(fake.openai.batches)

    def unreadable(*_: Any) -> Any:
        raise RuntimeError("the table is away")

    with monkeypatch.context() as patch:
        patch.setattr(Repository, "limit", unreadable)
        run(fake, ticks=3)
    assert len(fake.openai.batches) == began
    assert any("a model's limit could not be read" in line for line in fake.observer.lines)
    fake.openai.ending = OpenAIStatus.COMPLETED
    run(fake, ticks=60)
    assert only_job(fake).state is JobState.SUCCEEDED


@pytest.mark.slow
def test_estimates_are_calibrated_with_openais_counts_of_the_same_rows(wide: FakeContext) -> None:
    """OpenAI counts twice the estimate. Every second row was not run, and has no count."""

    def answer(request: dict[str, Any]) -> Any:
        if int(request["custom_id"]) % 2:
            return "error", response_line(request, 400, {"error": {"code": "no"}})
        where, line = answer_ok(request)
        line["response"]["body"]["usage"]["prompt_tokens"] = 2 * tokens_of(request["body"])
        return where, line

    wide.openai.answer = answer
    drop(wide, "a.csv", rows(2_000))
    run(wide)
    wide.token_limits = {"*": 1_000}
    assert wide.context.repository.limit(MODEL).factor == 2
    assert token_limits.token_limit(wide.context, MODEL) == 500


@pytest.mark.slow
def test_a_huge_job_does_not_starve_a_small_one(fake: FakeContext) -> None:
    fake.token_limits = {"*": 100}
    drop(fake, "huge.csv", rows(60))
    run(fake, ticks=3)
    drop(fake, "small.csv", rows(2))
    ticks = 0
    while not any(job.drop.key == "small.csv" and job.state is JobState.SUCCEEDED for job in jobs(fake)):
        run(fake, ticks=1)
        ticks += 1
        assert ticks < 6
    assert any(job.drop.key == "huge.csv" and job.state is JobState.RUNNING for job in jobs(fake))
    run(fake, ticks=300)
    assert {job.state for job in jobs(fake)} == {JobState.SUCCEEDED}


@pytest.mark.slow
def test_small_batches_do_not_starve_a_large_one(tmp_path: Path) -> None:
    """A small drop comes each minute and runs for two. The large one needs the whole limit, and gets it in time."""
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.token_limits = {"*": 10 * ROW}
    fake.openai.ending = None
    drop(fake, "first.csv", rows(2))
    run(fake, ticks=1)
    drop(fake, "large.csv", rows(9))
    waited = 0
    while not any(len(batch) == 9 for batch in sent_rows(fake)):
        drop(fake, f"small{waited}.csv", rows(1 + waited % 3))
        run(fake, ticks=1)
        for batch in list(fake.openai.batches.values()):
            if fake.clock() - batch.created_at >= 120:
                fake.openai.ending = OpenAIStatus.COMPLETED
                fake.openai.retrieve(batch.id)
                fake.openai.ending = None
        waited += 1
        assert waited < 60
    assert waited >= admission.TURN_SECONDS / 60, "it had to wait, so that this shows something"


def test_no_more_embeddings_are_enqueued_than_openai_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_ENQUEUED_EMBEDDING_INPUTS", 8)
    monkeypatch.setattr(first_batches, "MAX_FIRST_INPUTS", 4)
    fake = FakeContext(tmp_path, limits=Limits(batch_embedding_inputs=2))
    fake.objects.drop("recipe.yaml", b'endpoint: /v1/embeddings\nmodel: text-embedding-3-small\nprompt: "{{ text }}"\n')
    enqueued = []

    def refuse(_batch: RemoteBatch, _requests: Any) -> Any:
        running = [batch for batch in fake.openai.batches.values() if batch.status is not OpenAIStatus.COMPLETED]
        enqueued.append(sum(len(rows_of(fake, batch)) for batch in running))
        return []

    fake.openai.refuse = refuse
    fake.openai.answer = lambda request: (
        "output",
        response_line(request, 200, {"data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 1}}),
    )
    drop(fake, "a.csv", rows(20))
    drop(fake, "b.csv", rows(20))
    run(fake, ticks=60)
    assert {job.state for job in jobs(fake)} == {JobState.SUCCEEDED}
    assert 2 < max(enqueued) <= 8


def test_a_create_is_retried_after_a_429(fake: FakeContext) -> None:
    create = fake.openai.create
    refusals = iter([True] * 3)

    def busy(*args: Any) -> Any:
        if next(refusals, False):
            raise OpenAIRateLimitError("rate_limit_exceeded", 60)
        return create(*args)

    fake.openai.create = busy  # type: ignore[method-assign]  # the fake's own, for this test
    drop(fake, "a.csv", rows(2))
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED
    assert len(fake.openai.batches) == 1


def test_no_more_batches_are_created_in_an_hour_than_openai_takes(
    fake: FakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(creates_per_hour, "MAX_BATCHES_PER_HOUR", 3)
    drop(fake, "a.csv", rows(16))
    run(fake, ticks=400)
    assert only_job(fake).state is JobState.SUCCEEDED
    assert max(Counter(batch.created_at // 3600 for batch in fake.openai.batches.values()).values()) == 3


@pytest.mark.slow
def test_the_number_of_dispatched_batches_follows_the_throughput_of_submit(tmp_path: Path) -> None:
    """The number is small at first, grows while all messages are processed, and shrinks while messages wait."""
    fake = FakeContext(tmp_path, limits=Limits(batch_requests=1))
    fake.openai.ending = None
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "a.csv", rows(120))
    sent = []
    for _ in range(6):
        deliver(fake)
        fake.clock.sleep(60)
        poll(fake.context)
        sent.append(len(fake.dispatch.messages))
    assert sent == [4, 8, 16, 32, 56, 0]
    assert len(fake.openai.batches) == 120


@pytest.mark.slow
def test_a_backlog_stays_in_the_table_while_functions_do_not_keep_up(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, limits=Limits(batch_requests=1))
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "a.csv", rows(120))
    take_in(fake.context, IntakeMessage.from_json(fake.intake.take() or {}))
    for _ in range(60 * 6):
        poll(fake.context)
        fake.clock.sleep(60)
    assert len(fake.dispatch.messages) <= 8, "nothing is sent again while it waits, or given up"
    run(fake, ticks=200)
    assert only_job(fake).state is JobState.SUCCEEDED
