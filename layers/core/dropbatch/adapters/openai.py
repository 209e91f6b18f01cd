"""OpenAI's Files and Batches.

The SDK takes half a second and 50 MB to load, so it is imported for the first call.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from dropbatch.adapters.openai_errors import code_of, translate_errors
from dropbatch.batch_api.limits import COMPLETION_WINDOW
from dropbatch.domain.errors import (
    OpenAIAuthError,
    OpenAINotFoundError,
    OpenAIOutcomeUnknownError,
    OpenAIRequestError,
)
from dropbatch.domain.states import OpenAIStatus
from dropbatch.ports import RemoteBatch, RemoteUsage

T = TypeVar("T")

if TYPE_CHECKING:
    import httpx2
    from openai import OpenAI as Client

CONNECT_SECONDS = 5.0
CALL_SECONDS = 15.0
"""How long a call that changes nothing waits for its answer. With the second try, a server that hangs costs a poll half
a minute of its five."""

RETRY_SECONDS = 0.5
CREATE_SECONDS = 25.0
"""How long a create waits for its answer. With connecting and sending it stays below the minute that the lease of
`submit` must cover."""

SEND_SECONDS = 180.0
"""How long sending a batch file of up to 200 MB may take, at 1.1 MB/s. Of the function's 300 s, this and the answer
leave enough to build the file and to create the batch."""

UPLOADED_SECONDS = 60.0
"""How long the answer to an upload may take, and the next bytes of a download."""

LIFETIME_SECONDS = 30 * 86_400
"""How long OpenAI keeps files: its maximum. Nothing needs them after that, and a project's storage is limited."""

PAGE_BATCHES = 100
"""How many batches a page of the list has: OpenAI's maximum."""

_STATUSES = {status.value: status for status in OpenAIStatus} | {"canceled": OpenAIStatus.CANCELLED}
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_NO_RANGE = re.compile(r"bytes \*/(\d+)")


