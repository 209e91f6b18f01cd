"""A drop that would cost more than its owner expects waits for an `.approve` of its price; over fakes."""

import gzip
import json
from decimal import Decimal
from pathlib import Path

import pytest

from dropbatch.domain.spending import MonthSpending
from dropbatch.domain.states import HeldReason, JobState
from dropbatch.messages import IntakeMessage
from dropbatch.ports import Notification
from tests.driving import (
    ALMOST_NOTHING,
    RECIPE,
    drop,
    jobs,
    only_job,
    price_between,
    published,
    result,
    result_json,
    rows,
    run,
    sent_rows,
)
from tests.fakes import INBOX, FakeContext, answer_ok, response_line

DAY = 86_400

UNKNOWN = b'model: nobody-knows-1\nprompt: "{{ text }}"\n'


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    fake = FakeContext(tmp_path, max_job_usd=price_between(tmp_path, rows(10), rows(12)))
    fake.objects.drop("recipe.yaml", RECIPE)
    return fake


def held(fake: FakeContext) -> Notification:
    """Return the last question for an approval."""
    return published(fake, "held")[-1]


def test_a_drop_over_the_limit_of_a_job_is_held_with_its_price_and_nothing_is_sent(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows(12))
    run(fake, ticks=60)
    job = only_job(fake)
    assert (job.state, job.held_reason) == (JobState.HELD, HeldReason.COST)
    assert fake.openai.files == {}
    (told,) = fake.topics.published
    assert told.subject == "a.csv: waits for your approval, 12 rows"
    assert "MaxJobCost" in told.text
    assert "a.csv.approve" in told.text
    assert "a.csv.cancel" in told.text
    assert "Without an approval it is cancelled after 14 days." in told.text
    quote = job.quote
    assert quote is not None
    assert quote.price is not None
    assert told.detail["money"]["asked"] == float(round(quote.price.likely, 5))
    assert told.detail["money"]["spent"] == 0
    assert told.detail["quote"].items() <= result_json(fake, "quote.json").items()
    page = result(fake, "approval.html").decode()
    assert "<dt>Likely cost</dt>" in page
    assert "MaxJobCost" in page
    assert "make a folder `a.csv.approve` beside the file" in page
    assert "status.json" not in page, "what an approval needs, and no more"
    (link,) = [line for line in told.text.splitlines() if line.startswith("As a page")]
    assert link.endswith(f"{job.id}/approval.html")


def test_a_drop_within_the_limit_needs_no_approval(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows(10))
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED


@pytest.mark.parametrize("marker", ["a.csv.approve", "a.csv.approve/"])
def test_an_approve_resumes_a_held_job(fake: FakeContext, marker: str) -> None:
    drop(fake, "a.csv", rows(12))
    run(fake, ticks=30)
    drop(fake, marker, b"")
    run(fake)
    job = only_job(fake)
    assert job.state is JobState.SUCCEEDED
    assert job.quote is not None
    assert job.quote.price is not None
    assert job.approved_usd == job.quote.price.likely
    assert result_json(fake, "summary.json")["rows"]["ok"] == 12
    assert fake.topics.events() == ["held", "marker", "ended"]


def test_an_approve_in_capitals_is_none_because_a_bucket_policy_could_not_forbid_it(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows(12))
    run(fake, ticks=3)
    drop(fake, "a.csv.Approve", b"")
    run(fake, ticks=3)
    assert only_job(fake).state is JobState.HELD
    assert "did you mean `.approve`?" in published(fake, "marker")[-1].text


@pytest.mark.parametrize("seconds", [0, 30])
def test_an_approve_that_is_older_than_its_question_has_no_effect(fake: FakeContext, seconds: int) -> None:
    """Its owner has not seen the price."""
    version = fake.objects.drop("a.csv", rows(12))
    event = IntakeMessage(INBOX, "a.csv", version, event_at=int(fake.clock())).to_json()
    drop(fake, "a.csv.approve", b"")
    fake.clock.sleep(seconds + 1)
    fake.intake.send(event)
    run(fake, ticks=10)
    assert only_job(fake).state is JobState.HELD
    assert published(fake, "marker")[-1].detail["reason"] == "before_quote"

    drop(fake, "a.csv.approve", b"")
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED


def test_a_late_event_of_an_older_approve_does_not_approve_a_later_question(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows(12))
    run(fake, ticks=2)
    approve = fake.objects.event(INBOX, "a.csv.approve", fake.objects.drop("a.csv.approve", b""))
    job = only_job(fake)
    job.held_at = int(fake.clock()) + 1  # it was held again since
    fake.context.repository.save(job)
    fake.clock.sleep(60)
    fake.intake.send(approve)
    run(fake, ticks=3)
    assert only_job(fake).state is JobState.HELD


