"""The context of a use case: the ports, the repository over the table, and the settings of the stack."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from decimal import Decimal
from pathlib import Path

from dropbatch.batch_api.limits import OPENAI_FILE_DAYS, Limits
from dropbatch.batch_api.servers import OPENAI_HOST, host_of
from dropbatch.ports import Answering, DeadLetters, Objects, Observer, OpenAI, Queue, Table, Topics
from dropbatch.storage.repository import Repository


@dataclass(frozen=True, slots=True)
class Buckets:
    """The names of the stack's buckets."""

    inbox: str
    results: str
    work: str


@dataclass(frozen=True)
class Context:
    """Everything that a use case can reach.

    `clock` returns seconds since 1970, `seconds_left` the seconds that this invocation has left.
    """

    objects: Objects
    table: Table
    intake: Queue
    dispatch: Queue
    collect: Queue
    dead_letters: Mapping[str, DeadLetters]  # by queue: intake, dispatch, collect, drop_events
    topics: Topics
    openai: OpenAI
    observer: Observer
    buckets: Buckets
    clock: Callable[[], float]
    seconds_left: Callable[[], float]
    scratch: Path  # a folder on disk for one batch's files
    new_token: Callable[[], str]
    keeping: Callable[[str, str, str], AbstractContextManager[None]] = lambda _pk, _sk, _lease: nullcontext()
    """`keeping(pk, sk, lease)` keeps the lease of the item (pk, sk) while its block runs."""
    absence_confirmation_seconds: int = 600
    recipe_wait_seconds: int = 120
    max_job_usd: Decimal | None = None  # a job that is likely to cost more is held until it is approved
    max_month_usd: Decimal | None = None  # the same for all jobs of a month, in UTC, together
    limits: Limits = field(default_factory=Limits)
    token_limits: Mapping[str, int] = field(default_factory=dict)  # enqueued tokens by model, set by the stack's owner
    openai_file_days: int = OPENAI_FILE_DAYS
    region: str = "us-east-1"
    openai_base_url: str = ""  # the address of the server that answers; empty: OpenAI's own
    secret_name: str = ""  # the secret of the API key, for the sentence that says where to store a key
    zone: tzinfo = UTC  # the time zone of messages to people
    answering: Answering | None = None  # answers the rows of a recipe's `try`; None: they are not to be asked
    repository: Repository = field(init=False)  # over `table`

    def __post_init__(self) -> None:
        object.__setattr__(self, "repository", Repository(self.table))

    @property
    def openai_host(self) -> str:
        """The host of the server that answers."""
        return host_of(self.openai_base_url) or OPENAI_HOST

    def now(self) -> int:
        return int(self.clock())

    def with_seconds_left(self, seconds_left: Callable[[], float]) -> "Context":
        """Return the same context with another time left. A poll does it for each job: it is faster than `replace`."""
        other = object.__new__(type(self))
        vars(other).update(vars(self), seconds_left=seconds_left)  # it is frozen, but still unshared
        return other

    def scaled(self, seconds: float) -> int:
        """Return a number of seconds scaled as `absence_confirmation_seconds` is, so that tests are fast."""
        return int(seconds * self.absence_confirmation_seconds / 600)
