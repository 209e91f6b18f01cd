"""Jobs: one version of a drop under one recipe, and the shards into which its rows are cut.

A shard is a contiguous range of rows, kept as verbatim bytes. Batches answer each shard. No item holds a row's text.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from dropbatch.domain.drops import Drop
from dropbatch.domain.items import Item
from dropbatch.domain.outbox import OutboxItem
from dropbatch.domain.states import HeldReason, JobState, ShardState, follow

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


_NAME = re.compile(r"[\w.:/@+-]{1,128}", re.ASCII)


def reportable_names(names: Iterable[str]) -> list[str]:
    """Return the first of these models or endpoints, each once. What is no name may be the text of a row."""
    return list(dict.fromkeys(name for name in names if _NAME.fullmatch(name)))[:MAX_MODELS]


@dataclass(slots=True)
class Limited:
    """What a recipe's `limit` took of a drop that has more: its first rows, or, with a `seed`, a sample."""

    in_file: int | None  # how many rows the drop has; None if they could not be counted
    seed: int | None = None


@dataclass(slots=True)
class Job(OutboxItem):
    """One version of a drop under one recipe."""

    id: str
    drop: Drop
    created_at: int
    state: JobState = JobState.BUILDING
    requested_at: int = 0  # when the drop, or the marker that asked for this job, was last modified
    rerun_version: str | None = None  # of the marker that asked for this job
    marker: str | None = None  # the kind of that marker
    marker_name: str = ""  # of that marker, without its folders
    run: int = 0  # how many runs of its key it is, from 1; 0 before it has been accepted or rejected
    recipe_path: str | None = None  # of the recipe that counts; None for ready requests, and where none was found
    recipe_sha256: str | None = None
    models: list[str] = field(default_factory=list)  # that answer its rows, the first MAX_MODELS of them
    endpoints: list[str] = field(default_factory=list)
    content: str | None = None  # hash of the drop's content
    cancels_older: bool = False  # jobs of older versions of the drop are still to be cancelled: its recipe says so
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
    resumed_by: str | None = None  # the version of the last marker that let it go on: it acts once
    held_reason: HeldReason | None = None
    held_secret_version: str | None = None
    held_batch: str | None = None  # the sort key of the batch whose call failed: the hold ends when that call succeeds
    held_at: int = 0
    holds: dict[str, int] = field(default_factory=dict)  # when each reason began
    hold_ends: dict[str, int] = field(default_factory=dict)  # when each was last gone: one that returns soon goes on
    hold_repeats: int = 0  # how often the same hold began again: each time it is let go later
    hold_checked_at: int = 0  # when it was last tried whether the reason is gone
    attempts: int = 3  # how often a row is tried at most, tries that never ran left out
    deadline_at: int = 0  # no row is tried again after it
    retry_invalid: bool = False
    recent_bad_batches: list[str] = field(
        default_factory=list
    )  # the last batches of which too few rows were answered, in a row
    retry_of: str | None = None  # the job whose failed rows this one asks again
    progress: str | None = None  # how far an invocation came that builds it and ran out of time: a name, or a count
    build_until: int = 0  # when building it is given up, unless it comes further
    ended_at: int | None = None
    status_digest: str | None = None  # hash of what the last status.json tells of
    keeps_work: bool = False  # its files in the work bucket are kept after its end, for a `.retry`
    is_clean: bool = False  # what was to be deleted of them is

    def move(self, state: JobState) -> None:
        self.state = follow(self.state, state)

    def end_hold(self, now: int) -> None:
        """Forget why it is held, and remember when that was over."""
        if self.held_reason is not None:
            self.hold_ends = {**self.hold_ends, str(self.held_reason): now}
        self.held_reason = self.held_secret_version = self.held_batch = None

    @property
    def recipe_folder(self) -> str | None:
        """The folder of the recipe that counts, as `Drop.folder` says it; None if there is none."""
        return None if self.recipe_path is None else self.recipe_path.rpartition("/")[0] or "/"

    @property
    def is_unapproved_repeat(self) -> bool:
        """Whether it was to ask again what another run has answered, and nobody has approved that."""
        return str(HeldReason.REPEATED) in self.holds and not self.approved

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
