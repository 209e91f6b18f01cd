"""The canary of a new job: its rows get batches of their own, which are sent before all others.

In the index of a shard with `n` groups, the row of a canary is in the group `n` above its own. So marking a shard twice
gives the same index.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from dropbatch.domain.jobs import Canary
from dropbatch.intake.sharding import Group, ShardPlan
from dropbatch.recipes.money_values import CanaryRows
from dropbatch.rows.sampling import sampled_rows
from dropbatch.storage.job_files import JobFiles
from dropbatch.storage.shard_index import ShardIndex


def mark_canary(files: JobFiles, plans: Sequence[ShardPlan], wanted: CanaryRows) -> Canary | None:
    """Move the rows of a canary into groups of their own; return its condition, None if it would be all rows."""
    ends = list(accumulate(sum(group.requests for group in plan.groups) for plan in plans))
    if not ends or wanted.rows >= ends[-1]:
        return None
    chosen = _chosen(wanted, ends[-1])
    by_shard: dict[int, list[int]] = {}
    for number in chosen:
        shard = bisect_right(ends, number)
        by_shard.setdefault(shard, []).append(number - (ends[shard - 1] if shard else 0))
    for shard, numbers in by_shard.items():
        _mark(files, plans[shard], numbers)
    return Canary(wanted.rows, wanted.min_ok, wanted.max_usd)


def _chosen(wanted: CanaryRows, requests: int) -> Sequence[int]:
    """Return the numbers, from 0, of the requests that are sent first."""
    if wanted.seed is None:
        return range(wanted.rows)
    return [number - 1 for number in sampled_rows(wanted.rows, requests, wanted.seed)]


def _mark(files: JobFiles, plan: ShardPlan, numbers: Sequence[int]) -> None:
    """Mark the requests with these numbers within a shard, in its index and in its plan."""
    index = files.index(plan.number)
    if index is None:
        raise AssertionError(f"shard {plan.number} has no index")
    own = len(plan.groups)
    places = [place for place in range(len(index)) if index.skipped(place) is None and index.original(place) is None]
    for place in places:
        index.groups[place] %= own  # it may be marked already
    canaries = [Group(group.endpoint, group.model, is_canary=True) for group in plan.groups]
    for number in range(own):
        moved = [places[n] for n in numbers if index.groups[places[n]] == number]
        _move(index, moved, plan.groups[number], canaries[number])
        for place in moved:
            index.groups[place] += own
    plan.groups += canaries
    files.keep_index(plan.number, index)


def _move(index: ShardIndex, places: Sequence[int], source: Group, target: Group) -> None:
    """Move the sums of some requests. The sums that the index does not have for each are shared out by number."""
    share, of = len(places), max(1, source.requests)
    tokens, inputs = (sum(column[place] for place in places) for column in (index.tokens, index.inputs))
    size, output_bytes = source.size * share // of, source.output_bytes * share // of
    target.add(share, size, inputs, output_bytes, tokens)
    source.add(-share, -size, -inputs, -output_bytes, -tokens)
    target.expected = source.expected.take(share, of, tokens)
