"""Cuts a drop's rows into shards, so that no batch of a shard exceeds what one batch may hold.

A shard is a contiguous range of rows; its rows of one (endpoint, model) become one batch. A shard ends before the row
that would push one of its batches over a limit.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

from dropbatch.domain.limits import Limits
from dropbatch.ports import Writer
from dropbatch.requests import Request

SHARD_FACTOR = 4
"""A shard of many models, or of rows that need no request, holds at most so many times what one batch may."""


@dataclass(slots=True)
class Group:
    """A shard's requests of one (endpoint, model), as they add up."""

    endpoint: str
    model: str
    requests: int = 0
    size: int = 0
    embedding_inputs: int = 0
    output_bytes: int = 0
    tokens: int = 0

    def fits(self, request: Request, size: int, limits: Limits) -> bool:
        return (
            self.requests + 1 <= limits.batch_requests
            and self.size + size <= limits.batch_bytes
            and self.embedding_inputs + request.embedding_inputs <= limits.batch_embedding_inputs
            and self.output_bytes + request.expected_output_bytes <= limits.batch_output_bytes
        )

    def add(self, request: Request, size: int) -> None:
        self.requests += 1
        self.size += size
        self.embedding_inputs += request.embedding_inputs
        self.output_bytes += request.expected_output_bytes
        self.tokens += request.estimated_input_tokens


@dataclass(slots=True)
class ShardPlan:
    """A shard as it was cut: its range, and its batches in order of appearance."""

    number: int
    first_row: int
    first_line: int
    rows: int = 0
    size: int = 0
    groups: dict[tuple[str, str], Group] = field(default_factory=dict)

    def has_room(self, record_size: int, limits: Limits) -> bool:
        return (
            self.rows < SHARD_FACTOR * limits.batch_requests
            and self.size + record_size <= SHARD_FACTOR * limits.batch_bytes
        )


class Sharder:
    """Writes rows into shards as they come. `open_shard(number)` gives the place where a shard's bytes go."""

    def __init__(self, open_shard: Callable[[int], AbstractContextManager[Writer]], limits: Limits) -> None:
        self._open_shard = open_shard
        self._writer: Writer
        self._limits = limits
        self._writing = ExitStack()
        self.plans: list[ShardPlan] = []

    def add(self, raw: bytes, row: int, line: int, request: Request | None, request_size: int) -> None:
        """Adds a row's verbatim bytes, and its request where it has one (`request_size` bytes as a line)."""
        plan = self.plans[-1] if self.plans else None
        group = plan.groups.get((request.endpoint, request.model)) if plan and request else None
        full = plan is not None and (
            not plan.has_room(len(raw), self._limits)
            or (group is not None and request is not None and not group.fits(request, request_size, self._limits))
        )
        if plan is None or full:
            plan = self._start(row, line)
        if request is not None:
            key = (request.endpoint, request.model)
            plan.groups.setdefault(key, Group(*key)).add(request, request_size)
        plan.rows += 1
        plan.size += len(raw)
        self._writer.write(raw)

    def _start(self, row: int, line: int) -> ShardPlan:
        self._writing.close()
        plan = ShardPlan(len(self.plans), row, line)
        self.plans.append(plan)
        self._writer = self._writing.enter_context(self._open_shard(plan.number))
        return plan

    def __enter__(self) -> "Sharder":
        return self

    def __exit__(self, *error: object) -> None:
        self._writing.__exit__(*error)  # type: ignore[arg-type]  # passed on as it came


def batches_of(plans: list[ShardPlan]) -> Iterator[tuple[ShardPlan, int, Group]]:
    """Every batch that the shards start with: its shard, its number within it, its sums."""
    for plan in plans:
        for number, group in enumerate(plan.groups.values()):
            yield plan, number, group
