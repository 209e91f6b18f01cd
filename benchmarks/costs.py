"""The cost of a day, by number of rows, and the quotas that limit it: a model of measured figures and list prices.

The study counts calls by running the real use cases over counting fakes, on drops of one shard and of eleven, and so
separates the cost of a drop from that of a shard of 50,000 rows. The benchmarks measure the seconds. Both are in
docs/scale.md, and its tables follow from them: `make costs` counts again and prints the tables.
"""

import math
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.figures import read
from dropbatch.batch_api.limits import Limits
from dropbatch.domain.outcomes import Outcome
from dropbatch.domain.poller import Pace, Poller
from dropbatch.domain.states import ENDED_JOBS, JobState
from dropbatch.polling.poll import poll
from dropbatch.storage.repository import Repository
from tests.driving import deliver, drop, jobs, rows
from tests.fakes import answer_ok
from tools.capacity.simulation import DAY, WORKERS, Account

PRICES_AS_OF = "the middle of 2025"
PRICES = {
    # US dollars, list prices of us-east-1 without any free tier: https://aws.amazon.com/<service>/pricing/ for lambda,
    # s3, dynamodb, sqs, sns, eventbridge, cloudwatch, xray, secrets-manager, kms. OpenAI's are of November 2026.
    "Lambda, a GB-second (arm64)": 0.0000133334,
    "Lambda, a million requests": 0.20,
    "S3, a thousand PUT, COPY, POST or LIST": 0.005,
    "S3, a thousand GET or HEAD": 0.0004,
    "S3, a GB for a month": 0.023,
    "DynamoDB, a million write units": 0.625,
    "DynamoDB, a million read units": 0.125,
    "SQS, a million requests": 0.40,
    "SNS, a million requests": 0.50,
    "EventBridge, a million events": 1.00,
    "CloudWatch, a GB of logs": 0.50,
    "CloudWatch, a metric for a month": 0.30,
    "CloudWatch, an alarm for a month": 0.10,
    "X-Ray, a million traces": 5.00,
    "Secrets Manager, a secret for a month": 0.40,
    "KMS, a key for a month": 1.00,
    "OpenAI, a million input tokens (gpt-6-luna, batch)": 0.05,
    "OpenAI, a million output tokens (gpt-6-luna, batch)": 0.25,
}

SHARD_ROWS = 50_000
ROW_BYTES, REQUEST_BYTES, ANSWER_BYTES = 500, 1_430, 1_000
INPUT_TOKENS, OUTPUT_TOKENS = 180, 15
"""A row of the benchmarks' drop: a review to classify."""

PART_BYTES = 8_388_608
WRITTEN_BYTES = 2 * ROW_BYTES + 2 * ANSWER_BYTES
"""Bytes of a row that go into S3: the row in its shard, its outcome, its lines of responses and answers."""

POLLS = 1_440
OPEN_LISTS = 5
"""The lists of the sparse index that each poll reads: jobs, batches, ended jobs, pending objects and changed pages."""

LONG_POLLS = 3 * 5 * DAY // 20
"""Requests with which Lambda asks three queues for messages, five at once, each for 20 seconds."""

INVOCATION_SECONDS = 0.2
"""The seconds of an invocation besides its rows: it reads and writes the table."""

GB_OF_A_FUNCTION = 1769 / 1024
POLL_GB, POLL_SECONDS = 0.5, 1.0
NETWORK_BYTES_A_SECOND = 50_000_000
"""The assumed speed between a function, S3 and OpenAI."""

LOG_BYTES = 600
"""The size of a line. A call of a use case logs about two lines."""

KEPT_MONTHS = 1
"""How long a day's results are kept and paid for. Dropbatch deletes a job's working files when the job ends."""

GAUGES = ("BatchesOpen", "OldestOpenBatchSeconds", "JobsStuck")
"""The metrics that every poll reports. A metric is billed for the hours in which it is reported."""

COUNTERS = (
    "JobsAccepted",
    "JobsRejected",
    "StepsFailed",
    "DeadLetters",
    "DoubleBatches",
    "UsageDifferences",
    "CostUSD",
    "SavedUSD",
)
METRICS = len(GAUGES) + len(COUNTERS) + len(Outcome) + len(ENDED_JOBS - {JobState.REJECTED})
"""Maximum number of metrics. Rows by outcome and jobs by status are one metric for each value."""

