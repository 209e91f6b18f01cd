"""OpenAI's Files and Batches in memory."""

import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from dropbatch.domain.errors import OpenAIKeyRejected, OpenAINotFound
from dropbatch.domain.jobs import TERMINAL, OpenAIStatus
from dropbatch.ports import RemoteBatch

Answerer = Callable[[dict[str, Any]], tuple[str, dict[str, Any]] | None]
"""Gives for a request line ("output" | "error", its answer line), or None where the row goes missing."""


Refuser = Callable[[RemoteBatch, list[dict[str, Any]]], Sequence[tuple[str, str, int | None]]]
"""Gives the errors (code, message, line) with which a batch of these requests fails validation, or none."""


def answer_ok(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A chat completion that says ok, or classifies as positive where a schema asks for a sentiment."""
    content = "ok"
    schema = request["body"].get("response_format", {}).get("json_schema", {}).get("schema")
    if schema:
        content = json.dumps({name: member.get("enum", ["text"])[0] for name, member in schema["properties"].items()})
    body = {
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
    }
    return "output", response_line(request, 200, body)


def response_line(request: dict[str, Any], status: int, body: Any) -> dict[str, Any]:
    return {
        "id": "batch_req_" + request["custom_id"],
        "custom_id": request["custom_id"],
        "response": {"status_code": status, "request_id": "req", "body": body},
        "error": None,
    }


class FakeDownload:
    """A file on its way, in odd, small blocks."""

    block_bytes = 7919

    def __init__(self, content: bytes, start: int) -> None:
        self._content = content
        self.start = start
        self.size: int | None = len(content)

    def blocks(self) -> Iterator[bytes]:
        step = self.block_bytes
        return (self._content[at : at + step] for at in range(self.start, len(self._content), step))


class FakeOpenAI:
    """Files and Batches: a batch ends as soon as it is next looked at, unless `ending` says otherwise."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ids = itertools.count(1)
        self.key: str | None = "sk-fake"
        self.key_valid = True
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, RemoteBatch] = {}
        self.answer: Answerer = answer_ok
        self.ending: OpenAIStatus | None = OpenAIStatus.COMPLETED
        self.list_lag = 0.0
        self.refuse: Refuser | None = None
        self.token_limit: int | None = None
        self.cancelled: list[str] = []

    def _authenticate(self) -> None:
        if not self.key or not self.key_valid:
            raise OpenAIKeyRejected("invalid_api_key")

    def key_version(self, fresh: bool = False) -> str:
        if not self.key:
            raise OpenAIKeyRejected("no_key")
        return self.key

    def upload(self, path: Path, name: str) -> str:
        self._authenticate()
        assert name.endswith(".jsonl")
        file_id = f"file-{next(self._ids)}"
        self.files[file_id] = path.read_bytes()
        return file_id

    def create(self, file_id: str, endpoint: str, metadata: Mapping[str, str]) -> RemoteBatch:
        self._authenticate()
        if file_id not in self.files:
            raise OpenAINotFound("no_file", 400)
        lines = self.files[file_id].splitlines()
        made = RemoteBatch(
            id=f"batch_{next(self._ids)}",
            status=OpenAIStatus.VALIDATING,
            created_at=int(self._clock()),
            input_file_id=file_id,
            metadata=dict(metadata),
            total=len(lines),
        )
        self.batches[made.id] = made
        return made

    def retrieve(self, batch_id: str) -> RemoteBatch:
        self._authenticate()
        if batch_id not in self.batches:
            raise OpenAINotFound("no_batch", 404)
        batch = self.batches[batch_id]
        if batch.status is OpenAIStatus.CANCELLING:
            self._end(batch, OpenAIStatus.CANCELLED)
        elif batch.status is OpenAIStatus.VALIDATING and (errors := self._validate(batch)):
            self.batches[batch_id] = replace(batch, status=OpenAIStatus.FAILED, errors=errors)
        elif batch.status not in TERMINAL and self.ending is not None:
            self._end(batch, self.ending)
        return self.batches[batch_id]

    def _validate(self, batch: RemoteBatch) -> Sequence[tuple[str, str, int | None]]:
        requests = [json.loads(line) for line in self.files[batch.input_file_id].split(b"\n") if line]
        if self.token_limit is not None:
            open_batches = [other for other in self.batches.values() if other.status not in TERMINAL]
            enqueued = sum(self.tokens(other) for other in open_batches if other.created_at <= batch.created_at)
            if enqueued > self.token_limit:
                text = f"Enqueued token limit reached for m in organization o. Limit: {self.token_limit:,} enqueued"
                return [("token_limit_exceeded", f"{text} tokens. Please try again later.", None)]
        return self.refuse(batch, requests) if self.refuse else []

    def tokens(self, batch: RemoteBatch) -> int:
        """What a batch enqueues: a quarter of its bodies' bytes."""
        lines = [json.loads(line) for line in self.files[batch.input_file_id].split(b"\n") if line]
        return sum(len(json.dumps(line["body"], separators=(",", ":"))) // 4 for line in lines)

    def _end(self, batch: RemoteBatch, status: OpenAIStatus) -> None:
        files: dict[str, list[bytes]] = {"output": [], "error": []}
        requests = [json.loads(line) for line in self.files[batch.input_file_id].split(b"\n") if line]
        answers = [self.answer(request) for request in requests]
        random.Random(batch.id).shuffle(answers)
        for where, line in filter(None, answers):
            files[where].append(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        ids = {}
        for where, content in files.items():
            if content:
                ids[where] = f"file-{next(self._ids)}"
                self.files[ids[where]] = b"".join(content)
        self.batches[batch.id] = replace(
            batch,
            status=status,
            output_file_id=ids.get("output"),
            error_file_id=ids.get("error"),
            completed=len(files["output"]),
            failed=len(files["error"]),
        )

    def newest(self) -> Iterator[Sequence[RemoteBatch]]:
        self._authenticate()
        seen_until = self._clock() - self.list_lag
        found = [batch for batch in reversed(self.batches.values()) if batch.created_at <= seen_until]
        for start in range(0, max(len(found), 1), 2):
            yield [self.retrieve(batch.id) for batch in found[start : start + 2]]

    def cancel(self, batch_id: str) -> None:
        self._authenticate()
        if batch_id not in self.batches:
            raise OpenAINotFound("no_batch", 404)
        self.cancelled.append(batch_id)
        batch = self.batches[batch_id]
        if batch.status not in TERMINAL:
            self.batches[batch_id] = replace(batch, status=OpenAIStatus.CANCELLING)

    def download(self, file_id: str, path: Path) -> None:
        self._authenticate()
        if file_id not in self.files:
            raise OpenAINotFound("no_file", 404)
        path.write_bytes(self.files[file_id])

    @contextmanager
    def streaming(self, file_id: str, start: int = 0) -> Iterator["FakeDownload"]:
        self._authenticate()
        if file_id not in self.files:
            raise OpenAINotFound("no_file", 404)
        yield FakeDownload(self.files[file_id], start)

    def batches_by_key(self) -> dict[str, int]:
        """How many batches were ever created for each key."""
        counts: dict[str, int] = {}
        for batch in self.batches.values():
            counts[batch.metadata["dropbatch"]] = counts.get(batch.metadata["dropbatch"], 0) + 1
        return counts
