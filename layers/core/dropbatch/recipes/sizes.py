"""The size limits of the values that a recipe's template or expression makes, checked before they are made.

One call in C, such as padding a text to a billion characters, can take all memory, and no timer interrupts it. Lists
that hold the same list twice, thirty levels deep, take no memory, but printing or comparing them never ends: so a
value weighs as much as its full text.
"""

from collections.abc import Collection, Mapping
from typing import Any

from dropbatch.batch_api.limits import MAX_REQUEST_BYTES

MAX_TEXT = MAX_REQUEST_BYTES
"""The maximum length of a text, in characters: no request can hold a longer one."""

MEMBER_WEIGHT = 50
"""The weight of a list's or an object's member besides its text: about the bytes that it takes in memory."""


class TooLargeError(Exception):
    """A template or an expression would make a larger value than any request can hold."""


def check_size(size: int, most: int = MAX_TEXT) -> None:
    """Raise TooLargeError if something would be larger than `most`."""
    if size > most:
        raise TooLargeError


def weigh(value: Any, most: int = MAX_TEXT) -> int:
    """Return the weight of a value: its texts' characters and its members, each as often as it occurs.

    Raise TooLargeError if that is more than `most`. A value that occurs often is examined once.
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
    """Return the weight of several values: a million texts or numbers take some 40 ms."""
    kinds = set(map(type, values))
    if len(kinds) == 1 and str in kinds:
        return sum(map(len, values))
    return 0 if kinds <= _LIGHT else sum([_weight(value, known) for value in values])
