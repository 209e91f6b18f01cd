"""Responses with status 200 that are not answers of the API."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dropbatch.adapters.openai import OpenAIBatches
from dropbatch.domain.errors import OpenAIOutcomeUnknownError


@pytest.fixture(params=[b"<html>Welcome</html>", b"", b"[]", b'{"data": null}', b'{"data": [{"id": "b"}]}'])
def openai(request: pytest.FixtureRequest) -> Iterator[OpenAIBatches]:
    """Yield a client of a server that answers every request like this, as a proxy may."""

    class Server(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(request.param)))
            self.end_headers()
            self.wfile.write(request.param)

        do_GET = do_POST = answer  # noqa: N815 - the base class calls them so

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever).start()
        adapter = OpenAIBatches(lambda _fresh: ("sk-x", "v"), f"http://127.0.0.1:{server.server_port}/v1")
        yield adapter
        adapter.close()
        server.shutdown()


@pytest.mark.parametrize(
    "call",
    [
        lambda openai: openai.create("file-1", "/v1/embeddings", {}),  # it may exist: look before it is created again
        lambda openai: openai.retrieve("batch_1"),
        lambda openai: list(openai.newest()),  # not an empty list, which would mean that the batch does not exist
    ],
)
def test_an_unreadable_answer_leaves_the_outcome_unknown(
    openai: OpenAIBatches, call: Callable[[OpenAIBatches], Any]
) -> None:
    with pytest.raises(OpenAIOutcomeUnknownError) as raised:
        call(openai)
    assert raised.value.code == "unreadable_answer"
