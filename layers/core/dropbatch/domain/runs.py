"""Runs: the jobs of one key, which of them mirrors its answers, and which content and recipe are taken."""

from dataclasses import dataclass, field

from dropbatch.domain.drops import is_later
from dropbatch.domain.items import Item
from dropbatch.domain.jobs import Job

MAX_OPEN_RUNS = 100
"""How many open jobs of one key are remembered, the newest of them."""


MAX_FINISHED_RUNS = 10
"""How many finished jobs of one key are remembered to compare the next one with."""


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


@dataclass(slots=True)
class Mirror(Item):
    """The newest run of a key whose answers are to be, or are, the mirror's: see `mirroring`."""

    bucket: str
    key: str
    job_id: str
    sequencer: str  # of the drop's version
    requested_at: int
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
        return (self.requested_at, self.run) < (job.requested_at, job.run)


@dataclass(slots=True)
class Claim(Item):
    """Which open job works on this content with this recipe under this key, and which one answered it last."""

    digest: str
    job_id: str
    answered_by: str | None = None  # the newest ended job that has answers