def test_a_cancel_ends_a_held_job_without_a_cost(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows(12))
    run(fake, ticks=3)
    drop(fake, "a.csv.cancel", b"")
    run(fake)
    assert only_job(fake).state is JobState.CANCELLED
    assert fake.openai.files == {}


@pytest.mark.slow
def test_a_held_job_is_cancelled_after_two_weeks_without_an_approve(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows(12))
    run(fake, ticks=13 * 24, step=3600)
    assert only_job(fake).state is JobState.HELD
    run(fake, ticks=3 * 24, step=3600)
    assert only_job(fake).state is JobState.CANCELLED
    assert fake.topics.events() == ["held", "ended"]
    assert fake.openai.files == {}


def test_the_recipe_has_a_limit_of_its_own(fake: FakeContext) -> None:
    fake.max_job_usd = None
    fake.objects.drop("b/recipe.yaml", RECIPE + b"budget_usd: 0.0000001\n")
    drop(fake, "b/a.csv", rows(1))
    run(fake, ticks=3)
    assert only_job(fake).held_reason is HeldReason.COST
    assert "the recipe's `budget_usd`" in held(fake).text


def test_a_recipe_cannot_lift_the_limit_of_the_stack(fake: FakeContext) -> None:
    fake.objects.drop("b/recipe.yaml", RECIPE + b"budget_usd: 1000\n")
    drop(fake, "b/a.csv", rows(12))
    run(fake, ticks=3)
    assert only_job(fake).held_reason is HeldReason.COST


def test_a_recipe_can_ask_for_an_approval_of_every_run(fake: FakeContext) -> None:
    fake.objects.drop("b/recipe.yaml", RECIPE + b"hold: true\n")
    drop(fake, "b/a.csv", rows(1))
    run(fake, ticks=3)
    assert only_job(fake).held_reason is HeldReason.REQUESTED
    assert "its recipe says `hold: true`" in held(fake).text
    drop(fake, "b/a.csv.approve", b"")
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED


def test_a_month_has_a_limit_for_all_jobs_together(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "a.csv", rows(10))
    run(fake)
    (first,) = jobs(fake)
    spent = fake.context.repository.job_spending(first.id).spent
    assert spent > 0
    fake.max_month_usd = spent + ALMOST_NOTHING
    drop(fake, "b.csv", rows(10))
    run(fake, ticks=3)
    job = jobs(fake)[-1]
    assert job.held_reason is HeldReason.MONTH
    assert "MaxMonthlyCost" in held(fake).text
    assert held(fake).detail["money"]["month"]["name"] == "2025-06"
    fake.clock.sleep(2)
    drop(fake, "b.csv.approve", b"")
    run(fake)
    assert jobs(fake)[-1].state is JobState.SUCCEEDED, "an approval passes the limit of the month"


def test_a_job_that_costs_nothing_goes_on_in_a_month_whose_money_is_spent(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, max_month_usd=Decimal(100))
    fake.context.repository.add(MonthSpending(month="2025-06", spent=Decimal(101)))
    fake.objects.drop("recipe.yaml", b'endpoint: /v1/moderations\nprompt: "{{ text }}"\n')
    drop(fake, "a.csv", rows(10))
    run(fake)
    assert fake.topics.events() == ["accepted", "ended"]


def test_a_question_names_each_limit_that_the_job_passes(fake: FakeContext) -> None:
    fake.max_month_usd = Decimal(100)
    fake.context.repository.add(MonthSpending(month="2025-06", spent=Decimal(101)))
    fake.objects.drop("recipe.yaml", RECIPE + b"hold: true\n")
    drop(fake, "a.csv", rows(12))
    run(fake, ticks=3)
    assert "its recipe says `hold: true`" in held(fake).text
    assert "needs an approval (the stack's parameter MaxJobCost)." in held(fake).text
    assert "nothing is left for 2025-06 of the $100 that all jobs may cost in a month" in held(fake).text


def test_a_question_about_the_month_names_what_open_batches_have_reserved(fake: FakeContext) -> None:
    fake.max_job_usd, fake.max_month_usd = None, Decimal(1)
    fake.context.repository.add(MonthSpending(month="2025-06", spent=Decimal("0.1"), committed=Decimal("0.9")))
    drop(fake, "a.csv", rows(12))
    run(fake, ticks=3)
    assert "nothing is left for 2025-06 of the $1 that all jobs may cost in a month" in held(fake).text
    assert "Open batches have reserved 90 cents: more is left once they have cost less." in held(fake).text


