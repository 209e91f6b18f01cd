"""Jobs, their shards and their batches: what the table holds, and which state may follow which.

A job is one version of a drop under one recipe. Its rows are cut into shards, contiguous ranges kept as verbatim bytes;
each shard is answered by batches, one for each (endpoint, model). No item holds the text of a row.

Every item is written by compare-and-swap on its `rev`, so that of two processes that move it at once one loses, looks
again and finds that there is nothing left to do.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from dropbatch.domain.drops import Drop, is_later

VERSION = 1
"""The version of items and messages, so that an upgrade can tell what an older release wrote."""

MAX_JOB_SECONDS = 28 * 86_400
"""How long after its creation a job ends at the latest, whatever holds it: within the work bucket's 60 days."""

MAX_CANCEL_SECONDS = 3 * 86_400
"""How long after a cancel a job ends at the latest: OpenAI's own bound of a batch (50 hours) and a day."""

GRACE_SECONDS = 86_400
"""How long after its last date a job's results are still tried to be put together."""

RETENTION_SECONDS = 90 * 86_400
"""How long the items of an ended job are kept."""

KEPT_SECONDS = MAX_JOB_SECONDS + RETENTION_SECONDS
"""How long after its job was created an item of it is kept."""

MAX_MODELS = 10
"""How many models and endpoints a job names: a file of ready requests may have any number."""

MAX_OPEN_RUNS = 100
"""How many open jobs of one key are remembered, the newest of them."""

MAX_FINISHED_RUNS = 10
"""How many finished jobs of one key are remembered to compare the next one with."""

MAX_STARTS = 10
"""How often a step may begin without coming further before its job is held and an alarm raised."""


class JobState(StrEnum):
    BUILDING = "building"
    RUNNING = "running"
    HELD = "held"
    ASSEMBLING = "assembling"
    REJECTED = "rejected"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"


class BatchState(StrEnum):
    WAITING = "waiting"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    ENDED = "ended"  # at OpenAI
    COLLECTED = "collected"
    ABANDONED = "abandoned"  # never submitted, and never to be; or never to be collected
    SPLIT = "split"  # too large at once: its rows wait in its children


class ShardState(StrEnum):
    OPEN = "open"
    RENDERED = "rendered"  # its pieces of the results are written


class HeldReason(StrEnum):
    """Why a job is held."""

    SIZE = "needs_approval"  # more rows than the stack's owner lets pass without a question
    REPEATED = "answered_before"  # a `.rerun` asks the same rows with the same recipe that another run answered
    PERMISSION = "openai_permission"  # the key may not do what was asked (403)
    ACCOUNT = "openai_billing"  # OpenAI takes no work from this account
    STUCK = "stuck"  # a step of it failed again and again; what is paid is kept, and tried again every hour
    KEY = "openai_key"  # no API key, or one that OpenAI does not accept
    KEY_CHANGED = "openai_key_changed"  # a batch is in doubt, and the key that made it is gone
    FAILING = "too_few_answers"  # two batches in a row were answered by less than half


CLOSED = frozenset({BatchState.COLLECTED, BatchState.ABANDONED, BatchState.SPLIT})
"""The states in which a batch asks for nothing more."""

APPROVABLE = frozenset({HeldReason.SIZE, HeldReason.REPEATED})
"""The reasons that an `.approve` answers: nothing was sent yet."""

ENDED_JOBS = frozenset({JobState.REJECTED, JobState.SUCCEEDED, JobState.PARTIAL, JobState.FAILED, JobState.CANCELLED})

ANSWERED_JOBS = frozenset({JobState.SUCCEEDED, JobState.PARTIAL})
"""The states in which an ended job has answered rows, and was not stopped."""

