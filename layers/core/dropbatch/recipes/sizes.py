"""Bounds what a recipe's template or expression makes, before it is made.

One call in C, such as padding a text to a billion characters, can take all memory, and no timer interrupts it. Lists
that hold the same list twice, thirty levels deep, take no memory, but printing or comparing them takes for ever: so a
value weighs what it would be if it were written out.
"""

from collections.abc import Collection, Mapping
from typing import Any

from dropbatch.batch_api.limits import MAX_REQUEST_BYTES

MAX_TEXT = MAX_REQUEST_BYTES
"""The maximum length of a text, in characters: no request can hold a longer one."""

MEMBER_WEIGHT = 50
"""What a list's or an object's member weighs besides its text: as many bytes as it takes in memory, or nearly."""


class TooLargeError(Exception):
    """What a template or an expression makes would be larger than anything that could be sent."""


def check_size(size: int, most: int = MAX_TEXT) -> None:
    """Raise TooLargeError if something would be larger than `most`."""
    if size > most:
        raise TooLargeError


def weigh(value: Any, most: int = MAX_TEXT) -> int:
    """Return what a value weighs: its texts' characters and its members, each as often as it occurs.

    TooLargeError if that is more than `most`. What occurs often is looked at once.
    """
    weight = _weight(value, {})
    check_size(weight, most)
    return weight


def _weight(value: Any, known: dict[int, int]) -> int:
    kind = type(value)
    if kind is str:
        return len(value)
    if kind in _LIGHT:
        return 0
    if kind is int:
        return int(value.bit_length() // 3)
    if isinstance(value, str | bytes):
        return len(value)
    if not isinstance(value, dict | list | tuple | set | frozenset | Mapping):
        return 0
    weight = known.get(id(value))
    if weight is None:
        inner = _sum(value.values(), known) if isinstance(value, dict | Mapping) else 0
        weight = known[id(value)] = MEMBER_WEIGHT * len(value) + _sum(value, known) + inner
    return weight


_LIGHT = frozenset({float, bool, type(None)})


def _sum(values: Collection[Any], known: dict[int, int]) -> int:
    """The same for several: a million texts or numbers take some 40 ms."""
    kinds = set(map(type, values))
    if len(kinds) == 1 and str in kinds:
        return sum(map(len, values))
    return 0 if kinds <= _LIGHT else sum([_weight(value, known) for value in values])
