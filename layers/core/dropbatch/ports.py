"""What the use cases need from the world. `adapters/` fulfils it with AWS and OpenAI, `tests/fakes/` in memory."""

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
    """What S3 says of an object. `modified` is in seconds since 1970; `version_id` is "null" without versioning.

    `etag` is that of the content, for what is to be written in place of just this.
    """

    version_id: str
    modified: int
    size: int
    labels: Mapping[str, str]
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """What goes of an object into another: its bytes from `start` up to `end`, or to its own end where that is None.

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
    def write(self, data: bytes) -> object: ...


class Objects(Protocol):
    """S3. Reading a missing object raises ObjectNotFoundError, one that may not be read ObjectForbiddenError."""

    def head(self, bucket: str, key: str, version_id: str | None = None) -> ObjectInfo: ...

    def blocks(self, bucket: str, key: str, version_id: str | None = None, start: int = 0) -> Iterator[bytes]:
        """The object's bytes from `start` on, in blocks of at most 1 MiB. A connection that breaks is resumed."""
        ...

    def read_range(self, bucket: str, key: str, start: int, end: int, version_id: str | None = None) -> bytes:
        """The object's bytes from `start` up to `end`, all of which it has. A connection that breaks is tried again."""
        ...

    def put(self, bucket: str, key: str, data: bytes, content_type: str) -> None: ...

    def put_new(self, bucket: str, key: str, data: bytes, content_type: str) -> bool:
        """Writes the object if there is none under this key; returns whether it did."""
        ...

    def writing(self, bucket: str, key: str, content_type: str) -> AbstractContextManager[Writer]:
        """A new object of any size in bounded memory. Nothing is left of it where the block raises."""
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
        """Makes one object out of pieces of others, in this order, copying within S3 where it can.

        Returns None once the object is there. Where `in_time()` turns False before, it returns how far it came, as
        JSON, which another call with the same pieces takes as `begun`; each call comes further. What was begun and is
        gone is begun again. With `instead_of`, the ETag of what stands under the key, empty if nothing does, it raises
        StaleItemError, and leaves nothing behind, if something else stands there in the end.
        """
        ...

    def delete_all(self, bucket: str, prefix: str, in_time: Callable[[], bool] = lambda: True) -> bool:
        """Deletes every object below `prefix`; False if `in_time()` turned False before all were deleted."""
        ...

    def names(self, bucket: str, after: str) -> Sequence[tuple[str, int]]:
        """The next keys behind `after`, a thousand at most, in order, each with when its object was modified."""
        ...


class Table(Protocol):
    """DynamoDB: items as mappings with `pk`, `sk` and `rev`. Every read but `open_items` is strongly consistent."""

    def get(self, pk: str, sk: str) -> dict[str, Any] | None: ...

    def insert(self, item: Mapping[str, Any]) -> None:
        """Writes a new item; StaleItemError where one stands under its key."""
        ...

    def replace(self, item: Mapping[str, Any], rev: int) -> None:
        """Writes the item in place of the one that has this `rev`; StaleItemError where it has another, or is gone."""
        ...

    def delete(self, pk: str, sk: str, rev: int) -> None:
        """Deletes the item that has this `rev`; StaleItemError where it has another. One that is gone is gone."""
        ...

    def renew(self, pk: str, sk: str, lease: str, until: int) -> None:
        """Sets the `lease_until` of the item that holds this `lease`, and leaves its `rev` as it is.

        StaleItemError if the item holds another lease, none, or does not exist.
        """
        ...

    def query(self, pk: str, sk_prefix: str = "") -> Iterator[dict[str, Any]]: ...

    def open_items(self, kind: str) -> Iterator[dict[str, Any]]:
        """The items whose `open` is `kind`, oldest `since` first, out of the sparse index: it may lag behind."""
        ...


