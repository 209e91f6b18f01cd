"""A table and buckets on disk, which outlive a process that is killed."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dropbatch.client.local.objects import FolderObjects
from dropbatch.domain.errors import StaleItemError
from tests.fakes.names import INBOX


class DiskObjects(FolderObjects):
    """S3 in a folder, with methods for tests."""

    def drop(self, key: str, data: bytes, labels: Mapping[str, str] | None = None, bucket: str = INBOX) -> str:
        self.put(bucket, key, data, "application/octet-stream")
        return self.head(bucket, key).version_id

    def content(self, bucket: str, key: str) -> bytes:
        return b"".join(self.blocks(bucket, key))


class DiskTable:
    """DynamoDB in a file of SQLite: each write is atomic."""

    def __init__(self, path: Path) -> None:
        # A heartbeat writes from a thread of its own.
        self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._file.execute("CREATE TABLE IF NOT EXISTS items (pk, sk, item, PRIMARY KEY (pk, sk))")

    def get(self, pk: str, sk: str) -> dict[str, Any] | None:
        found = self._file.execute("SELECT item FROM items WHERE pk = ? AND sk = ?", (pk, sk)).fetchone()
        return json.loads(found[0]) if found else None

    def insert(self, item: Mapping[str, Any]) -> None:
        if self.get(item["pk"], item["sk"]) is not None:
            raise StaleItemError
        self._write(item)

    def replace(self, item: Mapping[str, Any], rev: int) -> None:
        found = self.get(item["pk"], item["sk"])
        if found is None or found["rev"] != rev:
            raise StaleItemError
        self._write(item)

    def write_all(self, items: Sequence[tuple[Mapping[str, Any], int]]) -> None:
        self._file.execute("BEGIN IMMEDIATE")
        try:
            for item, rev in items:
                self.replace(item, rev) if rev else self.insert(item)
        except BaseException:
            self._file.execute("ROLLBACK")
            raise
        self._file.execute("COMMIT")

    def delete(self, pk: str, sk: str, rev: int) -> None:
        found = self.get(pk, sk)
        if found is not None and found["rev"] != rev:
            raise StaleItemError
        self._file.execute("DELETE FROM items WHERE pk = ? AND sk = ?", (pk, sk))

    def renew(self, pk: str, sk: str, lease: str, until: int) -> None:
        found = self.get(pk, sk)
        if found is None or found.get("lease") != lease:
            raise StaleItemError
        self._write({**found, "lease_until": until})

    def query(self, pk: str, sk_prefix: str = "") -> Iterator[dict[str, Any]]:
        items = self._file.execute("SELECT sk, item FROM items WHERE pk = ? ORDER BY sk", (pk,)).fetchall()
        return (json.loads(item) for sk, item in items if sk.startswith(sk_prefix))

    def newest(self, pk: str, maximum: int) -> Sequence[dict[str, Any]]:
        query = "SELECT item FROM items WHERE pk = ? ORDER BY sk DESC LIMIT ?"
        return [json.loads(found[0]) for found in self._file.execute(query, (pk, maximum))]

    def open_items(self, kind: str) -> Iterator[dict[str, Any]]:
        found = [item for item in map(json.loads, self.texts()) if item.get("open") == kind]
        return iter(sorted(found, key=lambda item: item["since"]))

    def texts(self) -> Iterator[str]:
        return (item for (item,) in self._file.execute("SELECT item FROM items").fetchall())

    def _write(self, item: Mapping[str, Any]) -> None:
        self._file.execute("INSERT OR REPLACE INTO items VALUES (?, ?, ?)", (item["pk"], item["sk"], json.dumps(item)))
