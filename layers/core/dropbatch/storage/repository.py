"""The repository: the table's items as jobs, shards and batches, written by compare-and-swap."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, TypeVar

import msgspec

from dropbatch.domain.account_items import CreateCount, KnownModel, ModelLimit
from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import DropbatchError, StaleItemError
from dropbatch.domain.inbox import KnownRecipe, Pending, TriedRecipe, WaitingFile
from dropbatch.domain.items import VERSION, Item
from dropbatch.domain.jobs import Job, Shard
from dropbatch.domain.outbox import Alert
from dropbatch.domain.pages import JobPage, ListedJob
from dropbatch.domain.poller import Poller, SweepCursor
from dropbatch.domain.quotes import UsageHistory
from dropbatch.domain.runs import Claim, LatestJob, Mirror
from dropbatch.domain.spending import JobSpending, MonthSpending, MonthTotal
from dropbatch.ports import Table
from dropbatch.storage import item_keys as keys
from dropbatch.storage import open_index
from dropbatch.storage.item_versions import upgraded

T = TypeVar(
    "T", Job, Shard, Batch, LatestJob, Claim, ModelLimit, CreateCount, SweepCursor, Pending, Poller, Mirror, Alert,
    WaitingFile, KnownRecipe, TriedRecipe, KnownModel, JobSpending, MonthSpending, MonthTotal, UsageHistory, ListedJob,
    JobPage,
)  # fmt: skip  # a list of names reads best as lines of text


class UnreadableItemError(DropbatchError):
    """A newer release wrote an item that this one cannot read. The error's text names it for the log."""


