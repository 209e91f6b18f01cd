"""OpenAI's Files, Batches and endpoints in memory: as strict as the service, with the oddities that a test sets."""

import json
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from dropbatch.domain.errors import (
    OpenAIAuthError,
    OpenAIError,
    OpenAINotFoundError,
    OpenAIOutcomeUnknownError,
    OpenAIRateLimitError,
    OpenAIRequestError,
)
from dropbatch.domain.states import TERMINAL, OpenAIStatus
from dropbatch.ports import RemoteBatch, Response
from tests.fakes.answers import answer_ok, echo, tokens_of, usage_of, wrong_lines
from tests.fakes.download import FakeDownload
from tests.fakes.names import Numbers

Answerer = Callable[[dict[str, Any]], tuple[str, dict[str, Any]] | None]
"""Returns for a request line ("output" | "error", its answer line), or None if the row goes missing."""

Refuser = Callable[[RemoteBatch, list[dict[str, Any]]], Sequence[tuple[str, str, int | None]]]
"""Returns the errors (code, message, line) with which a batch of these requests fails validation, or none."""

Fault = Callable[..., OpenAIError | None]
"""Returns, for the arguments of a call, the error with which it fails, or None."""

PAGE = 2
MAX_FILE_BYTES = 209_715_200


class FakeOpenAI:
    """Files and Batches: a batch ends the next time it is read, unless `ending` says otherwise.

    Its oddities: `faults` makes calls fail while they are in it. `list_lag` and `retrieve_lag` are the seconds by which
    the list and the answers of retrieve lag. `keeps_metadata`, `reports_usage`, `ignores_range`, `deletes_files` and
    `tells_models` are those of other servers. Each download breaks after `breaks_after` bytes. A file is gone if it is
    deleted from `files`.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ids = Numbers()
        self.key: str | None = "sk-fake"
        self.key_valid = True
        self.projects: dict[str, str] = {}  # by key; all other keys share one project
        self.files: dict[str, bytes] = {}
        self.contents: dict[str, bytes] = {}  # of all files that ever were, by id
        self.deletes_files = True
        self.models: set[str] | None = None  # those that exist; None: all
        self.tells_models = True
        self.batches: dict[str, RemoteBatch] = {}
        self.answer: Answerer = answer_ok
        self.ending: OpenAIStatus | None = OpenAIStatus.COMPLETED
        self.faults: dict[str, OpenAIError | Fault] = {}  # by the port's method
        self.list_lag = 0.0
        self.retrieve_lag = 0.0
        self.keeps_metadata = True
        self.reports_usage = True
        self.ignores_range = False
        self.breaks_after: int | None = None
        self.refuse: Refuser | None = None
        self.token_limit: int | None = None
        self.creates_an_hour: int | None = 2_000
        self.cancelled: list[str] = []
        self.asked: list[dict[str, Any]] = []  # the requests that were sent alone
        self._version: str | None = None
        self._projects_of: dict[str, str] = {}  # by file or batch
        self._created: deque[float] = deque()  # when, in the last hour
        self._metadata: dict[str, Mapping[str, str]] = {}  # as it was given, by batch
        self._endpoints: dict[str, str] = {}  # by batch
        self._inputs: dict[str, bytes] = {}  # of batches that were validated: deleting the file changes nothing
        self._history: dict[str, list[tuple[float, RemoteBatch]]] = {}
        self._paid: Counter[tuple[str, int]] = Counter()

    def _call(self, method: str, *args: Any) -> str:
        """Raise the fault of the call, if there is one. Return the project of the call's key."""
        self._version = None
        self._version = self._stored_key()
        fault = self.faults.get(method)
        error = fault if isinstance(fault, OpenAIError) or fault is None else fault(*args)
        if error is not None:
            raise error
        if not self.key_valid:
            raise OpenAIAuthError("invalid_api_key")
        return self.projects.get(self._version, "")

    def _stored_key(self) -> str:
        if not self.key:
            raise OpenAIAuthError("no_key")
        return self.key

    def _find_file(self, file_id: str, project: str, status: int = 404) -> bytes:
        if file_id not in self.files or self._projects_of.get(file_id, "") != project:
            raise OpenAINotFoundError("no_file", status)
        return self.files[file_id]

    def _find_batch(self, batch_id: str, project: str) -> RemoteBatch:
        if batch_id not in self.batches or self._projects_of.get(batch_id, "") != project:
            raise OpenAINotFoundError("no_batch", 404)
        return self.batches[batch_id]

    def _add_file(self, content: bytes, project: str) -> str:
        file_id = f"file-{next(self._ids)}"
        self.files[file_id] = self.contents[file_id] = content
        self._projects_of[file_id] = project
        return file_id

    def key_version(self, fresh: bool = False) -> str:
        if fresh or self._version is None:
            self._version = None
            self._version = self._stored_key()
        return self._version

    def upload(self, path: Path, name: str) -> str:
        project = self._call("upload", path, name)
        assert name.endswith(".jsonl")
        return self._add_file(path.read_bytes(), project)

    def create(self, file_id: str, endpoint: str, metadata: Mapping[str, str]) -> RemoteBatch:
        project = self._call("create", file_id, endpoint, metadata)
        if len(metadata) > 16 or any(len(key) > 64 or len(value) > 512 for key, value in metadata.items()):
            raise OpenAIRequestError("string_above_max_length", 400)
        while self._created and self._created[0] <= self._clock() - 3600:
            self._created.popleft()
        if self.creates_an_hour is not None and len(self._created) >= self.creates_an_hour:
            raise OpenAIRateLimitError("rate_limit_exceeded", 60)
        made = RemoteBatch(
            id=f"batch_{next(self._ids)}",
            status=OpenAIStatus.VALIDATING,
            created_at=int(self._clock()),
            input_file_id=file_id,
            metadata=dict(metadata) if self.keeps_metadata else {},
            total=len(self._find_file(file_id, project, 400).splitlines()),
        )
        self._created.append(self._clock())
        self._projects_of[made.id], self._metadata[made.id] = project, dict(metadata)
        self._endpoints[made.id] = endpoint
        self.batches[made.id] = made
        self._remember(made)
        return made

    def retrieve(self, batch_id: str) -> RemoteBatch:
        project = self._call("retrieve", batch_id)
        now = self._look(self._find_batch(batch_id, project))
        seen_until = self._clock() - self.retrieve_lag
        past = [batch for at, batch in self._history.get(batch_id, []) if at <= seen_until]
        if not self.retrieve_lag:
            return now
        return past[-1] if past else self._history[batch_id][0][1]

    def newest(self, after: str | None = None) -> Iterator[Sequence[RemoteBatch]]:
        while True:
            project = self._call("newest", after)
            seen_until = self._clock() - self.list_lag
            found = [
                batch
                for batch in reversed(self.batches.values())
                if batch.created_at <= seen_until and self._projects_of.get(batch.id, "") == project
            ]
            ids = [batch.id for batch in found]
            if after is not None and after not in ids:
                raise OpenAIRequestError("invalid_value", 400)
            start = ids.index(after) + 1 if after is not None else 0
            page = [self._look(batch) for batch in found[start : start + PAGE]]
            yield page
            if start + PAGE >= len(found):
                return
            after = page[-1].id

    def cancel(self, batch_id: str) -> None:
        project = self._call("cancel", batch_id)
        batch = self._find_batch(batch_id, project)
        self.cancelled.append(batch_id)
        if batch.status not in TERMINAL:
            self._set(replace(batch, status=OpenAIStatus.CANCELLING))

    def sees(self, file_id: str) -> bool:
        project = self._call("sees", file_id)
        return file_id in self.files and self._projects_of.get(file_id, "") == project

    def delete_file(self, file_id: str) -> bool:
        project = self._call("delete_file", file_id)
        if self.deletes_files and self._projects_of.get(file_id, "") == project:
            self.files.pop(file_id, None)
        return self.deletes_files

    def has_model(self, model: str) -> bool | None:
        self._call("has_model", model)
        return (self.models is None or model in self.models) if self.tells_models else None

    def ask(self, endpoint: str, body: bytes) -> Response:
        try:
            self._call("ask", endpoint, body)
        except OpenAIRequestError as refusal:
            return _refused(refusal.status, refusal.code)
        request = {"custom_id": f"ask-{len(self.asked)}", "method": "POST", "url": endpoint, "body": json.loads(body)}
        if self.models is not None and request["body"].get("model") not in self.models:
            return _refused(404, "model_not_found")
        self.asked.append(request)
        _, line = self.answer(request) or ("", {})
        response = line.get("response")
        if not response:
            raise OpenAIOutcomeUnknownError("no_answer")
        return Response(response["status_code"], json.dumps(response["body"], ensure_ascii=False).encode())

    @contextmanager
    def streaming(self, file_id: str, start: int = 0) -> Iterator[FakeDownload]:
        project = self._call("streaming", file_id, start)
        content = self._find_file(file_id, project)
        yield FakeDownload(content, 0 if self.ignores_range else start, self.breaks_after)

    def _look(self, batch: RemoteBatch) -> RemoteBatch:
        """Advance a batch as far as possible, and return it."""
        if batch.status is OpenAIStatus.CANCELLING:
            self._end(batch, OpenAIStatus.CANCELLED)
        elif batch.status is OpenAIStatus.VALIDATING and (errors := self._validate(batch)):
            self._set(replace(batch, status=OpenAIStatus.FAILED, errors=errors, total=0))
        elif batch.status not in TERMINAL and self.ending is not None:
            self._end(batch, self.ending)
        return self.batches[batch.id]

    def _set(self, batch: RemoteBatch) -> None:
        self.batches[batch.id] = batch
        self._remember(batch)

    def _remember(self, batch: RemoteBatch) -> None:
        self._history.setdefault(batch.id, []).append((self._clock(), batch))

    def _requests(self, batch: RemoteBatch) -> list[dict[str, Any]]:
        content = self._inputs.get(batch.id)
        if content is None:
            content = self.contents[batch.input_file_id]
        return [json.loads(line) for line in content.split(b"\n") if line]

    def _validate(self, batch: RemoteBatch) -> Sequence[tuple[str, str, int | None]]:
        if batch.id not in self._inputs:
            content = self.files.get(batch.input_file_id)
            if content is None:
                return [("invalid_request", f"Cannot find file {batch.input_file_id}", None)]
            if len(content) > MAX_FILE_BYTES:
                return [("invalid_request", "Batch input file is too large", None)]
            self._inputs[batch.id] = content
        requests = self._requests(batch)
        if errors := wrong_lines(requests, self._endpoints[batch.id]):
            return errors
        if self.token_limit is not None:
            open_batches = [other for other in self.batches.values() if other.status not in TERMINAL]
            enqueued = sum(self.tokens(other) for other in open_batches if other.created_at <= batch.created_at)
            if enqueued > self.token_limit:
                text = f"Enqueued token limit reached for m in organization o. Limit: {self.token_limit:,} enqueued"
                return [("token_limit_exceeded", f"{text} tokens. Please try again later.", None)]
        return self.refuse(batch, requests) if self.refuse else []

    def tokens(self, batch: RemoteBatch) -> int:
        """Return the tokens that a batch enqueues."""
        return sum(tokens_of(line["body"]) for line in self._requests(batch))

    def _end(self, batch: RemoteBatch, status: OpenAIStatus) -> None:
        files: dict[str, list[bytes]] = {"output": [], "error": []}
        answers = [self.answer(request) for request in self._requests(batch)]
        random.Random(batch.id).shuffle(answers)
        for where, line in filter(None, answers):
            files[where].append(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            if where == "output" and (line.get("response") or {}).get("status_code") == 200:
                self._paid[self._job_of(batch), int(line["custom_id"])] += 1
        ids = {}
        for where, content in files.items():
            if content:
                ids[where] = self._add_file(b"".join(content), self._projects_of.get(batch.id, ""))
        self._set(
            replace(
                batch,
                status=status,
                output_file_id=ids.get("output"),
                error_file_id=ids.get("error"),
                completed=len(files["output"]),
                failed=len(files["error"]),
                usage=usage_of(answers) if self.reports_usage else None,
            )
        )

    def _job_of(self, batch: RemoteBatch) -> str:
        given = self._metadata.get(batch.id, batch.metadata)
        return given.get("job") or given.get("dropbatch", "").partition("/")[0]

    def echoes(self, job: str | None = None) -> dict[int, str]:
        """Return the text with which `answer_ok` answers each row that was sent, by row; for one job if it is given."""
        return {
            int(request["custom_id"]): echo(request)
            for batch in self.batches.values()
            if job in (None, self._job_of(batch))
            for request in self._requests(batch)
        }

    def batches_by_key(self) -> dict[str, int]:
        """Return the number of batches that were created for each key, with or without metadata."""
        return dict(Counter(given["dropbatch"] for given in self._metadata.values()))

    def paid_answers(self) -> Counter[tuple[str, int]]:
        """Return the number of answers with status 200 in output files, by job and row."""
        return Counter(self._paid)


def _refused(status: int, code: str) -> Response:
    return Response(status, json.dumps({"error": {"message": "refused", "code": code}}).encode())
