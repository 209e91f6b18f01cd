"""Steps of tests with an emulator, one line each."""

import io
from typing import Any

import openai
import orjson
from openai.types import Batch

from local.openai_emulator.testing import RunningEmulator

CHAT = "/v1/chat/completions"

# plain-1 is an unknown model: it does not reason, and accepts every parameter.


def chat(number: int, text: str = "hello", **body: Any) -> dict[str, Any]:
    """Return one request of a batch file."""
    messages = [{"role": "user", "content": text}]
    return {
        "custom_id": f"row-{number}",
        "method": "POST",
        "url": CHAT,
        "body": {"model": "plain-1", "messages": messages, **body},
    }


class Service:
    """An emulator and its client, with one method for each step of a test."""

    def __init__(self, running: RunningEmulator, client: openai.OpenAI) -> None:
        self.running = running
        self.client = client

    def upload(self, lines: list[dict[str, Any]] | bytes, **options: Any) -> str:
        content = lines if isinstance(lines, bytes) else b"".join(orjson.dumps(line) + b"\n" for line in lines)
        return self.client.files.create(file=("in.jsonl", io.BytesIO(content)), purpose="batch", **options).id

    def create(self, lines: list[dict[str, Any]] | bytes, endpoint: str = CHAT, **options: Any) -> Batch:
        return self.client.batches.create(
            input_file_id=self.upload(lines),
            endpoint=endpoint,  # type: ignore[arg-type]  # tests try endpoints that do not exist
            completion_window="24h",
            **options,
        )

    def ended(self, lines: list[dict[str, Any]] | bytes, endpoint: str = CHAT, **options: Any) -> Batch:
        """Create a batch of these lines, end it, and return it."""
        batch = self.create(lines, endpoint, **options)
        self.running.finish()
        return self.client.batches.retrieve(batch.id)

    def lines(self, file_id: str | None) -> list[dict[str, Any]]:
        assert file_id, "there is no such file"
        return [orjson.loads(line) for line in self.client.files.content(file_id).content.split(b"\n") if line]

    def answer(self, request: dict[str, Any]) -> Any:
        """Return the body that answers one request."""
        batch = self.ended([request], request["url"])
        return self.lines(batch.output_file_id or batch.error_file_id)[0]["response"]["body"]
