"""Items and messages that an older release wrote."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

import pytest

from dropbatch.messages import BatchMessage, IntakeMessage
from dropbatch.storage.item_keys import KEYS, key_of
from dropbatch.storage.repository import Repository, UnreadableItemError, from_item, to_item
from tests.fakes import FakeTable
from tests.version_1 import MESSAGES, NAMES, as_version_1, had, item_of

KINDS = {kind.__name__: kind for kind in KEYS if had(kind.__name__)}
"""The kinds of items that version 1 had."""


def kept(name: str) -> dict[str, Any]:
    """Return the members of an item of version 1 that must be kept: all except those that nothing reads any more.

    The message about a running job is sent again, and an approval from before its question is none.
    """
    gone = {("Job", "sent_at"), ("LatestJob", "approve_modified")}
    return {member: value for member, value in item_of(name).items() if (name, member) not in gone}


@pytest.mark.parametrize("name", KINDS)
def test_an_item_of_version_1_is_read_completely(name: str) -> None:
    read = to_item(from_item(item_of(name), KINDS[name]))
    assert read["v"] == 2
    assert as_version_1(read) == kept(name)


@pytest.mark.parametrize("name", KINDS)
def test_the_next_change_writes_an_item_of_version_1_in_version_2(name: str) -> None:
    table = FakeTable()
    table.insert(item_of(name))
    item = from_item(item_of(name), KINDS[name])
    Repository(table).save(item)
    written = table.get(*key_of(item))
    assert written == to_item(item)
    assert as_version_1(written) == {**kept(name), "rev": item_of(name)["rev"] + 1}


@pytest.mark.parametrize("name", KINDS)
def test_every_member_may_be_missing_from_an_older_item(name: str) -> None:
    """An older release may not know a member: then its default counts."""
    kind = KINDS[name]
    item = item_of(name)
    needed = {"pk", "sk", "v", "rev", *_without_default(kind)}
    old = {NAMES.get(name, {}).get(member, member): member for member in item}
    least = {old[member]: item[old[member]] for member in old if member in needed}
    assert key_of(from_item(least, kind)) == (item["pk"], item["sk"])


def _without_default(kind: type[Any]) -> set[str]:
    identity = {"rerun_version", "attempt"}  # they have defaults, and are part of a key
    missing = {each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING}
    return missing | identity


@pytest.mark.parametrize("name", KINDS)
def test_an_unreadable_item_is_named_without_a_file_s_key(name: str) -> None:
    """The name goes to the log; an item of a job is found by it."""
    item = {**item_of(name), "v": 3}
    with pytest.raises(UnreadableItemError) as raised:
        from_item(item, KINDS[name])
    assert "the key" not in str(raised.value)
    assert "the bucket" not in str(raised.value)
    if item["pk"].startswith("job#"):
        assert str(raised.value) == f"{item['pk']} {item['sk']}"


def test_a_message_of_version_1_is_read() -> None:
    look, batch, job = MESSAGES
    assert IntakeMessage.from_json(look) == IntakeMessage("bucket", "key", "version", "marker", 7, "sequencer")
    assert BatchMessage.from_json(batch) == BatchMessage("job", "batch#000000#000#0")
    assert BatchMessage.from_json(job) == BatchMessage("job")


@pytest.mark.parametrize("message", MESSAGES, ids=["object", "batch", "job"])
def test_a_message_is_sent_on_in_version_2(message: Mapping[str, Any]) -> None:
    kind = BatchMessage if "job_id" in message else IntakeMessage
    read = kind.from_json(message)
    assert read.to_json()["v"] == 2
    assert kind.from_json(read.to_json()) == read