_FOLLOWS: Mapping[JobState | BatchState | ShardState, frozenset[Any]] = {
    JobState.BUILDING: frozenset({JobState.RUNNING, JobState.HELD, JobState.REJECTED, JobState.CANCELLED}),
    JobState.RUNNING: frozenset({JobState.HELD, JobState.ASSEMBLING, JobState.FAILED}),
    JobState.HELD: frozenset({JobState.RUNNING, JobState.ASSEMBLING, JobState.FAILED}),
    JobState.ASSEMBLING: frozenset(
        {JobState.HELD, JobState.SUCCEEDED, JobState.PARTIAL, JobState.FAILED, JobState.CANCELLED}
    ),
    BatchState.WAITING: frozenset({BatchState.SUBMITTING, BatchState.ABANDONED}),
    BatchState.SUBMITTING: frozenset(
        {BatchState.WAITING, BatchState.SUBMITTED, BatchState.ABANDONED, BatchState.SPLIT}
    ),
    BatchState.SUBMITTED: frozenset({BatchState.ENDED, BatchState.ABANDONED}),
    BatchState.ENDED: frozenset({BatchState.COLLECTED, BatchState.ABANDONED}),
    ShardState.OPEN: frozenset({ShardState.RENDERED}),
}


S = TypeVar("S", JobState, BatchState, ShardState)


class OpenAIStatus(StrEnum):
    """A batch's own status at OpenAI, kept beside ours and never mixed with it."""

    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"  # a word that this release does not know; the batch stays where it is, loudly


TERMINAL = frozenset({OpenAIStatus.COMPLETED, OpenAIStatus.FAILED, OpenAIStatus.EXPIRED, OpenAIStatus.CANCELLED})


@dataclass(slots=True)
class Item:
    """An item of the table: its keys `pk` and `sk`, its `rev`, and its place in the sparse index while it is open."""

    rev: int = field(default=0, kw_only=True)
    expires_at: int | None = field(default=None, kw_only=True)  # when DynamoDB may delete it; None: it is kept

    @property
    def pk(self) -> str:
        raise AssertionError("every kind of item names its own key")

    @property
    def sk(self) -> str:
        raise AssertionError("every kind of item names its own key")

    @property
    def index(self) -> tuple[str, str] | None:
        """The keys `open` and `since` of the sparse index, or None where the item is not in it."""
        return None


_NAME = re.compile(r"[\w.:/@+-]{1,128}", re.ASCII)


def told_names(names: Iterable[str]) -> list[str]:
    """Return the first of these models or endpoints, each once. What is no name may be the text of a row."""
    return list(dict.fromkeys(name for name in names if _NAME.fullmatch(name)))[:MAX_MODELS]


def follow(current: S, state: S) -> S:
    """`state`, if the closed set of transitions knows the step from `current`; an AssertionError otherwise."""
    if state not in _FOLLOWS.get(current, frozenset()):
        raise AssertionError(f"{type(current).__name__} cannot go from {current} to {state}")
    return state


def stamp(seconds: float) -> str:
    """Seconds since 1970 as text that sorts by time."""
    return f"{int(seconds):012d}"


@dataclass(slots=True, kw_only=True)
class WorkItem(Item):
    """An item that steps work on. One process at a time does, for as long as it keeps its lease.

    A wait is a date (`not_before`): no message is under way meanwhile, and the poller sends one when it is due.
    """

    lease: str | None = None  # the token of the process that works on it
    lease_until: int = 0
    sent_at: int = 0  # since when a message about it is under way; 0 if none is
    not_before: int = 0  # when it is due
    starts: int = 0  # how often a step began since it last came further
    kills: int = 0  # how many of these never came to an end: their process was killed
    deferrals: int = 0  # how often in a row it was put off because something failed
    failed_at: int = 0  # when it last was

    def is_leased(self, now: int) -> bool:
        return self.lease is not None and self.lease_until > now

    def came_further(self) -> None:
        """Forgets what failed before: whatever follows has its own tries."""
        self.starts = self.kills = self.deferrals = self.failed_at = self.not_before = 0


@dataclass(slots=True)
class Limited:
    """What a recipe's `limit` took of a drop that has more: its first rows, or, with a `seed`, a sample."""

    in_file: int | None  # how many rows the drop has; None if they could not be counted
    seed: int | None = None


