"""The other OpenAI-compatible server that requests are passed on to, so that a local model answers in batches."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import orjson

from local.openai_emulator.answerers.request import Answer
from local.openai_emulator.errors import error_body
from local.openai_emulator.settings import Upstream
from local.openai_emulator.store import Tokens


class UpstreamServer:
    """A client that sends each request once, several at a time. The server's own status and body are the answer."""

    def __init__(self, upstream: Upstream) -> None:
        self._base_url = upstream.base_url
        headers = {"Authorization": f"Bearer {upstream.api_key}"} if upstream.api_key else {}
        limits = httpx2.Limits(max_connections=upstream.concurrency)
        self._client = httpx2.Client(headers=headers, timeout=upstream.timeout_seconds, limits=limits)
        self._pool = ThreadPoolExecutor(upstream.concurrency, thread_name_prefix="upstream")
        self.at_once = upstream.concurrency

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._client.close()

    def answers(self, requests: Sequence[dict[str, Any]]) -> list[Answer]:
        """Return the answers to batch requests (`url`, `body`), in their order; an unreachable server is a status 0."""
        return list(self._pool.map(self._ask, requests))

    def _ask(self, request: dict[str, Any]) -> Answer:
        try:
            response = self._client.post(self._base_url + request["url"].removeprefix("/v1"), json=request["body"])
        except httpx2.HTTPError:
            return Answer(0, {}, Tokens())
        try:
            body = orjson.loads(response.content)
        except orjson.JSONDecodeError:
            body = error_body("The upstream server did not answer with JSON.", code="bad_gateway", type_="server_error")
        return Answer(response.status_code, body, used_tokens(body))


def used_tokens(body: object) -> Tokens:
    """Return the tokens that a body says it cost, in either of the two vocabularies."""
    usage = body.get("usage") if isinstance(body, dict) else None
    if not isinstance(usage, dict):
        return Tokens()

    def count(holder: object, *names: str) -> int:
        values = [holder.get(name) for name in names] if isinstance(holder, dict) else []
        return next((value for value in values if isinstance(value, int)), 0)

    details_in = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    details_out = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    return Tokens(
        input=count(usage, "prompt_tokens", "input_tokens"),
        cached=count(details_in, "cached_tokens"),
        cache_write=count(details_in, "cache_write_tokens"),
        output=count(usage, "completion_tokens", "output_tokens"),
        reasoning=count(details_out, "reasoning_tokens"),
    )
