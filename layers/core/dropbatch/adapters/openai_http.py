"""Requests to a server of OpenAI's API, on httpx2, which is imported for the first request.

The `openai` SDK is built on httpx2, too. But it loads 600 modules, most of them types of calls that Dropbatch does not
make. That takes half a second of the processor and 40 MB at the start of each process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from dropbatch import __version__

if TYPE_CHECKING:
    import httpx2

CONNECT_SECONDS = 5.0


class StatusError(Exception):
    """An answer with an error status. Its text may quote a row, so it is not the exception's."""

    def __init__(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers
        self.content = content

    @property
    def members(self) -> Mapping[str, Any]:
        """The members of the error. An answer without one has its own members, a page has none."""
        answer = _decoded(self.content)
        error = answer.get("error", answer) if isinstance(answer, dict) else None
        return error if isinstance(error, dict) else {}


def is_object(content: bytes) -> bool:
    """Return whether an answer is one of the API, and not a page of another server."""
    return isinstance(_decoded(content), dict)


def _decoded(content: bytes) -> object:
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError:
        return None


def url_path(*parts: str) -> str:
    """Return a path of these parts, of which none can lead elsewhere."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


class OpenAIServer:
    """A server of the API, with a key. `seconds` and `write_seconds` are the timeouts of an operation on a connection.

    `transport` replaces the network in tests.
    """

    def __init__(
        self,
        base_url: str,
        key: str,
        seconds: float,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        import httpx2

        self._base_url = base_url.rstrip("/")
        self._write_seconds = seconds
        self._client = httpx2.Client(
            headers={
                "Authorization": f"Bearer {key}",
                "Accept": "application/json",
                "User-Agent": f"dropbatch/{__version__}",
            },
            timeout=self._timeout(seconds),
            transport=transport,
            follow_redirects=True,
        )

    def request(self, method: str, path: str, *, seconds: float | None = None, **content: Any) -> httpx2.Response:
        """Return a good answer, read to its end. `content` is that of `httpx2.Client.request`."""
        if seconds is not None:
            content["timeout"] = self._timeout(seconds)
        answer = self._client.request(method, self._base_url + path, **content)
        _check(answer)
        return answer

    @contextmanager
    def streaming(self, path: str, *, seconds: float, headers: Mapping[str, str]) -> Iterator[httpx2.Response]:
        """Yield a good answer whose content is not read yet."""
        timeout = self._timeout(seconds)
        with self._client.stream("GET", self._base_url + path, headers=headers, timeout=timeout) as answer:
            _check(answer)
            yield answer

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _timeout(self, seconds: float) -> httpx2.Timeout:
        import httpx2

        return httpx2.Timeout(seconds, connect=CONNECT_SECONDS, write=self._write_seconds)


def _check(answer: httpx2.Response) -> None:
    """Raise StatusError for an answer with an error status, or with a redirect that leads nowhere."""
    if not answer.is_success:
        raise StatusError(answer.status_code, answer.headers, answer.read())
