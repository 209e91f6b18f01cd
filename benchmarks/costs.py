"""The cost of a month, of a drop and of a day, and the quotas that limit it: a model of counts, seconds and prices.

Counts come from runs: the real use cases over an account that counts what AWS bills (`benchmarks/metering.py`), on
drops of one shard and of eleven, which separates the cost of a drop from that of a shard of 50,000 rows. Alarms, keys
and queues come from the template, seconds from `benchmarks/latest.json`, prices from `benchmarks/prices.toml`. The
tables of docs/scale.md follow from the figures that it states: `make costs` counts again and prints them.
"""

import json
import math
import re
import tempfile
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from benchmarks.figures import read
from benchmarks.metering import PLATFORM_LOG_BYTES, SQS_REQUESTS_A_MESSAGE, Bill, MeteredAccount
from dropbatch.batch_api.limits import Limits
from dropbatch.domain.outcomes import Outcome
from dropbatch.domain.poller import Pace, Poller
from dropbatch.domain.states import ENDED_JOBS, JobState
from dropbatch.money.price_list import find_model
from dropbatch.polling.poll import poll
from dropbatch.storage.repository import Repository
from tests.driving import deliver, drop, jobs
from tests.fakes import RESULTS, WORK, answer_ok
from tests.infra.reading import Loader, Template, created, of_type
from tools.capacity.simulation import DAY, WORKERS

ROOT = Path(__file__).parents[1]

SHARD_ROWS = 50_000
RUN_ROWS = 50
"""The rows of a shard in the runs that count."""

ROW_BYTES, REQUEST_BYTES, ANSWER_BYTES = 500, 1_430, 1_000
INPUT_TOKENS, OUTPUT_TOKENS = 180, 15
MODEL = "gpt-6-luna"
"""A row of the benchmarks' drop: a review to classify."""

PART_BYTES = 8_388_608
DAYS_OF_A_MONTH = 30
POLLS = 1_440
"""The polls of a day."""

POLLERS, LONG_POLL_SECONDS = 5, 20
"""Lambda asks an idle queue for messages with five processes at once, each for 20 seconds. Without a maximum
concurrency it may go down to two, but then a busy queue would take all functions of a new account:
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html"""

INVOCATION_SECONDS = 0.2
"""The seconds of an invocation besides its rows: it reads and writes the table."""

FUNCTION_GB, POLL_GB = 1769 / 1024, 0.5
COLLECT_DISK_GB = 9.5
"""The disk of the collect function beyond the half GB that costs nothing."""

NETWORK_BYTES_A_SECOND = 50_000_000
"""The assumed speed between a function, S3 and OpenAI."""

KEPT_MONTHS = 1
"""How long results are kept and paid for. Dropbatch deletes a job's working files when the job ends."""

OPEN_HOURS = 2.0
"""The assumed time that a batch is open at OpenAI. Each poll asks for its progress, and writes what is new."""

DAYS = {"1,000": (1, 1_000), "1 million": (10, 100_000), "100 million": (100, 1_000_000)}
"""For each number of rows a day: the number of drops, and the rows of each."""

DROPS = {"10 rows": 10, "1,000 rows": 1_000, "a million rows": 1_000_000}

IDLE_MONTH_USD, MILLION_ROWS_USD, TEN_ROWS_USD = 2.50, 0.10, 0.001
"""The bounds of what AWS charges: for a month without a drop, for a million rows beside it, and for a drop of ten."""

Figures = Mapping[str, float]
Use = Mapping[str, float]
"""The amount of each thing that AWS bills, by the name of its price."""

BILLED = (
    "lambda_invocations",
    "s3_writes",
    "s3_reads",
    "table_writes",
    "table_reads",
    "sqs_requests",
    "sns_publishes",
    "sns_mails",
    "key_requests",
    "secret_reads",
    "events",
)
COUNTED = (*BILLED, "log_bytes", "openai_calls")
"""What the runs count. A document states `<name>_a_drop`, `<name>_a_shard` and `<name>_a_poll`."""