class Queue(Protocol):
    def send(self, message: Mapping[str, Any], delay_seconds: int = 0) -> None:
        """Sends a JSON message; `delay_seconds` is at most 900."""
        ...

    def depth(self) -> int:
        """Return how many messages the queue holds: visible, hidden and delayed. SQS's own count is approximate."""
        ...

    def hide(self, receipt: str, seconds: int) -> None:
        """Hide the received message `receipt` for `seconds` from now; one that is gone is no error."""
        ...


class DeadLetters(Protocol):
    """The messages that a queue has given up delivering."""

    def take(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Up to ten of them, each with its receipt; they are hidden from others for some minutes."""
        ...

    def delete(self, receipt: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Letter:
    """A subject and a text."""

    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Notification:
    """One thing to tell, for people (subject, text) and for programs (detail).

    `verdict` is what the subject says behind the name. `recipe_folder` is the folder of the recipe that counts, if one
    does. A digest may be about several folders: then `more_folders` are the others. What only the stack's operators can
    correct has a letter for them besides. `steps` are the lines of the text that say what to do about a rejection.
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
    """Who a topic is for. Each is told by itself, so that one that cannot be told repeats nothing for the other."""

    PROGRAMS = "programs"
    PEOPLE = "people"
    OPERATORS = "operators"  # who run the stack, and get its alarms


class Topics(Protocol):
    def publish(self, audience: Audience, notification: Notification) -> None:
        """Publishes to the audience's topic; what SNS would refuse for its size or its characters is cut to fit."""
        ...


@dataclass(frozen=True, slots=True)
class RemoteBatch:
    """A batch as OpenAI shows it. Times are in seconds since 1970. File ids are None where there is none (yet)."""

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


class Download(Protocol):
    """A file's content on its way.

    `start` is the offset of its first block, `size` the bytes of the whole file, None if the server does not say.
    """

    @property
    def start(self) -> int: ...

    @property
    def size(self) -> int | None: ...

    def blocks(self) -> Iterator[bytes]:
        """Yield the bytes from `start` on, in blocks of at most 1 MiB; OpenAIOutcomeUnknownError if some miss."""
        ...


class OpenAI(Protocol):
    """Files and Batches. Every call raises an OpenAIError of `domain.errors` where it does not give what was asked."""

    def key_version(self, fresh: bool = False) -> str:
        """Return the version of the key that the last call was made with; OpenAIAuthError if there is no key.

        After a create it is that of the key with which the batch was really created, even if the key was replaced a
        moment before. Before the first call, and with `fresh`, it is that of the key that is stored now.
        """
        ...

    def upload(self, path: Path, name: str) -> str:
        """Uploads a batch file and returns its id."""
        ...

    def create(self, file_id: str, endpoint: str, metadata: Mapping[str, str]) -> RemoteBatch:
        """CreateCount a batch, once: it is never retried within."""
        ...

    def retrieve(self, batch_id: str) -> RemoteBatch: ...

    def newest(self, after: str | None = None) -> Iterator[Sequence[RemoteBatch]]:
        """Pages of the account's batches, the newest first; one call a page, made when the page is asked for.

        With `after`, a batch's id, only those that follow it in the list; OpenAIRequestError if there is no such batch.
        """
        ...

    def cancel(self, batch_id: str) -> None:
        """Asks to cancel; a batch that has ended already is no error."""
        ...

    def sees(self, file_id: str) -> bool:
        """Return whether the key can see this file: a key of another project gets a 404, and so False."""
        ...

    def streaming(self, file_id: str, start: int = 0) -> AbstractContextManager[Download]:
        """Open a file's content from byte `start` on, without holding it.

        A broken connection raises OpenAIOutcomeUnknownError.

        A server may ignore `start` (Range, RFC 9110): `Download.start` says where its blocks really begin.
        """
        ...


class Observer(Protocol):
    """Logs and metrics. Codes, ids and numbers only."""

    def info(self, message: str, **fields: Any) -> None: ...

    def warning(self, message: str, **fields: Any) -> None: ...

    def exception(self, message: str, **fields: Any) -> None:
        """Logs the exception that is being handled: its type and where it was raised, never its text."""
        ...

    def metric(self, name: str, value: float, **dimensions: str) -> None: ...
