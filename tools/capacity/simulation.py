"""A busy account: a day of drops on a simulated clock, through the real use cases, over fakes in memory.

Drops come over a working day, and once many at a time. OpenAI has a token limit for each model, accepts 2,000 creates
an hour, and needs minutes to hours for a batch. Some rows fail and are retried. Functions take seconds, and each queue
has as many at once as the template allows. The study prints how long drops wait, how many calls are made, and how long
queues grow. It fails if a job does not end, or if an invariant does not hold.

`make simulation` (`DROPS=` for fewer than 10,000)
"""

import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, inf
from pathlib import Path
from statistics import median, quantiles
from time import process_time
from typing import Any

from dropbatch.batch_api.limits import MAX_BATCHES_PER_HOUR, Limits
from dropbatch.domain.errors import OpenAIRateLimitError
from dropbatch.domain.states import OpenAIStatus
from dropbatch.polling.poll import poll
from dropbatch.ports import RemoteBatch
from dropbatch.storage.context import Context
from tests.driving import Functions, drop, jobs
from tests.fakes import FakeClock, FakeContext, FakeOpenAI, Faults, answer_ok, response_line
from tests.schedules.invariants import check

HOUR, DAY = 3600, 86_400
BUSY_HOURS = (8, 18)
"""Three of four drops come between these hours, the others all day."""

BURST, BURST_HOUR = 0.2, 9
"""The share of the drops that comes at once, as an export does, and the hour of it."""

ROWS, MAX_ROWS = 12, 1_000
"""The median and the maximum of a drop's rows. Some drops have far more than the median."""

BATCH_REQUESTS = 300
"""Maximum number of requests of a batch. Larger drops have several, as drops over 50,000 rows have at OpenAI."""

BATCH_SECONDS, MAX_BATCH_SECONDS = 1_500, 20 * HOUR
"""The median and the maximum of the time that OpenAI takes for a batch."""

TOKENS_A_DROP = 40
"""Maximum number of enqueued tokens of a model, for each drop of the day: about as many as the busy hours need."""

FAILING_ROWS = 0.01
MODELS = ("gpt-6-luna", "gpt-6-luna", "gpt-5.6-luna")

WORKERS = {"intake": (2, 3), "dispatch": (3, 5), "collect": (3, 5)}
"""For each queue, the number of functions that run at once, and the seconds of an invocation."""

GIVE_UP_DAYS = 5
RECIPE = b'model: %s\nprompt: "Answer in one word: {{ text }}"\n'


class _OpenAI(FakeOpenAI):
    """FakeOpenAI with batches that take time, and with limits of enqueued tokens and of creates."""

    def __init__(self, clock: FakeClock, chance: random.Random, token_limit: int) -> None:
        super().__init__(clock)
        self._chance = chance
        self._limit = token_limit
        self.creates_an_hour = None  # it counts them itself
        self._ends: dict[str, float] = {}
        self._enqueued: dict[str, tuple[str, int]] = {}  # of the batches that have not ended: model and tokens
        self._names: list[str] = []
        self.creates: Counter[int] = Counter()  # by hour
        self.most_enqueued: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def create(self, file_id: str, endpoint: str, metadata: Mapping[str, str]) -> RemoteBatch:
        hour = int(self._clock()) // HOUR
        if self.creates[hour] >= MAX_BATCHES_PER_HOUR:
            self.refused["creates"] += 1
            raise OpenAIRateLimitError("rate_limit_exceeded", 60)
        self.creates[hour] += 1
        made = super().create(file_id, endpoint, metadata)
        self._names.append(made.id)
        requests = [json.loads(line) for line in self.files[file_id].split(b"\n") if line]
        model, tokens = requests[0]["body"]["model"], self.tokens(made)
        enqueued = sum(size for its, size in self._enqueued.values() if its == model)
        if enqueued + tokens > self._limit:
            self.refused["tokens"] += 1
            text = f"Enqueued token limit reached for {model} in organization o. Limit: {self._limit:,} enqueued"
            error = ("token_limit_exceeded", f"{text} tokens. Please try again later.", None)
            self.batches[made.id] = replace(made, status=OpenAIStatus.FAILED, errors=[error])
        else:
            self.most_enqueued[model] = max(self.most_enqueued[model], enqueued + tokens)
            self._enqueued[made.id] = model, tokens
            takes = self._chance.lognormvariate(0, 1) * BATCH_SECONDS
            self._ends[made.id] = self._clock() + min(MAX_BATCH_SECONDS, max(60, takes))
        return made

    def show(self, batch: RemoteBatch) -> None:
        """Show a batch that stays open."""
        self.batches[batch.id] = batch
        self._names.append(batch.id)

    def end_at(self, batch_id: str, at: float) -> None:
        """Have a batch end at another time."""
        self._ends[batch_id] = at

    def move(self) -> None:
        """End the batches whose time has come."""
        for name in [name for name, end in self._ends.items() if end <= self._clock()]:
            del self._ends[name], self._enqueued[name]
            self._end(self.batches[name], OpenAIStatus.COMPLETED)

    def next_end(self) -> float:
        """Return when the next batch ends; infinite if none is under way."""
        return min(self._ends.values(), default=inf)

    def retrieve(self, batch_id: str) -> RemoteBatch:
        return self.batches[batch_id]

    def newest(self, after: str | None = None) -> Iterator[Sequence[RemoteBatch]]:
        first = self._names.index(after) if after else len(self._names)
        for end in range(first, 0, -100):
            yield [self.batches[name] for name in reversed(self._names[max(0, end - 100) : end])]

    def forget(self, job_id: str) -> None:
        """Delete the batches of an ended job, and their files."""
        for name in [name for name, batch in self.batches.items() if batch.metadata["dropbatch"].startswith(job_id)]:
            batch = self.batches.pop(name)
            for file_id in (batch.input_file_id, batch.output_file_id, batch.error_file_id):
                for files in (self.files, self.contents):
                    files.pop(file_id or "", None)
            for kept in (self._history, self._inputs, self._metadata, self._endpoints, self._projects_of, self._ends):
                kept.pop(name, None)
            self._names.remove(name)
            self._enqueued.pop(name, None)
        for paid in [paid for paid in self._paid if paid[0] == job_id]:
            del self._paid[paid]


