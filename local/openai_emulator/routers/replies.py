"""The kinds of replies: JSON, none at all, and a file's content that breaks off."""

from pathlib import Path
from typing import Any

import orjson
from fastapi import Response
from starlette.types import ASGIApp, Receive, Scope, Send

_TRANSPORT = "emulator.transport"


class Json(Response):
    """JSON by orjson."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


class Dropped(Response):
    """No reply: the connection is closed without a byte."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _ = send
        scope[_TRANSPORT].abort()
        await _disconnected(receive)


class Truncated(Response):
    """A file's next bytes from `start` on, with the length of all the rest announced; then the connection closes."""

    def __init__(self, path: Path, after_bytes: int, start: int = 0) -> None:
        super().__init__(media_type="application/octet-stream")
        self._path = path
        self._after_bytes = after_bytes
        self._start = start

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        size = self._path.stat().st_size
        with self._path.open("rb") as file:
            file.seek(self._start)
            content = file.read(self._after_bytes)
        # Some bytes are always lacking, even of a file that is shorter than `after_bytes`.
        whole = max(size, self._start + len(content) + 1)
        headers = [(b"content-length", b"%d" % (whole - self._start)), (b"content-type", b"application/octet-stream")]
        if self._start:
            headers.append((b"content-range", b"bytes %d-%d/%d" % (self._start, whole - 1, whole)))
        await send({"type": "http.response.start", "status": 206 if self._start else 200, "headers": headers})
        await send({"type": "http.response.body", "body": content, "more_body": True})
        scope[_TRANSPORT].close()
        await _disconnected(receive)


async def _disconnected(receive: Receive) -> None:
    """Wait until the server has noticed, so that it sends no 500 of its own."""
    while (await receive())["type"] != "http.disconnect":
        pass


class WithTransport:
    """An app whose replies can reach the connection, which uvicorn's `receive` belongs to: only so can they drop it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[_TRANSPORT] = getattr(getattr(receive, "__self__", None), "transport", None)
        await self._app(scope, receive, send)
