"""An example of every kind of item, built from its annotations, so that no kind and no member is left out."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

from dropbatch.domain.items import Item
from dropbatch.storage.item_keys import KEYS


def kinds(base: type[Item]) -> list[type[Item]]:
    """Return the kinds of items that the code can write: those that have a key."""
    found: dict[str, type[Item]] = {}
    for kind in base.__subclasses__():
        # By name: a dataclass with slots replaces its original class, which may still be among the subclasses.
        found |= {kind.__name__: kind} if kind in KEYS else {}
        found |= {below.__name__: below for below in kinds(kind)}
    return list(found.values())


def example(kind: Any) -> Any:
    """Return a value of a type, with every member filled: the first type of a union, the first member of an enum."""
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{member.name: example(hints[member.name]) for member in fields(kind) if member.init})
    arguments = get_args(kind)
    match get_origin(kind) or kind:
        case origin if origin in (list, tuple):
            return origin([example(arguments[0])])
        case origin if arguments and isinstance(origin, type) and issubclass(origin, Mapping):
            return {example(arguments[0]): example(arguments[1])}
        case origin if isinstance(origin, type) and issubclass(origin, Enum):
            return next(iter(origin))
        case origin if origin in (str, int, float, bool, Decimal):
            return {str: "text", int: 7, float: 0.5, bool: True, Decimal: Decimal("0.25")}[origin]
    return example(arguments[0])