@dataclass(slots=True)
class GatheredReason:
    """Why rows of a job have no good answer, or its drop was rejected, or what is to be known: its code, and how often.

    `outcome` is that of the rows; empty if it is not about rows.
    """

    outcome: str
    code: str
    count: int


@dataclass(slots=True)
class Gathered:
    """A notice of a job that waits to be told with others of its folder, and what a digest says of the job.

    `reasons` are the commonest. `paid`, `saved` and `all_rows` are in millionths of a dollar; `paid` is None if nothing
    of it is known.
    """

    event: str
    since: int
    status: str
    verdict: str
    rows: int = 0  # that are to be answered
    answered: int = 0
    paid: int | None = None
    saved: int = 0
    all_rows: int | None = None  # what all rows of a drop would cost of which a `limit` took some, if that is known
    unpriced: bool = False  # some of the cost is not known
    reasons: list[GatheredReason] = field(default_factory=list)
    failures: int = 0  # how often in a row telling of it failed
    tell_after: int = 0  # when that is tried next, if it failed


@dataclass(slots=True, kw_only=True)
class OutboxItem(WorkItem):
    """An item of which there is something to tell: what has not been told yet is named in it."""

    untold: list[str] = field(default_factory=list)  # `<audience>:<name of a notice>`, in order
    gathered: dict[str, Gathered] = field(default_factory=dict)  # those of them that wait for a digest
    tell_after: int = 0  # when the others are tried next
    tell_failures: int = 0

    @property
    def due_entries(self) -> list[str]:
        """The entries of the outbox that are told one by one, as soon as that is possible."""
        return [entry for entry in self.untold if entry not in self.gathered]


@dataclass(slots=True)
class Job(OutboxItem):
    """One version of a drop under one recipe."""

    id: str
    drop: Drop
    created_at: int
    state: JobState = JobState.BUILDING
    asked_at: int = 0  # when the drop, or the marker that asked for this job, was last modified
    rerun_version: str | None = None  # of the marker that asked for this job
    marker: str | None = None  # the kind of that marker
    marker_name: str = ""  # of that marker, without its folders
    run: int = 0  # how many runs of its key it is, from 1; 0 before it has been accepted or rejected
    recipe_path: str | None = None  # of the recipe that counts; None for ready requests, and where none was found
    recipe_sha256: str | None = None
    models: list[str] = field(default_factory=list)  # that answer its rows, the first MAX_MODELS of them
    endpoints: list[str] = field(default_factory=list)
    content: str | None = None  # hash of the drop's content
    replaces: bool = False  # jobs of older versions of the drop are still to be cancelled: its recipe says so
    replaced_by: int = 0  # the run of the newer version that cancelled it so
    notify: list[str] = field(default_factory=lambda: ["accepted", "ended"])
    digest: bool = True  # people are told of it together with other jobs of its folder
    rows: int = 0
    limited: Limited | None = None  # what was left out of the drop; None if `rows` are all it has
    mirror: str | None = None  # the key in the results bucket under which its answers are mirrored; None: nowhere
    shards: int = 0
    claim: str | None = None  # hash of content and recipe, while no other open job may hold the same
    cancel_requested: bool = False
    cancel_requested_at: int = 0
    approved: bool = False  # an `.approve` came, or none is needed
    went_on_by: str | None = None  # the version of the last marker that let it go on: it acts once
    held_reason: HeldReason | None = None
    held_secret_version: str | None = None
    held_call: str | None = None  # the sort key of the batch whose call failed: the hold ends when that call succeeds
    held_at: int = 0
    holds: dict[str, int] = field(default_factory=dict)  # when each reason began
    hold_ends: dict[str, int] = field(default_factory=dict)  # when each was last gone: one that returns soon goes on
    hold_repeats: int = 0  # how often the same hold began again: each time it is let go later
    hold_checked_at: int = 0  # when it was last tried whether the reason is gone
    attempts: int = 3  # how often a row is tried at most, tries that never ran left out
    deadline_at: int = 0  # no row is tried again after it
    retry_invalid: bool = False
    judged: list[str] = field(default_factory=list)  # the last batches of which too few rows were answered, in a row
    retry_of: str | None = None  # the job whose failed rows this one asks again
    progress: str | None = None  # how far an invocation came that builds it and ran out of time: a name, or a count
    build_until: int = 0  # when building it is given up, unless it comes further
    ended_at: int | None = None
    reported: str | None = None  # hash of what the last status.json tells of
    keeps_work: bool = False  # its files in the work bucket are kept after its end, for a `.retry`
    is_clean: bool = False  # what was to be deleted of them is

    def move(self, state: JobState) -> None:
        self.state = follow(self.state, state)

    @property
    def pk(self) -> str:
        return f"job#{self.id}"

    @property
    def sk(self) -> str:
        return "job"

    @property
    def index(self) -> tuple[str, str] | None:
        if self.state not in ENDED_JOBS:
            return "job", stamp(self.created_at)
        return None if self.is_clean and not self.untold else ("outbox", stamp(self.created_at))

    def end_hold(self, now: int) -> None:
        """Forget why it is held, and remember when that was over."""
        if self.held_reason is not None:
            self.hold_ends = {**self.hold_ends, str(self.held_reason): now}
        self.held_reason = self.held_secret_version = self.held_call = None

    @property
    def recipe_folder(self) -> str | None:
        """The folder of the recipe that counts, as `Drop.folder` says it; None if there is none."""
        return None if self.recipe_path is None else self.recipe_path.rpartition("/")[0] or "/"

    @property
    def is_unapproved_repeat(self) -> bool:
        """Whether it was to ask again what another run has answered, and nobody has approved that."""
        return str(HeldReason.REPEATED) in self.holds and not self.approved

    @property
    def notices(self) -> str:
        """Where in the work bucket the texts of its outbox lie."""
        return f"jobs/{self.id}/outbox/"

    @property
    def ends_by(self) -> int:
        """The date by which it ends, whatever others answer."""
        latest = self.created_at + MAX_JOB_SECONDS
        return min(latest, self.cancel_requested_at + MAX_CANCEL_SECONDS) if self.cancel_requested else latest


