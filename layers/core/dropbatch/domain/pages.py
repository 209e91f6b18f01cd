"""Index pages of the results bucket: the jobs that a page lists, and whether it has to be written again.

There is a page at the root of the bucket, and one in each folder of drops.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from dropbatch.domain.items import Item
from dropbatch.domain.quotes import Dollars

ROOT = ""
"""The folder of the page that lists all jobs."""

MAX_FOLDER_BYTES = 900
"""The longest folder that has a page: S3 takes no longer key for the files below it."""


def folders_of_pages(key: str) -> list[str]:
    """Return the folders of the pages that list the jobs of a drop, the root first."""
    folder = key.rpartition("/")[0]
    return [ROOT, folder] if folder and len(folder.encode()) <= MAX_FOLDER_BYTES else [ROOT]


def page_key(folder: str, name: str = "index.html") -> str:
    """Return the key of a folder's page in the results bucket."""
    return f"{folder}/{name}" if folder else name


def page_of_all(folders: Sequence[str]) -> str:
    """Return the key of the page that lists the jobs of all of these folders, in the form of `Drop.folder`."""
    alone = folders[0] if len(folders) == 1 else "/"
    return page_key(folders_of_pages("" if alone == "/" else f"{alone}/")[-1])


@dataclass(slots=True)
class ListedJob(Item):
    """A job as a page lists it. `job_rev` is that of the job's item from which it was made."""

    folder: str  # of the page
    job_id: str
    job_rev: int = 0
    key: str = ""
    version_id: str = ""
    run: int = 0
    state: str = ""
    status: str = ""  # of the job's last event: like the state, or `duplicate`
    held_reason: str = ""
    dropped_at: int = 0
    changed_at: int = 0  # when its state was last listed as another one
    ended_at: int | None = None
    total: int = 0  # rows
    outcomes: dict[str, int] = field(default_factory=dict)  # its rows by outcome, once it has ended
    paid_usd: Decimal | None = None
    saved_usd: Decimal | None = None
    quote_usd: Dollars | None = None


@dataclass(slots=True)
class JobPage(Item):
    """The page of a folder. It is in the sparse index while it has to be written.

    The poller sets `begun_at` and clears `changed_at` before it reads the jobs to list. So a change that comes
    meanwhile sets `changed_at` again, and a page whose writer was killed is written again.
    """

    folder: str
    changed_at: int = 0  # since when there are changes that no writer has begun to write; 0 if there are none
    begun_at: int = 0  # when a writer began that has not finished
    not_before: int = 0  # when it may be written next
    failures: int = 0  # how often in a row writing it failed
