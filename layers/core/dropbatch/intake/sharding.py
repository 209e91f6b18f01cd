"""Sharding: a drop's rows are cut into shards, so that no batch of a shard exceeds a limit of batches.

A shard is a contiguous range of rows. Its rows of one (endpoint, model) become one batch. A shard ends before the row
with which one of its batches would exceed a limit. If time runs out within a shard, its written part is set aside, and
another process continues: the shards come out the same.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Protocol

from dropbatch.batch_api.limits import Limits
from dropbatch.batch_api.request import Request
from dropbatch.batch_api.token_estimates import ExpectedTokens
from dropbatch.domain.outcomes import WHEN
from dropbatch.ports import Writer
from dropbatch.storage.shard_index import ShardIndex

SHARD_FACTOR = 4
"""A shard with many models, or with rows without requests, has at most this many times the size of one batch."""


class ShardStore(Protocol):
    """The store of shards. A shard may have parts with names, whose sizes are needed to join them."""

    def writing_shard(self, number: int, part: str | None = None) -> AbstractContextManager[Writer]: ...

    def set_shard_aside(self, number: int, part: str, size: int) -> None:
        """Make the written bytes of a shard its first part."""
        ...

    def join_shard(self, number: int, parts: list[tuple[str, int]]) -> None: ...

    def keep_index(self, number: int, index: ShardIndex, part: str | None = None) -> None: ...

    def index(self, number: int, part: str | None = None) -> ShardIndex | None: ...


@dataclass(slots=True)
class Group:
    """The sums of a shard's requests of one (endpoint, model)."""

    endpoint: str
    model: str
    requests: int = 0
    size: int = 0
    embedding_inputs: int = 0
    output_bytes: int = 0
    tokens: int = 0
    first_line: int = 0  # where the first of them starts in the drop; 0 if an earlier release wrote the sums
    is_canary: bool = False
    expected: ExpectedTokens = field(default_factory=ExpectedTokens)

    def fits(self, requests: int, size: int, inputs: int, output_bytes: int, limits: Limits) -> bool:
        return (
            self.requests + requests <= limits.batch_requests
            and self.size + size <= limits.batch_bytes
            and self.embedding_inputs + inputs <= limits.batch_embedding_inputs
            and self.output_bytes + output_bytes <= limits.batch_output_bytes
        )

    def add(self, requests: int, size: int, inputs: int, output_bytes: int, tokens: int) -> None:
        self.requests += requests
        self.size += size
        self.embedding_inputs += inputs
        self.output_bytes += output_bytes
        self.tokens += tokens


@dataclass(slots=True)
class ShardPlan:
    """The plan of a shard: its range, and its groups in order of appearance."""

    number: int
    first_row: int
    first_line: int
    rows: int = 0
    size: int = 0
    groups: list[Group] = field(default_factory=list)

    def has_room(self, rows: int, size: int, limits: Limits) -> bool:
        return (
            self.rows + rows <= SHARD_FACTOR * limits.batch_requests
            and self.size + size <= SHARD_FACTOR * limits.batch_bytes
        )


@dataclass(slots=True)
class Sharded:
    """The state of sharding: the shards so far, of which the last is open, and its parts (name, bytes)."""

    plans: list[ShardPlan] = field(default_factory=list)
    parts: list[tuple[str, int]] = field(default_factory=list)