@dataclass(slots=True)
class Shard(Item):
    """A contiguous range of a job's rows. `number` counts from 0, rows and lines from 1."""

    job_id: str
    number: int
    first_row: int
    first_line: int
    rows: int
    state: ShardState = ShardState.OPEN

    def move(self, state: ShardState) -> None:
        self.state = follow(self.state, state)

    @property
    def pk(self) -> str:
        return f"job#{self.job_id}"

    @property
    def sk(self) -> str:
        return f"shard#{self.number:06d}"


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
    waits: int = 0
    tries: int = 0
    file_id: str | None = None
    is_halved: bool = False  # it is to be split before it is sent: what is wrong in it ends up in ever smaller batches


@dataclass(slots=True)
class Batch(WorkItem):
    """What is asked of OpenAI about one shard's rows of one (endpoint, model); at most one batch ever exists for it.

    `attempt` is `0` for a shard's first batch of that kind, which asks all of its rows; `key` stands in the batch's
    metadata at OpenAI.
    """

    job_id: str
    shard: int
    group: int  # which (endpoint, model) of the shard, in order of appearance
    endpoint: str
    model: str
    requests: int
    tokens: int  # estimated input tokens
    created_at: int
    attempt: str = "0"
    inputs: int = 0  # embedding inputs
    rows: str | None = None  # where its rows are listed, among the job's files; None: all of the shard's of its kind
    tries: int = 0  # how often its rows failed at most
    waits: int = 0  # how often in a row its rows were put off without having been run
    is_halved: bool = False  # it is to be split in two before it is sent
    admitted_at: int = 0  # since when it may be submitted, and what it enqueues counts
    results: str | None = None  # the token of the collector whose results count
    children: list[FollowUp] = field(default_factory=list)
    state: BatchState = BatchState.WAITING
    file_id: str | None = None
    creating_at: int | None = None  # recorded just before the create; while it stands, look before creating
    secret_version: str | None = None  # of the key that the create was made with
    looked_at: int | None = None  # when a complete search for the batch first found nothing
    search_after: str | None = None  # the batch of OpenAI's list behind which an interrupted search goes on
    openai_id: str | None = None
    openai_status: OpenAIStatus | None = None
    submitted_at: int | None = None
    seen_at: int | None = None  # when it was last retrieved, so that stragglers take turns
    unsure_at: int = 0  # when OpenAI last did not answer about it: the others are asked about first
    aged_at: int = 0  # when Dropbatch cancelled it because it ran for too long: nobody's wish, so its rest expired
    ended_at: int | None = None
    never_ended: bool = False  # it counts as ended by the date alone; it may still be running
    output_file_id: str | None = None  # what OpenAI named when it ended, kept in case it can no longer be retrieved
    error_file_id: str | None = None
    total: int = 0
    waited_with: str | None = None  # what OpenAI showed of it when its answers were last found to be incomplete
    refusal: str | None = None  # the code with which it was ended, by OpenAI or by Dropbatch
    completed: int = 0  # OpenAI's request_counts, for the progress
    failed: int = 0
    micro_usd: int = 0  # what its answers cost in millionths of a dollar, as far as that is known, once collected
    unpriced: int = 0  # of how many of its requests the price is not known

    def move(self, state: BatchState) -> None:
        self.state = follow(self.state, state)

    @property
    def pk(self) -> str:
        return f"job#{self.job_id}"

    @property
    def sk(self) -> str:
        return f"batch#{self.shard:06d}#{self.group:03d}#{self.attempt}"

    @property
    def key(self) -> str:
        """`<job>/<shard>/<n>`: names this batch for good, here and in its metadata at OpenAI."""
        return f"{self.job_id}/{self.shard}.{self.group}/{self.attempt}"

    @property
    def results_name(self) -> str:
        """Names its results among the job's files."""
        return f"{self.shard:06d}.{self.group:03d}.{self.attempt}.{self.results or self.state}"

    def follow_up_batches(self) -> "list[Batch]":
        """The batches that its children are to be: one goes on where it left off, several are its parts."""
        return [
            Batch(
                job_id=self.job_id,
                shard=self.shard,
                group=self.group,
                endpoint=self.endpoint,
                model=self.model,
                attempt=_part(self.attempt, number) if self.state is BatchState.SPLIT else _successor(self.attempt),
                requests=child.requests,
                tokens=child.tokens,
                inputs=child.inputs,
                created_at=child.created_at,
                not_before=child.not_before,
                waits=child.waits,
                tries=child.tries,
                file_id=child.file_id,
                is_halved=child.is_halved,
                rows=f"{self.results_name}.rows.{number}",
                expires_at=self.expires_at,
            )
            for number, child in enumerate(self.children)
        ]

    @property
    def requests_moved_on(self) -> int:
        """How many of its requests are asked again, or instead, by its children."""
        return sum(child.requests for child in self.children)

    @property
    def ids(self) -> dict[str, str | int]:
        """What a line of the log about it bears."""
        return {"job_id": self.job_id, "shard": self.shard, "batch": self.key}

    @property
    def index(self) -> tuple[str, str] | None:
        return None if self.state in CLOSED else ("batch", stamp(self.created_at))


