"""DynamoDB in memory."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from dropbatch.adapters.dynamodb import typed
from dropbatch.domain.errors import StaleItemError
from tests.fakes.refusal import refusal

MAX_ITEM_BYTES = 409_600
MAX_KEY_BYTES = {"pk": 2_048, "sk": 1_024, "open": 2_048, "since": 1_024}
"""The maximum bytes of a partition key and of a sort key, in the index too."""

MAX_DIGITS = 38

_TOO_LARGE = 10**MAX_DIGITS
"""The smallest number with more digits. Zeros at its end do not count."""

_SCALARS = frozenset({str, bool, type(None)})

_INDEX_KEYS = ("open", "since")

_TTL_SECONDS = range(10**11)
"""A time to live in milliseconds is not an error in DynamoDB: the item stays for ever."""


class FakeTable:
    """Items by (pk, sk), kept as JSON, so that nothing is shared with who wrote them.

    It refuses what DynamoDB refuses. `index_lag` is for how many seconds the index does not show what was written.
    """

    def __init__(self, clock: Callable[[], float] = lambda: 0.0) -> None:
        self._clock = clock
        self._partitions: dict[str, dict[str, str]] = {}
        self._index: dict[str, dict[tuple[str, str], str]] = {}
        self._revs: dict[tuple[str, str], int] = {}  # of every item, as conditions ask for them
        # What the index does not show yet: since when, the item's key, what it is shown as, its text.
        self._unseen: deque[tuple[float, tuple[str, str], str | None, str | None]] = deque()
        self.index_lag = 0.0

    def get(self, pk: str, sk: str) -> dict[str, Any] | None:
        _check_key(pk, sk)
        item = self._partitions.get(pk, {}).get(sk)
        return msgspec.json.decode(item) if item else None

    def insert(self, item: Mapping[str, Any]) -> None:
        text = _text(item)
        if item["sk"] in self._partitions.get(item["pk"], {}):
            raise StaleItemError
        self._write(item, text)

    def replace(self, item: Mapping[str, Any], rev: int) -> None:
        text = _text(item)
        if self._revs.get((item["pk"], item["sk"])) != rev:
            raise StaleItemError
        self._write(item, text)

    def write_all(self, items: Sequence[tuple[Mapping[str, Any], int]]) -> None:
        texts = [_text(item) for item, _ in items]
        assert 0 < len(items) <= 100, "a transaction has up to a hundred items"
        keys = [(item["pk"], item["sk"]) for item, _ in items]
        if len(set(keys)) < len(keys):
            raise _invalid("Transaction request cannot include multiple operations on one item")
        if any(self._revs.get(key, 0) != rev for key, (_, rev) in zip(keys, items, strict=True)):
            raise StaleItemError
        for (item, _), text in zip(items, texts, strict=True):
            self._write(item, text)

    def delete(self, pk: str, sk: str, rev: int) -> None:
        found = self._revs.get((pk, sk))
        if found is None:
            return
        if found != rev:
            raise StaleItemError
        self._remove(pk, sk)

    def renew(self, pk: str, sk: str, lease: str, until: int) -> None:
        found = self.get(pk, sk)
        if found is None or found.get("lease") != lease:
            raise StaleItemError
        renewed = {**found, "lease_until": until}
        self._write(renewed, _text(renewed))

    def query(self, pk: str, sk_prefix: str = "") -> Iterator[dict[str, Any]]:
        _check_keys({"pk": {"S": pk}})
        partition = self._partitions.get(pk, {})
        keys = sorted(sk for sk in partition if sk.startswith(sk_prefix))
        return (msgspec.json.decode(partition[sk]) for sk in keys if sk in partition)

    def newest(self, pk: str, maximum: int) -> Sequence[dict[str, Any]]:
        _check_keys({"pk": {"S": pk}})
        partition = self._partitions.get(pk, {})
        return [msgspec.json.decode(partition[sk]) for sk in sorted(partition, reverse=True)[:maximum]]

    def open_items(self, kind: str) -> Iterator[dict[str, Any]]:
        items = [msgspec.json.decode(item) for item in self.open(kind).values()]
        return iter(sorted(items, key=lambda item: item["since"]))

    def open(self, kind: str) -> Mapping[tuple[str, str], str]:
        """Return the items of a kind that the index shows, by key."""
        while self._unseen and self._unseen[0][0] <= self._clock() - self.index_lag:
            _, key, open_, item = self._unseen.popleft()
            for shown in self._index.values():
                shown.pop(key, None)
            if item is not None and open_ is not None:
                self._index.setdefault(open_, {})[key] = item
        return self._index.get(kind, {})

    def expire(self) -> None:
        """Delete items after their `expires_at`, as DynamoDB does at some time."""
        for item in [msgspec.json.decode(text) for text in self.texts()]:
            if item.get("expires_at", float("inf")) < self._clock():
                self._remove(item["pk"], item["sk"])

    def texts(self) -> Iterator[str]:
        """Yield every item as JSON."""
        return (item for partition in self._partitions.values() for item in partition.values())

    def _write(self, item: Mapping[str, Any], text: str) -> None:
        pk, sk = item["pk"], item["sk"]
        self._partitions.setdefault(pk, {})[sk] = text
        self._revs[pk, sk] = item["rev"]
        is_shown = all(name in item for name in _INDEX_KEYS)
        self._unseen.append((self._clock(), (pk, sk), item["open"] if is_shown else None, text))

    def _remove(self, pk: str, sk: str) -> None:
        del self._partitions[pk][sk], self._revs[pk, sk]
        self._unseen.append((self._clock(), (pk, sk), None, None))


def _text(item: Mapping[str, Any]) -> str:
    """Return an item as it is kept; raise DynamoDB's error for one that it refuses."""
    is_plain = _is_plain(item)
    if not is_plain:
        typed(item)  # which takes no floats, sets or the like
    for name in ("pk", "sk"):
        if name not in item:
            raise _invalid(f"One or more parameter values were invalid: Missing the key {name} in the item")
    for name, most in MAX_KEY_BYTES.items():
        if name in item and not _is_short(item[name], most):
            _check_keys(typed({name: item[name]}))
    text = msgspec.json.encode(item)
    # A small item is not measured: no value takes three times the bytes that it takes in JSON.
    is_to_measure = not is_plain or 3 * len(text) > MAX_ITEM_BYTES
    if (
        is_to_measure
        and sum(len(name.encode()) + _bytes(value) for name, value in typed(item).items()) > MAX_ITEM_BYTES
    ):
        raise _invalid("Item size has exceeded the maximum allowed size")
    expires_at = item.get("expires_at", 0)
    assert type(expires_at) is int, "a time to live is a number of seconds"
    assert expires_at in _TTL_SECONDS, f"{expires_at} is not a time to live"
    return text.decode()


