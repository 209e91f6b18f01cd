"""Objects of the inbox that wait to be taken in, files that wait for a recipe, and the known recipes."""

from dataclasses import dataclass, field
from decimal import Decimal

from dropbatch.domain.items import Item, WorkItem
from dropbatch.domain.outbox import OutboxItem


@dataclass(slots=True)
class Pending(OutboxItem):
    """An object of the inbox that waits to be taken in: a step failed, or a file that it needs may still come.

    It has no job. The item is deleted when the object is taken in and its notices are sent. The item of a marker stays,
    so that the marker acts only once, however often its event comes.
    """

    bucket: str
    key: str
    version_id: str
    created_at: int
    rerun_version: str = ""
    event_at: int | None = None  # the time of S3's event
    sequencer: str = ""
    after: str = ""  # the last key that was examined of the files that may continue with a recipe
    resumed_count: int = 0  # how many of these files continue
    first_resumed: list[str] = field(default_factory=list)  # the first of their keys
    has_retries: bool = False  # one of them is a `.retry`
    is_done: bool = False  # only its notices are still to be sent
    is_kept: bool = False  # keep it until it expires, even if all notices are sent


WAITS_SECONDS = 14 * 86_400
"""How long after its rejection a file continues with another recipe."""


@dataclass(slots=True)
class WaitingFile(Item):
    """A file that waits for a recipe, or was rejected because of its recipe. It continues with another recipe.

    `is_rejected` says that the rejection of its job is decided, even if the job has not ended yet. `recipe_path` and
    `recipe_sha256` name the recipe that was wrong, None if there was none. `reading` is a hash of that recipe's keys
    about reading files, if only a change of these keys can help.
    """

    bucket: str
    key: str
    job_id: str
    version_id: str
    requested_at: int  # as in its job
    recorded_at: int  # when this item was written
    codes: list[str] = field(default_factory=list)  # the codes of its problems
    is_rejected: bool = False
    recipe_path: str | None = None
    recipe_sha256: str | None = None
    blames_recipe: bool = False  # the recipe, or a file that it names, is wrong in itself
    reading: str = ""
    meaning: str = ""  # a hash of all that the recipe means for files; empty if it is not known
    cancelled_by: str = ""  # the version of the `.cancel` that ended the wait

    def still_waits(self, now: int) -> bool:
        """Return whether the file continues with another recipe. Weeks later, nobody expects that."""
        return not self.cancelled_by and now < self.recorded_at + WAITS_SECONDS


@dataclass(slots=True)
class KnownRecipe(Item):
    """A recipe that was dropped, and the last notification about it."""

    bucket: str
    key: str
    arrived_at: int = 0  # when it, or a file that it names, came
    sha256: str = ""
    is_usable: bool = False
    version_id: str = ""  # the version that the last notification is about
    notified_for: str = ""  # the version of the object that caused it: the recipe, or a file that it names
    notified_at: int = 0


@dataclass(slots=True)
class TriedRecipe(WorkItem):
    """The requests of a recipe's `try`, by their hashes: those that have an answer, and those that are on their way.

    Money is reserved for those on their way, until they are settled.
    """

    bucket: str
    key: str
    version_id: str = ""  # the version for which requests were sent last
    sent: int = 0  # how many were sent for it
    digests: list[str] = field(default_factory=list)  # of requests that have an answer
    pending: list[str] = field(default_factory=list)  # of those on their way
    reserved_usd: Decimal | None = None  # None: no request is on its way
    reserved_month: str = ""
