"""Limits of money: what is reserved for a batch, and what it has cost in the end, each counted once."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from dropbatch.domain.batches import Batch
from dropbatch.domain.drops import Drop
from dropbatch.domain.errors import StaleItemError
from dropbatch.domain.jobs import Canary, Job
from dropbatch.domain.quotes import Dollars, Quote, Tokens
from dropbatch.domain.spending import Fit, JobSpending, Spending, fit, month_of
from dropbatch.domain.states import BatchState, HeldReason, JobState
from dropbatch.jobs.spending import find_limit, job_limit, release, reserve, settle, standing
from tests.fakes import FakeContext

MONTH = "2025-06"
CENT = Decimal("0.01")


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    fake = FakeContext(tmp_path)
    assert month_of(int(fake.clock())) == MONTH
    return fake


def job_of(fake: FakeContext, name: str = "a", **members: object) -> Job:
    drop = Drop("inbox", f"folder/{name}.csv", "v", 0)
    job = Job(id=f"job-{name}", drop=drop, created_at=0, state=JobState.RUNNING, recipe_path="folder/recipe.yaml")
    for member, value in members.items():
        setattr(job, member, value)
    fake.context.repository.add(job)
    return job


def batch_of(fake: FakeContext, job: Job, shard: int = 0, likely: str = "0.01", high: str = "0.02") -> Batch:
    batch = Batch(
        job_id=job.id, shard=shard, model_group=0, endpoint="/v1/chat/completions", model="gpt-6-luna", requests=10,
        tokens=100, created_at=0, likely_usd=Decimal(likely), high_usd=Decimal(high),
    )  # fmt: skip  # a batch in a line or two
    fake.context.repository.add(batch)
    return batch


def close(fake: FakeContext, batch: Batch, micro_usd: int) -> Batch:
    """Collect a batch, as the collector does, and return it as the table has it."""

    def collected(current: Batch) -> bool:
        current.state, current.usd = BatchState.COLLECTED, Decimal(micro_usd) / 1_000_000
        current.standard_usd = Decimal(2 * micro_usd) / 1_000_000
        return True

    found = fake.context.repository.update(batch, collected)
    assert found is not None
    return found


def spent(fake: FakeContext, job: Job) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """Return what a job has spent and committed, and what the month has."""
    own, month = fake.context.repository.job_spending(job.id), fake.context.repository.month_spending(MONTH)
    return own.spent, own.committed, month.spent, month.committed


@pytest.mark.parametrize(
    ("spent", "committed", "likely", "high", "expected"),
    [
        (0, 0, 5, 10, Fit.FITS),
        (0, 0, 10, 11, Fit.FITS),  # alone, it goes by what it likely costs
        (0, 0, 11, 12, Fit.EXCEEDS),
        (0, 1, 5, 9, Fit.FITS),
        (0, 1, 5, 10, Fit.WAITS),  # beside others it must fit whatever it costs
        (9, 0, 1, 1, Fit.FITS),
        (9, 0, 1, 2, Fit.FITS),
        (9, 0, 2, 2, Fit.EXCEEDS),
        (10, 0, 0, 0, Fit.FITS),
        (11, 0, 0, 0, Fit.FITS),  # what is free needs no money
        (11, 1, 0, 0, Fit.FITS),
        (11, 0, 0, 1, Fit.EXCEEDS),
    ],
)
def test_a_batch_fits_a_limit_of_ten(spent: int, committed: int, likely: int, high: int, expected: Fit) -> None:
    spending = JobSpending(job_id="job", spent=Decimal(spent), committed=Decimal(committed))
    assert fit(spending, Decimal(10), Decimal(likely), Decimal(high)) is expected
    assert fit(spending, None, Decimal(likely), Decimal(high)) is Fit.FITS


def test_the_month_is_that_of_utc() -> None:
    assert month_of(1_798_761_599) == "2026-12"  # 31 December, 23:59:59
    assert month_of(1_798_761_600) == "2027-01"


@pytest.mark.parametrize(
    ("members", "max_job", "expected"),
    [
        ({}, None, None),
        ({}, "25", "25"),
        ({"budget_usd": Decimal(5)}, "25", "5"),
        ({"budget_usd": Decimal(50)}, "25", "25"),  # a recipe does not lift the limit of the stack's owner
        ({"budget_usd": Decimal(50)}, None, "50"),
        ({"approved": True, "approved_usd": Decimal(40)}, "25", "48.0"),
        ({"approved": True}, "25", None),  # no price was known
        ({"canary": Canary(50, Decimal("0.9"), Decimal(1))}, "25", "1"),
        ({"canary": Canary(50, Decimal("0.9"), Decimal(1), is_passed=True)}, "25", "25"),
    ],
)
def test_the_limit_of_a_job(
    fake: FakeContext, members: dict[str, object], max_job: str | None, expected: str | None
) -> None:
    fake.max_job_usd = Decimal(max_job) if max_job else None
    found = job_limit(fake.context, job_of(fake, **members))
    assert found == (None if expected is None else Decimal(expected))


def test_a_price_is_reserved_with_the_intent_to_create_and_settled_once(fake: FakeContext) -> None:
    job = job_of(fake)
    batch = batch_of(fake, job)
    batch.creating_at = 7
    assert reserve(fake.context, job, batch)
    kept = fake.context.repository.batch(job.id, batch.sort_key)
    assert kept is not None
    assert (kept.creating_at, kept.reserved_usd, kept.reserved_month) == (7, 2 * CENT, MONTH)
    assert spent(fake, job) == (0, 2 * CENT, 0, 2 * CENT)

    closed = close(fake, batch, 15_000)
    again = replace(closed)  # as another process has read it
    settle(fake.context, closed)
    settle(fake.context, again)
    settle(fake.context, closed)
    assert spent(fake, job) == (Decimal("0.015"), 0, Decimal("0.015"), 0)
    month = fake.context.repository.month_spending(MONTH)
    assert month.standard == Decimal("0.03")
    totals = {kind: list(fake.context.repository.month_totals(MONTH, kind)) for kind in ("folder", "model", "recipe")}
    assert {kind: [(t.name, t.requests, t.paid, t.standard) for t in found] for kind, found in totals.items()} == {
        kind: [(name, 10, Decimal("0.015"), Decimal("0.03"))]
        for kind, name in (("folder", "folder"), ("model", "gpt-6-luna"), ("recipe", "folder/recipe.yaml"))
    }


def test_a_batch_whose_create_was_in_doubt_reserves_no_second_time(fake: FakeContext) -> None:
    job = job_of(fake)
    batch = batch_of(fake, job)
    assert reserve(fake.context, job, batch)
    batch.creating_at = 8
    assert reserve(fake.context, job, batch)
    assert spent(fake, job) == (0, 2 * CENT, 0, 2 * CENT)


def test_what_openai_refuses_gives_its_money_back(fake: FakeContext) -> None:
    job = job_of(fake)
    batch = batch_of(fake, job)
    assert reserve(fake.context, job, batch)
    release(fake.context, batch)
    release(fake.context, batch)
    assert spent(fake, job) == (0, 0, 0, 0)
    kept = fake.context.repository.batch(job.id, batch.sort_key)
    assert kept is not None
    assert (kept.reserved_usd, kept.reserved_month) == (None, "")


def test_a_batch_that_is_abandoned_gives_its_money_back(fake: FakeContext) -> None:
    job = job_of(fake)
    batch = batch_of(fake, job)
    assert reserve(fake.context, job, batch)
    batch.state = BatchState.ABANDONED
    fake.context.repository.save(batch)
    assert [found.sort_key for found in fake.context.repository.open_batches()] == [batch.sort_key], (
        "until it is settled"
    )
    settle(fake.context, batch)
    assert spent(fake, job) == (0, 0, 0, 0)
    assert list(fake.context.repository.open_batches()) == []


@pytest.mark.parametrize(("openai_id", "creating_at"), [("batch_1", None), (None, 1)])
def test_a_batch_that_is_abandoned_at_openai_counts_as_spent_for_limits(
    fake: FakeContext, openai_id: str | None, creating_at: int | None
) -> None:
    job = job_of(fake)
    batch = batch_of(fake, job)
    assert reserve(fake.context, job, batch)
    batch.state, batch.openai_id, batch.creating_at = BatchState.ABANDONED, openai_id, creating_at
    fake.context.repository.save(batch)
    settle(fake.context, batch)
    assert spent(fake, job) == (0, 0, 0, 0)
    assert fake.context.repository.job_spending(job.id).assumed == 2 * CENT
    fake.max_job_usd = 2 * CENT
    assert find_limit(fake.context, job, batch_of(fake, job, 1))[0] is Fit.EXCEEDS


def test_an_abandoned_batch_that_reserved_nothing_owes_nothing(fake: FakeContext) -> None:
    batch = batch_of(fake, job_of(fake))
    batch.state = BatchState.ABANDONED
    assert not batch.owes_settlement


def test_of_two_jobs_that_want_the_last_dollars_of_a_month_one_gets_them(fake: FakeContext) -> None:
    fake.max_month_usd = 3 * CENT
    jobs = [job_of(fake, name) for name in ("a", "b")]
    batches = [batch_of(fake, job) for job in jobs]
    context = fake.context
    read = context.repository.month_spending

    def then_the_other(month: str) -> object:
        """Read the month's spending, and have the other job reserve before anything is written."""
        found = read(month)
        context.repository.month_spending = read  # type: ignore[method-assign]  # only once
        assert reserve(context, jobs[1], batches[1])
        return found

    context.repository.month_spending = then_the_other  # type: ignore[method-assign, assignment]
    assert not reserve(context, jobs[0], batches[0])
    assert context.repository.month_spending(MONTH).committed == 2 * CENT
    assert find_limit(context, jobs[0], batches[0]) == (Fit.WAITS, HeldReason.MONTH)