class _Counted:
    """A port whose calls are counted."""

    def __init__(self, name: str, port: Any, calls: Counter[str]) -> None:
        self._name, self._port, self._calls = name, port, calls

    def __getattr__(self, member: str) -> Any:
        found = getattr(self._port, member)

        def called(*args: Any, **more: Any) -> Any:
            self._calls[f"{self._name}.{member}"] += 1
            return self._paged(found(*args, **more)) if member == "newest" else found(*args, **more)

        return called

    def _paged(self, pages: Iterator[Any]) -> Iterator[Any]:
        """Count a call for each page."""
        for page in pages:
            self._calls[f"{self._name}.list"] += 1
            yield page


@dataclass
class Account(FakeContext):
    """The world of the simulation."""

    token_limit: int = 10**9
    seed: int = 1
    faulty: bool = False  # whether its ports can be made to fail, by its killer, a Faults
    calls: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.faulty:
            self.killer = Faults(self.clock)
        self.chance = random.Random(self.seed)
        self.openai: _OpenAI = _OpenAI(self.clock, self.chance, self.token_limit)
        self.openai.answer = self._answer
        seen = super().context
        counted: dict[str, Any] = {
            name: _Counted(name, getattr(seen, name), self.calls)
            for name in ("objects", "table", "intake", "dispatch", "collect", "topics", "bus", "openai")
        }
        counted["dead_letters"] = {
            name: _Counted(f"dead_letters.{name}", dead, self.calls) for name, dead in seen.dead_letters.items()
        }
        self.counted: Context = replace(seen, **counted)

    @property
    def context(self) -> Context:
        return self.counted

    def _answer(self, request: dict[str, Any]) -> Any:
        if self.chance.random() < FAILING_ROWS:
            return "error", response_line(request, 500, {})
        return answer_ok(request)


@dataclass(frozen=True, slots=True)
class Day:
    """The figures of a simulated day. Waiting times are in seconds, one for each drop."""

    account: Account
    waits: dict[str, list[float]]
    longest: dict[str, int]
    invocations: dict[str, int]
    polls: int
    most_open: int
    slowest_poll_s: float  # of CPU
    most_calls_a_poll: int  # to OpenAI
    days: float


def simulate(drops: int, *, folder: Path, hours: float = 24, token_limit: int | None = None, seed: int = 1) -> Day:
    """Drop `drops` files within `hours` hours until all jobs have ended. Raise an AssertionError if one does not."""
    account = Account(
        folder,
        limits=Limits(batch_requests=BATCH_REQUESTS),
        token_limit=token_limit or drops * TOKENS_A_DROP,
        seed=seed,
    )
    clock, context = account.clock, account.context
    clock.now -= clock.now % DAY  # midnight
    began = clock.now
    for model in set(MODELS):
        account.objects.drop(f"{model}/recipe.yaml", RECIPE % model.encode())
    arrivals = sorted(arrivals_of(account.chance, drops, hours * HOUR), reverse=True)
    functions = {name: Functions(account, name, *work) for name, work in WORKERS.items()}
    heard: dict[tuple[str, str], float] = {}  # (event, key) → when it was published
    told = polls = most_open = most_calls = 0
    slowest = 0.0
    while True:
        clock.now = next_moment(account, functions.values(), began + arrivals[-1] if arrivals else inf)
        while arrivals and began + arrivals[-1] <= clock.now:
            arrivals.pop()
            key = f"{account.chance.choice(MODELS)}/{len(arrivals):06d}.csv"
            drop(account, key, _rows(account.chance))
            heard["dropped", key] = clock.now
        account.openai.move()
        for its in functions.values():
            its.step()
        if int(clock.now) % 60 == 0:
            calls, cpu = _calls_to_openai(account), process_time()
            poll(context)
            slowest, most_calls = max(slowest, process_time() - cpu), max(most_calls, _calls_to_openai(account) - calls)
            polls += 1
            most_open = max(most_open, len(account.table.open("batch")))
            for its in functions.values():
                its.measure()
            is_open = any(account.table.open(kind) for kind in ("job", "outbox", "page"))
            if not arrivals and not is_open and not any(its.running for its in functions.values()):
                break
            assert clock.now < began + GIVE_UP_DAYS * DAY, "jobs that never end"
        for notification in account.topics.published[told:]:
            heard.setdefault((notification.event, notification.detail["drop"]["key"]), clock.now)
        told = len(account.topics.published)
    check(account)
    return Day(
        account,
        _waits(account, heard),
        {name: its.longest for name, its in functions.items()},
        {name: its.invocations for name, its in functions.items()},
        polls,
        most_open,
        slowest,
        most_calls,
        (clock.now - began) / DAY,
    )


