"""DynamoDB accepts every item that the code can write, whatever its values.

The test finds the kinds of items, so that nobody has to remember a new one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from dropbatch.domain.batches import Batch
from dropbatch.domain.items import Item
from dropbatch.domain.jobs import Job, Shard
from dropbatch.ports import Table
from dropbatch.storage.item_keys import key_of
from dropbatch.storage.open_index import index_of
from dropbatch.storage.repository import from_item, to_item
from tests.contract.conftest import real_table
from tests.fakes import FakeTable
from tests.items import kinds

LARGEST = 99_999_999_999
"""The largest of all numbers: a time in the year 5138."""

LONGEST = {
    "bucket": "b" * 63,
    "key": "ü" * 512,  # S3 accepts 1,024 bytes
    "version_id": "v" * 1_024,  # as S3 documents it
    "rerun_version": "v" * 1_024,
    "labels": {"x" * 24: "ü" * 1_012},  # 2 KB in all
    "attempt": "0" + "-999.999" * 20,  # parts of parts, each followed by many more
    "model": "m" * 256,
    "rows": "r" * 300,  # the names of a job's files; in other items a number
    "follow_ups": 501,  # how many: the parts of one that was too large
    "after": "ü" * 512,  # a key
    "parts": 10,  # of a quote
    "notes": 4,  # kinds of warnings about a quote
    "warnings": 4,
}
"""The longest values of members, by name. Any other text has 128 characters, any other list 100 members."""


def longest(name: str, hint: Any) -> Any:
    """Return the largest value of a member."""
    options = [option for option in get_args(hint) if option is not NoneType] if NoneType in get_args(hint) else [hint]
    (hint,) = options
    known = LONGEST.get(name)
    if get_origin(hint) in (list, tuple):
        count = known if isinstance(known, int) else 100
        return get_origin(hint)([longest(f"a member of {name}", get_args(hint)[0])] * count)
    if get_origin(hint) in (dict, Mapping):
        return known or {longest("a name", get_args(hint)[0]): longest("a value", get_args(hint)[1])}
    if is_dataclass(hint) and isinstance(hint, type):
        return made(hint)
    if hint is bool:
        return True
    if hint in (int, float):
        return LARGEST
    if hint is Decimal:
        return Decimal(f"{LARGEST}.{'9' * 17}")  # the default context has 28 digits
    if hint is str:
        return known if isinstance(known, str) else "x" * 128
    assert isinstance(hint, type), f"{name} is of a type that this test does not know"
    assert issubclass(hint, Enum), f"{name} is of a type that this test does not know"
    return max(hint, key=lambda member: len(str(member.value)))


def made(kind: type[Any]) -> Any:
    hints = get_type_hints(kind)
    return kind(**{member.name: longest(member.name, hints[member.name]) for member in fields(kind) if member.init})


def variants(kind: type[Item]) -> Iterator[Item]:
    """Return the largest item of a kind, and the smallest in each state (which decides about the index)."""
    largest = made(kind)
    yield largest
    smallest = kind(**{m.name: getattr(largest, m.name) for m in fields(kind) if _is_needed(m)})
    states = type(getattr(largest, "state", None))
    for state in states if issubclass(states, Enum) else ():
        yield replace(smallest, state=state)  # type: ignore[call-arg]  # of those that have one
    yield smallest


def _is_needed(member: "Field[Any]") -> bool:
    return member.default is MISSING and member.default_factory is MISSING


ITEMS = [
    pytest.param(item, id=f"{kind.__name__}-{number}")
    for kind in kinds(Item)
    for number, item in enumerate(variants(kind))
]


@pytest.mark.slow
@pytest.mark.parametrize("item", ITEMS)
@pytest.mark.parametrize("where", ["fake", "real"])
def test_the_table_takes_every_item(where: str, item: Item, aws: None) -> None:
    table: Table = FakeTable() if where == "fake" else real_table()
    table.insert(to_item(item))
    table.replace(to_item(item), item.rev)
    held = table.get(*key_of(item))
    assert held == to_item(item)
    assert from_item(held, type(item)) == item  # type: ignore[type-var]  # of every kind
    if index := index_of(item):
        assert [found["sk"] for found in table.open_items(index[0])] == [key_of(item).sk]


@pytest.mark.parametrize("kind", kinds(Item), ids=lambda kind: kind.__name__)
def test_a_member_that_is_empty_by_default_is_not_written(kind: type[Item]) -> None:
    largest = made(kind)
    smallest = kind(**{m.name: getattr(largest, m.name) for m in fields(kind) if _is_needed(m)})
    written = to_item(smallest)
    assert {name for name, value in written.items() if not value} <= {"rev"}
    assert from_item(written, kind) == smallest  # type: ignore[type-var]  # of every kind


@pytest.mark.parametrize("kind", kinds(Item), ids=lambda kind: kind.__name__)
def test_a_member_that_is_empty_but_not_by_default_is_written(kind: type[Item]) -> None:
    largest = made(kind)
    values = {member.name: getattr(largest, member.name) for member in fields(kind) if member.init}
    emptied = {name: type(value)() for name, value in values.items() if type(value) in (bool, int, str, list, dict)}
    item = kind(**{**values, **emptied})
    assert from_item(to_item(item), kind) == item  # type: ignore[type-var]  # of every kind


def test_the_kinds_of_items_are_found() -> None:
    assert {Job, Shard, Batch} < set(kinds(Item))
