"""Batches: the requests of one shard for one endpoint and model, and those that follow a batch."""

from dataclasses import dataclass, field

from dropbatch.domain.items import WorkItem
from dropbatch.domain.states import BatchState, OpenAIStatus, follow


@dataclass(slots=True)
class FollowUp:
    """A batch that another leaves behind, of rows that are to be asked still, or again.

    It is recorded with its parent, so that whoever comes next makes the same. Its rows are listed beside the parent's
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
    must_split: bool = False  # it is to be split before it is sent: what is wrong in it ends up in ever smaller batches


@dataclass(slots=True)
class Batch(WorkItem):
    """What is asked of OpenAI about one shard's rows of one (endpoint, model); at most one batch ever exists for it.

    `attempt` is `0` for a shard's first batch of that kind, which asks all of its rows; `key` stands in the batch's
    metadata at OpenAI.
    """

    job_id: str
    shard: int
    model_group: int  # which (endpoint, model) of the shard, in order of appearance
    endpoint: str
    model: str
    requests: int
    tokens: int  # estimated input tokens
    created_at: int
    attempt: str = "0"
    inputs: int = 0  # embedding inputs
    rows: str | None = None  # where its rows are listed, among the job's files; None: all of the shard's of its kind
    failed_attempts: int = 0  # how often its rows failed at most
    requeues: int = 0  # how often in a row its rows were put off without having been run
    must_split: bool = False  # it is to be split in two before it is sent
    admitted_at: int = 0  # since when it may be submitted, and what it enqueues counts
    results: str | None = None  # the token of the collector whose results count
    follow_ups: list[FollowUp] = field(default_factory=list)
    state: BatchState = BatchState.WAITING
    file_id: str | None = None
    creating_at: int | None = None  # recorded just before the create; while it stands, look before creating
    secret_version: str | None = None  # of the key that the create was made with
    first_not_found_at: int | None = None  # when a complete search for the batch first found nothing
    search_after: str | None = None  # the batch of OpenAI's list behind which an interrupted search goes on
    openai_id: str | None = None
    openai_status: OpenAIStatus | None = None
    submitted_at: int | None = None
    last_retrieved_at: int | None = None  # when it was last retrieved, so that stragglers take turns
    last_no_answer_at: int = 0  # when OpenAI last did not answer about it: the others are asked about first
    cancelled_for_age_at: int = (
        0  # when Dropbatch cancelled it because it ran for too long: nobody's wish, so its rest expired
    )
    ended_at: int | None = None
    assumed_ended: bool = False  # it counts as ended by the date alone; it may still be running
    output_file_id: str | None = None  # what OpenAI named when it ended, kept in case it can no longer be retrieved
    error_file_id: str | None = None
    total: int = 0
    incomplete_digest: str | None = None  # what OpenAI showed of it when its answers were last found to be incomplete
    refusal: str | None = None  # the code with which it was ended, by OpenAI or by Dropbatch
    completed: int = 0  # OpenAI's request_counts, for the progress
    failed: int = 0
    micro_usd: int = 0  # what its answers cost in millionths of a dollar, as far as that is known, once collected
    unpriced: int = 0  # of how many of its requests the price is not known

    def move(self, state: BatchState) -> None:
        self.state = follow(self.state, state)

    @property
    def sort_key(self) -> str:
        """Names it within its job, in the table and in messages; the batches of a job sort by it."""
        return f"batch#{self.shard:06d}#{self.model_group:03d}#{self.attempt}"

    @property
    def key(self) -> str:
        """`<job>/<shard>/<n>`: names this batch for good, here and in its metadata at OpenAI."""
        return f"{self.job_id}/{self.shard}.{self.model_group}/{self.attempt}"

    @property
    def results_name(self) -> str:
        """Names its results among the job's files."""
        return f"{self.shard:06d}.{self.model_group:03d}.{self.attempt}.{self.results or self.state}"

    def follow_up_batches(self) -> "list[Batch]":
        """The batches that its children are to be: one goes on where it left off, several are its parts."""
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
                expires_at=self.expires_at,
            )
            for number, child in enumerate(self.follow_ups)
        ]

    @property
    def requests_moved_on(self) -> int:
        """How many of its requests are asked again, or instead, by its children."""
        return sum(child.requests for child in self.follow_ups)

    @property
    def ids(self) -> dict[str, str | int]:
        """What a line of the log about it bears."""
        return {"job_id": self.job_id, "shard": self.shard, "batch": self.key}


def _successor(attempt: str) -> str:
    """`0` is followed by `0.1`, that by `0.2`; the part `0-1` by `0-1.1`."""
    head, dot, number = attempt.rpartition(".")
    return f"{head}.{int(number) + 1}" if dot and number.isdecimal() else f"{attempt}.1"


def _part(attempt: str, number: int) -> str:
    """The parts of `0` are `0-0`, `0-1` and so on."""
    return f"{attempt}-{number}"