def _successor(attempt: str) -> str:
    """`0` is followed by `0.1`, that by `0.2`; the part `0-1` by `0-1.1`."""
    head, dot, number = attempt.rpartition(".")
    return f"{head}.{int(number) + 1}" if dot and number.isdecimal() else f"{attempt}.1"


def _part(attempt: str, number: int) -> str:
    """The parts of `0` are `0-0`, `0-1` and so on."""
    return f"{attempt}-{number}"


@dataclass(slots=True)
class ModelLimit(Item):
    """How many tokens may be enqueued for a model, as far as that is known, and how well its tokens are estimated."""

    model: str
    tokens: int | None = None  # learned from OpenAI's refusals; None while there was none
    changed_at: int = 0
    halvings: int = 0  # how often it was halved since batches were refused that should have fitted
    estimated: int = 0  # tokens that were estimated for rows that were answered, and those that OpenAI counted
    counted: int = 0

    @property
    def pk(self) -> str:
        return f"limit#{self.model}"

    @property
    def sk(self) -> str:
        return "limit"

    @property
    def factor(self) -> float:
        """By what estimates are multiplied; a few answers prove little, and none is off by more than four."""
        if self.estimated < 10_000 or not self.counted:
            return 1.0
        return min(4.0, max(0.25, self.counted / self.estimated))