NEWS = ("s3_writes", "s3_reads", "table_writes", "table_reads")
"""What a poll needs more if batches have progressed: `<name>_a_drops_news` and `<name>_a_shards_news`."""

SECONDS = {
    "submit_million_s": 12.0,
    "collect_million_s": 15.0,
    "cold_submit_s": 1.5,
    "cold_collect_s": 1.5,
    "warm_poll_s": 0.3,
}
"""Cautious seconds, used if benchmarks/latest.json has none: of one core for a million rows in and out, of the start
and the first answer of a function, and of a poll with nothing open."""

SERVICES = {
    "Lambda": ("lambda_gb_seconds", "lambda_invocations", "lambda_disk_gb_seconds"),
    "requests to S3": ("s3_writes", "s3_reads"),
    "a month of storage in S3": ("s3_gb_months",),
    "DynamoDB": ("table_writes", "table_reads"),
    "SQS, SNS, EventBridge": ("sqs_requests", "sns_publishes", "sns_mails", "key_requests", "events", "ticks"),
    "logs, alarms, metrics, secret": (
        "log_gb",
        "traces",
        "alarm_months",
        "metric_months",
        "secret_months",
        "secret_reads",
    ),
}


@cache
def _prices() -> Mapping[str, float]:
    """Return the price of one of each thing that AWS bills."""
    listed = tomllib.loads(Path(__file__).with_name("prices.toml").read_text(encoding="utf-8"))
    return {name: its["dollars"] / its["per"] for name, its in listed.items()}


@cache
def template() -> Template:
    found: Template = yaml.load((ROOT / "template.yaml").read_text(encoding="utf-8"), Loader=Loader)
    return found


def dollars(use: Use) -> float:
    return sum(amount * _prices()[name] for name, amount in use.items())


# Counts ---------------------------------------------------------------------------------------------------------------


def count() -> dict[str, float]:
    """Count what a drop, each of its shards, and a poll with nothing open come to."""
    (one, few, metrics), (eleven, many, _), (idle, _, gauges) = _run(1), _run(11), _run(0)
    moved_one, moved_eleven = _run(1, moves=True)[0], _run(11, moves=True)[0]
    figures: dict[str, float] = {}
    for name in COUNTED:
        figures[f"{name}_a_shard"] = (eleven[name] - one[name]) / 10
        figures[f"{name}_a_drop"] = one[name] - figures[f"{name}_a_shard"]
        figures[f"{name}_a_poll"] = float(idle[name])
    for name in NEWS:
        by_one, by_eleven = (
            (its[name] - still[name]) / POLLS_WITH_NEWS for its, still in ((moved_one, one), (moved_eleven, eleven))
        )
        figures[f"{name}_a_shards_news"] = (by_eleven - by_one) / 10
        figures[f"{name}_a_drops_news"] = by_one - figures[f"{name}_a_shards_news"]
    figures["metrics_a_poll"] = float(len(gauges))
    figures["metrics_a_drop"] = float(len(metrics - gauges))
    figures["written_bytes_a_row"] = (eleven["written_bytes"] - one["written_bytes"]) / (10 * RUN_ROWS)
    figures["kept_bytes_a_row"] = (many - few) / (10 * RUN_ROWS)
    return figures


