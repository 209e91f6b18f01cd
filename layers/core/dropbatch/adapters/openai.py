"""OpenAI's Files and Batches, and single requests.

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

from dropbatch.adapters.openai_answers import id_of, read_answer, remote_batch
from dropbatch.adapters.openai_errors import is_object, is_refused_request, translate_errors, unless_unsupported
from dropbatch.batch_api.error_codes import MODEL_NOT_FOUND
from dropbatch.batch_api.limits import COMPLETION_WINDOW, MIN_REQUEST_FILE_DAYS, OPENAI_FILE_DAYS
from dropbatch.batch_api.servers import host_of, is_openai_host
from dropbatch.domain.errors import (
    OpenAIAuthError,
    OpenAINotFoundError,
    OpenAIOutcomeUnknownError,
    OpenAIPermissionError,
    OpenAIRequestError,
)
from dropbatch.ports import RemoteBatch, Response

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

MODEL_SECONDS = 5.0
"""How long the question whether a model exists waits for its answer: a drop's intake waits with it."""

ASK_SECONDS = 30.0
"""How long a single request waits for its answer: a model that reasons may take that long."""

PAGE_BATCHES = 100
"""How many batches a page of the list has: OpenAI's maximum."""

_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_NO_RANGE = re.compile(r"bytes \*/(\d+)")


class OpenAIBatches:
    """`ports.OpenAI` and `ports.Answering` on the `openai` SDK.

    `read_key(fresh)` returns (API key, its version). It raises OpenAIAuthError if there is no key, and reads past its
    cache if `fresh` is set. `transport` replaces the network in tests.
    """

    def __init__(
        self,
        read_key: Callable[[bool], tuple[str, str]],
        base_url: str,
        transport: httpx2.BaseTransport | None = None,
        file_days: int = OPENAI_FILE_DAYS,
    ) -> None:
        self._read_key = read_key
        self._base_url = base_url
        self._transport = transport
        self._client: tuple[str, Client] | None = None
        self._version: str | None = None
        # Other servers of this API may refuse members that they do not know.
        is_own = is_openai_host(host_of(base_url))
        self._request_lifetime = _lifetime(max(file_days, MIN_REQUEST_FILE_DAYS)) if is_own else {}
        self._answer_lifetime = _lifetime(file_days) if is_own else {}

    def key_version(self, fresh: bool = False) -> str:
        if fresh or self._version is None:
            self._key(fresh)
        return self._version or ""

    def upload(self, path: Path, name: str) -> str:
        def call(client: Client) -> str:
            more: Any = {"expires_after": self._request_lifetime} if self._request_lifetime else {}
            with _TimedFile(path, SEND_SECONDS) as file:
                made = client.files.with_raw_response.create(
                    file=(name, file), purpose="batch", timeout=_timeout(UPLOADED_SECONDS), **more
                )
            return id_of(read_answer(made.content))

        return self._call(call)

    def create(self, file_id: str, endpoint: str, metadata: Mapping[str, str]) -> RemoteBatch:
        def call(client: Client) -> RemoteBatch:
            more: Any = {"output_expires_after": self._answer_lifetime} if self._answer_lifetime else {}
            made = client.batches.with_raw_response.create(
                input_file_id=file_id,
                endpoint=endpoint,  # type: ignore[arg-type]  # the drop's own; OpenAI checks it
                completion_window=COMPLETION_WINDOW,
                metadata=dict(metadata),
                timeout=_timeout(CREATE_SECONDS),
                **more,
            )
            return remote_batch(read_answer(made.content))

        return self._call(call)

    def retrieve(self, batch_id: str) -> RemoteBatch:
        return self._call_twice(
            lambda client: remote_batch(read_answer(client.batches.with_raw_response.retrieve(batch_id).content))
        )

    def newest(self, after: str | None = None) -> Iterator[Sequence[RemoteBatch]]:
        while True:
            start = after

            def call(client: Client, start: str | None = start) -> tuple[Sequence[RemoteBatch], bool]:
                batches = client.batches.with_raw_response
                got = batches.list(limit=PAGE_BATCHES, after=start) if start else batches.list(limit=PAGE_BATCHES)
                page = read_answer(got.content)
                if not isinstance(page.get("data"), list):
                    # Not an empty page: a batch that is not found may be created again.
                    raise OpenAIOutcomeUnknownError("unreadable_answer")
                return [remote_batch(batch) for batch in page["data"]], bool(page.get("has_more"))

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
            return id_of(read_answer(client.files.with_raw_response.retrieve(file_id).content)) == file_id

        try:
            return self._call_twice(call)
        except OpenAINotFoundError:
            return False

    def delete_file(self, file_id: str) -> bool:
        def call(client: Client) -> bool:
            client.files.with_raw_response.delete(file_id)
            return True

        try:
            return self._call(lambda client: bool(unless_unsupported(lambda: call(client))))
        except OpenAINotFoundError:
            return True

    def has_model(self, model: str) -> bool | None:
        def call(client: Client) -> bool | None:
            found = client.models.with_raw_response.retrieve(model, timeout=_timeout(MODEL_SECONDS))
            return True if is_object(found.content) else None

        try:
            return self._call(lambda client: unless_unsupported(lambda: call(client)))
        except (OpenAINotFoundError, OpenAIPermissionError) as error:
            if error.code == MODEL_NOT_FOUND:
                return False  # with 403, the model exists, and the key's project may not use it
            if isinstance(error, OpenAIPermissionError):
                raise
            return None

    def ask(self, endpoint: str, body: bytes) -> Response:
        def call(client: Client) -> Response:
            import httpx2
            import openai

            options: Any = {"timeout": _timeout(ASK_SECONDS), "headers": {"Content-Type": "application/json"}}
            try:
                # The body is sent byte for byte: the SDK's own methods would build it again.
                made = client.post(endpoint.removeprefix("/v1"), cast_to=httpx2.Response, content=body, options=options)
            except openai.APIStatusError as error:
                if not is_refused_request(error):
                    raise
                return Response(error.status_code, error.response.content)
            read_answer(made.content)
            return Response(made.status_code, made.content)

        return self._call(call)

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


def _lifetime(days: int) -> dict[str, Any]:
    """Return the member that has OpenAI delete a file this many days after the file was made."""
    return {"anchor": "created_at", "seconds": days * 86_400}


def _timeout(seconds: float) -> httpx2.Timeout:
    import httpx2

    return httpx2.Timeout(seconds, connect=CONNECT_SECONDS, write=CALL_SECONDS)