@dataclass(slots=True)
class Creates(Item):
    """How many batches were created in the hour of the clock in which one was last."""

    hour: int = 0
    count: int = 0

    @property
    def pk(self) -> str:
        return "creates"

    @property
    def sk(self) -> str:
        return "creates"


@dataclass(slots=True)
class Sweep(Item):
    """How far the inbox has been looked through for drops whose event was lost."""

    began_at: int = 0  # when the first poll ran; 0 before it
    due_at: int = 0
    after: str = ""  # the key to go on behind; empty where the next sweep begins

    @property
    def pk(self) -> str:
        return "sweep"

    @property
    def sk(self) -> str:
        return "sweep"


@dataclass(slots=True)
class Poller(WorkItem):
    """The poller's lease, and how many messages each queue has lately been able to take."""

    dispatch: "Pace" = field(default_factory=lambda: Pace())
    collect: "Pace" = field(default_factory=lambda: Pace())
    seen_at: int = 0  # when the last poll that came to its end began

    @property
    def pk(self) -> str:
        return "poller"

    @property
    def sk(self) -> str:
        return "poller"


@dataclass(slots=True)
class Pace:
    """How many messages may wait in a queue: it grows while functions take them, and shrinks while they fail."""

    window: int = 4
    sent: int = 0  # by the last poll


@dataclass(slots=True)
class Pending(OutboxItem):
    """An object of the inbox that waits to be looked at: something failed, or what it needs may still come.

    It has no job. Once it is looked at and what there is to tell is told, the item is deleted, but for a marker's: that
    stays, so that the marker acts once however often its event comes.
    """

    bucket: str
    key: str
    version_id: str
    created_at: int
    rerun_version: str = ""
    time: int | None = None  # the event's
    sequencer: str = ""
    after: str = ""  # of the files that a recipe takes up, the last one that was looked at
    taken: int = 0  # how many of them go on
    first_taken: list[str] = field(default_factory=list)  # the first of their keys
    has_retries: bool = False  # of one of them rows were asked before
    is_over: bool = False  # nothing is left but to tell
    stays: bool = False  # until it expires, even if all is told

    @property
    def pk(self) -> str:
        return f"pending#{self.bucket}/{self.key}"

    @property
    def sk(self) -> str:
        # Hashed, for S3 takes 1,024 bytes for each of the two, and DynamoDB for a whole sort key.
        return hashlib.sha256(f"{self.version_id}#{self.rerun_version}".encode()).hexdigest()

    @property
    def index(self) -> tuple[str, str] | None:
        if self.stays and self.is_over and not self.untold:
            return None
        return "pending", stamp(self.created_at)

    @property
    def notices(self) -> str:
        digest = hashlib.sha256(f"{self.pk}\n{self.sk}".encode()).hexdigest()
        return f"recipes/{digest}/"


WAITS_SECONDS = 14 * 86_400
"""For how long after it was rejected a file is taken up by another recipe."""