def next_moment(account: Account, functions: Iterable[Functions], arrival: float) -> float:
    """Return the next second in which anything happens. A poll is due each minute."""
    now = account.clock.now
    moments = [now - now % 60 + 60, arrival, account.openai.next_end()]
    moments += [due for its in functions if (due := its.due()) is not None]
    return max(now + 1, ceil(min(moments)))


def arrivals_of(chance: random.Random, drops: int, seconds: float) -> Iterator[float]:
    """Yield the times at which drops come, in seconds of a day that has `seconds` seconds."""
    scale = seconds / DAY
    for number in range(drops):
        if number < drops * BURST:
            yield BURST_HOUR * HOUR * scale
        elif chance.random() < 0.75:
            yield chance.uniform(*BUSY_HOURS) * HOUR * scale
        else:
            yield chance.uniform(0, 24) * HOUR * scale


def _rows(chance: random.Random) -> bytes:
    count = min(MAX_ROWS, max(1, int(chance.lognormvariate(0, 1.3) * ROWS)))
    serial = chance.getrandbits(64)
    return b"text\n" + b"".join(b"what row %d of %d asks for\n" % (number, serial) for number in range(count))


def _calls_to_openai(account: Account) -> int:
    return sum(count for name, count in account.calls.items() if name in ("openai.list", "openai.retrieve"))


def _waits(account: Account, heard: Mapping[tuple[str, str], float]) -> dict[str, list[float]]:
    submitted: dict[str, float] = {}  # when the last of a job's first batches was created
    for batch in account.openai.batches.values():
        if batch.metadata["dropbatch"].endswith("/0"):
            submitted[batch.metadata["job"]] = max(submitted.get(batch.metadata["job"], 0), batch.created_at)
    waits: dict[str, list[float]] = {"drop → accepted": [], "accepted → submitted": [], "submitted → ended": []}
    for job in jobs(account):
        accepted = heard["accepted", job.drop.key]
        last = submitted.get(job.id, accepted)
        waits["drop → accepted"].append(accepted - heard["dropped", job.drop.key])
        waits["accepted → submitted"].append(max(0, last - accepted))
        waits["submitted → ended"].append(heard["ended", job.drop.key] - last)
    return waits


def report(day: Day) -> str:
    account = day.account
    found = jobs(account)
    lines = [
        f"{len(found):,} drops of {sum(job.rows for job in found):,} rows: {len(account.openai.batches):,} batches, "
        f"{account.openai.refused['tokens']:,} refused for tokens; all ended after {day.days:.1f} days",
        f"at most {day.most_open:,} batches open, {max(account.openai.creates.values()):,} creates an hour, "
        f"{day.most_calls_a_poll} calls to OpenAI a poll, {day.slowest_poll_s:.2f} s of CPU a poll",
        "",
        f"  {'minutes of waiting':<24}{'median':>10}{'95th':>10}{'most':>10}",
    ]
    for name, waits in day.waits.items():
        lines.append(
            f"  {name:<24}{median(waits) / 60:>10.1f}{quantiles(waits, n=20)[-1] / 60:>10.1f}{max(waits) / 60:>10.1f}"
        )
    lines += ["", f"  {'queue':<24}{'invoked':>10}{'longest':>10}"]
    lines += [f"  {name:<24}{day.invocations[name]:>10,}{longest:>10,}" for name, longest in day.longest.items()]
    lines += [f"  {'polls':<24}{day.polls:>10,}", "", f"  {'calls':<24}{'all':>10}{'a drop':>10}"]
    for name, count in sorted(account.calls.items()):
        lines.append(f"  {name:<24}{count:>10,}{count / len(found):>10.2f}")
    return "\n".join(lines)


def main(drops: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        began = process_time()
        print(report(simulate(drops, folder=Path(folder))))
        print(f"\n  simulated in {process_time() - began:.0f} s of CPU")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