def _run(shards: int, moves: bool = False) -> tuple[Bill, int, set[str]]:
    """Return what a drop of `shards` shards came to without idle polls, the bytes that are kept of it, and its metrics.

    The bill of no shard is that of an idle poll. If it `moves`, each poll sees that the batches have progressed.
    """
    with tempfile.TemporaryDirectory() as folder:
        account = MeteredAccount(Path(folder), limits=Limits(batch_requests=RUN_ROWS))
        account.openai.answer = _answer
        account.objects.drop("recipe.yaml", f'model: {MODEL}\nprompt: "{{{{ text }}}}"\n'.encode())
        wide = Pace(64)  # as on a busy stack: all batches go in one poll
        Repository(account.table).save(Poller(dispatch=wide, collect=wide))
        with account.metering():
            poll(account.context)  # the first one begins the sweep
        idle = _of_idle_polls(account)
        if not shards:
            return idle, 0, account.metrics
        before = _kept(account)
        with account.metering() as bill:
            drop(account, "work/a.csv", _rows(RUN_ROWS * shards))  # in a folder, which has an index page of its own
            bill["events"] += 1
            bill["messages"] += 1
            polls = _until_all_is_done(account, bill, moves)
            bill["secret_reads"] += 2  # submit and collect are processes of their own
        for name, amount in idle.items():
            bill[name] -= polls * amount
        bill["sqs_requests"] += SQS_REQUESTS_A_MESSAGE * bill["messages"]
        bill["log_bytes"] += PLATFORM_LOG_BYTES * (bill["lambda_invocations"] + polls)
        return bill, _kept(account) - before, account.metrics


def _until_all_is_done(account: MeteredAccount, bill: Bill, moves: bool) -> int:
    """Let batches be open for their hours, poll each minute, and return how many polls there were."""
    polls, most = 0, int(OPEN_HOURS * 60)
    while polls < most + 30:
        progress = min(polls, POLLS_WITH_NEWS) / RUN_ROWS if moves else 0
        account.progress = progress if polls < most else None
        bill["lambda_invocations"] += deliver(account)
        account.clock.sleep(60)
        poll(account.context)
        polls += 1
    bill["lambda_invocations"] += deliver(account)
    assert all(job.state is JobState.SUCCEEDED for job in jobs(account))
    return polls


POLLS_WITH_NEWS = 40
"""In how many polls of such a run another row of each batch is done."""

POLLS_OF_A_RUN = 5
"""The idle polls that are counted: what is done each few minutes has its share in one."""


def _of_idle_polls(account: MeteredAccount) -> Bill:
    """Return what an idle poll comes to: the mean of some."""
    with account.metering() as bill:
        for _ in range(POLLS_OF_A_RUN):
            account.clock.sleep(60)
            poll(account.context)
    mean: Any = Counter({name: amount / POLLS_OF_A_RUN for name, amount in bill.items()})
    mean["log_bytes"] += PLATFORM_LOG_BYTES
    mean["lambda_invocations"] = 0  # the schedule's are counted by the day
    found: Bill = mean
    return found


def _kept(account: MeteredAccount) -> int:
    return account.kept_bytes(RESULTS) + account.kept_bytes(WORK)


def _rows(rows: int) -> bytes:
    """Return a csv of rows of `ROW_BYTES`, no two of them alike."""
    return b"text\n" + b"".join(b"%-*d.\n" % (ROW_BYTES - 2, number) for number in range(rows))


