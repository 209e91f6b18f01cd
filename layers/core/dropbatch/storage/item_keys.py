"""The keys of the table's items. No other module spells a key."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from dropbatch.domain.account_items import CreateCount, KnownModel, ModelLimit
from dropbatch.domain.batches import Batch
from dropbatch.domain.inbox import KnownRecipe, Pending, TriedRecipe, WaitingFile
from dropbatch.domain.items import Item
from dropbatch.domain.jobs import Job, Shard
from dropbatch.domain.outbox import Alert
from dropbatch.domain.poller import Poller, SweepCursor
from dropbatch.domain.quotes import UsageHistory
from dropbatch.domain.runs import Claim, LatestJob, Mirror
from dropbatch.domain.spending import JobSpending, MonthSpending, MonthTotal


class Key(NamedTuple):
    """The partition key and the sort key of an item."""

    pk: str
    sk: str


BATCHES = "batch#"
"""The prefix of the sort keys of a job's batches."""

SHARDS = "shard#"


def job_key(job_id: str) -> Key:
    return Key(f"job#{job_id}", "job")


def shard_key(job_id: str, number: int) -> Key:
    return Key(job_key(job_id).pk, f"{SHARDS}{number:06d}")


def batch_key(job_id: str, sort_key: str) -> Key:
    """Return the key of a batch, given its `Batch.sort_key`."""
    return Key(job_key(job_id).pk, sort_key)


def batches_of_shard(shard: int) -> str:
    """Return the prefix of the sort keys of a shard's batches."""
    return f"{BATCHES}{shard:06d}#"


def claim_key(digest: str) -> Key:
    return Key(f"claim#{digest}", "claim")


def pending_pk(bucket: str, key: str) -> str:
    return f"pending#{bucket}/{key}"


def _pending_key(item: Pending) -> Key:
    # Hashed, because S3 allows 1,024 bytes for each of the two, and DynamoDB for the whole sort key.
    version = f"{item.version_id}#{item.rerun_version}"
    return Key(pending_pk(item.bucket, item.key), hashlib.sha256(version.encode()).hexdigest())


def waiting_file_key(bucket: str, key: str) -> Key:
    return Key(f"waiting#{bucket}", key)


def known_recipe_key(bucket: str, key: str) -> Key:
    return Key(f"recipes#{bucket}", key)


def tried_recipe_key(bucket: str, key: str) -> Key:
    return Key(f"tried#{bucket}", key)


def job_spending_key(job_id: str) -> Key:
    return Key(job_key(job_id).pk, "spending")


def month_key(month: str) -> Key:
    return Key(f"month#{month}", "spending")


def month_total_key(month: str, kind: str, name: str) -> Key:
    # Hashed, because a folder may be longer than a sort key.
    return Key(month_key(month).pk, f"{kind}#{hashlib.sha256(name.encode()).hexdigest()}")


def usage_history_key(recipe: str, endpoint: str, model: str, schema: str) -> Key:
    # Hashed, because the path of a recipe and the name of a model may be longer together than a key.
    return Key(f"usage#{hashlib.sha256(recipe.encode()).hexdigest()}", _digest(endpoint, f"{model}\n{schema}"))


KEYS: Mapping[type[Item], Callable[[Any], Key]] = {
    Job: lambda job: job_key(job.id),
    Shard: lambda shard: shard_key(shard.job_id, shard.number),
    Batch: lambda batch: batch_key(batch.job_id, batch.sort_key),
    Pending: _pending_key,
    WaitingFile: lambda file: waiting_file_key(file.bucket, file.key),
    KnownRecipe: lambda recipe: known_recipe_key(recipe.bucket, recipe.key),
    TriedRecipe: lambda tried: tried_recipe_key(tried.bucket, tried.key),
    LatestJob: lambda latest: Key(f"drop#{latest.bucket}/{latest.key}", "newest"),
    Mirror: lambda mirror: Key(f"drop#{mirror.bucket}/{mirror.key}", "mirror"),
    Claim: lambda claim: claim_key(claim.digest),
    Alert: lambda alert: Key(f"alert#{alert.reason}", "alert"),
    ModelLimit: lambda limit: Key(f"limit#{limit.model}", "limit"),
    KnownModel: lambda known: Key(f"model#{known.host}#{known.model}", "model"),
    JobSpending: lambda spending: job_spending_key(spending.job_id),
    MonthSpending: lambda spending: month_key(spending.month),
    MonthTotal: lambda total: month_total_key(total.month, total.kind, total.name),
    UsageHistory: lambda usage: usage_history_key(usage.recipe, usage.endpoint, usage.model, usage.schema),
    CreateCount: lambda _: Key("creates", "creates"),
    SweepCursor: lambda _: Key("sweep", "sweep"),
    Poller: lambda _: Key("poller", "poller"),
}
"""The function that returns the key of an item, by kind of item."""


def key_of(item: Item) -> Key:
    return KEYS[type(item)](item)


def loggable_key(pk: str, sk: str) -> str:
    """Return the keys of an item for the log. A file's key is not logged, so its items are named by kind and digest."""
    if pk.startswith(job_key("").pk):
        return f"{pk} {sk}"
    return f"{pk.partition('#')[0]}#{_digest(pk, sk)}"


def notices_prefix(item: Job | Pending) -> str:
    """Return the prefix of the texts of an item's outbox in the work bucket."""
    if isinstance(item, Job):
        return f"jobs/{item.id}/outbox/"
    return f"recipes/{_digest(*key_of(item))}/"


def answers_key(item: TriedRecipe) -> str:
    """Return the key in the work bucket of the answers to a recipe's `try`."""
    return f"recipes/{_digest(*key_of(item))}/answers.json"


def _digest(pk: str, sk: str) -> str:
    return hashlib.sha256(f"{pk}\n{sk}".encode()).hexdigest()
