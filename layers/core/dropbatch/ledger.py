"""Reads and writes the table's items as jobs, shards, batches: typed, and by compare-and-swap."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from dropbatch.domain.errors import ConditionFailed
from dropbatch.domain.jobs import VERSION, Batch, Claim, Creates, Item, Job, ModelLimit, Newest, Shard, Sweep
from dropbatch.ports import Table

T = TypeVar("T", Job, Shard, Batch, Newest, Claim, ModelLimit, Creates, Sweep)


class Ledger:
    """The table in the project's words."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def job(self, job_id: str) -> Job | None:
        item = self._table.get(f"job#{job_id}", "job")
        return from_item(item, Job) if item else None

    def batch(self, job_id: str, sk: str) -> Batch | None:
        item = self._table.get(f"job#{job_id}", sk)
        return from_item(item, Batch) if item else None

    def shard(self, job_id: str, number: int) -> Shard | None:
        item = self._table.get(f"job#{job_id}", f"shard#{number:06d}")
        return from_item(item, Shard) if item else None

    def batches(self, job_id: str, shard: int | None = None) -> list[Batch]:
        """A job's batches, or one shard's, in order; strongly consistent."""
        prefix = "batch#" if shard is None else f"batch#{shard:06d}#"
        return [from_item(item, Batch) for item in self._table.query(f"job#{job_id}", prefix)]

    def shards(self, job_id: str) -> list[Shard]:
        return [from_item(item, Shard) for item in self._table.query(f"job#{job_id}", "shard#")]

    def newest(self, bucket: str, key: str) -> Newest:
        """What is known of a drop's key; a new item where nothing is yet."""
        blank = Newest(bucket=bucket, key=key)
        item = self._table.get(blank.pk, blank.sk)
        return from_item(item, Newest) if item else blank

    def limit(self, model: str) -> ModelLimit:
        """What is known of a model's limit; a new item where nothing is yet."""
        blank = ModelLimit(model=model)
        item = self._table.get(blank.pk, blank.sk)
        return from_item(item, ModelLimit) if item else blank

    def creates(self) -> Creates:
        blank = Creates()
        item = self._table.get(blank.pk, blank.sk)
        return from_item(item, Creates) if item else blank

    def sweep(self) -> Sweep:
        blank = Sweep()
        item = self._table.get(blank.pk, blank.sk)
        return from_item(item, Sweep) if item else blank

    def claim(self, digest: str) -> Claim | None:
        item = self._table.get(f"claim#{digest}", "claim")
        return from_item(item, Claim) if item else None

    def open_jobs(self) -> Iterator[Job]:
        return (from_item(item, Job) for item in self._table.open_items("job"))

    def open_batches(self) -> Iterator[Batch]:
        return (from_item(item, Batch) for item in self._table.open_items("batch"))

    def add(self, item: Item) -> bool:
        """Writes a new item; False where one stands there already."""
        item.rev = 1
        try:
            self._table.insert(to_item(item))
        except ConditionFailed:
            return False
        return True

    def save(self, item: Item) -> None:
        """Writes an item over the one that was read; ConditionFailed where somebody else was quicker."""
        read = item.rev
        item.rev = read + 1
        try:
            if read:
                self._table.replace(to_item(item), read)
            else:
                self._table.insert(to_item(item))
        except ConditionFailed:
            item.rev = read
            raise

    def remove(self, item: Item) -> None:
        self._table.delete(item.pk, item.sk, item.rev)

    def change(self, load: Callable[[], T | None], change: Callable[[T], bool]) -> T | None:
        """Reads, changes and writes an item, again from the start where somebody else was quicker.

        `change` alters the item and returns True, or returns False where nothing is to be done. The result is the item
        as it was written, or None where nothing was.
        """
        while True:
            item = load()
            if item is None or not change(item):
                return None
            try:
                self.save(item)
            except ConditionFailed:
                continue
            return item


def to_item(item: Item) -> dict[str, Any]:
    """The item as the table holds it; members that are None are left out."""
    members: dict[str, Any] = msgspec.to_builtins(item)
    held = {name: value for name, value in members.items() if value is not None}
    if item.index:
        held["open"], held["since"] = item.index
    return {"pk": item.pk, "sk": item.sk, "v": VERSION, **held}


def from_item(item: Mapping[str, Any], kind: type[T]) -> T:
    """The item out of the table; a ValidationError where a newer release wrote what this one does not know."""
    return msgspec.convert(item, kind)