class OpenAIBatches:
    """`ports.OpenAI` on the `openai` SDK.

    `read_key(fresh)` returns (API key, its version). It raises OpenAIAuthError if there is no key, and reads past its
    cache if `fresh` is set. `transport` replaces the network in tests.
    """

    def __init__(
        self,
        read_key: Callable[[bool], tuple[str, str]],
        base_url: str,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._read_key = read_key
        self._base_url = base_url
        self._transport = transport
        self._client: tuple[str, Client] | None = None
        self._version: str | None = None
        host = urlsplit(base_url).hostname or ""
        # Other servers of this API may refuse members that they do not know.
        own = host == "api.openai.com" or host.endswith(".api.openai.com")
        self._lifetime: Any = {"anchor": "created_at", "seconds": LIFETIME_SECONDS} if own else None

    def key_version(self, fresh: bool = False) -> str:
        if fresh or self._version is None:
            self._key(fresh)
        return self._version or ""

    def upload(self, path: Path, name: str) -> str:
        def call(client: Client) -> str:
            more = {"expires_after": self._lifetime} if self._lifetime else {}
            with _TimedFile(path, SEND_SECONDS) as file:
                made = client.files.with_raw_response.create(
                    file=(name, file), purpose="batch", timeout=_timeout(UPLOADED_SECONDS), **more
                )
            return _id_of(_read(made.content))

        return self._call(call)

    def create(self, file_id: str, endpoint: str, metadata: Mapping[str, str]) -> RemoteBatch:
        def call(client: Client) -> RemoteBatch:
            more = {"output_expires_after": self._lifetime} if self._lifetime else {}
            made = client.batches.with_raw_response.create(
                input_file_id=file_id,
                endpoint=endpoint,  # type: ignore[arg-type]  # the drop's own; OpenAI checks it
                completion_window=COMPLETION_WINDOW,
                metadata=dict(metadata),
                timeout=_timeout(CREATE_SECONDS),
                **more,
            )
            return _remote(_read(made.content))

        return self._call(call)

    def retrieve(self, batch_id: str) -> RemoteBatch:
        return self._call_twice(
            lambda client: _remote(_read(client.batches.with_raw_response.retrieve(batch_id).content))
        )

    def newest(self, after: str | None = None) -> Iterator[Sequence[RemoteBatch]]:
        while True:
            start = after

            def call(client: Client, start: str | None = start) -> tuple[Sequence[RemoteBatch], bool]:
                batches = client.batches.with_raw_response
                got = batches.list(limit=PAGE_BATCHES, after=start) if start else batches.list(limit=PAGE_BATCHES)
                page = _read(got.content)
                if not isinstance(page.get("data"), list):
                    # Not an empty page: a batch that is not found may be created again.
                    raise OpenAIOutcomeUnknownError("unreadable_answer")
                return [_remote(batch) for batch in page["data"]], bool(page.get("has_more"))

            batches, more = self._call_twice(call)
            yield batches
            if not more or not batches:
                return
            after = batches[-1].id

    def cancel(self, batch_id: str) -> None:
        try:
            self._call_twice(lambda client: client.batches.with_raw_response.cancel(batch_id))
        except OpenAIRequestError as error:
            if error.status != 409:  # OpenAI's answer for a batch that has ended
                raise

    def sees(self, file_id: str) -> bool:
        def call(client: Client) -> bool:
            # A proxy may answer with 200, too: only the file's own id is proof.
            return _id_of(_read(client.files.with_raw_response.retrieve(file_id).content)) == file_id

        try:
            return self._call_twice(call)
        except OpenAINotFoundError:
            return False

    @contextmanager
    def streaming(self, file_id: str, start: int = 0) -> Iterator[_Download]:
        # Offsets count the bytes on the wire, so the content must not be compressed there.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})

        def call(client: Client) -> _Download:
            import openai

            content = client.files.with_streaming_response.content(
                file_id, extra_headers=headers, timeout=_timeout(UPLOADED_SECONDS)
            )
            try:
                response = stack.enter_context(content)
            except openai.APIStatusError as error:
                if error.status_code != 416:
                    raise
                found = _NO_RANGE.fullmatch(error.response.headers.get("content-range", ""))
                return _Download(iter(()), start, int(found[1]) if found else None)
            # In pieces of some KB, as they come: a larger buffer would be lost when the connection breaks.
            return _Download(response.iter_bytes(), *_extent(response.status_code, response.headers))

        with ExitStack() as stack:
            yield self._call(call)

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        if self._client is not None:
            self._client[1].close()
            self._client = None

    def _call_twice(self, call: Callable[[Client], T]) -> T:
        """Make a call that may be repeated; repeat it once if its outcome is unknown.

        The SDK retries, too, but may wait for two minutes if a 429 says so.
        """
        try:
            return self._call(call)
        except OpenAIOutcomeUnknownError:
            time.sleep(RETRY_SECONDS)
            return self._call(call)

    def _call(self, call: Callable[[Client], T]) -> T:
        """Make a call; if OpenAI refuses the key, read the key again and retry with a new one."""
        try:
            with translate_errors():
                return call(self._connect(fresh=False))
        except OpenAIAuthError:
            known = self._client[0] if self._client else None
            client = self._connect(fresh=True)
            if self._client is None or self._client[0] == known:
                raise
            with translate_errors():
                return call(client)

    def _connect(self, fresh: bool) -> Client:
        key = self._key(fresh)
        if self._client is None or self._client[0] != key:
            from openai import DefaultHttpxClient, OpenAI

            self.close()
            http = DefaultHttpxClient(transport=self._transport) if self._transport else None
            self._client = (
                key,
                OpenAI(
                    api_key=key,
                    base_url=self._base_url,
                    timeout=_timeout(CALL_SECONDS),
                    max_retries=0,
                    http_client=http,
                ),
            )
        return self._client[1]

    def _key(self, fresh: bool) -> str:
        """Read the key, and keep its version. Each call reads the key, so this is the version of the last call."""
        self._version = None
        key, self._version = self._read_key(fresh)
        return key


class _TimedFile(io.FileIO):
    """A file that must be read to its end within `seconds`.

    No timeout of a single operation stops a server that takes a few bytes at a time.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__(path)
        self._until = time.monotonic() + seconds

    def read(self, size: int | None = -1, /) -> bytes:
        if time.monotonic() > self._until:
            import httpx2

            raise httpx2.WriteTimeout("the whole file was not sent in time")
        return super().read(-1 if size is None else size)


class _Download:
    """`ports.Download`."""

    def __init__(self, blocks: Iterator[bytes], start: int, size: int | None) -> None:
        self._blocks = blocks
        self.start = start
        self.size = size

    def blocks(self) -> Iterator[bytes]:
        position = self.start
        with translate_errors():
            for block in self._blocks:
                position += len(block)
                yield block
        if self.size is not None and position != self.size:
            raise OpenAIOutcomeUnknownError("incomplete_answer")


def _extent(status: int, headers: Mapping[str, str]) -> tuple[int, int | None]:
    """Return the offset at which an answer's content begins, and the size of the whole file, if the answer says it."""
    encoded = headers.get("content-encoding", "identity") != "identity"
    if status != 206:
        size = headers.get("content-length", "")
        return 0, int(size) if size.isdecimal() and not encoded else None
    found = _RANGE.fullmatch(headers.get("content-range", ""))
    if found is None or encoded:
        raise OpenAIOutcomeUnknownError("unreadable_answer")
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _timeout(seconds: float) -> httpx2.Timeout:
    import httpx2

    return httpx2.Timeout(seconds, connect=CONNECT_SECONDS, write=CALL_SECONDS)


def _read(answer: bytes) -> dict[str, Any]:
    """Return a good answer's members. The SDK's models take 8 ms for a page of a hundred batches, this takes 1 ms."""
    try:
        members = msgspec.json.decode(answer)
    except msgspec.DecodeError:
        members = None
    if not isinstance(members, dict):
        raise OpenAIOutcomeUnknownError("unreadable_answer")
    return members


def _remote(batch: Mapping[str, Any]) -> RemoteBatch:
    try:
        counts = batch.get("request_counts") or {}
        errors = (batch.get("errors") or {}).get("data") or []
        return RemoteBatch(
            id=batch["id"],
            status=_STATUSES.get(batch["status"], OpenAIStatus.UNKNOWN),
            created_at=int(batch["created_at"]),
            input_file_id=batch["input_file_id"],
            metadata=batch.get("metadata") or {},
            output_file_id=batch.get("output_file_id") or None,
            error_file_id=batch.get("error_file_id") or None,
            total=counts.get("total") or 0,
            completed=counts.get("completed") or 0,
            failed=counts.get("failed") or 0,
            errors=[
                (code_of(error.get("code"), "batch_failed"), str(error.get("message") or ""), _line_of(error))
                for error in errors
            ],
            usage=_usage_of(batch),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        raise OpenAIOutcomeUnknownError("unreadable_answer") from None


def _usage_of(batch: Mapping[str, Any]) -> RemoteUsage | None:
    """Return the tokens of a batch; None from servers that do not count them, or give zeros in their place."""
    usage = batch.get("usage")
    if not isinstance(usage, Mapping):
        return None
    read, written = usage.get("input_tokens_details") or {}, usage.get("output_tokens_details") or {}
    if not isinstance(read, Mapping) or not isinstance(written, Mapping):
        return None
    counts: list[Any] = [
        usage.get("input_tokens"),
        read.get("cached_tokens") or 0,
        usage.get("output_tokens"),
        written.get("reasoning_tokens") or 0,
    ]
    if not all(isinstance(count, int) and not isinstance(count, bool) and count >= 0 for count in counts):
        return None
    return RemoteUsage(*counts) if any(counts) else None


def _line_of(error: Mapping[str, Any]) -> int | None:
    line = error.get("line")
    return line if isinstance(line, int) and not isinstance(line, bool) else None


def _id_of(members: Mapping[str, Any]) -> str:
    found = members.get("id")
    if not isinstance(found, str) or not found:
        raise OpenAIOutcomeUnknownError("unreadable_answer")
    return found