ALARMS = 20
OPEN_HOURS = 2.0
"""The assumed time that a batch is open at OpenAI. Polls read the open batches."""

BATCH_ITEM_BYTES = 900
DAYS = {"1,000": (1, 1_000), "1 million": (10, 100_000), "100 million": (100, 1_000_000)}
"""For each number of rows a day: the number of drops, and the rows of each."""

Figures = Mapping[str, float]
UNITS = {"table.write_all": 9, "table.newest": 75}
"""For how many calls some count. A transaction has three items when a batch reserves its price, and six when that is
settled, and DynamoDB bills each of them twice. An index page has at most 500 jobs, of 600 bytes each."""

COUNTED = {
    "s3_writes": ("objects.put", "objects.put_new", "objects.writing", "objects.join"),
    "s3_reads": ("objects.blocks", "objects.head"),
    "table_writes": ("table.insert", "table.replace", "table.write_all", "table.renew", "table.delete"),
    "table_reads": ("table.get", "table.query", "table.newest"),
    "messages": ("intake.send", "dispatch.send", "collect.send"),
    "notifications": ("topics.publish",),
    "events": ("bus.publish",),
    "openai": ("openai.upload", "openai.create", "openai.retrieve", "openai.list", "openai.streaming"),
}
"""The calls that each figure counts. A document states `<figure>_a_drop`, `<figure>_a_shard` and `<figure>_a_poll`."""

SECONDS = {"submit_million_s": 12.0, "collect_million_s": 15.0}
"""Cautious seconds of one core for a million rows in and out, used if benchmarks/latest.json has none."""


def count() -> dict[str, float]:
    """Count the calls of a drop, of each of its shards, and of a poll with nothing open, by service."""
    one, eleven, idle = _calls(1), _calls(11), _calls(0)
    figures = {}
    for name, members in COUNTED.items():
        first, all_of_them = (sum(UNITS.get(each, 1) * calls[each] for each in members) for calls in (one, eleven))
        figures[f"{name}_a_shard"] = (all_of_them - first) / 10
        figures[f"{name}_a_drop"] = first - figures[f"{name}_a_shard"]
        figures[f"{name}_a_poll"] = float(sum(idle[member] for member in members))
    return figures


def _calls(shards: int) -> Counter[str]:
    """Return the calls of a drop of `shards` shards without those of idle polls; those of an idle poll if it is 0."""
    with tempfile.TemporaryDirectory() as folder:
        account = Account(Path(folder), limits=Limits(batch_requests=50))
        account.openai.answer = answer_ok
        account.objects.drop("recipe.yaml", b'model: gpt-6-luna\nprompt: "{{ text }}"\n')
        wide = Pace(64)  # as on a busy stack: all batches go in one poll
        Repository(account.table).save(Poller(dispatch=wide, collect=wide))
        poll(account.context)  # the first one begins the sweep
        idle = _of_a_poll(account)
        account.calls.clear()
        if not shards:
            return idle
        drop(account, "work/a.csv", rows(50 * shards))  # in a folder, which has an index page of its own
        polls = 0
        for wait in (60, 86_000, *[60] * 20):
            deliver(account)
            account.clock.sleep(wait)
            account.openai.move()
            poll(account.context)
            polls += 1
            if all(job.state in ENDED_JOBS for job in jobs(account)):
                break
        deliver(account)
        return account.calls - Counter({call: polls * count for call, count in idle.items()})


def _of_a_poll(account: Account) -> Counter[str]:
    account.calls.clear()
    account.clock.sleep(60)
    poll(account.context)
    return Counter(account.calls)


def figures_now() -> dict[str, float]:
    """Return the figures as they are counted and measured now."""
    latest = read()["figures"]
    seconds = {name: float(latest[name]["value"]) if name in latest else most for name, most in SECONDS.items()}
    return count() | seconds


