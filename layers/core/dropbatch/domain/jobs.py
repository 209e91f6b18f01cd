"""Jobs: one version of a drop under one recipe, and the shards into which its rows are cut.

A shard is a contiguous range of rows, stored as their bytes. Batches answer each shard. No item holds a row's text.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from dropbatch.domain.batches import Batch
from dropbatch.domain.deadlines import latest_end
from dropbatch.domain.drops import Drop
from dropbatch.domain.items import Item
from dropbatch.domain.outbox import OutboxItem
from dropbatch.domain.quotes import Quote
from dropbatch.domain.states import HeldReason, JobState, ShardState, checked_transition

MAX_MODELS = 10
"""How many models and endpoints a job names: a file of ready requests may have any number."""

_NAME = re.compile(r"[\w.:/@+-]{1,128}", re.ASCII)


def reportable_names(names: Iterable[str]) -> list[str]:
    """Return the first of these models or endpoints, each once. A text that is not a name may be that of a row."""
    return list(dict.fromkeys(name for name in names if _NAME.fullmatch(name)))[:MAX_MODELS]


@dataclass(slots=True)
class Limited:
    """The effect of a recipe's `limit` on a drop with more rows: the first rows, or a sample if there is a `seed`."""

    in_file: int | None  # how many rows the drop has; None if they could not be counted
    seed: int | None = None


@dataclass(slots=True)
class RemoteFiles:
    """The progress of the deletion of an ended job's files at OpenAI: shard by shard, and batch by batch.

    Batches are named by their `sort_key`.
    """

    shard: int = 0  # the shard that is next
    after: str = ""  # the last batch of it that was reached
    failed: list[str] = field(default_factory=list)  # batches that were reached, and whose files are not all deleted
    failures: int = 0  # how often in a row a call failed
    not_before: int = 0


@dataclass(slots=True)
class Canary:
    """The condition of a job's canary: its first rows are sent alone, and the others only if these are good enough."""

    rows: int
    min_ok: Decimal  # the share of good answers, from 0 to 1
    max_usd: Decimal | None = None
    is_passed: bool = False  # the other rows may be sent
    asked: int = 0  # how many rows were sent, once it is judged
    ok: int = 0  # how many of them have a good answer


@dataclass(slots=True)
class Job(OutboxItem):
    """One version of a drop under one recipe."""

    id: str
    drop: Drop
    created_at: int
    state: JobState = JobState.BUILDING
    requested_at: int = 0  # when the drop arrived, or the marker that requested this job
    rerun_version: str | None = None  # the version of the marker that requested this job
    marker: str | None = None  # the kind of that marker
    marker_name: str = ""  # the name of that marker, without its folders
    run: int = 0  # its number among the runs of its key, from 1; 0 before it is accepted or rejected
    recipe_path: str | None = None  # the path of the recipe that counts; None for ready requests or without a recipe
    recipe_sha256: str | None = None
    models: list[str] = field(default_factory=list)  # the first MAX_MODELS models that answer its rows
    endpoints: list[str] = field(default_factory=list)
    content: str | None = None  # hash of the drop's content
    cancels_older: bool = False  # its recipe cancels jobs of older versions of the drop, and that is not done yet
    replaced_by: int = 0  # the run of the newer version that cancelled it
    notify: list[str] = field(default_factory=lambda: ["accepted", "ended"])
    digest: bool = True  # people get one message about it and other jobs of its folder
    rows: int = 0
    limited: Limited | None = None  # set if a `limit` took only some rows of the drop; None if `rows` are all
    mirror: str | None = None  # the key of the mirror of its answers in the results bucket; None: no mirror
    shards: int = 0
    duplicates: int = 0  # rows with the same request as an earlier row: they are not sent, and share its answer
    claim: str | None = None  # hash of content and recipe, while no other open job may have the same
    cancel_requested: bool = False
    cancel_requested_at: int = 0
    quote: Quote | None = None  # None for a job of an older release
    budget_usd: Decimal | None = None  # its recipe's own limit
    approved: bool = False  # an `.approve` came
    asked_usd: Decimal | None = None  # the amount that the notice of its hold named; None if no price was known
    approved_usd: Decimal | None = None  # the amount that was approved
    canary: Canary | None = None
    awaits_money: bool = False  # none of its batches fits its limits until others have come back
    awaits_money_since: int = 0
    resumed_by: str | None = None  # the version of the last marker that resumed it: a marker acts once
    held_reason: HeldReason | None = None
    held_secret_version: str | None = None
    held_batch: str | None = None  # the sort key of the batch whose call failed: the hold ends when that call succeeds
    held_at: int = 0
    holds: dict[str, int] = field(default_factory=dict)  # when each reason began
    hold_ends: dict[str, int] = field(default_factory=dict)  # when each was last gone: if it soon returns, it continues
    hold_repeats: int = 0  # how often the same hold began again: each time it lasts longer
    hold_checked_at: int = 0  # when Dropbatch last checked whether the reason is gone
    attempts: int = 3  # the maximum number of tries of a row, without tries that never ran
    deadline_at: int = 0  # no row is retried after it
    retry_invalid: bool = False
    recent_bad_batches: list[str] = field(default_factory=list)  # the last batches in a row with too few answers
    retry_of: str | None = None  # the job whose failed rows this one retries
    progress: str | None = None  # how far building has come: the name of a checkpoint, or a number of shards
    build_until: int = 0  # when Dropbatch gives up building it, unless there is progress
    ended_at: int | None = None
    status_digest: str | None = None  # hash of the content of the last status.json
    status_until: int = 0  # until when its estimate holds: the latest end that it names; 0 if it has none
    keeps_work: bool = False  # its files in the work bucket are kept after its end, for a `.retry`
    is_clean: bool = False  # its files are deleted, except those that are kept
    remote_files: RemoteFiles | None = None  # set at its end, while it may have files at OpenAI

    def move(self, state: JobState) -> None:
        self.state = checked_transition(self.state, state)

    def end_hold(self, now: int) -> None:
        """Clear the reason for its hold, and record when the hold ended."""
        if self.held_reason is not None:
            self.hold_ends = {**self.hold_ends, str(self.held_reason): now}
        self.held_reason = self.held_secret_version = self.held_batch = None

    @property
    def awaits_canary(self) -> bool:
        """True if only the rows of its canary may be sent yet."""
        return self.canary is not None and not self.canary.is_passed

    def may_send(self, batch: Batch) -> bool:
        """Return whether its canary and its limits of money allow a batch to be sent now, as far as is known."""
        return not self.awaits_money and (batch.is_canary or not self.awaits_canary)

    @property
    def recipe_folder(self) -> str | None:
        """The folder of the recipe that counts, in the form of `Drop.folder`; None if there is none."""
        return None if self.recipe_path is None else self.recipe_path.rpartition("/")[0] or "/"

    @property
    def is_unapproved_repeat(self) -> bool:
        """True if it repeats rows that another run has answered, and nobody has approved that."""
        return str(HeldReason.REPEATED) in self.holds and not self.approved

    @property
    def ends_by(self) -> int:
        """The time by which it ends in any case."""
        return latest_end(self.created_at, self.cancel_requested_at if self.cancel_requested else None)


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
        self.state = checked_transition(self.state, state)
