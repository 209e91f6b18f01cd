"""OpenAI's Files and Batches. Its SDK, half a second and 50 MB, is imported when the first call is due."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from dropbatch.domain.errors import (
    OpenAIBusy,
    OpenAIKeyRejected,
    OpenAINotFound,
    OpenAIRefused,
    OpenAIUnsure,
)
from dropbatch.domain.jobs import OpenAIStatus
from dropbatch.ports import RemoteBatch

T = TypeVar("T")

if TYPE_CHECKING:
    from openai import OpenAI as Client

CALL_SECONDS = 30.0
UPLOAD_SECONDS = 200.0
"""A batch file has up to 200 MB, and the function that sends it 300 s."""

CREATE_SECONDS = 55.0
"""Less than what `submit` wants its lease to cover."""

PAGE = 100
CHUNK_BYTES = 1_048_576
DOWNLOAD_TRIES = 4
BUSY_SECONDS = 60
"""How long to wait after a 429 that does not say."""

_STATUSES = {status.value: status for status in OpenAIStatus} | {"canceled": OpenAIStatus.CANCELLED}


class OpenAIBatches:
    """`ports.OpenAI` on the `openai` SDK.

    `read_key(fresh)` gives (API key, its version) and raises OpenAIKeyRejected where there is none; with `fresh` it
    must not answer from a cache.
    """

    def __init__(self, read_key: Callable[[bool], tuple[str, str]], base_url: str) -> None:
        self._read_key = read_key
        self._base_url = base_url
        self._client: tuple[str, Client] | None = None

    def key_version(self, fresh: bool = False) -> str:
        return self._read_key(fresh)[1]

    def upload(self, path: Path, name: str) -> str:
        def call(client: Client) -> str:
            with path.open("rb") as file:
                return client.files.create(file=(name, file), purpose="batch", timeout=UPLOAD_SECONDS).id

        return self._call(call)

    def create(self, file_id: str, endpoint: str, metadata: Mapping[str, str]) -> RemoteBatch:
        def call(client: Client) -> RemoteBatch:
            once = client.with_options(max_retries=0, timeout=CREATE_SECONDS)
            made = once.batches.with_raw_response.create(
                input_file_id=file_id,
                endpoint=endpoint,  # type: ignore[arg-type]  # the drop's own, checked by OpenAI
                completion_window="24h",
                metadata=dict(metadata),
            )
            return _remote(_read(made.content))

        return self._call(call)

    def retrieve(self, batch_id: str) -> RemoteBatch:
        return self._call(lambda client: _remote(_read(client.batches.with_raw_response.retrieve(batch_id).content)))

    def newest(self) -> Iterator[Sequence[RemoteBatch]]:
        after: str | None = None
        while True:
            start = after

            def call(client: Client, start: str | None = start) -> tuple[Sequence[RemoteBatch], bool]:
                batches = client.batches.with_raw_response
                got = batches.list(limit=PAGE, after=start) if start else batches.list(limit=PAGE)
                page = _read(got.content)
                if not isinstance(page.get("data"), list):
                    raise OpenAIUnsure("unreadable_answer")  # not an empty page: what is not seen may be created again
                return [_remote(batch) for batch in page["data"]], bool(page.get("has_more"))

            batches, more = self._call(call)
            yield batches
            if not more or not batches:
                return
            after = batches[-1].id

    def cancel(self, batch_id: str) -> None:
        try:
            # The SDK would retry the 409 with which a batch that has ended answers.
            self._call(lambda client: client.with_options(max_retries=0).batches.cancel(batch_id))
        except OpenAIRefused as error:
            if error.status != 409:
                raise

    def download(self, file_id: str, path: Path) -> None:
        def call(client: Client) -> None:
            with client.files.with_streaming_response.content(file_id) as response, path.open("wb") as file:
                for chunk in response.iter_bytes(CHUNK_BYTES):
                    file.write(chunk)

        for tries_left in reversed(range(DOWNLOAD_TRIES)):
            try:
                return self._call(call)
            except OpenAIUnsure:
                if not tries_left:
                    raise
                time.sleep(0.5)
        return None

    def close(self) -> None:
        """Closes the connections; the next call opens new ones."""
        if self._client is not None:
            self._client[1].close()
            self._client = None

    def _call(self, call: Callable[[Client], T]) -> T:
        """Makes a call; where the key is refused, once more with a key read anew."""
        try:
            with _errors():
                return call(self._connect(fresh=False))
        except OpenAIKeyRejected:
            known = self._client[0] if self._client else None
            client = self._connect(fresh=True)
            if self._client is None or self._client[0] == known:
                raise
            with _errors():
                return call(client)

    def _connect(self, fresh: bool) -> Client:
        key, _ = self._read_key(fresh)
        if self._client is None or self._client[0] != key:
            from openai import OpenAI

            self.close()
            self._client = key, OpenAI(api_key=key, base_url=self._base_url, timeout=CALL_SECONDS, max_retries=2)
        return self._client[1]


def _read(answer: bytes) -> dict[str, Any]:
    """The members of a good answer, read past the SDK's models: a page of a hundred batches takes 1 ms, not 8."""
    try:
        members = msgspec.json.decode(answer)
    except msgspec.DecodeError:
        members = None
    if not isinstance(members, dict):
        raise OpenAIUnsure("unreadable_answer")
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
                (code_of(error.get("code"), "batch_failed"), error.get("message") or "", error.get("line"))
                for error in errors
            ],
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        raise OpenAIUnsure("unreadable_answer") from None


def code_of(code: object, otherwise: str) -> str:
    """A code that may go to logs and to the table: OpenAI's, if it looks like one."""
    fits = isinstance(code, str) and re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", code)
    return str(code) if fits else otherwise


@contextmanager
def _errors() -> Iterator[None]:
    """Turns what the SDK and its HTTP library raise into errors with a meaning, without their texts."""
    import httpx2
    import openai

    try:
        yield
    except openai.APIStatusError as error:
        status = error.status_code
        code = code_of(error.code or error.type, f"http_{status}")
        if status in (401, 403):
            raise OpenAIKeyRejected(code) from None
        if status == 404:
            raise OpenAINotFound(code, status) from None
        if status == 429:
            raise OpenAIBusy(code, _retry_after(error.response.headers)) from None
        if status >= 500 or status == 408:
            raise OpenAIUnsure(code) from None
        # "No such File object": a file that is gone, or not visible yet, is told from other faults by the text alone.
        if "no such file" in error.message.lower() or "cannot find file" in error.message.lower():
            raise OpenAINotFound(code, status) from None
        raise OpenAIRefused(code, status) from None
    except (openai.APIConnectionError, httpx2.HTTPError) as error:
        raise OpenAIUnsure(type(error).__name__) from None
    except openai.OpenAIError as error:
        raise OpenAIUnsure(type(error).__name__) from None


def _retry_after(headers: Mapping[str, Any]) -> int:
    value = str(headers.get("retry-after", ""))
    return min(int(value), 900) if value.isdecimal() else BUSY_SECONDS
