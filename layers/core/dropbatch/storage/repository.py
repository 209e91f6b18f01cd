"""Reads and writes the table's items as jobs, shards, batches: typed, and by compare-and-swap."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from dropbatch.domain.errors import DropbatchError, StaleItemError
from dropbatch.domain.jobs import (
    VERSION,
    Alert,
    Batch,
    Claim,
    Creates,
    Item,
    Job,
    KnownRecipe,
    LatestJob,
    Mirror,
    ModelLimit,
    Pending,
    Poller,
    Shard,
    Sweep,
    WaitingFile,
)
from dropbatch.ports import Table

T = TypeVar(
    "T", Job, Shard, Batch, LatestJob, Claim, ModelLimit, Creates, Sweep, Pending, Poller, Mirror, Alert, WaitingFile,
    KnownRecipe,
)  # fmt: skip  # a list of names reads best as lines of text


class UnreadableItemError(DropbatchError):
    """An item of the table that this release cannot read: a newer one wrote it. Its text is the item's keys."""


class Repository:
    """The table in the project's words."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.unreadable: list[str] = []  # the keys of open items that were passed over

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

    def newest(self, bucket: str, key: str) -> LatestJob:
        """What is known of a drop's key; a new item where nothing is yet."""
        blank = LatestJob(bucket=bucket, key=key)
        item = self._table.get(blank.pk, blank.sk)
        return from_item(item, LatestJob) if item else blank

    def limit(self, model: str) -> ModelLimit:
        """What is known of a model's limit; a new item where nothing is yet."""
        blank = ModelLimit(model=model)
        item = self._table.get(blank.pk, blank.sk)
        return from_item(item, ModelLimit) if item else blank

    def creates(self) -> Creates:
        blank = Creates()
        item = self._table.get(blank.pk, blank.sk)
        return from_item(item, Creates) if item else blank

    def poller(self) -> Poller:
        blank = Poller()
        item = self._table.get(blank.pk, blank.sk)
        return from_item(item, Poller) if item else blank

    def sweep(self) -> Sweep:
        blank = Sweep()
        item = self._table.get(blank.pk, blank.sk)
        return from_item(item, Sweep) if item else blank

    def alert(self, reason: str) -> Alert:
        """When the operators were last notified of this; a new item if they never were."""
        blank = Alert(reason)
        item = self._table.get(blank.pk, blank.sk)
        return from_item(item, Alert) if item else blank

    def claim(self, digest: str) -> Claim | None:
        item = self._table.get(f"claim#{digest}", "claim")
        return from_item(item, Claim) if item else None

    def open_jobs(self) -> Iterator[Job]:
        return self._open("job", Job)

    def open_batches(self) -> Iterator[Batch]:
        return self._open("batch", Batch)

    def ended_jobs_at_work(self) -> Iterator[Job]:
        """Return the ended jobs of which something is still to be told, or to be deleted."""
        return self._open("outbox", Job)

    def pending(self) -> Iterator[Pending]:
        return self._open("pending", Pending)

    def is_pending(self, bucket: str, key: str) -> bool:
        """Return whether an object of this key waits to be looked at."""
        return any(True for _ in self._table.query(f"pending#{bucket}/{key}"))

    def pendings(self, bucket: str, key: str) -> Iterator[Pending]:
        """What waits to be looked at of an object of this key, and what is over and not deleted yet."""
        return self._readable(self._table.query(f"pending#{bucket}/{key}"), Pending)

    def waiting_file(self, bucket: str, key: str) -> WaitingFile | None:
        item = self._table.get(f"waiting#{bucket}", key)
        return from_item(item, WaitingFile) if item else None

    def waiting_files(self, bucket: str, folder: str = "") -> Iterator[WaitingFile]:
        """The files below a folder (which ends in a slash, or is empty) that wait for a recipe, in order of their keys.

        Strongly consistent. One that cannot be read is passed over, and listed in `unreadable`.
        """
        return self._readable(self._table.query(f"waiting#{bucket}", folder), WaitingFile)

    def known_recipe(self, bucket: str, key: str) -> KnownRecipe:
        """What is known of a recipe; a new item if nothing is yet."""
        blank = KnownRecipe(bucket=bucket, key=key)
        item = self._table.get(blank.pk, blank.sk)
        return from_item(item, KnownRecipe) if item else blank

    def known_recipes(self, bucket: str) -> Iterator[KnownRecipe]:
        return self._readable(self._table.query(f"recipes#{bucket}"), KnownRecipe)

    def _open(self, name: str, kind: type[T]) -> Iterator[T]:
        return self._readable(self._table.open_items(name), kind)

    def _readable(self, items: Iterator[dict[str, Any]], kind: type[T]) -> Iterator[T]:
        """Read items one by one: one that cannot be read stops no other, and is listed in `unreadable`."""
        for item in items:
            try:
                yield from_item(item, kind)
            except UnreadableItemError as error:
                self.unreadable.append(str(error))

    def add(self, item: Item) -> bool:
        """Writes a new item; False where one stands there already."""
        item.rev = 1
        try:
            self._table.insert(to_item(item))
        except StaleItemError:
            return False
        except Exception:
            if not self._is_written(item):
                raise
        return True

    def save(self, item: Item) -> None:
        """Writes an item over the one that was read; StaleItemError where somebody else was quicker."""
        read = item.rev
        item.rev = read + 1
        try:
            if read:
                self._table.replace(to_item(item), read)
            else:
                self._table.insert(to_item(item))
        except StaleItemError:
            item.rev = read
            raise
        except Exception:
            if not self._is_written(item):
                item.rev = read
                raise

    def _is_written(self, item: Item) -> bool:
        """Return whether a write took effect though its answer was lost: the item stands there just as it was to be."""
        return self._table.get(item.pk, item.sk) == to_item(item)

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
            except StaleItemError:
                continue
            return item

    def update(self, item: T, change: Callable[[T], bool]) -> T | None:
        """Change the item as it stands in the table now; `change` and the result are those of `change`."""
        return self.change(lambda: self.reload(item), change)

    def reload(self, item: T) -> T | None:
        """Read an item again; None if it is gone."""
        found = self._table.get(item.pk, item.sk)
        return from_item(found, type(item)) if found else None


def to_item(item: Item) -> dict[str, Any]:
    """The item as the table holds it; members that are None are left out."""
    members: dict[str, Any] = msgspec.to_builtins(item)
    held = {name: value for name, value in members.items() if value is not None}
    if item.index:
        held["open"], held["since"] = item.index
    return {"pk": item.pk, "sk": item.sk, "v": VERSION, **held}


def from_item(item: Mapping[str, Any], kind: type[T]) -> T:
    """Read an item of the table; UnreadableItemError if a newer release wrote what this one does not know."""
    if item.get("v", VERSION) <= VERSION:
        try:
            return msgspec.convert(item, kind)
        except msgspec.ValidationError:
            pass  # the error's text may quote the item
    raise UnreadableItemError(f"{item['pk']} {item['sk']}")
