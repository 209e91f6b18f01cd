"""Quotes: the work and the price of a job as they are estimated before anything of it is sent."""

from dataclasses import dataclass, field
from decimal import Decimal

from dropbatch.domain.items import Item

NONE, HISTORY, SCHEMA, TYPICAL = "none", "history", "schema", "typical"
"""The basis of an estimate of answers: nothing, because they are no text; earlier jobs of the recipe; the size of a
schema; or answers of a typical length."""

LOW_CAP, TOOLS, IMAGE, FILE = "low_cap", "tools", "images", "files"
"""The codes of warnings about a quote: a model that reasons has a low cap, OpenAI's fees for tools are not estimated,
and the sizes of images or of files are not known."""

MIN_REASONING_CAP = 1_000
"""With a lower cap, a model that reasons may use it up before it says anything."""

MAX_PARTS = 10
"""How many pairs of endpoint and model a quote lists: a file of ready requests may have any number."""

MAX_HISTORY = 8
"""How many of a recipe's latest jobs its history has."""

MAX_TIMES = 9
"""How many times of its batches each of these jobs has."""


@dataclass(slots=True)
class Tokens:
    """An estimate of tokens: what a careful guess would say, and two bounds."""

    low: int = 0
    likely: int = 0
    high: int = 0

    def add(self, other: "Tokens", times: int = 1) -> None:
        """Add another estimate, as often as it occurs."""
        self.low += times * other.low
        self.likely += times * other.likely
        self.high += times * other.high

    def take(self, share: int, of: int) -> "Tokens":
        """Remove a share of `of` equal parts, and return it."""
        taken = Tokens(*(count * share // of for count in (self.low, self.likely, self.high)))
        self.add(taken, -1)
        return taken


@dataclass(slots=True)
class Dollars:
    """An estimate of a price in US dollars: what a careful guess would say, and two bounds."""

    low: Decimal = Decimal(0)
    likely: Decimal = Decimal(0)
    high: Decimal = Decimal(0)

    def add(self, other: "Dollars") -> None:
        self.low += other.low
        self.likely += other.likely
        self.high += other.high


@dataclass(slots=True)
class QuotePart:
    """The work of one endpoint and model, as its requests alone were estimated, without the history of the recipe.

    `tokens` are a quarter of the bytes of all requests, and `input_tokens` what the parts of a prompt come to.
    """

    endpoint: str
    model: str
    schema: str  # a hash of the schema of its answers
    requests: int
    tokens: int
    input_tokens: int
    output_tokens: Tokens
    basis: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Quote:
    """The quote of a job: its rows, requests and tokens, and their price with and without the Batch API.

    A price is None if that of some model is not known: `unpriced_models` names these. `basis` says where the estimate
    of the output comes from.
    """

    rows: int
    requests: int
    input_tokens: Tokens
    output_tokens: Tokens
    price: Dollars | None
    standard_price: Dollars | None = None
    unpriced_models: list[str] = field(default_factory=list)
    basis: str = ""  # the one that is least certain, if there are several
    history_jobs: int = 0  # the number of earlier jobs on which it is based
    cached_tokens: int = 0  # the part of the likely input that is expected to be read from OpenAI's cache
    cache_saves: Decimal | None = None  # what reading it from there is expected to save
    prices: str = ""  # the price list with its version and date
    warnings: list[str] = field(default_factory=list)  # codes: `reporting.quote_lines` says what they mean
    parts: list[QuotePart] = field(default_factory=list)  # the first MAX_PARTS


@dataclass(slots=True)
class JobUsage:
    """The tokens of a job's answers of one model.

    `requests` are the job's, `answers` those of all tries, and `estimated` the estimate of the input of as many.
    """

    ended_at: int
    requests: int
    answers: int
    estimated: int
    input: int
    cached: int
    cache_write: int
    output: int
    seconds: list[int] = field(default_factory=list)  # how long its batches took: at most MAX_TIMES, evenly chosen


@dataclass(slots=True, kw_only=True)
class UsageHistory(Item):
    """The usage of the latest jobs of a recipe with one endpoint, model and schema, by the ids of the jobs.

    A step that runs twice counts its job once. Without a recipe and a schema it is that of all jobs of the model. The
    recipe of ready requests is their folder.
    """

    recipe: str
    endpoint: str
    model: str
    schema: str = ""
    jobs: dict[str, JobUsage] = field(default_factory=dict)

    def remember(self, job_id: str, usage: JobUsage) -> None:
        """Set the usage of a job, and forget the oldest if there are too many."""
        jobs = {**self.jobs, job_id: usage}
        self.jobs = dict(sorted(jobs.items(), key=lambda item: (item[1].ended_at, item[0]))[-MAX_HISTORY:])

    @property
    def seconds(self) -> list[int]:
        """The times that the batches of its jobs took."""
        return [seconds for usage in self.jobs.values() for seconds in usage.seconds]

    @property
    def total(self) -> JobUsage:
        """The sums of its jobs."""
        names = ("requests", "answers", "estimated", "input", "cached", "cache_write", "output")
        return JobUsage(0, *(sum(getattr(usage, name) for usage in self.jobs.values()) for name in names))