def read_figures(text: str) -> dict[str, float]:
    """Return the figures that a document states, in a table's rows of a name and a number."""
    cells = (line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `"))
    return {name.strip("`"): float(number) for name, number in cells}


def figures_table(figures: Figures) -> str:
    return _table(("figure", "value"), [(f"`{name}`", f"{value:g}") for name, value in figures.items()])


def day(drops: int, rows_of_each: int, figures: Figures) -> dict[str, float]:
    """Return the use of each service by a day of such drops, and its cost in dollars (`$ …`)."""
    shards = drops * math.ceil(rows_of_each / SHARD_ROWS)
    millions = drops * rows_of_each / 1e6

    def calls(name: str) -> float:
        of_each = figures[f"{name}_a_drop"] * drops + figures[f"{name}_a_shard"] * shards
        return of_each + figures[f"{name}_a_poll"] * POLLS

    messages = calls("messages") + drops
    seconds = busy_seconds(figures) * millions * 1e6 + INVOCATION_SECONDS * messages
    open_batches = shards * OPEN_HOURS / 24
    writes = calls("s3_writes") + millions * 1e6 * WRITTEN_BYTES / PART_BYTES
    reads_of_polls = POLLS * (
        OPEN_LISTS / 2 + open_batches * BATCH_ITEM_BYTES / 8192
    )  # half a unit for 4 KiB out of the index
    used = {
        "drops": drops,
        "batches": shards,
        "Lambda invocations": messages + POLLS,
        "Lambda GB-seconds": seconds * GB_OF_A_FUNCTION + POLLS * POLL_SECONDS * POLL_GB,
        "S3 writes": writes,
        "S3 reads": calls("s3_reads"),
        "S3 GB kept": millions * 1e6 * WRITTEN_BYTES / 1e9,
        "DynamoDB write units": 2 * calls("table_writes"),  # the item, and its copy in the index
        "DynamoDB read units": calls("table_reads") + reads_of_polls,
        "SQS requests": 3 * messages + LONG_POLLS,
        "SNS requests": 2 * calls("notifications"),
        "EventBridge events": drops + calls("events"),
        "CloudWatch MB of logs": (2 * messages + 5 * POLLS) * LOG_BYTES / 1e6,
        "X-Ray traces": messages + POLLS,
        "OpenAI calls": calls("openai") + POLLS * min(105, open_batches),
        "OpenAI million tokens": millions * (INPUT_TOKENS + OUTPUT_TOKENS),
    }
    p = PRICES
    a_month = METRICS * p["CloudWatch, a metric for a month"] + ALARMS * p["CloudWatch, an alarm for a month"]
    a_month += p["Secrets Manager, a secret for a month"] + p["KMS, a key for a month"]
    dollars = {
        "$ Lambda": used["Lambda GB-seconds"] * p["Lambda, a GB-second (arm64)"]
        + used["Lambda invocations"] / 1e6 * p["Lambda, a million requests"],
        "$ S3": writes / 1e3 * p["S3, a thousand PUT, COPY, POST or LIST"]
        + used["S3 reads"] / 1e3 * p["S3, a thousand GET or HEAD"]
        + used["S3 GB kept"] * KEPT_MONTHS * p["S3, a GB for a month"],
        "$ DynamoDB": used["DynamoDB write units"] / 1e6 * p["DynamoDB, a million write units"]
        + used["DynamoDB read units"] / 1e6 * p["DynamoDB, a million read units"],
        "$ SQS, SNS, EventBridge": used["SQS requests"] / 1e6 * p["SQS, a million requests"]
        + used["SNS requests"] / 1e6 * p["SNS, a million requests"]
        + used["EventBridge events"] / 1e6 * p["EventBridge, a million events"],
        "$ CloudWatch, X-Ray, secret, key": used["CloudWatch MB of logs"] / 1e3 * p["CloudWatch, a GB of logs"]
        + used["X-Ray traces"] / 1e6 * p["X-Ray, a million traces"]
        + a_month / 30,
    }
    dollars["$ AWS in all"] = sum(dollars.values())
    dollars["$ OpenAI"] = millions * (
        INPUT_TOKENS * p["OpenAI, a million input tokens (gpt-6-luna, batch)"]
        + OUTPUT_TOKENS * p["OpenAI, a million output tokens (gpt-6-luna, batch)"]
    )
    return used | dollars


def idle_month(figures: Figures) -> dict[str, float]:
    """Return the cost in dollars of a stack in 30 days without a drop, the highest first."""
    p, polls = PRICES, 30 * POLLS
    reads = polls * (figures["table_reads_a_poll"] + OPEN_LISTS / 2)
    found = {
        f"{ALARMS} alarms": ALARMS * p["CloudWatch, an alarm for a month"],
        "the topics' key": p["KMS, a key for a month"],
        f"{len(GAUGES)} metrics that each poll reports": len(GAUGES) * p["CloudWatch, a metric for a month"],
        "Lambda's questions to three empty queues": 30 * LONG_POLLS / 1e6 * p["SQS, a million requests"],
        "the secret": p["Secrets Manager, a secret for a month"],
        f"{polls:,} polls of {POLL_SECONDS:g} s": polls * POLL_SECONDS * POLL_GB * p["Lambda, a GB-second (arm64)"]
        + polls / 1e6 * p["Lambda, a million requests"],
        "their traces": polls / 1e6 * p["X-Ray, a million traces"],
        "their logs": polls * 5 * LOG_BYTES / 1e9 * p["CloudWatch, a GB of logs"],
        "their reads of the table": reads / 1e6 * p["DynamoDB, a million read units"],
    }
    return dict(sorted(found.items(), key=lambda cost: -cost[1])) | {"in all": sum(found.values())}


def idle_table(figures: Figures) -> str:
    return _table(("a month", "$"), [(name, f"{cost:.2f}") for name, cost in idle_month(figures).items()])


def busy_seconds(figures: Figures) -> float:
    """Return the seconds for which a row keeps a function busy: its share of computing, and of the network."""
    through = WRITTEN_BYTES + 2 * ROW_BYTES + REQUEST_BYTES + 2 * ANSWER_BYTES
    return sum(figures[name] for name in SECONDS) / 1e6 + through / NETWORK_BYTES_A_SECOND


def costs_table(figures: Figures) -> str:
    days = [day(*its, figures) for its in DAYS.values()]
    found = [(name, *(_number(name, its[name]) for its in days)) for name in days[0]]
    return _table(("a day", *(f"{rows} rows" for rows in DAYS)), found)


def quotas_table(figures: Figures) -> str:
    """Return a table of quotas and the rows a day at which each is reached, the lowest first."""
    at_once = sum(most for most, _ in WORKERS.values())
    large = day(*DAYS["100 million"], figures)
    rows_of_it = math.prod(DAYS["100 million"])
    enqueued = DAY / (OPEN_HOURS * 3600) / INPUT_TOKENS
    found = [
        (2e6 * enqueued, "OpenAI: 2 million enqueued tokens (a small model, tier 1)", "the tier: pay in advance"),
        (15e9 * enqueued, "OpenAI: 15 billion enqueued tokens (the same, tier 5)", "ask OpenAI; use several models"),
        (2_000 * 24 * SHARD_ROWS, "OpenAI: 2,000 batches an hour of 50,000 requests", "a second organization"),
        (
            at_once * DAY / busy_seconds(figures),
            f"Lambda: {at_once} functions at once (10 in a new account)",
            "the account's concurrency, then the queues' `MaximumConcurrency`",
        ),
        (
            rows_of_it * 3_500 * DAY / large["S3 writes"],
            "S3: 3,500 writes a second and prefix",
            "nothing: S3 divides prefixes automatically",
        ),
        (
            rows_of_it * 4_000 * DAY / large["DynamoDB write units"],
            "DynamoDB: 4,000 write units a second of a new table",
            "nothing: it doubles automatically",
        ),
    ]
    lines = [(_millions(rows), quota, remedy) for rows, quota, remedy in sorted(found)]
    return _table(("rows a day, in millions", "quota", "what to raise"), lines)


def _millions(rows: float) -> str:
    digits = 1 - math.floor(math.log10(rows / 1e6))
    return f"{round(rows / 1e6, digits):,.{max(0, digits)}f}"


def _number(name: str, value: float) -> str:
    return f"{value:,.2f}" if name.startswith("$") or value < 10 else f"{value:,.0f}"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = tuple("---" for _ in head)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))


if __name__ == "__main__":
    now = figures_now()
    print(figures_table(now), costs_table(now), idle_table(now), quotas_table(now), sep="\n\n")
