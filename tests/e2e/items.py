"""An example of every kind of item, made out of its annotations, so that no kind and no member can be left out."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

from dropbatch.domain.jobs import Item


def kinds(base: type[Item]) -> Iterator[type[Item]]:
    """Yield the kinds of items that the code can write."""
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


def example(kind: Any) -> Any:
    """Return a value of a type, with every member filled: of a union the first, of an enum its first member."""
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
        case origin if origin in (str, int, float, bool):
            return {str: "text", int: 7, float: 0.5, bool: True}[origin]
    return example(arguments[0])
