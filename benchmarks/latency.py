"""The time from the end of a job's last batch at OpenAI until its results are in S3, simulated with AWS's delays.

The use cases run over fakes, on a simulated clock: the schedule polls, queues deliver, functions start, and calls take
their time. `python -m benchmarks deployed_latency` measures the same on the deployed embedded stack, whose schedule is
the template's, and whose calls take no time.
"""

import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from math import ceil
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from urllib.request import Request, urlopen

from benchmarks.loopback import NOW, open_batch, open_job
from dropbatch.adapters.clients import S3_CALLS_AT_ONCE
from dropbatch.batch_api.limits import Limits
from dropbatch.domain.poller import Pace, Poller
from dropbatch.domain.states import ENDED_JOBS, OpenAIStatus
from dropbatch.polling.poll import poll
from dropbatch.ports import RemoteBatch
from dropbatch.storage.repository import Repository
from local.deployed import Deployed
from local.programs import free_port
from local.stack import TOOLS, Stack
from tests.driving import Ending, deliver, drop, finish, handle, jobs, rows
from tests.fakes import FakeMessage, answer_ok
from tools.capacity.simulation import DAY, Account

MINUTE = 60

SCHEDULE_SECONDS = (0.0, 5.0)
"""How late EventBridge Scheduler starts a poll. It promises the minute, and no second of it."""

QUEUE_SECONDS = (0.02, 0.5)
"""How long SQS and Lambda take to hand over a message. Lambda polls a queue all the time, with long polls."""

COLD_SECONDS, WARM_MINUTES = 1.5, 5
"""How long a function takes to start if none has run for some minutes: init, and fetching its code. See the figures
`cold_collect_s`, which do not fetch anything."""

CALL_SECONDS = {"openai": 0.06, "table": 0.01, "objects": 0.04, "other": 0.02}
"""How long a call takes from a function, by its port."""

POLL_BATCH_SECONDS = 0.0002
"""How long a poll computes for each open batch: three times what `poll_cpu_s` came to, for a third of a processor."""

COLLECT_SECONDS = 4.0
"""How long a batch of 50,000 answers takes: 50 MB to read, 100 MB to write, and a second to compute."""

COPY_SECONDS = 0.5
"""How long S3 takes to copy a piece of 50 MB. Each shard has two."""

AT_ONCE = 3
"""The template's `MaximumConcurrency` of the collect queue."""

SINGLES, SINGLES_AMONG_MANY, LARGE, LARGE_BATCHES = 200, 40, 20, 200
"""How many jobs of one batch are measured, and how many of 200."""

OPEN_JOBS = (1, 100, 10_000)
MEDIAN_BATCH_SECONDS = 1_500

STACK = TOOLS / "benchmarks" / "latency"
NO_LIMITS = {"MaxJobCost": "0", "MaxMonthlyCost": "0"}  # nobody knows the prices of 200 models
DEPLOYED_SINGLES, DEPLOYED_EVERY_SECONDS = 20, 7
DEPLOYED_BATCH_SECONDS = (90.0, 240.0)
"""How long the batches of the large job take. They are created within a minute."""

GIVE_UP_SECONDS = 900

FIGURES = {
    "latency_median_s": ("s", "≤ 45"),
    "latency_95th_s": ("s", "≤ 90"),
    "latency_200_median_s": ("s", "≤ 45"),
    "latency_200_95th_s": ("s", "≤ 90"),
    "latency_200_at_once_s": ("s", ""),
    "latency_deployed_median_s": ("s", "≤ 45"),
    "latency_deployed_95th_s": ("s", "≤ 90"),
    "latency_deployed_200_s": ("s", ""),
    **{f"latency_{number}_open_{which}_s": ("s", "") for number in OPEN_JOBS[1:] for which in ("median", "95th")},
}


