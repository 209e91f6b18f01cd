"""The time line of a job: when its batches were at OpenAI, round by round, and what it waited for."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Job
from dropbatch.reporting.phrases import batches_counted, counted, duration

MAX_ROUNDS = 12
"""How many rounds of batches a time line has: all later ones count as the last."""

_TRIES = re.compile(r"\.(\d+)")


class Span(NamedTuple):
    """A span of a job's time: its place in percent of the whole, and how long it lasted, in words."""

    name: str
    left: float
    width: float
    lasted: str
    what: str
    is_hold: bool = False


@dataclass(slots=True)
class Round:
    """The batches that send rows for the first time, or those that send the rows that these did not answer, and so on.

    `again` is how many requests the next round sends.
    """

    number: int
    began: int = 0
    ended: int = 0
    batches: int = 0
    requests: int = 0
    again: int = 0

    def add(self, batch: Batch) -> None:
        """Add a batch that was at OpenAI."""
        began = batch.submitted_at or batch.created_at
        self.began = min(self.began or began, began)
        self.ended = max(self.ended, batch.ended_at or began)
        self.batches += 1
        self.requests += batch.requests
        self.again += batch.requests_moved_on


def rounds(batches: Iterable[Batch]) -> list[Round]:
    """Return the rounds of a job's batches, those that were created at OpenAI."""
    found: dict[int, Round] = {}
    for batch in batches:
        if batch.openai_id is not None:
            number = min(MAX_ROUNDS, 1 + sum(map(int, _TRIES.findall(batch.attempt))))
            found.setdefault(number, Round(number)).add(batch)
    return [found[number] for number in sorted(found)]


def time_line(job: Job, rounds: Sequence[Round], ended_at: int) -> list[Span]:
    """Return the spans of a job's time, from its drop to its end; none if nothing of it was at OpenAI."""
    if not rounds:
        return []
    start = min(job.requested_at or job.created_at, job.created_at)
    whole = max(1, ended_at - start)

    def span(name: str, began: int, ended: int, what: str, *, is_hold: bool = False) -> Span:
        left = 100 * min(max(0, began - start), whole) / whole
        width = min(100 - left, max(0.5, 100 * (ended - began) / whole))
        seconds = max(0, ended - began)
        return Span(name, round(min(left, 99.5), 2), round(max(0.5, width), 2), duration(seconds), what, is_hold)

    spans = [span("Validated", start, rounds[0].began, f"{counted(job.rows, 'row')} read and checked")]
    for each in rounds:
        name = "First try" if each.number == 1 else f"Try {each.number}"
        what = f"{counted(each.requests, 'request')} in {batches_counted(each.batches)}"
        if each.again:
            what += f"; {each.again:,} sent again"
        spans.append(span(name, each.began, each.ended, what))
    last = max(each.ended for each in rounds)
    spans.append(span("Results", last, ended_at, "collected and put together"))
    for reason, began in job.holds.items():
        ended = job.hold_ends.get(reason, 0)
        if ended >= began:
            spans.append(span("Held", began, ended, reason.replace("_", " "), is_hold=True))
    return sorted(spans, key=lambda each: each.left)
