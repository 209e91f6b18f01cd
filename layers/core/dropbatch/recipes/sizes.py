"""Bounds what a recipe's template or expression makes, before it is made.

One call in C, such as padding a text to a billion characters, can take all memory, and no timer interrupts it. Lists
that hold the same list twice, twenty levels deep, take no memory, but printing or comparing them takes for ever: so a
value weighs what it would be if it were written out.
"""

from collections.abc import Mapping
from typing import Any

MAX_TEXT = 50_000_000
"""How long a text may get, in characters: OpenAI takes at most 50 MB a request."""

MEMBER_WEIGHT = 50
"""What a list's or an object's member weighs besides its text: as many bytes as it takes in memory, or nearly."""

_LIGHT = frozenset({int, float, bool, type(None)})


class TooLargeError(Exception):
    """What a template or an expression makes would be larger than anything that could be sent."""


def check_size(size: int, most: int = MAX_TEXT) -> None:
    """Raise TooLargeError if something would be larger than `most`."""
    if size > most:
        raise TooLargeError


def weigh(value: Any, most: int = MAX_TEXT) -> int:
    """Return what a value weighs: its texts' characters and its members, each as often as it occurs.

    TooLargeError as soon as that is more than `most`.
    """
    if type(value) is str:
        check_size(len(value), most)
        return len(value)
    weight, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str | bytes):
            weight += len(item)
        elif isinstance(item, Mapping):
            weight += MEMBER_WEIGHT * len(item)
            check_size(weight, most)
            waiting += [item.keys(), item.values()] if len(item) else ()
        elif isinstance(item, list | tuple | set | frozenset | type({}.keys()) | type({}.values())):
            weight += MEMBER_WEIGHT * len(item)
            check_size(weight, most)
            kinds = set(map(type, item))
            if kinds == {str}:
                weight += sum(map(len, item))
            elif not kinds <= _LIGHT:
                waiting += item
        elif type(item) is int:
            weight += item.bit_length() // 3
        check_size(weight, most)
    return weight