@dataclass
class World:
    """An account whose calls, queues and functions take time.

    `ends` says when the last batch of each measured job ends at OpenAI, `waits` how long its results took from then on.
    """

    account: Account
    chance: random.Random
    ends: dict[str, float] = field(default_factory=dict)
    waits: dict[str, float] = field(default_factory=dict)
    _running: list[tuple[float, FakeMessage]] = field(default_factory=list)
    _collected_at: float = 0.0

    def run(self) -> None:
        """Let time pass until all measured jobs have their results."""
        clock = self.account.clock
        poll_at = self._poll_after(clock())
        while self.waits.keys() < self.ends.keys():
            clock.now = self._next_moment(poll_at)
            self._collect()
            if clock() >= poll_at:
                self._poll()
                poll_at = self._poll_after(clock())

    def _poll_after(self, now: float) -> float:
        """Return when the next poll starts: the schedule's minute, and a little later."""
        return now - now % MINUTE + MINUTE + self.chance.uniform(*SCHEDULE_SECONDS)

    def _next_moment(self, poll_at: float) -> float:
        moments = [poll_at, *(end for end, _ in self._running)]
        if len(self._running) < AT_ONCE:
            moments += [message.due for message in self.account.collect.messages]
        return max(self.account.clock(), min(moments))

    def _poll(self) -> None:
        """Poll. Its messages are in the queue when it has made all its calls."""
        account, before = self.account, Counter(self.account.calls)
        account.openai.move()
        known = set(map(id, account.collect.messages))
        poll(account.context)
        takes = _seconds(account.calls - before) + POLL_BATCH_SECONDS * len(account.table.open("batch"))
        if account.clock() > self._collected_at + WARM_MINUTES * MINUTE:
            takes += COLD_SECONDS
        for message in account.collect.messages:
            if id(message) not in known:
                message.due = account.clock() + takes + self.chance.uniform(*QUEUE_SECONDS)

    def _collect(self) -> None:
        """End the invocations that are over by now, and start others on what the queue has."""
        now, queue = self.account.clock(), self.account.collect
        for one in sorted((one for one in self._running if one[0] <= now), key=lambda one: one[0]):
            self._running.remove(one)
            _, message = one
            before = Counter(self.account.calls)
            ending = handle(self.account, "collect", message)
            assert ending is Ending.DONE
            finish(self.account, "collect", message, ending)
            self._collected_at = now
            job_id = message.body["job_id"]
            job = self.account.counted.repository.job(job_id)
            if job is not None and job.state in ENDED_JOBS and job_id not in self.waits:
                calls = self.account.calls - before
                self.waits[job_id] = now + _joining_seconds(calls, job.shards) - self.ends[job_id]
        while len(self._running) < AT_ONCE and (taken := queue.receive()) is not None:
            self._running.append((now + COLLECT_SECONDS, taken))


def _seconds(calls: Counter[str]) -> float:
    return sum(
        number * CALL_SECONDS.get(call.partition(".")[0], CALL_SECONDS["other"]) for call, number in calls.items()
    )


def _joining_seconds(calls: Counter[str], shards: int) -> float:
    """Return how long the last invocation of a job takes after its batch: its calls, and the copies within S3."""
    rounds = ceil(shards / S3_CALLS_AT_ONCE)  # of reading what each shard came to, and of two copies
    return _seconds(calls) + rounds * (CALL_SECONDS["objects"] + 2 * COPY_SECONDS)


def simulate(
    folder: Path, jobs_of: int, batches: int, others: int, chance: random.Random, at_once: bool = False
) -> World:
    """Simulate jobs, each of a number of batches, while `others` jobs of one batch are open."""
    folder.mkdir()
    account = Account(folder, limits=Limits(batch_requests=2))
    account.openai.answer = answer_ok
    account.clock.now = NOW - NOW % MINUTE + MINUTE
    Repository(account.table).save(Poller(dispatch=Pace(256)))  # the jobs were submitted long ago
    account.objects.drop("recipe.yaml", b'model: gpt-6-luna\nprompt: "{{ text }}"\n')
    for number in range(jobs_of):
        drop(
            account, f"{number}.csv", rows(2 * batches).replace(b"row", b"row of %d:" % number)
        )  # each is another file
    deliver(account)
    while len(account.openai.batches) < jobs_of * batches:
        account.clock.sleep(MINUTE)
        assert account.clock() < NOW + DAY, "batches that are never created"
        poll(account.context)
        deliver(account)
    dropped = jobs(account)
    for number in range(others):
        account.counted.repository.add(replace(open_job(number), sent_at=0))  # no message about it waits
        account.counted.repository.add(other := open_batch(number, others))
        account.openai.show(RemoteBatch(other.openai_id or "", OpenAIStatus.IN_PROGRESS, int(account.clock()), "file"))
    poll(account.context)  # it writes the status of each job for the first time
    world = World(account, chance)
    begin = account.clock()
    first = {job.id: begin + MINUTE * (1 + number + chance.random()) for number, job in enumerate(dropped)}
    for batch in list(account.openai.batches.values()):
        job_id = batch.metadata.get("job", "")
        if job_id in first:
            spread = 0.0 if batches == 1 or at_once else chance.lognormvariate(0, 0.7) * MEDIAN_BATCH_SECONDS
            account.openai.end_at(batch.id, first[job_id] + spread)
            world.ends[job_id] = max(world.ends.get(job_id, 0), first[job_id] + spread)
    world.run()
    return world


