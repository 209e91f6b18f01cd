"""Runs: the jobs of one key, the run in its mirror, and the claims of jobs on a content with a recipe."""

from dataclasses import dataclass, field

from dropbatch.domain.drops import is_later
from dropbatch.domain.items import Item
from dropbatch.domain.jobs import Job

MAX_OPEN_RUNS = 100
"""How many open jobs of one key are listed, the newest of them."""

MAX_FINISHED_RUNS = 10
"""How many finished jobs of one key are listed, to compare the next one with."""


@dataclass(slots=True)
class LatestJob(Item):
    """The jobs of a drop's key: the newest one, the open ones and their number; and the newest markers.

    All times are those of S3's events, in seconds since 1970.
    """

    bucket: str
    key: str
    job_id: str | None = None
    modified: int = 0  # the time of the drop, or of the marker, of the newest job
    sequencer: str = ""  # the sequencer of the drop's version: S3's own order of the versions of a key
    cancel_modified: int = -1  # the time of the newest `.cancel` marker
    runs: int = 0  # how many have a number; duplicates have none
    open_jobs: dict[str, int] = field(default_factory=dict)  # the number of each; 0 before it has one
    finished: dict[str, int] = field(default_factory=dict)  # the numbers of the latest runs that have answers


@dataclass(slots=True)
class Mirror(Item):
    """The newest run of a key that is to be, or is, in the mirror: see `delivery.mirror`."""

    bucket: str
    key: str
    job_id: str
    sequencer: str  # the sequencer of the drop's version
    requested_at: int
    run: int
    source: str = ""  # the key of the run's answers
    content_type: str = ""
    is_written: bool = False

    def is_before(self, job: Job) -> bool:
        """Return whether a job of the key is newer: it has a newer version of the drop, or was requested later.

        The number of the run does not say so: a large file is accepted after a small one that replaced it.
        """
        sequencer = job.drop.sequencer
        if self.sequencer and sequencer and self.sequencer != sequencer:
            return is_later(sequencer, self.sequencer)
        return (self.requested_at, self.run) < (job.requested_at, job.run)


@dataclass(slots=True)
class Claim(Item):
    """The claim of a job on a content with a recipe under a key, so that no other open job sends the same rows."""

    digest: str
    job_id: str
    answered_by: str | None = None  # the newest ended job that has answers
