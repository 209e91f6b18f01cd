"""DynamoDB in memory."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dropbatch.domain.errors import ConditionFailed


class FakeTable:
    """Items by (pk, sk), kept as JSON, so that nothing is shared with who wrote them."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str], str] = {}

    def get(self, pk: str, sk: str) -> dict[str, Any] | None:
        item = self._items.get((pk, sk))
        return json.loads(item) if item else None

    def insert(self, item: Mapping[str, Any]) -> None:
        if (item["pk"], item["sk"]) in self._items:
            raise ConditionFailed
        self._items[item["pk"], item["sk"]] = json.dumps(item)

    def replace(self, item: Mapping[str, Any], rev: int) -> None:
        found = self.get(item["pk"], item["sk"])
        if found is None or found["rev"] != rev:
            raise ConditionFailed
        self._items[item["pk"], item["sk"]] = json.dumps(item)

    def delete(self, pk: str, sk: str, rev: int) -> None:
        found = self.get(pk, sk)
        if found is not None and found["rev"] != rev:
            raise ConditionFailed
        self._items.pop((pk, sk), None)

    def query(self, pk: str, sk_prefix: str = "") -> Iterator[dict[str, Any]]:
        keys = sorted(key for key in self._items if key[0] == pk and key[1].startswith(sk_prefix))
        return (json.loads(self._items[key]) for key in keys if key in self._items)

    def open_items(self, kind: str) -> Iterator[dict[str, Any]]:
        items = [json.loads(item) for item in self._items.values()]
        return iter(sorted((item for item in items if item.get("open") == kind), key=lambda item: item["since"]))

    def everything(self) -> str:
        """All that the table holds, as text."""
        return "\n".join(self._items.values())