def _answer(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return an answer line of `ANSWER_BYTES`, most of which is not the model's text, as in OpenAI's."""
    where, line = answer_ok(request)
    body = line["response"]["body"]
    body["system_fingerprint"] = ""
    body["system_fingerprint"] = "x" * (ANSWER_BYTES - 1 - len(json.dumps(line)))
    return where, line


def figures_now() -> dict[str, float]:
    """Return the figures as they are counted and measured now."""
    latest = read()["figures"]
    seconds = {name: float(latest[name]["value"]) if name in latest else most for name, most in SECONDS.items()}
    return count() | seconds


def read_figures(text: str) -> dict[str, float]:
    """Return the figures that a document states, in a table's rows of a name and a number."""
    cells = (line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `"))
    return {name.strip("`"): float(number) for name, number in (its for its in cells if len(its) == 2)}


def figures_table(figures: Figures) -> str:
    return _table(("figure", "value"), [(f"`{name}`", f"{value:g}") for name, value in figures.items()])


def metric_names() -> tuple[set[str], set[str]]:
    """Return the names of the metrics that the code reports: always, and only if the stack has metrics of jobs."""
    sources = [module.read_text(encoding="utf-8") for module in (ROOT / "layers/core/dropbatch").rglob("*.py")]
    always, of_jobs = (
        {name for source in sources for name in re.findall(rf"\.{method}\(\s*\"(\w+)\"", source)}
        for method in ("metric", "job_metric")
    )
    return always, of_jobs


def metrics_of_jobs() -> int:
    """Return how many metrics a busy stack has of its jobs. Rows by outcome and jobs by status are one each."""
    values = {"Rows": len(Outcome), "JobsEnded": len(ENDED_JOBS - {JobState.REJECTED})}
    return sum(values.get(name, 1) for name in metric_names()[1])


# Uses -----------------------------------------------------------------------------------------------------------------


def of_polls(polls: float, figures: Figures, extra_seconds: float = 0) -> dict[str, float]:
    """Return what idle polls use, each of which stays for some seconds longer."""
    use = {name: polls * figures[f"{name}_a_poll"] for name in BILLED}
    use["ticks"] = use["lambda_invocations"] = polls
    use["lambda_gb_seconds"] = polls * (figures["warm_poll_s"] + extra_seconds) * POLL_GB
    use["log_gb"] = polls * figures["log_bytes_a_poll"] / 1e9
    return use


def of_drop(rows: float, figures: Figures, starts: bool = True) -> dict[str, float]:
    """Return what a drop uses. If it `starts` its functions, these had been idle."""
    shards = math.ceil(rows / SHARD_ROWS)

    def counted(name: str) -> float:
        return figures[f"{name}_a_drop"] + figures[f"{name}_a_shard"] * shards

    use = {name: counted(name) for name in BILLED}
    use["s3_writes"] += rows * figures["written_bytes_a_row"] / PART_BYTES
    news = min(OPEN_HOURS * 60, rows / shards)  # each poll, or each row
    for name in NEWS:
        use[name] += news * (figures[f"{name}_a_drops_news"] + figures[f"{name}_a_shards_news"] * shards)
    of_collect = INVOCATION_SECONDS * use["lambda_invocations"] / 2 + rows * collect_seconds(figures)
    seconds = INVOCATION_SECONDS * use["lambda_invocations"] + rows * busy_seconds(figures)
    if starts:
        of_collect += figures["cold_collect_s"]
        seconds += figures["cold_submit_s"] + figures["cold_collect_s"]
    use["lambda_gb_seconds"] = seconds * FUNCTION_GB
    use["lambda_disk_gb_seconds"] = of_collect * COLLECT_DISK_GB
    use["s3_gb_months"] = rows * figures["kept_bytes_a_row"] / 1e9 * KEPT_MONTHS
    use["log_gb"] = counted("log_bytes") / 1e9
    return use


def of_month(parameters: Mapping[str, str], figures: Figures) -> dict[str, float]:
    """Return what a stack with these parameters uses in a month, whatever it does."""
    resources = created(template(), parameters)
    is_traced = parameters.get("Tracing", template()["Parameters"]["Tracing"]["Default"]) == "enabled"
    polls = DAYS_OF_A_MONTH * POLLS
    return {
        "alarm_months": len(of_type(resources, "AWS::CloudWatch::Alarm")),
        "key_months": len(of_type(resources, "AWS::KMS::Key")),
        "secret_months": len(of_type(resources, "AWS::SecretsManager::Secret")),
        "metric_months": figures["metrics_a_poll"],
        "sqs_requests": DAYS_OF_A_MONTH * long_polls(),
        "traces": polls * is_traced,
    }


def long_polls() -> float:
    """Return how often Lambda asks the queues for messages in a day, if there are none."""
    functions = of_type(template()["Resources"], "AWS::Serverless::Function").values()
    sources = [its for each in functions for its in each["Properties"]["Events"].values() if its["Type"] == "SQS"]
    return len(sources) * POLLERS * DAY / LONG_POLL_SECONDS


def collect_seconds(figures: Figures) -> float:
    """Return the seconds for which a row keeps the collect function busy: with computing, and with the network."""
    through = figures["written_bytes_a_row"] / 2 + 2 * ANSWER_BYTES
    return figures["collect_million_s"] / 1e6 + through / NETWORK_BYTES_A_SECOND


def busy_seconds(figures: Figures) -> float:
    """Return the seconds for which a row keeps functions busy."""
    through = figures["written_bytes_a_row"] / 2 + 2 * ROW_BYTES + REQUEST_BYTES
    return collect_seconds(figures) + figures["submit_million_s"] / 1e6 + through / NETWORK_BYTES_A_SECOND


# Tables ---------------------------------------------------------------------------------------------------------------


def idle_month(figures: Figures, parameters: Mapping[str, str] | None = None) -> dict[str, float]:
    """Return the cost in dollars of a stack in 30 days without a drop, by what it is for, the highest first."""
    month = of_month(parameters or {}, figures)
    polls = DAYS_OF_A_MONTH * POLLS
    polling = of_polls(polls, figures)

    def cost(use: Use, *names: str) -> float:
        return dollars({name: use[name] for name in names})

    found = {
        f"{month['alarm_months']:.0f} alarms": cost(month, "alarm_months"),
        f"{month['metric_months']:.0f} metric that each poll reports": cost(month, "metric_months"),
        "Lambda's questions to three empty queues": cost(month, "sqs_requests"),
        "the secret": cost(month, "secret_months"),
        "a key for the topic with alarms": cost(month, "key_months"),
        "traces": cost(month, "traces"),
        f"{polls:,} polls of {figures['warm_poll_s']:g} s": cost(polling, "lambda_gb_seconds", "lambda_invocations"),
        "their ticks, by EventBridge Scheduler": cost(polling, "ticks"),
        "their writes to the table": cost(polling, "table_writes"),
        "their reads of the table": cost(polling, "table_reads"),
        "their questions to the dead-letter queues": cost(polling, "sqs_requests"),
        "their logs": cost(polling, "log_gb"),
    }
    found = {name: its for name, its in found.items() if its}
    return dict(sorted(found.items(), key=lambda its: -its[1])) | {"in all": sum(found.values())}


def idle_table(figures: Figures) -> str:
    return _table(("a month", "$"), [(name, f"{cost:.2f}") for name, cost in idle_month(figures).items()])


CHOICES = (("Alarms", "all"), ("Alarms", "none"), ("Tracing", "enabled"), ("AlarmsTopicEncryption", "enabled"))


def choices() -> dict[tuple[str, str], float]:
    """Return how many dollars a month each choice of a parameter costs beside its default."""
    figures: Figures = {"metrics_a_poll": 0}
    usual = dollars(of_month({}, figures))
    found = {each: dollars(of_month(dict([each]), figures)) - usual for each in CHOICES}
    found["JobMetrics", "enabled"] = dollars({"metric_months": metrics_of_jobs()})
    found["CreateDashboard", "enabled"] = dollars({"dashboard_months": 1})
    return found


def choices_table(_figures: Figures) -> str:
    notes = {"JobMetrics": "at most: all in each hour", "CreateDashboard": "if the account has three others"}
    lines = [(f"`{name}`", value, f"{cost:+.2f}", notes.get(name, "")) for (name, value), cost in choices().items()]
    return _table(("parameter", "value", "$ a month", ""), lines)


def poll_costs(figures: Figures, extra_seconds: float = 0, traced: bool = False) -> dict[str, float]:
    """Return the cost in dollars of one idle poll that stays for some seconds longer, by component."""
    use = of_polls(1, figures, extra_seconds) | {"traces": 1.0 * traced}
    parts = {
        "invocation": ("lambda_invocations",),
        "duration": ("lambda_gb_seconds",),
        "tick of the scheduler": ("ticks",),
        "writes to the table": ("table_writes",),
        "reads of the table": ("table_reads",),
        "questions to the dead-letter queues": ("sqs_requests",),
        "logs": ("log_gb",),
        "trace, if it is traced": ("traces",),
    }
    found = {name: dollars({its: use[its] for its in names}) for name, names in parts.items()}
    return found | {"in all": sum(found.values())}


STAYS_SECONDS = 40


def poll_table(figures: Figures) -> str:
    """Return a table of the cost of an idle poll, and of one that stays for 40 s more."""
    usual, traced, longer = (
        poll_costs(figures),
        poll_costs(figures, traced=True),
        poll_costs(figures, STAYS_SECONDS),
    )
    lines = [(name, *(f"{1e6 * its[name]:,.1f}" for its in (usual, traced, longer))) for name in usual]
    head = ("millionths of a $", "an idle poll", "one that is traced", f"one that stays {STAYS_SECONDS} s longer")
    return _table(head, lines)


def by_service(use: Use) -> dict[str, float]:
    """Return the dollars of a use by service."""
    named = {name: {its: use.get(its, 0) for its in names} for name, names in SERVICES.items()}
    return {name: dollars(its) for name, its in named.items()}


def drops_table(figures: Figures) -> str:
    """Return a table of what AWS charges for drops, beside the month that a stack costs anyway."""
    costs = [by_service(of_drop(rows, figures)) for rows in DROPS.values()]
    lines = [(name, *(f"{its[name]:.5f}" for its in costs)) for name in SERVICES]
    lines.append(("in all", *(f"{sum(its.values()):.5f}" for its in costs)))
    return _table(("$ for a drop of", *DROPS), lines)


def day(drops: int, rows_of_each: int, figures: Figures) -> dict[str, float]:
    """Return the use of each service by a day of such drops, and its cost in dollars (`$ …`)."""
    of_each = of_drop(rows_of_each, figures)
    month = of_month({}, figures)
    use: Counter[str] = Counter()
    for part, times in ((of_each, drops), (of_polls(POLLS, figures), 1), (month, 1 / DAYS_OF_A_MONTH)):
        for name, amount in part.items():
            use[name] += amount * times  # type: ignore[assignment]  # a Counter of floats
    batches = drops * math.ceil(rows_of_each / SHARD_ROWS)
    calls = drops * figures["openai_calls_a_drop"] + batches * figures["openai_calls_a_shard"]
    millions = drops * rows_of_each / 1e6
    used = {
        "drops": drops,
        "batches": batches,
        "Lambda invocations": use["lambda_invocations"],
        "Lambda GB-seconds": use["lambda_gb_seconds"],
        "S3 writes": use["s3_writes"],
        "S3 reads": use["s3_reads"],
        "S3 GB kept": use["s3_gb_months"],
        "DynamoDB write units": use["table_writes"],
        "DynamoDB read units": use["table_reads"],
        "SQS requests": use["sqs_requests"],
        "SNS requests": use["sns_publishes"],
        "EventBridge events": use["events"],
        "CloudWatch MB of logs": use["log_gb"] * 1e3,
        "OpenAI calls, at most": calls,
        "OpenAI million tokens": millions * (INPUT_TOKENS + OUTPUT_TOKENS),
    }
    cost = {f"$ {name}": its for name, its in by_service(use).items()}
    cost["$ AWS in all"] = sum(cost.values())
    cost["$ OpenAI"] = millions * openai_dollars_a_million()
    return used | cost


def openai_dollars_a_million() -> float:
    """Return what OpenAI charges for a million of the rows in batches."""
    listed = find_model(MODEL)
    assert listed is not None
    each: Callable[[Any], float] = lambda price: float(getattr(price, "base", price))  # noqa: E731
    return INPUT_TOKENS * each(listed.batch.input_mtok) + OUTPUT_TOKENS * each(listed.batch.output_mtok)


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


Table = Callable[[Figures], str]
TABLES_OF_SCALE: Sequence[Table] = (
    drops_table,
    costs_table,
    idle_table,
    quotas_table,
    poll_table,
    figures_table,
)
"""The tables of docs/scale.md."""


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
    print(*(table(now) for table in (*TABLES_OF_SCALE, choices_table)), sep="\n\n")
