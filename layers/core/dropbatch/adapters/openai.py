"""OpenAI's Files and Batches. Its SDK, half a second and 50 MB, is imported when the first call is due."""

from __future__ import annotations

import io
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from dropbatch.batch_api.error_codes import BILLING_CODES
from dropbatch.batch_api.limits import COMPLETION_WINDOW
from dropbatch.domain.errors import (
    OpenAIAuthError,
    OpenAIBillingError,
    OpenAIError,
    OpenAINotFoundError,
    OpenAIOutcomeUnknownError,
    OpenAIPermissionError,
    OpenAIRateLimitError,
    OpenAIRequestError,
)
from dropbatch.domain.states import OpenAIStatus
from dropbatch.ports import RemoteBatch

T = TypeVar("T")

if TYPE_CHECKING:
    import httpx2
    import openai
    from openai import OpenAI as Client

CONNECT_SECONDS = 5.0
CALL_SECONDS = 15.0
"""How long a call that only asks may wait for its answer. With its second try, a server that hangs costs half a minute
of a poll's five."""

RETRY_SECONDS = 0.5
CREATE_SECONDS = 25.0
"""How long a create may wait for its answer. With connecting and sending it stays below the minute that `submit` wants
its lease to cover."""

SEND_SECONDS = 180.0
"""How long a batch file of up to 200 MB may take to be sent, at 1.1 MB/s. With the answer it leaves the function, which
has 300 s, the time to build the file and to create the batch."""

UPLOADED_SECONDS = 60.0
"""How long the answer to an upload, and the next bytes of a download, may take."""

LIFETIME_SECONDS = 30 * 86_400
"""How long files live at OpenAI: the longest that it takes. Nothing needs them after that, and a project's room is
bounded."""

PAGE = 100
BUSY_SECONDS = 60
"""How long to wait after a 429 that does not say."""

MAX_BUSY_SECONDS = 900

_STATUSES = {status.value: status for status in OpenAIStatus} | {"canceled": OpenAIStatus.CANCELLED}
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_NO_RANGE = re.compile(r"bytes \*/(\d+)")


class OpenAIBatches:
    """`ports.OpenAI` on the `openai` SDK.

    `read_key(fresh)` gives (API key, its version) and raises OpenAIAuthError if there is none; with `fresh` it must
    not answer from a cache. `transport` replaces the network.
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
                endpoint=endpoint,  # type: ignore[arg-type]  # the drop's own, checked by OpenAI
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
                got = batches.list(limit=PAGE, after=start) if start else batches.list(limit=PAGE)
                page = _read(got.content)
                if not isinstance(page.get("data"), list):
                    raise OpenAIOutcomeUnknownError(
                        "unreadable_answer"
                    )  # not an empty page: what is not seen may be created again
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
            if error.status != 409:  # with which a batch answers that has ended
                raise

    def sees(self, file_id: str) -> bool:
        def call(client: Client) -> bool:
            # What some server between answers with 200 is no proof.
            return _id_of(_read(client.files.with_raw_response.retrieve(file_id).content)) == file_id

        try:
            return self._call_twice(call)
        except OpenAINotFoundError:
            return False

    @contextmanager
    def streaming(self, file_id: str, start: int = 0) -> Iterator[_Download]:
        # Offsets count the bytes of what is sent, so that it must not be compressed on its way.
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
                told = _NO_RANGE.fullmatch(error.response.headers.get("content-range", ""))
                return _Download(iter(()), start, int(told[1]) if told else None)
            # As they come, in pieces of some KB: what is gathered into larger ones is lost when the connection breaks.
            return _Download(response.iter_bytes(), *_extent(response.status_code, response.headers))

        with ExitStack() as stack:
            yield self._call(call)

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        if self._client is not None:
            self._client[1].close()
            self._client = None

    def _call_twice(self, call: Callable[[Client], T]) -> T:
        """Make a call that may be repeated; if its outcome is unknown, make it once more.

        The SDK would do so too, but only after as much as two minutes if a 429 asks for that.
        """
        try:
            return self._call(call)
        except OpenAIOutcomeUnknownError:
            time.sleep(RETRY_SECONDS)
            return self._call(call)

    def _call(self, call: Callable[[Client], T]) -> T:
        """Make a call; if the key is refused, once more with a key that was read again."""
        try:
            with _errors():
                return call(self._connect(fresh=False))
        except OpenAIAuthError:
            known = self._client[0] if self._client else None
            client = self._connect(fresh=True)
            if self._client is None or self._client[0] == known:
                raise
            with _errors():
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
        """Read the key, and keep its version: that of the last call, for each call reads its key."""
        self._version = None
        key, self._version = self._read_key(fresh)
        return key


class _TimedFile(io.FileIO):
    """A file that is read within `seconds`, or not to its end: a server that takes a few bytes at a time trips no
    timeout of a single operation."""

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
        with _errors():
            for block in self._blocks:
                position += len(block)
                yield block
        if self.size is not None and position != self.size:
            raise OpenAIOutcomeUnknownError("incomplete_answer")


def _extent(status: int, headers: Mapping[str, str]) -> tuple[int, int | None]:
    """Return the offset at which an answer's content begins, and the size of the whole, if it says."""
    encoded = headers.get("content-encoding", "identity") != "identity"
    if status != 206:
        size = headers.get("content-length", "")
        return 0, int(size) if size.isdecimal() and not encoded else None
    told = _RANGE.fullmatch(headers.get("content-range", ""))
    if told is None or encoded:
        raise OpenAIOutcomeUnknownError("unreadable_answer")
    return int(told[1]), None if told[2] == "*" else int(told[2])


