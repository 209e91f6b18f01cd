"""Jobs at their limits of money, with approvals, cancels, faults of OpenAI, and processes that are killed at any call.

`BUDGET_SCHEDULES` sets the number of schedules. The seeds are fixed, so that a run can be repeated.
"""

import os
import random
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.errors import OpenAIOutcomeUnknownError, OpenAIRateLimitError
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import APPROVABLE, ENDED_JOBS, HeldReason, JobState
from dropbatch.jobs.spending import job_limit
from dropbatch.ports import RemoteBatch
from dropbatch.storage.repository import Repository
from tests.driving import RECIPE, deliver, drop, jobs, only_job, rows, run
from tests.fakes import FakeContext, FakeOpenAI, Killer, answer_ok, response_line
from tests.schedules.invariants import check

SCHEDULES = int(os.environ.get("BUDGET_SCHEDULES", "300"))
PARTS = 4
"""The number of tests over which the schedules are distributed, so that two processes share them."""

LIMITED = RECIPE + b"parameters: {max_completion_tokens: 20, reasoning_effort: none}\nattempts: 2\n"
"""Each answer has at most 20 tokens, so that the estimates are near the truth, as those of OpenAI's own answers are."""

CANARY = b"canary: {rows: 3, min_ok: 0.7}\n"

MAX_CALL = 700
"""Kills happen among this number of calls."""


class UnreliableOpenAI(FakeOpenAI):
    """FakeOpenAI whose creates sometimes fail, or are in doubt."""

    chance = random.Random(0)

    def create(self, *args: Any) -> RemoteBatch:
        luck = self.chance.random()
        if luck < 0.1:
            raise OpenAIRateLimitError("slow_down", 30)
        made = super().create(*args)
        if luck < 0.2:
            raise OpenAIOutcomeUnknownError("timeout")
        return made


class Schedule:
    """One schedule: jobs with limits, and what its users and its faults do."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        killer = Killer()
        killer.points = {self.chance.randrange(2 * MAX_CALL) for _ in range(self.chance.choice((0, 1, 1, 2, 3)))}
        price = _price(folder)
        self.fake = fake = FakeContext(folder / str(seed), limits=Limits(batch_requests=4), killer=killer)
        fake.scratch.mkdir()
        fake.openai = UnreliableOpenAI(fake.clock)
        fake.openai.chance = self.chance
        fake.openai.answer = self._answer
        if self.chance.random() < 0.7:
            fake.max_job_usd = price * Decimal(self.chance.choice(("0.5", "1.05", "1.3", "3")))
        if self.chance.random() < 0.5:
            fake.max_month_usd = price * Decimal(self.chance.choice(("1.2", "2", "3.5")))
        self.repository = Repository(fake.table)  # of the test, which nothing kills
        self.limits: dict[str, Decimal] = {}
        self.held: dict[str, set[int]] = {}
        for name in ("a", "b")[: self.chance.choice((1, 2, 2))]:
            own = self.chance.choice((b"", b"", CANARY, CANARY, b"hold: true\n"))
            budget = f"budget_usd: {price * Decimal(self.chance.choice(('0.8', '1.1', '2'))):f}\n".encode()
            fake.objects.drop(f"{name}/recipe.yaml", LIMITED + own + (budget if self.chance.random() < 0.5 else b""))
            drop(fake, f"{name}/rows.csv", rows(12))

    def _answer(self, request: dict[str, Any]) -> Any:
        luck = self.chance.random()
        if luck < 0.15:
            return "error", response_line(request, 500, {"error": {"code": "server_error", "message": "no"}})
        if luck < 0.25:
            return "error", response_line(request, 400, {"error": {"code": "invalid_value", "message": "no"}})
        where, line = answer_ok(request)
        usage = {"prompt_tokens": self.chance.randrange(5, 30), "completion_tokens": self.chance.randrange(5, 21)}
        line["response"]["body"]["usage"] = usage
        return where, line

    def live(self) -> None:
        """Let time pass until all jobs have ended. Their users approve or cancel what is held, or let it be."""
        for _ in range(400):
            if run(self.fake, ticks=1):
                break
            self._watch()
            for job in jobs(self.fake):
                if job.state is JobState.HELD and job.held_reason in APPROVABLE:
                    self._answer_question(job)
                elif job.held_reason is HeldReason.FAILING and self.chance.random() < 0.5:
                    drop(self.fake, f"{job.drop.key}.retry", b"")
        else:
            pytest.fail("a job has not ended")
        self._watch()

    def _answer_question(self, job: Job) -> None:
        luck = self.chance.random()
        if luck < 0.5:
            drop(self.fake, f"{job.drop.key}.{'cancel' if luck < 0.06 else 'approve'}", b"")

    def _watch(self) -> None:
        """Assert that no job has passed its limit by more than one batch, and no month the stack's."""
        dearest = Decimal(0)
        for job in jobs(self.fake):
            paid = [batch.paid for batch in self.repository.batches(job.id)]
            dearest = max([dearest, *paid])
            limit = job_limit(self.fake.context, job)
            if job.held_reason in APPROVABLE:
                self.held.setdefault(job.id, set()).add(job.held_at)
            if limit is None:
                continue
            # An approval raises the limit. A canary has a lower one only before anything else is sent.
            self.limits[job.id] = limit = max(limit, self.limits.get(job.id, limit))
            assert sum(paid) <= limit + max(paid, default=Decimal(0)), f"{job.drop.key} has passed its limit"
        limit = self.fake.max_month_usd
        month = self.repository.month_spending("2025-06")
        if limit is not None and not any(job.approved for job in jobs(self.fake)):
            assert month.spent <= limit + dearest, "the month has passed its limit"

    def check(self) -> None:
        """Assert that no row is lost, that all money is counted once, and that each hold was notified."""
        check(self.fake)
        for job in jobs(self.fake):
            notified = [n for n in self.fake.topics.published if n.event == "held" and n.detail["job_id"] == job.id]
            assert len(notified) >= len(self.held.get(job.id, ())), "each hold is notified"


_prices: list[Decimal] = []


def _price(folder: Path) -> Decimal:
    """Return the likely price of twelve rows."""
    if not _prices:
        other = FakeContext(folder / "priced", limits=Limits(batch_requests=4))
        other.objects.drop("recipe.yaml", LIMITED + b"hold: true\n")
        drop(other, "a.csv", rows(12))
        deliver(other)
        quote = only_job(other).quote
        assert quote is not None
        assert quote.price is not None
        _prices.append(quote.price.likely)
    return _prices[0]


@pytest.mark.parametrize("part", range(PARTS))
def test_no_job_passes_its_limit_by_more_than_one_batch(part: int, tmp_path: Path, tally: Counter[str]) -> None:
    holds: Counter[str] = Counter()
    for seed in range(part, SCHEDULES, PARTS):
        schedule = Schedule(tmp_path, seed)
        try:
            schedule.live()
            schedule.check()
        except BaseException as error:
            error.add_note(f"in schedule {seed}")
            raise
        for job in jobs(schedule.fake):
            assert job.state in ENDED_JOBS
            holds.update(job.holds.keys())
        tally["schedules of limits of money"] += 1
    assert len(holds) >= 4 or SCHEDULES < 300, f"the schedules reach too few kinds of holds: {holds}"
