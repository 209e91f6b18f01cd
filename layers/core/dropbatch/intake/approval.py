"""The new jobs that wait for an approval because of their size."""

from collections.abc import Sequence

from dropbatch.domain.drops import Drop
from dropbatch.formats.file_types import file_type
from dropbatch.intake.sharding import ShardPlan
from dropbatch.storage.context import Context

MAX_UNPACKED_FACTOR = 50
"""A drop that unpacks to more than this many times its size is held for an approval. Text rarely packs by twenty."""

MIN_BOMB_ROWS = 1_000
"""Fewer rows cost cents, whatever they unpack to."""


def needs_approval(context: Context, requests: int, *, is_bomb: bool) -> bool:
    """Return whether a job of this many requests is held until an `.approve` comes."""
    return is_bomb or requests > context.hold_above_rows


def is_bomb(drop: Drop, plans: Sequence[ShardPlan]) -> bool:
    """Return whether a drop was compressed suspiciously well, and would cost more than cents."""
    unpacked = sum(plan.size for plan in plans)
    requests = sum(group.requests for plan in plans for group in plan.groups)
    is_suspicious = bool(file_type(drop.key).compression) and unpacked > MAX_UNPACKED_FACTOR * drop.size
    return is_suspicious and requests >= MIN_BOMB_ROWS