@dataclass(slots=True)
class WaitingFile(Item):
    """A file that waits for a recipe, or was rejected for its recipe's sake: another recipe takes it up.

    `is_rejected` says that its job is decided to be rejected, whether it has ended yet or not. `recipe_path` and
    `recipe_sha256` say which recipe was wrong, None if there was none. `reading` is how that has files read, if only
    a recipe that has them read in another way is of use.
    """

    bucket: str
    key: str
    job_id: str
    version_id: str
    asked_at: int  # the job's
    noted_at: int  # when this was written
    codes: list[str] = field(default_factory=list)  # what is wrong
    is_rejected: bool = False
    recipe_path: str | None = None
    recipe_sha256: str | None = None
    blames_recipe: bool = False  # the recipe, or a file that it names, is wrong in itself
    reading: str = ""
    cancelled_by: str = ""  # the version of the `.cancel` since which it waits no more

    def still_waits(self, now: int) -> bool:
        """Whether another recipe takes the file up; weeks later nobody expects that any more."""
        return not self.cancelled_by and now < self.noted_at + WAITS_SECONDS

    @property
    def pk(self) -> str:
        return f"waiting#{self.bucket}"

    @property
    def sk(self) -> str:
        return self.key


@dataclass(slots=True)
class KnownRecipe(Item):
    """A recipe that was dropped, and what was told of it last."""

    bucket: str
    key: str
    seen_at: int = 0  # when it, or a file that it names, came
    sha256: str = ""
    is_usable: bool = False
    version_id: str = ""  # that was told of
    told_for: str = ""  # the version of the object whose event that was: its own, or that of a file that it names
    told_at: int = 0

    @property
    def pk(self) -> str:
        return f"recipes#{self.bucket}"

    @property
    def sk(self) -> str:
        return self.key


@dataclass(slots=True)
class LatestJob(Item):
    """The jobs of a drop's key: the newest, those that are open, how many there were; and the newest markers.

    All times are those of S3's events, in seconds since 1970.
    """

    bucket: str
    key: str
    job_id: str | None = None
    modified: int = 0  # of the drop (or of the marker) that the newest job belongs to
    sequencer: str = ""  # of the drop's version: S3's own order of the versions of a key
    cancel_modified: int = -1  # of the newest `.cancel` marker
    approve_modified: int = -1  # of the newest `.approve` marker
    runs: int = 0  # how many have been numbered, duplicates left out
    open_jobs: dict[str, int] = field(default_factory=dict)  # the run of each; 0 before it is numbered
    finished: dict[str, int] = field(default_factory=dict)  # the same of those that have answers, the latest runs

    @property
    def pk(self) -> str:
        return f"drop#{self.bucket}/{self.key}"

    @property
    def sk(self) -> str:
        return "newest"


@dataclass(slots=True)
class Mirror(Item):
    """The newest run of a key whose answers are to be, or are, the mirror's: see `mirroring`."""

    bucket: str
    key: str
    job_id: str
    sequencer: str  # of the drop's version
    asked_at: int
    run: int
    source: str = ""  # the run's answers, and what they are
    content_type: str = ""
    is_written: bool = False

    def is_before(self, job: Job) -> bool:
        """Return whether a job of the key is newer: of a newer version of the drop, or asked for later.

        Its number does not tell: a large file is accepted after a small one that replaced it.
        """
        sequencer = job.drop.sequencer
        if self.sequencer and sequencer and self.sequencer != sequencer:
            return is_later(sequencer, self.sequencer)
        return (self.asked_at, self.run) < (job.asked_at, job.run)

    @property
    def pk(self) -> str:
        return f"drop#{self.bucket}/{self.key}"

    @property
    def sk(self) -> str:
        return "mirror"


@dataclass(slots=True)
class Alert(Item):
    """When the operators were last notified of what only they can correct: they hear of it once, not once a job."""

    reason: str
    told_at: int = 0  # 0 if they have not been
    claimed_until: int = 0  # until then another process is about to notify them

    @property
    def pk(self) -> str:
        return f"alert#{self.reason}"

    @property
    def sk(self) -> str:
        return "alert"


@dataclass(slots=True)
class Claim(Item):
    """Which open job works on this content with this recipe under this key, and which one answered it last."""

    digest: str
    job_id: str
    answered_by: str | None = None  # the newest ended job that has answers

    @property
    def pk(self) -> str:
        return f"claim#{self.digest}"

    @property
    def sk(self) -> str:
        return "claim"
