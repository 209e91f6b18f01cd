"""Objects of the inbox that wait: to be looked at, or for a recipe; and the recipes that are known."""

from dataclasses import dataclass, field

from dropbatch.domain.items import Item
from dropbatch.domain.outbox import OutboxItem


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
    event_at: int | None = None  # the event's
    sequencer: str = ""
    after: str = ""  # of the files that a recipe takes up, the last one that was looked at
    resumed_count: int = 0  # how many of them go on
    first_resumed: list[str] = field(default_factory=list)  # the first of their keys
    has_retries: bool = False  # of one of them rows were asked before
    is_done: bool = False  # nothing is left but to tell
    is_kept: bool = False  # until it expires, even if all is told


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
    requested_at: int  # the job's
    recorded_at: int  # when this was written
    codes: list[str] = field(default_factory=list)  # what is wrong
    is_rejected: bool = False
    recipe_path: str | None = None
    recipe_sha256: str | None = None
    blames_recipe: bool = False  # the recipe, or a file that it names, is wrong in itself
    reading: str = ""
    cancelled_by: str = ""  # the version of the `.cancel` since which it waits no more

    def still_waits(self, now: int) -> bool:
        """Whether another recipe takes the file up; weeks later nobody expects that any more."""
        return not self.cancelled_by and now < self.recorded_at + WAITS_SECONDS


@dataclass(slots=True)
class KnownRecipe(Item):
    """A recipe that was dropped, and what was told of it last."""

    bucket: str
    key: str
    arrived_at: int = 0  # when it, or a file that it names, came
    sha256: str = ""
    is_usable: bool = False
    version_id: str = ""  # that was told of
    notified_for: str = ""  # the version of the object whose event that was: its own, or that of a file that it names
    notified_at: int = 0