def latency() -> dict[str, float]:
    """Return the seconds from the end at OpenAI to the results, for one batch and for a job of 200."""
    chance = random.Random(1)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        places = (Path(folder, str(number)) for number in count())
        for number in OPEN_JOBS:
            singles = SINGLES if number == 1 else SINGLES_AMONG_MANY
            waits = list(simulate(next(places), singles, 1, number - 1, chance).waits.values())
            name = "latency" if number == 1 else f"latency_{number}_open"
            figures |= _figures(name, waits, f"one batch, {number:,} open jobs")
        large = [
            wait for _ in range(LARGE) for wait in simulate(next(places), 1, LARGE_BATCHES, 0, chance).waits.values()
        ]
        figures |= _figures("latency_200", large, f"a job of {LARGE_BATCHES} batches")
        burst = simulate(next(places), 1, LARGE_BATCHES, 0, chance, at_once=True).waits.values()
        figures["latency_200_at_once_s"] = max(burst)
        print(f"  all of them at once: {max(burst):.0f} s")
    return figures


def _figures(name: str, waits: Sequence[float], what: str) -> dict[str, float]:
    middle, last = median(waits), quantiles(waits, n=20)[-1]
    print(f"  {what:<40} {middle:5.1f} s, 95th {last:5.1f} s, at most {max(waits):5.1f} s, {len(waits)} jobs")
    return {f"{name}_median_s": middle, f"{name}_95th_s": last}


def deployed_latency() -> dict[str, float]:
    """Return the same of the deployed embedded stack, which polls once a minute."""
    stack = Stack(STACK, free_port(), free_port(), parameters=NO_LIMITS, say=lambda what: print(f"  {what}"))
    with stack.deployed_anew() as deployed:
        singles = _deployed_singles(deployed)
        large = _deployed_large(deployed)
    print(f"  the job of {LARGE_BATCHES} batches: {large:.1f} s")
    return _figures("latency_deployed", singles, "one batch, deployed") | {"latency_deployed_200_s": large}


def _deployed_singles(deployed: Deployed) -> list[float]:
    """Return how long the results of jobs of one batch take that end all over the schedule's minute."""
    keys = [f"single-{number}.jsonl" for number in range(DEPLOYED_SINGLES)]
    for number, key in enumerate(keys):
        _put(deployed, key, [f"single-{number}"])
        time.sleep(DEPLOYED_EVERY_SECONDS)
    return [_deployed_wait(deployed, key) for key in keys]


def _deployed_large(deployed: Deployed) -> float:
    """Return how long the results of one job take. Each row is for another model, and so is a batch."""
    chance = random.Random(1)
    models = [f"model-{number}" for number in range(LARGE_BATCHES)]
    delays = [
        {"kind": "delay", "phase": "in_progress", "model": model, "seconds": chance.uniform(*DEPLOYED_BATCH_SECONDS)}
        for model in models
    ]
    _add_faults(deployed, delays)
    _put(deployed, "large.jsonl", models)
    while len(_batches(deployed)) < DEPLOYED_SINGLES + LARGE_BATCHES:
        deployed.tick()  # it admits further batches
        time.sleep(1)
    return _deployed_wait(deployed, "large.jsonl")


def _put(deployed: Deployed, key: str, models: Sequence[str]) -> None:
    bodies = ({"model": model, "messages": [{"role": "user", "content": "Hello"}]} for model in models)
    lines = [
        json.dumps({"custom_id": body["model"], "method": "POST", "url": "/v1/chat/completions", "body": body})
        for body in bodies
    ]
    deployed.client("s3").put_object(Bucket=deployed.values["INBOX_BUCKET"], Key=key, Body="\n".join(lines).encode())


def _deployed_wait(deployed: Deployed, key: str) -> float:
    """Wait for a drop's results. Return the seconds from the end of its last batch until they were there."""
    s3, bucket = deployed.client("s3"), deployed.values["RESULTS_BUCKET"]
    until = time.monotonic() + GIVE_UP_SECONDS
    while True:
        found = {each["Key"]: each for each in s3.list_objects_v2(Bucket=bucket, Prefix=f"{key}/").get("Contents", [])}
        summaries = [name for name in found if name.endswith("/summary.json")]
        if summaries:
            break
        if time.monotonic() > until:
            raise TimeoutError(f"no summary within {GIVE_UP_SECONDS} seconds: {STACK}/logs say why")
        time.sleep(1)
    summary = json.load(s3.get_object(Bucket=bucket, Key=summaries[0])["Body"])
    ended = max(batch.completed_at for batch in _batches(deployed) if batch.metadata["job"] == summary["job_id"])
    return float(found[summaries[0]]["LastModified"].timestamp() - ended)


def _batches(deployed: Deployed) -> Sequence[Any]:
    """Return all batches, as OpenAI lists them."""
    from openai import OpenAI  # noqa: TID251  # it asks as a user of the account does

    client = OpenAI(api_key=deployed.values["OPENAI_API_KEY"], base_url=deployed.values["OPENAI_BASE_URL"])
    return list(client.batches.list(limit=100))


def _add_faults(deployed: Deployed, faults: Sequence[Mapping[str, Any]]) -> None:
    url = deployed.values["OPENAI_BASE_URL"].removesuffix("/v1") + "/_emulator/faults"
    urlopen(Request(url, json.dumps(faults).encode(), {"content-type": "application/json"})).close()