def _is_plain(value: Any) -> bool:
    """Return whether the table accepts a value with everything in it. It is fast, because many items are checked."""
    for member in value.values() if type(value) is dict else value:
        kind = type(member)
        if kind is int:
            if not -_TOO_LARGE < member < _TOO_LARGE:
                return False
        elif kind not in _SCALARS and not (kind in (dict, list) and _is_plain(member)):
            return False
    return True


def _is_short(value: Any, most: int) -> bool:
    """Return whether a value is a text of at most this number of bytes, even with four for each character."""
    return type(value) is str and 0 < 4 * len(value) <= most


@lru_cache(1000)  # the same few keys come again and again
def _check_key(pk: str, sk: str) -> None:
    _check_keys({"pk": {"S": pk}, "sk": {"S": sk}})


def _check_keys(members: Mapping[str, Mapping[str, Any]]) -> None:
    for name, value in members.items():
        kind = next(iter(value))
        where = f"Index Key {name}" if name in _INDEX_KEYS else f"key {name}"
        if kind != "S":
            raise _invalid(
                f"One or more parameter values were invalid: Type mismatch for {where} Expected: S Actual: {kind}"
            )
        if not value["S"]:
            raise _invalid(f"One or more parameter values are not valid. An empty string value is not a {where}")
        if len(value["S"].encode()) > MAX_KEY_BYTES[name]:
            raise _invalid(
                f"One or more parameter values were invalid: Size of {where} has exceeded {MAX_KEY_BYTES[name]}"
            )


def _bytes(value: Mapping[str, Any]) -> int:
    """Return the size of a value as DynamoDB's documentation counts it."""
    ((kind, held),) = value.items()
    match kind:
        case "S":
            return len(held.encode())
        case "N":
            digits = held.lstrip("-").strip("0")
            if len(digits) > MAX_DIGITS:
                raise _invalid(f"Attempting to store more than {MAX_DIGITS} significant digits in a Number")
            return (len(digits) + 1) // 2 + 1
        case "L":
            return 3 + sum(1 + _bytes(member) for member in held)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _bytes(member) for name, member in held.items())
    return 1


def _invalid(message: str) -> Exception:
    return refusal("PutItem", "ValidationException", message)
