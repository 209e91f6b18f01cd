"""Batches: the requests of one shard for one endpoint and model, and those that follow a batch."""

from dataclasses import dataclass, field
from decimal import ROUND_UP, Decimal

from dropbatch.domain.items import WorkItem
from dropbatch.domain.states import CLOSED, BatchState, OpenAIStatus, checked_transition

SMALLEST_USD = Decimal("0.000000001")
"""The unit of prices of batches: a token of the cheapest model costs more."""

USAGE_KINDS = ("input", "cached", "cache_write", "output")
"""The kinds of tokens that a batch's usage counts, in its order."""


@dataclass(slots=True)
class FollowUp:
    """A batch that continues another one, its parent, with rows that are still to be sent or are retried.

    It is recorded in its parent, so that each process makes the same one. Its rows are listed beside the parent's
    results.
    """

    requests: int
    tokens: int
    inputs: int = 0
    created_at: int = 0
    not_before: int = 0
    requeues: int = 0
    failed_attempts: int = 0
    file_id: str | None = None
    must_split: bool = False  # split it before it is sent: bad requests end up in ever smaller batches


@dataclass(slots=True)
class Batch(WorkItem):
    """The requests of one shard for one pair of endpoint and model. At most one batch at OpenAI ever exists for it.

    `attempt` is `0` for the shard's first batch of the pair, which has all of its rows. `key` is in the batch's
    metadata at OpenAI.
    """

    job_id: str
    shard: int
    model_group: int  # the number of the pair (endpoint, model) in the shard, in order of appearance
    endpoint: str
    model: str
    requests: int
    tokens: int  # estimated input tokens
    created_at: int
    attempt: str = "0"
    inputs: int = 0  # embedding inputs
    rows: str | None = None  # the list of its rows among the job's files; None: all of the shard's rows of its pair
    failed_attempts: int = 0  # the maximum number of failures of its rows
    requeues: int = 0  # how often in a row its rows were queued again without having been run
    must_split: bool = False  # split it in two before it is sent
    admitted_at: int = 0  # since when it may be submitted, and counts against the limits
    results: str | None = None  # the token of the process whose results count
    follow_ups: list[FollowUp] = field(default_factory=list)
    state: BatchState = BatchState.WAITING
    file_id: str | None = None
    creating_at: int | None = None  # recorded just before the create; while it is set, search before creating
    secret_version: str | None = None  # the version of the key with which it was created
    first_not_found_at: int | None = None  # when a complete search for the batch first found nothing
    search_after: str | None = None  # the batch of OpenAI's list after which an interrupted search continues
    openai_id: str | None = None
    doubles: list[str] = field(default_factory=list)  # other batches at OpenAI with its key, which were cancelled
    openai_status: OpenAIStatus | None = None
    submitted_at: int | None = None
    last_retrieved_at: int | None = None  # when it was last retrieved, so that slow batches take turns
    last_no_answer_at: int = 0  # when OpenAI last did not answer about it: the others are retrieved first
    cancelled_for_age_at: int = 0  # when Dropbatch cancelled it for its age: its other rows count as expired
    ended_at: int | None = None
    assumed_ended: bool = False  # it counts as ended only because of its age, and may still be running
    output_file_id: str | None = None  # as OpenAI named it at the end, in case the batch can no longer be retrieved
    error_file_id: str | None = None
    total: int = 0
    incomplete_digest: str | None = None  # what OpenAI showed of it when its answers were last incomplete
    refusal: str | None = None  # the code with which OpenAI or Dropbatch ended it
    outcomes: dict[str, int] = field(default_factory=dict)  # its rows that are done, by outcome, once collected
    completed: int = 0  # OpenAI's request_counts, for the progress
    failed: int = 0
    likely_usd: Decimal | None = None  # its price as it was quoted; None if no price is known
    high_usd: Decimal | None = None  # the most that it is expected to cost
    reserved_usd: Decimal | None = None  # what its job and its month have committed to it, until it is settled
    reserved_month: str = ""  # the month that the money is of
    is_settled: bool = False  # its price is among what its job and its month have spent
    is_canary: bool = False  # its rows are the first ones, which are judged before any other is sent
    answers: int = 0  # the number of its answers that say how many tokens they took, once collected
    usage: list[int] = field(default_factory=list)  # these tokens, by USAGE_KINDS
    usd: Decimal | None = None  # the known cost of its answers in dollars, once collected
    standard_usd: Decimal | None = None  # what the same answers would have cost without the Batch API
    micro_usd: int = 0  # the same in millionths of a dollar, as releases up to 0.2.0 wrote it
    unpriced: int = 0  # the number of its requests without a known price
    unread: int = 0  # the number of its requests that may be paid, and whose answers could not be collected

    def move(self, state: BatchState) -> None:
        self.state = checked_transition(self.state, state)

    @property
    def owes_settlement(self) -> bool:
        """True if it is closed, and its price is not yet among what its job and its month have spent."""
        is_countable = self.reserved_usd is not None or self.state is BatchState.COLLECTED
        return self.state in CLOSED and is_countable and not self.is_settled

    @property
    def sort_key(self) -> str:
        """Its name within its job, in the table and in messages. A job's batches sort by it."""
        return f"batch#{self.shard:06d}#{self.model_group:03d}#{self.attempt}"

    @property
    def key(self) -> str:
        """Its permanent name `<job>/<shard>.<group>/<attempt>`, which is also in its metadata at OpenAI."""
        return f"{self.job_id}/{self.shard}.{self.model_group}/{self.attempt}"

    @property
    def results_name(self) -> str:
        """The name of its results among the job's files."""
        return f"{self.shard:06d}.{self.model_group:03d}.{self.attempt}.{self.results or self.state}"

    def follow_up_batches(self) -> "list[Batch]":
        """Return the batches of its follow-ups: a single one continues it, several are its parts."""
        return [
            Batch(
                job_id=self.job_id,
                shard=self.shard,
                model_group=self.model_group,
                endpoint=self.endpoint,
                model=self.model,
                attempt=_part(self.attempt, number) if self.state is BatchState.SPLIT else _successor(self.attempt),
                requests=child.requests,
                tokens=child.tokens,
                inputs=child.inputs,
                created_at=child.created_at,
                not_before=child.not_before,
                requeues=child.requeues,
                failed_attempts=child.failed_attempts,
                file_id=child.file_id,
                must_split=child.must_split,
                rows=f"{self.results_name}.rows.{number}",
                likely_usd=self._share(self.likely_usd, child.requests),
                high_usd=self._share(self.high_usd, child.requests),
                is_canary=self.is_canary,
                expires_at=self.expires_at,
            )
            for number, child in enumerate(self.follow_ups)
        ]

    def _share(self, usd: Decimal | None, requests: int) -> Decimal | None:
        """Return the part of a price that is of some of its requests, rounded up."""
        if usd is None:
            return None
        return (usd * requests / max(1, self.requests)).quantize(SMALLEST_USD, ROUND_UP)

    @property
    def paid(self) -> Decimal:
        """The known cost of its answers in dollars, once collected."""
        return Decimal(self.micro_usd).scaleb(-6) if self.usd is None else self.usd

    @property
    def standard(self) -> Decimal:
        """The price of its answers without the Batch API; as much as was paid if that is not known."""
        return self.paid if self.standard_usd is None else self.standard_usd

    @property
    def assumed(self) -> Decimal:
        """The price, as it was quoted, of what it may have cost beyond what is known: limits count it as spent."""
        if self.state is BatchState.ABANDONED:
            was_sent = self.openai_id is not None or self.creating_at is not None
            return (self.reserved_usd if was_sent else None) or Decimal(0)
        return self._share(self.likely_usd, min(self.requests, self.unpriced + self.unread)) or Decimal(0)

    @property
    def requests_moved_on(self) -> int:
        """The number of its requests that its follow-ups send or retry."""
        return sum(child.requests for child in self.follow_ups)

    @property
    def ids(self) -> dict[str, str | int]:
        """The ids that a log line about it has."""
        return {"job_id": self.job_id, "shard": self.shard, "batch": self.key}


def _successor(attempt: str) -> str:
    """Return the attempt after this one: `0.1` after `0`, `0.2` after `0.1`, `0-1.1` after the part `0-1`."""
    head, dot, number = attempt.rpartition(".")
    return f"{head}.{int(number) + 1}" if dot and number.isdecimal() else f"{attempt}.1"


def _part(attempt: str, number: int) -> str:
    """Return the attempt of a part: the parts of `0` are `0-0`, `0-1` and so on."""
    return f"{attempt}-{number}"