def _timeout(seconds: float) -> httpx2.Timeout:
    import httpx2

    return httpx2.Timeout(seconds, connect=CONNECT_SECONDS, write=CALL_SECONDS)


def _read(answer: bytes) -> dict[str, Any]:
    """Return a good answer's members, read past the SDK's models: a page of a hundred batches takes 1 ms, not 8."""
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
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        raise OpenAIOutcomeUnknownError("unreadable_answer") from None


def _line_of(error: Mapping[str, Any]) -> int | None:
    line = error.get("line")
    return line if isinstance(line, int) and not isinstance(line, bool) else None


def _id_of(members: Mapping[str, Any]) -> str:
    found = members.get("id")
    if not isinstance(found, str) or not found:
        raise OpenAIOutcomeUnknownError("unreadable_answer")
    return found


def code_of(code: object, otherwise: str) -> str:
    """Return a code that may go to logs and to the table: OpenAI's, if it looks like one."""
    fits = isinstance(code, str) and re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", code)
    return str(code) if fits else otherwise


@contextmanager
def _errors() -> Iterator[None]:
    """Turn what the SDK and its HTTP library raise into errors with a meaning, without their texts."""
    import httpx2
    import openai

    try:
        yield
    except openai.APIStatusError as error:
        raise _error_of(error) from None
    except (openai.OpenAIError, httpx2.HTTPError) as error:
        raise OpenAIOutcomeUnknownError(type(error).__name__) from None


def _error_of(error: openai.APIStatusError) -> OpenAIError:
    """Return what an answer with an error status means."""
    status = error.status_code
    # Of an account without money, now the one and now the other member tells.
    billing = next((code for code in (error.code, error.type) if isinstance(code, str) and code in BILLING_CODES), None)
    code = code_of(billing or error.code or error.type, f"http_{status}")
    if status >= 500 or status == 408:
        return OpenAIOutcomeUnknownError(code)
    if status in (403, 404) and not _is_object(error.response.content):
        return OpenAIOutcomeUnknownError(
            code
        )  # from some server between: it says nothing of the key, the file or the batch
    if code in BILLING_CODES:
        return OpenAIBillingError(code)
    if status == 401:
        return OpenAIAuthError(code)
    if status == 403:
        return OpenAIPermissionError(code)
    if status == 429:
        return OpenAIRateLimitError(code, _retry_after(error.response.headers))
    # "No such File object": a file that is gone, or not visible yet, is told from other faults by the text alone.
    if status == 404 or "no such file" in error.message.lower() or "cannot find file" in error.message.lower():
        return OpenAINotFoundError(code, status)
    return OpenAIRequestError(code, status)


def _is_object(content: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(content), dict)
    except msgspec.DecodeError:
        return False


def _retry_after(headers: Mapping[str, str]) -> int:
    """Return how many seconds to wait: `retry-after-ms`, or `retry-after` in seconds or as a date."""
    for name, divisor in (("retry-after-ms", 1000), ("retry-after", 1)):
        text = headers.get(name, "")
        try:
            seconds = float(text) / divisor
        except ValueError:
            try:
                seconds = parsedate_to_datetime(text).timestamp() - time.time()
            except (ValueError, OverflowError):
                continue
        if math.isfinite(seconds):
            return math.ceil(min(max(seconds, 1), MAX_BUSY_SECONDS))
    return BUSY_SECONDS
