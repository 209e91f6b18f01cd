"""Ports: Protocols of the services that use cases need.

`adapters/` implements them with AWS and OpenAI, `tests/fakes/` in memory.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from dropbatch.domain.states import OpenAIStatus

JSON = "application/json"
HTML = "text/html; charset=utf-8"
BYTES = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """The metadata of an object in S3. `modified` is in seconds since 1970; `version_id` is "null" without versioning.

    `etag` is that of the content, for a write that replaces only this content.
    """

    version_id: str
    modified: int
    size: int
    labels: Mapping[str, str]
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an object, to be joined with others: its bytes from `start` up to `end`, or up to its end if None.

    `size` is that of the whole object.
    """

    bucket: str
    key: str
    start: int
    size: int
    end: int | None = None
    version_id: str | None = None

    def __len__(self) -> int:
        return (self.size if self.end is None else self.end) - self.start


class Writer(Protocol):
    """A new object that is being written."""

    def write(self, data: bytes) -> object: ...


class Objects(Protocol):
    """S3. Reads raise ObjectNotFoundError for a missing object, ObjectForbiddenError for one that may not be read."""

    def head(self, bucket: str, key: str, version_id: str | None = None) -> ObjectInfo: ...

    def blocks(self, bucket: str, key: str, version_id: str | None = None, start: int = 0) -> Iterator[bytes]:
        """Yield the object's bytes from `start` on in blocks of at most 1 MiB. A broken connection is resumed."""
        ...

    def read_range(self, bucket: str, key: str, start: int, end: int, version_id: str | None = None) -> bytes:
        """Return the object's bytes from `start` up to `end`, which must exist. A broken connection is resumed."""
        ...

    def read_many(self, bucket: str, keys: Sequence[str]) -> Iterator[bytes]:
        """Yield the bytes of small objects, in the order of their keys. Several are read at once, and held.

        Raise ObjectNotFoundError at one that does not exist.
        """
        ...

    def put(self, bucket: str, key: str, data: bytes, content_type: str, *, is_progress: bool = False) -> None:
        """Write an object. One that `is_progress` is often replaced: S3 deletes its old versions after a day."""
        ...

    def put_new(self, bucket: str, key: str, data: bytes, content_type: str) -> bool:
        """Write the object if there is none under this key. Return whether it was written."""
        ...

    def writing(self, bucket: str, key: str, content_type: str) -> AbstractContextManager[Writer]:
        """Write a new object of any size in bounded memory. If the block raises, there is no object."""
        ...

    def join(
        self,
        pieces: Sequence[Piece],
        bucket: str,
        key: str,
        content_type: str,
        in_time: Callable[[], bool] = lambda: True,
        begun: Mapping[str, Any] | None = None,
        instead_of: str | None = None,
    ) -> dict[str, Any] | None:
        """Make one object from pieces of others, in this order, by copying within S3 where S3 can.

        Return None when the object is complete. If `in_time()` turns False first, return how far it came, as JSON that
        another call with the same pieces takes as `begun`. Each call makes progress. An upload that is gone is started
        again. `instead_of` is the ETag of the object that may be replaced, or empty if there may be none: if the object
        is another one in the end, raise StaleItemError and leave nothing behind.
        """
        ...

    def delete_all(self, bucket: str, prefix: str, in_time: Callable[[], bool] = lambda: True) -> bool:
        """Delete each object below `prefix`. Return False if `in_time()` turned False before all were deleted."""
        ...

    def names(self, bucket: str, after: str) -> Sequence[tuple[str, int]]:
        """Return up to a thousand keys after `after`, in order, each with the time when its object was modified."""
        ...