class Repository:
    """The table, with methods for each kind of item."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.unreadable: list[str] = []  # the keys of open items that were skipped

    def job(self, job_id: str) -> Job | None:
        return self._get(keys.job_key(job_id), Job)

    def batch(self, job_id: str, sort_key: str) -> Batch | None:
        return self._get(keys.batch_key(job_id, sort_key), Batch)

    def shard(self, job_id: str, number: int) -> Shard | None:
        return self._get(keys.shard_key(job_id, number), Shard)

    def batches(self, job_id: str, shard: int | None = None) -> list[Batch]:
        """Return a job's batches, or one shard's, in order; strongly consistent."""
        prefix = keys.BATCHES if shard is None else keys.batches_of_shard(shard)
        return [from_item(item, Batch) for item in self._table.query(keys.job_key(job_id).pk, prefix)]

    def shards(self, job_id: str) -> list[Shard]:
        return [from_item(item, Shard) for item in self._table.query(keys.job_key(job_id).pk, keys.SHARDS)]

    def latest_job(self, bucket: str, key: str) -> LatestJob:
        """Return what is known of a drop's key; a new item if nothing is yet."""
        return self._get_or(LatestJob(bucket=bucket, key=key))

    def limit(self, model: str) -> ModelLimit:
        """Return what is known of a model's limit; a new item if nothing is yet."""
        return self._get_or(ModelLimit(model=model))

    def known_model(self, host: str, model: str) -> KnownModel:
        """Return what is known of a model of the server at `host`; a new item if nothing is yet."""
        return self._get_or(KnownModel(host=host, model=model))

    def job_spending(self, job_id: str) -> JobSpending:
        """Return the spending of a job; a new item if it has not spent anything yet."""
        return self._get_or(JobSpending(job_id=job_id))

    def month_spending(self, month: str) -> MonthSpending:
        return self._get_or(MonthSpending(month=month))

    def month_total(self, month: str, kind: str, name: str) -> MonthTotal:
        return self._get_or(MonthTotal(month=month, kind=kind, name=name))

    def month_totals(self, month: str, kind: str) -> Iterator[MonthTotal]:
        """Yield the sums of a month by folder, model or recipe, in no useful order."""
        return self._readable(self._table.query(keys.month_key(month).pk, f"{kind}#"), MonthTotal)

    def usage_history(self, recipe: str, endpoint: str, model: str, schema: str) -> UsageHistory:
        """Return what earlier jobs of a recipe came to; a new item if there were none."""
        return self._get_or(UsageHistory(recipe=recipe, endpoint=endpoint, model=model, schema=schema))

    def create_count(self) -> CreateCount:
        return self._get_or(CreateCount())

    def poller(self) -> Poller:
        return self._get_or(Poller())

    def sweep_cursor(self) -> SweepCursor:
        return self._get_or(SweepCursor())

    def alert(self, reason: str) -> Alert:
        """Return the alert for this reason; a new item if operators were never notified."""
        return self._get_or(Alert(reason))

    def claim(self, digest: str) -> Claim | None:
        return self._get(keys.claim_key(digest), Claim)

    def open_jobs(self) -> Iterator[Job]:
        return self._open(open_index.OPEN_JOBS, Job)

    def open_batches(self) -> Iterator[Batch]:
        return self._open(open_index.OPEN_BATCHES, Batch)

    def ended_jobs_at_work(self) -> Iterator[Job]:
        """Yield the ended jobs that still have notices to send or files to delete."""
        return self._open(open_index.OUTBOXES, Job)

    def pending(self) -> Iterator[Pending]:
        return self._open(open_index.OPEN_PENDING, Pending)

    def is_pending(self, bucket: str, key: str) -> bool:
        """Return whether an object of this key is pending."""
        return any(True for _ in self._table.query(keys.pending_pk(bucket, key)))

    def pendings(self, bucket: str, key: str) -> Iterator[Pending]:
        """Yield the items of the objects of this key that wait, or are done and not deleted yet."""
        return self._readable(self._table.query(keys.pending_pk(bucket, key)), Pending)

    def waiting_file(self, bucket: str, key: str) -> WaitingFile | None:
        return self._get(keys.waiting_file_key(bucket, key), WaitingFile)

    def waiting_files(self, bucket: str, folder: str = "") -> Iterator[WaitingFile]:
        """Yield the files below a folder (which ends in a slash, or is empty) that wait for a recipe, by their keys.

        Strongly consistent. An item that cannot be read is skipped, and listed in `unreadable`.
        """
        return self._readable(self._table.query(*keys.waiting_file_key(bucket, folder)), WaitingFile)

    def known_recipe(self, bucket: str, key: str) -> KnownRecipe:
        """Return what is known of a recipe; a new item if nothing is yet."""
        return self._get_or(KnownRecipe(bucket=bucket, key=key))

    def tried_recipe(self, bucket: str, key: str) -> TriedRecipe:
        """Return what was tried of a recipe; a new item if nothing was."""
        return self._get_or(TriedRecipe(bucket=bucket, key=key))

    def known_recipes(self, bucket: str) -> Iterator[KnownRecipe]:
        return self._readable(self._table.query(keys.known_recipe_key(bucket, "").pk), KnownRecipe)

    def listed_job(self, folder: str, job_id: str) -> ListedJob:
        """Return a job as the page of a folder lists it; a new item if it does not yet."""
        return self._get_or(ListedJob(folder=folder, job_id=job_id))

    def listed_jobs(self, folder: str, maximum: int) -> Iterator[ListedJob]:
        """Yield the newest jobs that the page of a folder lists, the newest first; strongly consistent."""
        return self._readable(iter(self._table.newest(keys.listed_jobs_pk(folder), maximum)), ListedJob)

    def job_page(self, folder: str) -> JobPage:
        """Return what is known of the page of a folder; a new item if nothing is yet."""
        return self._get_or(JobPage(folder=folder))

    def changed_pages(self) -> Iterator[JobPage]:
        """Yield the pages that have to be written, those that have waited longest first."""
        return self._open(open_index.CHANGED_PAGES, JobPage)

    def _get(self, key: keys.Key, kind: type[T]) -> T | None:
        item = self._table.get(*key)
        return from_item(item, kind) if item else None

    def _get_or(self, new: T) -> T:
        """Return the table's item with the key of `new`; `new` if there is none."""
        return self._get(keys.key_of(new), type(new)) or new

    def _open(self, name: str, kind: type[T]) -> Iterator[T]:
        return self._readable(self._table.open_items(name), kind)

    def _readable(self, items: Iterator[dict[str, Any]], kind: type[T]) -> Iterator[T]:
        """Read items one by one. An item that cannot be read is skipped, and listed in `unreadable`."""
        for item in items:
            try:
                yield from_item(item, kind)
            except UnreadableItemError as error:
                self.unreadable.append(str(error))

    def add(self, item: Item) -> bool:
        """Write a new item; False if its key has one already."""
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
        """Write an item over the one that was read. Raise StaleItemError if another process wrote it meanwhile."""
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

    def save_all(self, items: Sequence[Item]) -> None:
        """Write several items, as `save` does each of them, all or none."""
        read = [item.rev for item in items]
        for item in items:
            item.rev += 1
        try:
            self._table.write_all([(to_item(item), rev) for item, rev in zip(items, read, strict=True)])
        except Exception as error:
            if isinstance(error, StaleItemError) or not self._is_written(items[0]):
                for item, rev in zip(items, read, strict=True):
                    item.rev = rev
                raise

    def _is_written(self, item: Item) -> bool:
        """Return whether a write whose answer was lost took effect: the table has just this item."""
        return self._table.get(*keys.key_of(item)) == to_item(item)

    def remove(self, item: Item) -> None:
        self._table.delete(*keys.key_of(item), item.rev)

    def change(self, load: Callable[[], T | None], change: Callable[[T], bool]) -> T | None:
        """Load, change and write an item; start again if another process wrote it meanwhile.

        `change` alters the item and returns True, or returns False if there is nothing to do. Return the item as it was
        written, or None if nothing was written.
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
        """Change the item as the table has it now. `change` and the result are those of the method `change`."""
        return self.change(lambda: self.reload(item), change)

    def reload(self, item: T) -> T | None:
        """Read an item again; None if it is gone."""
        return self._get(keys.key_of(item), type(item))


def to_item(item: Item) -> dict[str, Any]:
    """Return the item as the table holds it, without members that are None or empty by default.

    A poll reads thousands of items, and pays for every member of each: half of an open batch's are empty.
    """
    members: dict[str, Any] = msgspec.to_builtins(item)
    optional = _EMPTY_BY_DEFAULT[type(item)]
    held = {name: value for name, value in members.items() if value or (value is not None and name not in optional)}
    if index := open_index.index_of(item):
        held["open"], held["since"] = index
    pk, sk = keys.key_of(item)
    return {"pk": pk, "sk": sk, "v": VERSION, "rev": item.rev, **held}


def _defaults(kind: type[Item]) -> dict[str, Any]:
    """Return the defaults of a kind of item by member, as the table holds them."""
    defaults = {
        member.name: member.default if member.default_factory is MISSING else member.default_factory()
        for member in fields(kind)
    }
    return {name: msgspec.to_builtins(default) for name, default in defaults.items() if default is not MISSING}


_DEFAULTS = {kind: _defaults(kind) for kind in keys.KEYS}
"""msgspec takes twice as long to find out which members are missing."""

_EMPTY_BY_DEFAULT = {
    kind: frozenset(name for name, default in defaults.items() if default is not None and not default)
    for kind, defaults in _DEFAULTS.items()
}


def from_item(item: Mapping[str, Any], kind: type[T]) -> T:
    """Read an item of the table. Raise UnreadableItemError if a newer release wrote it in an unknown form."""
    version = item.get("v", VERSION)
    if version <= VERSION:
        try:
            members = item if version == VERSION else upgraded(item, kind)
            return msgspec.convert({**_DEFAULTS[kind], **members}, kind)
        except msgspec.ValidationError:
            pass  # the error's text may quote the item
    raise UnreadableItemError(keys.loggable_key(item["pk"], item["sk"]))
