"""Files and batches, kept in memory for speed and in one directory for the next start.

`state.sqlite3` holds a JSON document a file or batch; `files/` the contents by file id; `partial/` what a running batch
has written so far. Times are Unix seconds, with fractions inside, and whole where the API shows them.
"""

import os
import secrets
import sqlite3
from pathlib import Path
from threading import RLock
from typing import TypeVar

import msgspec

DAY = 86_400
FILE_LIFETIME = 30 * DAY
"""Batch files are deleted 30 days after their creation unless `expires_after` says otherwise."""

OPEN = frozenset({"validating", "in_progress", "finalizing", "cancelling"})


class File(msgspec.Struct, kw_only=True):
    """A file object, and the project that it belongs to."""

    id: str
    project: str
    filename: str
    purpose: str
    bytes: int
    created_at: float
    expires_at: float | None = None


class BatchError(msgspec.Struct, kw_only=True):
    """One entry of `errors.data`; `line` is 1-based."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class Tokens(msgspec.Struct, kw_only=True):
    """Tokens that requests used; `cached` and `cache_write` are parts of `input`, `reasoning` is a part of `output`."""

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0

    def add(self, other: "Tokens") -> None:
        self.input += other.input
        self.cached += other.cached
        self.cache_write += other.cache_write
        self.output += other.output
        self.reasoning += other.reasoning


class Batch(msgspec.Struct, kw_only=True):
    """A batch object, with facts that only the emulator needs.

    `tokens` are the input tokens it holds enqueued, `ran` the rows that were run, in the batch's own shuffled order.
    """

    id: str
    project: str
    number: int
    endpoint: str
    input_file_id: str
    completion_window: str
    created_at: float
    expires_at: float
    metadata: dict[str, str] | None = None
    output_seconds: int = FILE_LIFETIME
    status: str = "validating"
    model: str = ""
    errors: list[BatchError] = msgspec.field(default_factory=list)
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_at: float | None = None
    finalizing_at: float | None = None
    completed_at: float | None = None
    failed_at: float | None = None
    expired_at: float | None = None
    cancelling_at: float | None = None
    cancelled_at: float | None = None
    retrieved_at: float | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    ran: int = 0
    tokens: int = 0
    usage: Tokens = msgspec.field(default_factory=Tokens)

    @property
    def is_open(self) -> bool:
        return self.status in OPEN


S = TypeVar("S", File, Batch)


class Store:
    """All files and batches of all projects. Its `lock` guards every change; hold it to read several things at once."""

    def __init__(self, directory: Path) -> None:
        self.lock = RLock()
        self._files_directory = directory / "files"
        self.partial_directory = directory / "partial"
        for path in (self._files_directory, self.partial_directory):
            path.mkdir(parents=True, exist_ok=True)
        for unfinished in self.partial_directory.glob("upload-*"):
            unfinished.unlink()
        # One connection, guarded by the lock.
        self._database = sqlite3.connect(directory / "state.sqlite3", check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        for table in ("files", "batches"):
            self._database.execute(
                f"CREATE TABLE IF NOT EXISTS {table}"
                " (id TEXT PRIMARY KEY, position INTEGER NOT NULL, document BLOB NOT NULL)"
            )
        self.files: dict[str, File] = {file.id: file for file in self._load("files", File)}
        self.batches: dict[str, Batch] = {batch.id: batch for batch in self._load("batches", Batch)}
        self._positions = max((batch.number for batch in self.batches.values()), default=0)
        self._file_positions = self._database.execute("SELECT coalesce(max(position), 0) FROM files").fetchone()[0]

    def close(self) -> None:
        with self.lock:
            self._database.close()

    # Files

    def path(self, file_id: str) -> Path:
        """Return where the content of a file is."""
        return self._files_directory / file_id

    def upload_path(self) -> Path:
        """Return a new path on the same disk, for content that is not a file yet."""
        return self.partial_directory / f"upload-{secrets.token_hex(12)}"

    def add_file(
        self, content: Path, *, project: str, filename: str, purpose: str, created_at: float, expires_at: float | None
    ) -> File:
        """Make the content at a path into a file of the project; the content is moved."""
        file = File(
            id=f"file-{secrets.token_hex(12)}",
            project=project,
            filename=filename,
            purpose=purpose,
            bytes=content.stat().st_size,
            created_at=created_at,
            expires_at=expires_at,
        )
        os.replace(content, self.path(file.id))
        with self.lock:
            self._file_positions += 1
            self._database.execute(
                "INSERT INTO files VALUES (?, ?, ?)", (file.id, self._file_positions, msgspec.json.encode(file))
            )
            self.files[file.id] = file
        return file

    def find_file(self, file_id: str, project: str, now: float) -> File | None:
        """Return a file if it belongs to the project and has not expired."""
        with self.lock:
            file = self.files.get(file_id)
            if file is None or file.project != project:
                return None
            if file.expires_at is not None and now >= file.expires_at:
                self.delete_file(file_id)
                return None
            return file

    def list_files(self, project: str, now: float) -> list[File]:
        """Return the project's files, oldest first."""
        with self.lock:
            found = [self.find_file(file.id, project, now) for file in list(self.files.values())]
        return [file for file in found if file is not None]

    def delete_file(self, file_id: str) -> None:
        with self.lock:
            del self.files[file_id]
            self._database.execute("DELETE FROM files WHERE id = ?", (file_id,))
            self.path(file_id).unlink(missing_ok=True)

    # Batches

    def add_batch(self, batch: Batch) -> None:
        """Keep a new batch; its `number`, the order of creation, is given here."""
        with self.lock:
            self._positions += 1
            batch.number = self._positions
            self.batches[batch.id] = batch
            self.save(batch)

    def save(self, batch: Batch) -> None:
        """Save a batch as it now is."""
        with self.lock:
            self._database.execute(
                "INSERT INTO batches VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET document = excluded.document",
                (batch.id, batch.number, msgspec.json.encode(batch)),
            )

    def find_batch(self, batch_id: str, project: str) -> Batch | None:
        with self.lock:
            batch = self.batches.get(batch_id)
        return batch if batch is not None and batch.project == project else None

    def list_batches(self, project: str) -> list[Batch]:
        """Return the project's batches, newest first."""
        with self.lock:
            return [batch for batch in reversed(self.batches.values()) if batch.project == project]

    def open_batches(self) -> list[Batch]:
        """Return the batches of all projects that have not ended, oldest first."""
        with self.lock:
            return [batch for batch in self.batches.values() if batch.is_open]

    def partial(self, batch_id: str, kind: str) -> Path:
        """Return where a running batch keeps a file; `kind` is `input`, `output` or `error`."""
        return self.partial_directory / f"{batch_id}.{kind}"

    def _load(self, table: str, kind: type[S]) -> list[S]:
        rows = self._database.execute(f"SELECT document FROM {table} ORDER BY position")
        return [msgspec.json.decode(document, type=kind) for (document,) in rows]
