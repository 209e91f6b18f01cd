"""Reads and writes the table's items as jobs, shards, batches: typed, and by compare-and-swap."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from dropbatch.domain.errors import ConditionFailed
from dropbatch.domain.jobs import Batch, Claim, Job, Newest, Shard, _Item
from dropbatch.ports import Table

T = TypeVar("T", Job, Shard, Batch, Newest, Claim)


class Ledger:
    """The table in the project's words."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def job(self, job_id: str) -> Job | None:
        item = self._table.get(f"job#{job_id}", "job")
        return Job.from_item(item) if item else None

    def batch(self, job_id: str, sk: str) -> Batch | None:
        item = self._table.get(f"job#{job_id}", sk)
        return Batch.from_item(item) if item else None

    def shard(self, job_id: str, number: int) -> Shard | None:
        item = self._table.get(f"job#{job_id}", f"shard#{number:06d}")
        return Shard.from_item(item) if item else None

    def batches(self, job_id: str, shard: int | None = None) -> list[Batch]:
        """A job's batches, or one shard's, in order; strongly consistent."""
        prefix = "batch#" if shard is None else f"batch#{shard:06d}#"
        return [Batch.from_item(item) for item in self._table.query(f"job#{job_id}", prefix)]

    def shards(self, job_id: str) -> list[Shard]:
        return [Shard.from_item(item) for item in self._table.query(f"job#{job_id}", "shard#")]

    def newest(self, bucket: str, key: str) -> Newest:
        """What is known of a drop's key; a new item where nothing is yet."""
        blank = Newest(bucket=bucket, key=key)
        item = self._table.get(blank.pk, blank.sk)
        return Newest.from_item(item) if item else blank

    def claim(self, digest: str) -> Claim | None:
        item = self._table.get(f"claim#{digest}", "claim")
        return Claim.from_item(item) if item else None

    def open_jobs(self) -> Iterator[Job]:
        return (Job.from_item(item) for item in self._table.open_items("job"))

    def open_batches(self) -> Iterator[Batch]:
        return (Batch.from_item(item) for item in self._table.open_items("batch"))

    def add(self, item: _Item) -> bool:
        """Writes a new item; False where one stands there already."""
        item.rev = 1
        try:
            self._table.insert(item.to_item())
        except ConditionFailed:
            return False
        return True

    def save(self, item: _Item) -> None:
        """Writes an item over the one that was read; ConditionFailed where somebody else was quicker."""
        read = item.rev
        item.rev = read + 1
        try:
            if read:
                self._table.replace(item.to_item(), read)
            else:
                self._table.insert(item.to_item())
        except ConditionFailed:
            item.rev = read
            raise

    def remove(self, item: _Item) -> None:
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
