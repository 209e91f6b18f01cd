"""Runs of a file, as their small files in the results bucket describe them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dropbatch.domain.outcomes import COMPLETE, JobStatus, Outcome
from dropbatch.domain.states import JobState

ENDED = frozenset({*map(str, JobStatus), str(JobState.REJECTED)})
"""The statuses of runs that have ended."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A version of a file in the inbox, or a marker that asks for another run of it: what `Stack.wait` waits for.

    `recipe_written` says that the upload has written a recipe, too.
    """

    key: str
    version_id: str
    marker_version: str = ""
    recipe_written: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a file.

    `members` are those of `summary.json` if it has ended, of `rejected.json` if it was rejected, and else of
    `status.json`; `prefix` is its folder in the results bucket.
    """

    key: str
    job_id: str
    prefix: str
    status: str
    members: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_ended(self) -> bool:
        return self.status in ENDED

    @property
    def is_held(self) -> bool:
        """True if it waits for a decision of a person."""
        return self.status == JobState.HELD

    @property
    def is_rejected(self) -> bool:
        return self.status == JobState.REJECTED

    @property
    def is_complete(self) -> bool:
        """True if it has ended, and every row that was to be answered is answered."""
        return self.status == JobStatus.SUCCEEDED

    @property
    def number(self) -> int | None:
        """Its number among the runs of the file, from 1."""
        return self.members.get("run")

    @property
    def version_id(self) -> str:
        """The version of the file."""
        return str(self.members.get("drop", {}).get("version_id", ""))

    @property
    def rows(self) -> Mapping[str, int]:
        """The number of rows in all (`total`), and by outcome, as far as they are known."""
        return {name: count for name, count in self.members.get("rows", {}).items() if isinstance(count, int)}

    @property
    def failed_rows(self) -> int:
        """The number of rows without a good answer."""
        return sum(self.rows.get(str(outcome), 0) for outcome in Outcome if outcome not in COMPLETE)

    @property
    def paid(self) -> float | None:
        """Its cost in US dollars; None if that is not known (yet)."""
        found: float | None = (self.members.get("cost") or {}).get("paid")
        return found

    @property
    def problems(self) -> Sequence[str]:
        """The first problems of a rejected file, in sentences."""
        return [str(problem["message"]) for problem in self.members.get("problems", {}).get("first", ())]

    @property
    def objects(self) -> Mapping[str, str]:
        """The keys of its results by name: answers, responses, failed."""
        return {name: key for name, key in (self.members.get("objects") or {}).items() if isinstance(key, str)}


@dataclass(frozen=True, slots=True)
class JobEntry:
    """One line of the list of jobs, newest first. A member is None if the stack does not say it."""

    key: str
    job_id: str
    run: int | None
    status: str
    held_reason: str | None
    dropped_at: str | None
    changed_at: str | None
    rows: Mapping[str, int]
    paid_usd: float | None
    saved_usd: float | None
    results_prefix: str

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def entry_of(members: Mapping[str, Any]) -> JobEntry:
    """Return a job of `index.json`. Unknown members are left out, and missing ones are None."""
    state = str(members.get("status") or members.get("state") or "unknown")
    if state == "running" and members.get("state") == JobState.HELD:
        state = str(JobState.HELD)
    return JobEntry(
        key=str(members["key"]),
        job_id=str(members["job_id"]),
        run=members.get("run"),
        status=state,
        held_reason=members.get("held_reason"),
        dropped_at=members.get("dropped_at"),
        changed_at=members.get("changed_at"),
        rows={name: count for name, count in (members.get("rows") or {}).items() if isinstance(count, int)},
        paid_usd=members.get("paid_usd"),
        saved_usd=members.get("saved_usd"),
        results_prefix=str(members.get("results_prefix") or ""),
    )