class Table(Protocol):
    """DynamoDB: items as mappings with `pk`, `sk` and `rev`. All reads except `open_items` are strongly consistent."""

    def get(self, pk: str, sk: str) -> dict[str, Any] | None: ...

    def insert(self, item: Mapping[str, Any]) -> None:
        """Write a new item. Raise StaleItemError if its key has one."""
        ...

    def replace(self, item: Mapping[str, Any], rev: int) -> None:
        """Replace the item that has this `rev`. Raise StaleItemError if it has another `rev`, or is gone."""
        ...

    def write_all(self, items: Sequence[tuple[Mapping[str, Any], int]]) -> None:
        """Write up to a hundred items, each with the `rev` of the item that it replaces, or 0 for a new one.

        All are written, or none: raise StaleItemError if any of them has another `rev`, or is written by another
        process at the same time.
        """
        ...

    def delete(self, pk: str, sk: str, rev: int) -> None:
        """Delete the item that has this `rev`, if it exists. Raise StaleItemError if it has another `rev`."""
        ...

    def renew(self, pk: str, sk: str, lease: str, until: int) -> None:
        """Set the `lease_until` of the item that has this `lease`, and leave its `rev` as it is.

        Raise StaleItemError if the item has another lease or none, or does not exist.
        """
        ...

    def query(self, pk: str, sk_prefix: str = "") -> Iterator[dict[str, Any]]: ...

    def newest(self, pk: str, maximum: int) -> Sequence[dict[str, Any]]:
        """Return the items of a partition with the highest sort keys, at most `maximum`, the highest first."""
        ...

    def open_items(self, kind: str) -> Iterator[dict[str, Any]]:
        """Yield the items whose `open` is `kind`, oldest `since` first, from the sparse index, which may lag."""
        ...


class Queue(Protocol):
    """An SQS queue of JSON messages."""

    def send(self, message: Mapping[str, Any], delay_seconds: int = 0) -> None:
        """Send a JSON message; `delay_seconds` is at most 900."""
        ...

    def depth(self) -> int:
        """Return the number of messages in the queue: visible, hidden and delayed ones. SQS's count is approximate."""
        ...

    def hide(self, receipt: str, seconds: int) -> None:
        """Hide the received message `receipt` for `seconds` from now. A message that is gone is not an error."""
        ...