def test_a_reservation_of_a_batch_that_another_process_has_moved_fails(fake: FakeContext) -> None:
    job = job_of(fake)
    batch = batch_of(fake, job)
    old = replace(batch)
    fake.context.repository.save(batch)
    with pytest.raises(StaleItemError):
        reserve(fake.context, job, old)
    assert spent(fake, job) == (0, 0, 0, 0)


def test_a_batch_without_a_known_price_reserves_nothing_and_still_belongs_to_its_month(fake: FakeContext) -> None:
    fake.max_job_usd = CENT
    job = job_of(fake, approved=True)
    batch = batch_of(fake, job)
    batch.likely_usd = batch.high_usd = None
    assert reserve(fake.context, job, batch)
    fake.clock.sleep(31 * 86_400)  # it ends in another month
    settle(fake.context, close(fake, batch, 5_000))
    assert spent(fake, job) == (Decimal("0.005"), 0, Decimal("0.005"), 0)


def test_a_batch_of_an_older_release_is_settled_without_a_reservation(fake: FakeContext) -> None:
    job = job_of(fake)
    settle(fake.context, close(fake, batch_of(fake, job), 10_000))
    assert spent(fake, job) == (CENT, 0, CENT, 0)


def test_the_metrics_say_what_was_paid_and_saved(fake: FakeContext) -> None:
    job = job_of(fake)
    settle(fake.context, close(fake, batch_of(fake, job), 10_000))
    assert [metric[:2] for metric in fake.observer.metrics] == [("CostUSD", 0.01), ("SavedUSD", 0.01)]


