"""Jobs that reach a limit of money while they are at work; over fakes."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.errors import OpenAIError, OpenAIRateLimitError, OpenAIRequestError
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import HeldReason, JobState, OpenAIStatus
from dropbatch.ports import Notification
from tests.driving import (
    RECIPE,
    batches,
    deliver,
    deliver_next,
    drop,
    jobs,
    only_job,
    pass_time,
    published,
    result_json,
    rows,
    run,
)
from tests.fakes import FakeContext, answer_ok, response_line

LIMITED = RECIPE + b"parameters: {max_completion_tokens: 20, reasoning_effort: none}\n"
"""Each answer has at most 20 tokens, so that the likely price is known well."""


def answers_of(tokens: int, prompt: int = 10) -> Any:
    """Return an answerer whose answers take this number of tokens."""

    def answer(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        where, line = answer_ok(request)
        line["response"]["body"]["usage"] = {"prompt_tokens": prompt, "completion_tokens": tokens}
        return where, line

    return answer


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    """Batches of ten rows."""
    fake = FakeContext(tmp_path, limits=Limits(batch_requests=10))
    fake.objects.drop("recipe.yaml", LIMITED)
    return fake


def likely(fake: FakeContext) -> Decimal:
    quote = only_job(fake).quote
    assert quote is not None
    assert quote.price is not None
    return quote.price.likely


def price_of(fake: FakeContext, count: int) -> Decimal:
    """Return the likely price of a drop of rows, in another stack."""
    other = FakeContext(fake.scratch / f"priced-{count}", limits=fake.limits)
    other.objects.drop("recipe.yaml", LIMITED + b"hold: true\n")
    drop(other, "a.csv", rows(count))
    deliver(other)
    return likely(other)


def spent(fake: FakeContext, job: Job) -> Decimal:
    return fake.context.repository.job_spending(job.id).spent


def held(fake: FakeContext) -> Notification:
    return published(fake, "held")[-1]


def test_a_job_that_is_dearer_than_quoted_is_held_at_its_limit_and_keeps_its_answers(fake: FakeContext) -> None:
    fake.max_job_usd = price_of(fake, 60) * Decimal("1.1")
    fake.openai.answer = answers_of(20, prompt=25)
    drop(fake, "a.csv", rows(60))
    run(fake, ticks=30)
    job = only_job(fake)
    assert (job.state, job.held_reason) == (JobState.HELD, HeldReason.COST)
    paid = [batch.paid for batch in batches(fake) if batch.openai_id]
    assert 0 < len(paid) < 6
    assert spent(fake, job) == sum(paid)
    assert sum(paid[:-1]) <= fake.max_job_usd, "no more than one batch passes the limit"
    question = held(fake)
    assert "it has cost" in question.text
    assert "The rows that were not sent yet wait, and the answers so far are kept." in question.text
    assert "Without an approval it ends after 14 days with what it has." in question.text
    assert question.detail["money"]["spent"] == float(round(spent(fake, job), 5))

    fake.clock.sleep(2)
    drop(fake, "a.csv.cancel", b"")
    run(fake)
    assert only_job(fake).state is JobState.CANCELLED
    assert result_json(fake, "summary.json")["rows"]["ok"] == 10 * len(paid)


def test_an_approved_job_is_held_again_if_it_becomes_dearer_than_what_was_approved(fake: FakeContext) -> None:
    fake.max_job_usd = Decimal("0.0000001")
    fake.openai.answer = answers_of(200)
    drop(fake, "a.csv", rows(100))
    run(fake, ticks=3)
    asked = only_job(fake).asked_usd
    for count in range(2, 9):
        fake.clock.sleep(2)
        drop(fake, "a.csv.approve", b"")
        run(fake, ticks=60)
        job = only_job(fake)
        if job.state is not JobState.HELD:
            break
        assert len(published(fake, "held")) == count, "each hold is notified, however soon it follows"
        assert "a fifth above the approved" in held(fake).text
        assert job.asked_usd is not None
        assert asked is not None
        assert job.asked_usd > asked
        asked = job.asked_usd
    assert count > 2
    assert only_job(fake).state is JobState.SUCCEEDED
    assert result_json(fake, "summary.json")["rows"]["ok"] == 100


def test_batches_wait_for_the_money_that_others_give_back(fake: FakeContext) -> None:
    """Six batches have a likely price within the limit. Their high ones are far above it, so some wait for others."""
    fake.max_job_usd = price_of(fake, 60) * Decimal("1.05")
    fake.openai.answer = answers_of(1)
    fake.openai.ending = None
    drop(fake, "a.csv", rows(60))
    waited = False
    for tick in range(40):
        if tick == 5:
            fake.openai.ending = OpenAIStatus.COMPLETED
        run(fake, ticks=1)
        job = only_job(fake)
        waited = waited or job.awaits_money
        committed = fake.context.repository.job_spending(job.id).committed
        alone = sum(batch.reserved_usd is not None and not batch.is_settled for batch in batches(fake)) == 1
        assert alone or committed + spent(fake, job) <= fake.max_job_usd
        assert job.state is not JobState.HELD
    assert waited
    assert only_job(fake).state is JobState.SUCCEEDED
    assert fake.topics.events() == ["accepted", "ended"], "nobody is asked"


def test_retries_count(fake: FakeContext) -> None:
    fake.max_job_usd = price_of(fake, 10) * Decimal("1.01")

    def fails_dearly(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if request["custom_id"] == "1":
            return "error", response_line(request, 500, {"error": {"code": "server_error"}})
        return answers_of(100)(request)

    fake.openai.answer = fails_dearly
    drop(fake, "a.csv", rows(10))
    run(fake, ticks=60)
    job = only_job(fake)
    assert (job.state, job.held_reason) == (JobState.HELD, HeldReason.COST)
    assert len([batch for batch in batches(fake) if batch.openai_id]) == 1, "the row is not sent again"


def test_two_jobs_that_run_at_once_keep_to_the_month_together(fake: FakeContext) -> None:
    """Each was accepted before the other had committed anything."""
    fake.max_month_usd = price_of(fake, 30) * Decimal("1.3")
    fake.openai.answer = answers_of(20, prompt=15)
    fake.openai.ending = None
    for name in ("a", "b"):
        fake.objects.drop(f"{name}/recipe.yaml", LIMITED)
        drop(fake, f"{name}/rows.csv", rows(30))
    while deliver_next(fake, "intake"):
        pass
    assert [job.state for job in jobs(fake)] == [JobState.RUNNING] * 2
    run(fake, ticks=3)
    month = fake.context.repository.month_spending("2025-06")
    assert 0 < month.committed <= fake.max_month_usd
    fake.openai.ending = OpenAIStatus.COMPLETED
    run(fake, ticks=40)
    assert HeldReason.MONTH in {job.held_reason for job in jobs(fake)}
    month = fake.context.repository.month_spending("2025-06")
    assert month.committed == 0
    dearest = max(batch.paid for batch in batches(fake))
    assert month.spent <= fake.max_month_usd + dearest
    assert month.spent == sum(spent(fake, job) for job in jobs(fake))
    assert len(published(fake, "held")) == sum(job.held_reason is not None for job in jobs(fake))


def test_a_limit_that_is_raised_lets_waiting_batches_go(fake: FakeContext) -> None:
    """A job waits for money beside a batch that never ends; then the stack's owner raises the limit."""
    fake.max_job_usd = price_of(fake, 20) * Decimal("1.05")
    fake.openai.ending = None
    drop(fake, "a.csv", rows(20))
    run(fake, ticks=3)
    assert only_job(fake).awaits_money
    fake.max_job_usd = Decimal(25)
    run(fake, ticks=3)
    assert not only_job(fake).awaits_money
    assert sum(batch.openai_id is not None for batch in batches(fake)) == 2