class Sharder:
    """A writer of rows into shards. `token` names the parts that this process sets aside."""

    def __init__(self, store: ShardStore, limits: Limits, token: str, so_far: Sharded | None = None) -> None:
        self._store = store
        self._limits = limits
        self.token = token
        so_far = so_far or Sharded()
        self.plans, self._parts = so_far.plans, so_far.parts
        self._writing = ExitStack()
        self._writer: Writer
        self._index = ShardIndex()
        self._groups: dict[tuple[str, str], int] = {}
        self._written = 0  # bytes of the open shard that this process has written
        if self._parts:
            plan = self.plans[-1]
            self._groups = {(group.endpoint, group.model): place for place, group in enumerate(plan.groups)}
            kept = store.index(plan.number, self._parts[-1][0])
            if kept is None or len(kept) != plan.rows:
                raise AssertionError(f"the index of shard {plan.number} does not tell of the rows that were set aside")
            self._index = kept
            self._writer = self._writing.enter_context(store.writing_shard(plan.number, token))

    def add(self, raw: bytes, row: int, line: int, request: Request | None, size: int, code: str = WHEN) -> None:
        """Add the bytes of a row, and its request (`size` bytes as a line). `code` says why a row has no request."""
        place, group = self._group(request.endpoint, request.model) if request else (None, None)
        inputs = request.embedding_inputs if request else 0
        output_bytes = request.expected_output_bytes if request else 0
        if (
            not self.plans
            or not self.plans[-1].has_room(1, len(raw), self._limits)
            or (group is not None and not group.fits(1, size, inputs, output_bytes, self._limits))
        ):
            self._start(row, line)
            place, group = self._group(request.endpoint, request.model) if request else (None, None)
        if request is None or group is None or place is None:
            self._index.add_skipped(len(raw), code)
        else:
            tokens = request.estimated_input_tokens
            self._new_group(place, group, line).add(1, size, inputs, output_bytes, tokens)
            group.expected.add(request.expected_tokens, tokens)
            self._index.add(len(raw), place, tokens, inputs, is_list=request.asks_for_list)
        self._write([raw])

    def _group(self, endpoint: str, model: str) -> tuple[int, Group]:
        """Return the place and the group of this pair in the open shard; a new group, not added yet, if it has none."""
        place = self._groups.get((endpoint, model))
        if place is None:
            return len(self._groups), Group(endpoint, model)
        return place, self.plans[-1].groups[place]

    def _new_group(self, place: int, group: Group, line: int) -> Group:
        if place == len(self._groups):
            group.first_line = line
            self._groups[group.endpoint, group.model] = place
            self.plans[-1].groups.append(group)
        return group

    def _write(self, raws: list[bytes]) -> None:
        data = b"".join(raws)
        plan = self.plans[-1]
        plan.rows += len(raws)
        plan.size += len(data)
        self._written += len(data)
        self._writer.write(data)

    def _start(self, row: int, line: int) -> None:
        self._close()
        plan = ShardPlan(len(self.plans), row, line)
        self.plans.append(plan)
        self._writer = self._writing.enter_context(self._store.writing_shard(plan.number))

    def _close(self) -> None:
        """Finish the open shard, if there is one."""
        if not self.plans:
            return
        number = self.plans[-1].number
        self._writing.close()
        if self._parts:
            self._store.join_shard(number, [*self._parts, (self.token, self._written)])
        self._store.keep_index(number, self._index)
        self._index, self._groups, self._parts, self._written = ShardIndex(), {}, [], 0

    def suspend(self) -> Sharded:
        """Set the written part of the open shard aside, so that another process can continue it."""
        if not self.plans:
            return Sharded()
        number = self.plans[-1].number
        self._writing.close()
        if not self._parts:
            self._store.set_shard_aside(number, self.token, self._written)
        self._store.keep_index(number, self._index, self.token)
        return Sharded(self.plans, [*self._parts, (self.token, self._written)])

    def finish(self) -> None:
        """Finish the last shard."""
        self._close()

    def __enter__(self) -> "Sharder":
        return self

    def __exit__(self, *error: object) -> None:
        self._writing.__exit__(*error)  # type: ignore[arg-type]  # passed on as it came


def batches_of(plans: list[ShardPlan]) -> Iterator[tuple[ShardPlan, int, Group]]:
    """Yield each batch with which the shards start: its shard, its group's number and its group."""
    for plan in plans:
        for number, group in enumerate(plan.groups):
            if group.requests:
                yield plan, number, group