def test_a_batch_that_an_older_release_collected_saved_an_unknown_amount(fake: FakeContext) -> None:
    batch = close(fake, batch_of(fake, job_of(fake)), 0)
    batch.usd, batch.standard_usd, batch.micro_usd = None, None, 10_000
    fake.context.repository.save(batch)
    settle(fake.context, batch)
    assert [metric[:2] for metric in fake.observer.metrics] == [("CostUSD", 0.01), ("SavedUSD", 0.0)]
    assert fake.context.repository.month_spending(MONTH).standard == CENT


def test_a_job_stands_as_it_is_quoted_and_later_as_it_has_come(fake: FakeContext) -> None:
    fake.max_job_usd, fake.max_month_usd = 10 * CENT, 20 * CENT
    quote = Quote(20, 20, Tokens(), Tokens(), Dollars(CENT, 5 * CENT, 9 * CENT))
    job = job_of(fake, state=JobState.BUILDING, quote=quote)
    found = standing(fake.context, job)
    assert (found.spent, found.likely, found.limit, found.month_limit) == (0, 5 * CENT, 10 * CENT, 20 * CENT)

    job.state = JobState.RUNNING
    first, second = batch_of(fake, job), batch_of(fake, job, 1)
    assert reserve(fake.context, job, first)
    settle(fake.context, close(fake, first, 30_000))
    found = standing(fake.context, job)
    assert (found.spent, found.month_spent) == (3 * CENT, 3 * CENT)
    assert found.likely == 6 * CENT, "the first batch was three times as dear as quoted"
    second.likely_usd = None
    fake.context.repository.save(second)
    assert standing(fake.context, job).likely is None


@pytest.mark.parametrize(
    ("unpriced", "unread", "assumed"), [(0, 0, "0"), (5, 0, "0.005"), (5, 5, "0.01"), (10, 10, "0.01")]
)
def test_requests_of_unknown_cost_count_at_their_likely_price(
    fake: FakeContext, unpriced: int, unread: int, assumed: str
) -> None:
    batch = batch_of(fake, job_of(fake))
    batch.state, batch.unpriced, batch.unread = BatchState.COLLECTED, unpriced, unread
    assert batch.assumed == Decimal(assumed)


def test_spending_never_becomes_negative() -> None:
    spending = Spending(spent=CENT, committed=CENT)
    spending.settle(2 * CENT, CENT)
    assert (spending.spent, spending.committed) == (2 * CENT, 0)