def test_a_new_month_begins_with_nothing(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, max_month_usd=Decimal(100))
    fake.context.repository.add(MonthSpending(month="2025-06", spent=Decimal("99.9"), committed=Decimal("0.1")))
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "a.csv", rows(10))
    run(fake, ticks=3)
    fake.clock.sleep(31 * DAY)
    drop(fake, "b.csv", rows(10))
    run(fake, ticks=10)
    states = {job.drop.key: job.state for job in jobs(fake)}
    assert states["b.csv"] is JobState.SUCCEEDED
    assert states["a.csv"] is not JobState.SUCCEEDED, "its owner has not approved it"


@pytest.mark.parametrize("limits", [{"max_job_usd": Decimal(25)}, {"max_month_usd": Decimal(500)}])
def test_a_job_without_a_known_price_is_held_while_there_is_a_limit(tmp_path: Path, limits: dict[str, Decimal]) -> None:
    fake = FakeContext(tmp_path, **limits)
    fake.objects.drop("recipe.yaml", UNKNOWN)
    drop(fake, "a.csv", rows(1))
    run(fake, ticks=3)
    assert only_job(fake).held_reason is HeldReason.UNPRICED
    assert "no price is known for the model nobody-knows-1" in held(fake).text
    assert held(fake).detail["money"]["asked"] is None
    drop(fake, "a.csv.approve", b"")
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED


def test_a_question_about_an_unknown_price_says_how_to_give_one(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, max_job_usd=Decimal(25))
    fake.objects.drop("recipe.yaml", UNKNOWN)
    drop(fake, "a.csv", rows(1))
    run(fake, ticks=3)
    assert "drop this run, write the key `prices` into recipe.yaml, and then make a folder `a.csv.rerun`" in (
        held(fake).text
    )
    fake.clock.sleep(2)
    drop(fake, "a.csv.cancel", b"")
    run(fake, ticks=5)
    drop(fake, "recipe.yaml", UNKNOWN + b"prices: {input: 1, output: 2}\n")
    fake.clock.sleep(2)
    drop(fake, "a.csv.rerun", b"")
    run(fake)
    assert [job.state for job in jobs(fake)] == [JobState.CANCELLED, JobState.SUCCEEDED]


def test_a_question_about_a_retry_of_unknown_price_leads_to_no_second_payment(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", UNKNOWN)
    failed = {"error": {"code": "server_error", "message": "no"}}
    fake.openai.answer = lambda request: (
        answer_ok(request) if request["custom_id"] != "2" else ("error", response_line(request, 500, failed))
    )
    drop(fake, "a.csv", rows(3))
    run(fake)
    fake.openai.answer = answer_ok
    fake.max_job_usd = Decimal(25)
    fake.clock.sleep(2)
    drop(fake, "a.csv.retry", b"")
    run(fake, ticks=3)
    assert "and then make a folder `a.csv.retry` beside the file" in held(fake).text
    fake.clock.sleep(2)
    drop(fake, "a.csv.cancel", b"")
    run(fake, ticks=5)
    drop(fake, "recipe.yaml", UNKNOWN + b"prices: {input: 1, output: 2}\n")
    fake.clock.sleep(2)
    drop(fake, "a.csv.retry", b"")
    run(fake)
    assert [job.state for job in jobs(fake)] == [JobState.PARTIAL, JobState.CANCELLED, JobState.SUCCEEDED]
    assert {row for batch in sent_rows(fake)[1:] for row in batch} == {2}, "no answered row is asked again"


def test_a_question_about_ready_requests_names_no_recipe(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, max_job_usd=Decimal(25))
    body = {"model": "nobody-knows-1", "messages": [{"role": "user", "content": "hello"}]}
    request = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    drop(fake, "a.jsonl", json.dumps(request).encode())
    run(fake, ticks=3)
    assert only_job(fake).held_reason is HeldReason.UNPRICED
    assert "recipe" not in held(fake).text


def test_without_a_limit_and_a_price_very_many_rows_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dropbatch.intake.approval.MAX_UNPRICED_REQUESTS", 10)
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", UNKNOWN)
    for name, count in (("a", 10), ("b", 11)):
        drop(fake, f"{name}.csv", rows(count))
        run(fake, ticks=10)
    assert [job.held_reason for job in jobs(fake)] == [None, HeldReason.SIZE]
    assert "no price is known" in held(fake).text


@pytest.mark.parametrize(("count", "waits"), [(3_000, True), (900, False)])
def test_a_file_with_an_extreme_compression_ratio_is_held_unless_it_is_small(
    tmp_path: Path, count: int, waits: bool
) -> None:
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", RECIPE)
    data = b"text\n" + b"the same again and again and again\n" * count
    packed = gzip.compress(data)
    assert len(data) > 50 * len(packed)
    drop(fake, "a.csv.gz", packed)
    run(fake, ticks=5)
    assert only_job(fake).state is (JobState.HELD if waits else JobState.SUCCEEDED)
    if waits:
        assert "which were packed into a far smaller file than usual. That may be a mistake." in held(fake).text
        assert "no price is known" not in held(fake).text