def test_a_canary_that_waits_for_money_goes_once_it_fits_whatever_its_other_rows_cost(fake: FakeContext) -> None:
    """Other jobs have committed most of the month's money. The canary fits into the rest, its other rows do not."""
    fake.objects.drop("recipe.yaml", LIMITED + b"canary: 2\n")
    price = price_of(fake, 60)
    fake.max_month_usd = 2 * price
    drop(fake, "a.csv", rows(60))
    while deliver_next(fake, "intake"):
        pass
    month = fake.context.repository.month_spending("2025-06")
    month.committed = fake.max_month_usd
    fake.context.repository.save(month)
    run(fake, ticks=3)
    assert only_job(fake).awaits_money
    month = fake.context.repository.month_spending("2025-06")
    month.committed -= price / 16
    fake.context.repository.save(month)
    run(fake, ticks=3)
    assert any(batch.is_canary and batch.openai_id for batch in batches(fake))


def test_answers_that_do_not_say_what_they_cost_count_as_quoted(fake: FakeContext) -> None:
    def without_usage(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        where, line = answer_ok(request)
        del line["response"]["body"]["usage"]
        return where, line

    price = price_of(fake, 10)
    fake.max_month_usd = price * Decimal("1.5")
    fake.openai.answer = without_usage
    drop(fake, "a.csv", rows(10))
    run(fake)
    month = fake.context.repository.month_spending("2025-06")
    assert (month.spent, month.assumed) == (0, price)
    assert ", without 10 requests of unknown price." in fake.topics.published[-1].text
    drop(fake, "b.csv", rows(10))
    run(fake, ticks=3)
    assert jobs(fake)[-1].held_reason is HeldReason.MONTH


def test_a_question_of_a_job_at_work_never_says_that_nothing_was_sent(fake: FakeContext) -> None:
    """Its first answers cost nothing, and other jobs have taken the rest of the month's money meanwhile."""
    fake.max_month_usd = price_of(fake, 20) * 2
    fake.openai.answer = lambda request: (
        "error",
        response_line(request, 500, {"error": {"code": "server_error", "message": "no"}}),
    )
    drop(fake, "a.csv", rows(10))
    run(fake, ticks=2)
    month = fake.context.repository.month_spending("2025-06")
    month.spent = fake.max_month_usd
    fake.context.repository.save(month)
    run(fake, ticks=20)
    assert only_job(fake).held_reason is HeldReason.MONTH
    assert "it has cost nothing so far, and all of it will likely cost under a cent" in held(fake).text
    assert "The rows that were not sent yet wait, and the answers so far are kept." in held(fake).text
    assert "Nothing was sent" not in held(fake).text
    assert "it ends after 14 days with what it has" in held(fake).text


@pytest.mark.parametrize("deadline", ["72h", "3h"])
def test_a_job_that_waits_for_money_too_long_is_held(fake: FakeContext, deadline: str) -> None:
    """Other jobs take the money of the month again as soon as any comes back."""
    fake.objects.drop("recipe.yaml", LIMITED + f"deadline: {deadline}\n".encode())
    fake.max_month_usd = price_of(fake, 10) * 2
    drop(fake, "a.csv", rows(10))
    while deliver_next(fake, "intake"):
        pass
    month = fake.context.repository.month_spending("2025-06")
    month.committed = fake.max_month_usd
    fake.context.repository.save(month)
    pass_time(fake, 3_600, step=300)
    assert only_job(fake).awaits_money
    pass_time(fake, 2 * 86_400, step=1_800)
    job = only_job(fake)
    assert (job.state, job.held_reason) == (JobState.HELD, HeldReason.MONTH)
    assert "nothing is left for 2025-06" in held(fake).text
    drop(fake, "a.csv.approve", b"")
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED


@pytest.mark.parametrize("error", [OpenAIRequestError("invalid_request_error"), OpenAIRateLimitError("slow_down", 60)])
def test_a_create_that_openai_refuses_commits_nothing(fake: FakeContext, error: OpenAIError) -> None:
    fake.max_job_usd = Decimal(25)
    fake.openai.faults["create"] = error
    drop(fake, "a.csv", rows(10))
    run(fake, ticks=30)
    spending = fake.context.repository.job_spending(only_job(fake).id)
    assert (spending.spent, spending.committed) == (0, 0)
    assert fake.context.repository.month_spending("2025-06").committed == 0