class DeadLetters(Protocol):
    """The dead-letter queue of a queue: the messages that it no longer delivers."""

    def take(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Return up to ten messages, each with its receipt, and hide them from other receivers for some minutes."""
        ...

    def delete(self, receipt: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Letter:
    """A subject and a text."""

    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification, for people (subject, text) and for programs (detail).

    `verdict` is the part of the subject after the name. `recipe_folder` is the folder of the recipe that counts, if
    there is one. A digest may be about several folders: `more_folders` are the others. A fault that only the stack's
    operators can correct has a letter for them, too. `steps` are the lines of the text that say what to do about a
    rejection.
    """

    event: str
    status: str
    folder: str
    subject: str
    text: str
    detail: Mapping[str, Any]
    verdict: str = ""
    recipe_folder: str | None = None
    more_folders: tuple[str, ...] = ()
    operators: Letter | None = None
    steps: tuple[str, ...] = ()


class Audience(StrEnum):
    """The readers of a topic. Each audience is notified alone: a failure for one repeats nothing for the others."""

    PROGRAMS = "programs"
    PEOPLE = "people"
    OPERATORS = "operators"  # people who run the stack, and get its alarms


class Topics(Protocol):
    """The SNS topics, one for each audience."""

    def publish(self, audience: Audience, notification: Notification) -> None:
        """Publish to the audience's topic. A text that SNS would refuse for its size or characters is cut to fit."""
        ...


class EventBus(Protocol):
    """The account's default event bus of EventBridge."""

    def publish(self, notification: Notification) -> None:
        """Put the event of a notification, as programs get it, on the bus. One that is too large is cut to fit."""
        ...


@dataclass(frozen=True, slots=True)
class RemoteUsage:
    """The tokens that OpenAI reports for a batch. Cached tokens are part of the input, reasoning of the output."""

    input: int
    cached: int
    output: int
    reasoning: int


@dataclass(frozen=True, slots=True)
class RemoteBatch:
    """A batch as OpenAI shows it. Times are in seconds since 1970. A file id is None if there is no file (yet)."""

    id: str
    status: OpenAIStatus
    created_at: int
    input_file_id: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    output_file_id: str | None = None
    error_file_id: str | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    errors: Sequence[tuple[str, str, int | None]] = ()  # (code, message, 1-based line)
    usage: RemoteUsage | None = None  # None until it has ended, and if the server reports none


class Download(Protocol):
    """The download of a file.

    `start` is the offset of its first block, `size` the size of the whole file, None if the server does not say it.
    """

    @property
    def start(self) -> int: ...

    @property
    def size(self) -> int | None: ...

    def blocks(self) -> Iterator[bytes]:
        """Yield the bytes from `start` on in blocks of at most 1 MiB. Raise OpenAIOutcomeUnknownError if some miss."""
        ...


class OpenAI(Protocol):
    """OpenAI's Files, Batches and Models. Each call that fails raises an OpenAIError of `domain.errors`."""

    def key_version(self, fresh: bool = False) -> str:
        """Return the version of the key of the last call. Raise OpenAIAuthError if there is no key.

        After a create, it is the version of the key with which the batch was really created, even if the key was
        replaced a moment before. Before the first call, and with `fresh`, it is that of the key that is stored now.
        """
        ...

    def upload(self, path: Path, name: str) -> str:
        """Upload a batch file, and return its id."""
        ...

    def create(self, file_id: str, endpoint: str, metadata: Mapping[str, str]) -> RemoteBatch:
        """Create a batch. The call is never retried."""
        ...

    def retrieve(self, batch_id: str) -> RemoteBatch: ...

    def newest(self, after: str | None = None) -> Iterator[Sequence[RemoteBatch]]:
        """Yield pages of the account's batches, the newest first. Each page is one call, made when it is needed.

        With `after`, a batch's id, yield only the batches after it in the list. Raise OpenAIRequestError if there is no
        such batch.
        """
        ...

    def cancel(self, batch_id: str) -> None:
        """Request the cancelling of a batch. A batch that has ended is not an error."""
        ...

    def sees(self, file_id: str) -> bool:
        """Return whether the key can see this file: a key of another project cannot, and gets a 404."""
        ...

    def delete_file(self, file_id: str) -> bool:
        """Delete a file. A file that is gone is not an error. Return False if the server has no such call."""
        ...

    def has_model(self, model: str) -> bool | None:
        """Return whether there is a model that the key's project may use; None if the server has no such call.

        The call is never retried, and takes a few seconds at most.
        """
        ...

    def streaming(self, file_id: str, start: int = 0) -> AbstractContextManager[Download]:
        """Open a file's content from byte `start` on, without holding it in memory.

        A broken connection raises OpenAIOutcomeUnknownError. A server may ignore `start` (Range, RFC 9110):
        `Download.start` says where its blocks really begin.
        """
        ...


@dataclass(frozen=True, slots=True)
class Response:
    """The response to one request: its HTTP status, and its body, which is a JSON object."""

    status: int
    body: bytes


class Answering(Protocol):
    """OpenAI's endpoints without batches, at the standard price. Calls that fail raise errors as those of `OpenAI`."""

    def ask(self, endpoint: str, body: bytes) -> Response:
        """Send a request once, for some 30 seconds. If its content is refused (400, 404, 422), the response says so."""
        ...


class Observer(Protocol):
    """Logs and metrics. They hold only codes, ids and numbers."""

    def info(self, message: str, **fields: Any) -> None: ...

    def warning(self, message: str, **fields: Any) -> None: ...

    def exception(self, message: str, **fields: Any) -> None:
        """Log the exception that is being handled: its type and where it was raised, never its text."""
        ...

    def metric(self, name: str, value: float, **dimensions: str) -> None:
        """Report a metric that alarms need."""
        ...

    def job_metric(self, name: str, value: float, job_id: str = "", **dimensions: str) -> None:
        """Count what jobs come to: in the log with the job's id, and as a metric if the stack has these."""
        ...
