"""The life of a batch: one thread moves every open batch on, whether or not anyone looks.

    validating → failed
               → in_progress → finalizing → completed
                             → expired                     from any of the three, with what was answered by then
    (any of the three) → cancelling → cancelled            likewise

Rows are run in an order shuffled by the batch's id, in proportion to the time that has passed of the `in_progress`
delay, and written straight to disk. So a batch that is cut short has answered some rows, and the others say why not.
"""

import hashlib
import os
import random
import threading
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import orjson

from local.openai_emulator.active_faults import ActiveFaults
from local.openai_emulator.answerers.request import Answer
from local.openai_emulator.answers import answer
from local.openai_emulator.errors import error_body
from local.openai_emulator.faults import (
    PROMPT,
    AnswerRows,
    DuplicateRows,
    EmptyErrorFile,
    ExpireAfterRows,
    FailBatch,
    FailRows,
    FileNotFound,
    MissingRows,
    SpoilAnswers,
    StringBodies,
    StuckUntilRetrieved,
    TokenLimit,
)
from local.openai_emulator.settings import Settings
from local.openai_emulator.store import Batch, BatchError, Store, Tokens
from local.openai_emulator.upstream import UpstreamServer, used_tokens
from local.openai_emulator.validation import first_model, line_offsets, validate

CHUNK_ROWS = 500
"""Rows that are run between two looks at what else is due."""

TICK_SECONDS = 0.02

_NOT_RUN = {
    "expired": ("batch_expired", "This request could not be executed before the completion window expired."),
    "cancelled": ("batch_cancelled", "This request was not executed because the batch was cancelled."),
}


@dataclass(slots=True)
class _Run:
    """A batch being answered: where its lines start, and in which order they are run (indices into the offsets)."""

    offsets: "array[int]"
    order: "array[int]"


class Runner:
    """Moves batches on. `clock` gives Unix seconds; a test may hold it in its hand."""

    def __init__(self, store: Store, settings: Settings, faults: ActiveFaults, clock: Callable[[], float]) -> None:
        self.delays = settings.delays
        self._store = store
        self._settings = settings
        self._faults = faults
        self._clock = clock
        self._upstream = UpstreamServer(settings.upstream) if settings.upstream else None
        # Between two chunks a cancel is noticed; asking a real server takes long.
        self._chunk = self._upstream.at_once * 4 if self._upstream else CHUNK_ROWS
        self._runs: dict[str, _Run] = {}
        self._stepping = threading.RLock()
        self._awake = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._loop, name="batches", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._awake.set()
        self._thread.join()
        if self._upstream is not None:
            self._upstream.close()

    @property
    def is_alive(self) -> bool:
        """Whether batches still move on."""
        return self._thread.is_alive()

    def wake(self) -> None:
        """Something was changed that may be due at once."""
        self._awake.set()

    def run_due(self) -> None:
        """Do everything that is due at this moment of the clock, and return."""
        while self._run_once():
            pass

    def cancel(self, batch: Batch) -> bool:
        """Begin to cancel; False where the batch is at its end already."""
        with self._store.lock:
            if not batch.is_open:
                return False
            if batch.status != "cancelling":
                batch.status = "cancelling"
                batch.cancelling_at = self._clock()
                self._store.save(batch)
        self.wake()
        return True

    def expire(self, batch: Batch) -> None:
        """Let the completion window end now."""
        with self._store.lock:
            batch.expires_at = min(batch.expires_at, self._clock())
            self._store.save(batch)
        self.wake()

    def _loop(self) -> None:
        while not self._stopped:
            if not self._run_once():
                self._awake.wait(TICK_SECONDS if self._store.open_batches() else 1.0)
                self._awake.clear()

    def _run_once(self) -> bool:
        progressed = False
        for batch in self._store.open_batches():
            if self._stopped:
                return False
            with self._stepping:
                progressed |= self._step(batch)
        return progressed

    def _step(self, batch: Batch) -> bool:
        """Move one batch on where it is due; says whether anything happened."""
        now = self._clock()
        if self._faults.for_batch(StuckUntilRetrieved, batch.model, batch.id) and batch.retrieved_at is None:
            return False
        match batch.status:
            case "cancelling":
                if now < (batch.cancelling_at or now) + self._delay(batch, "cancelling"):
                    return False
                self._cut_short(batch, "cancelled", now)
                return True
            case "validating" | "in_progress" | "finalizing" if now >= batch.expires_at:
                self._cut_short(batch, "expired", now)
                return True
            case "validating" if now >= batch.created_at + self._delay(batch, "validating"):
                self._validate(batch, now)
                return True
            case "in_progress":
                return self._answer(batch, now)
            case "finalizing" if now >= (batch.finalizing_at or now) + self._delay(batch, "finalizing"):
                self._close(batch, "completed", now)
                return True
        return False

    def _delay(self, batch: Batch, phase: str) -> float:
        forced = self._faults.delay(phase, batch.model, batch.id)
        seconds: float = getattr(self.delays, phase) if forced is None else forced
        return seconds

    # Validating

    def _validate(self, batch: Batch, now: float) -> None:
        errors, found = self._problems(batch, now), None
        if not errors:
            # The service keeps what it validated: deleting the file afterwards changes nothing.
            self._input(batch).unlink(missing_ok=True)  # left by a process that was killed just here
            os.link(self._store.path(batch.input_file_id), self._input(batch))
            limits, models = self._settings.limits, self._settings.models
            found = validate(self._input(batch), batch.endpoint, limits=limits, models=models)
            errors = found.errors
        with self._store.lock:
            if batch.status != "validating":
                return
            if found is not None and not errors:
                batch.model = found.model
                errors = self._token_problem(batch, found.tokens)
            if errors or found is None:
                batch.status, batch.failed_at, batch.errors = "failed", now, errors
                self._input(batch).unlink(missing_ok=True)
            else:
                batch.status, batch.in_progress_at = "in_progress", now
                batch.tokens, batch.total = found.tokens, len(found.offsets)
                self._runs[batch.id] = _new_run(batch.id, found.offsets)
            self._store.save(batch)

    def _problems(self, batch: Batch, now: float) -> list[BatchError]:
        """What fails the batch before its lines are looked at."""
        file = self._store.find_file(batch.input_file_id, batch.project, now)
        hidden = self._faults.for_batch(FileNotFound, batch.model, batch.id) if file is not None else None
        if file is None or (hidden and hidden.at == "validation" and now < file.created_at + hidden.seconds):
            return [
                BatchError(code="invalid_request", message=cannot_find_file(batch.input_file_id), param="input_file_id")
            ]
        if failure := self._faults.for_batch(FailBatch, batch.model, batch.id):
            return [BatchError(code=failure.code, message=failure.message, line=failure.line, param=failure.param)]
        return []

    def _token_problem(self, batch: Batch, tokens: int) -> list[BatchError]:
        limits = [limit.tokens for limit in self._faults.of_kind(TokenLimit, batch.model)]
        limits += [n for pattern, n in self._settings.token_limits.items() if fnmatchcase(batch.model, pattern)]
        others = (other for other in self._store.open_batches() if other.project == batch.project)
        enqueued = sum(other.tokens for other in others if other.model == batch.model and other is not batch)
        if not limits or enqueued + tokens <= min(limits):
            return []
        message = (
            f"Enqueued token limit reached for {batch.model} in organization org-emulated. "
            f"Limit: {min(limits):,} enqueued tokens. "
            "Please try again once some in_progress batches have been completed."
        )
        return [BatchError(code="token_limit_exceeded", message=message)]

    # Answering

    def _answer(self, batch: Batch, now: float) -> bool:
        run = self._run(batch, now)
        delay = self._delay(batch, "in_progress")
        elapsed = now - (batch.in_progress_at or now)
        due = batch.total if elapsed >= delay else int(batch.total * elapsed / delay)
        expiry = self._faults.for_batch(ExpireAfterRows, batch.model, batch.id)
        if expiry is not None:
            due = min(due, expiry.rows)
        if batch.ran < due:
            self._run_rows(batch, run, min(due, batch.ran + self._chunk), now)
            return True
        if expiry is not None and batch.ran >= min(expiry.rows, batch.total):
            self._cut_short(batch, "expired", now)
            return True
        if elapsed < delay:
            return False
        with self._store.lock:
            if batch.status == "in_progress":
                batch.status, batch.finalizing_at = "finalizing", now
                self._store.save(batch)
        return True

    def _run(self, batch: Batch, now: float) -> _Run:
        """The batch's run; after a restart it is built again, and the rows that had been run are run again."""
        run = self._runs.get(batch.id)
        if run is None:
            ran, batch.ran, batch.completed, batch.failed, batch.usage = batch.ran, 0, 0, 0, Tokens()
            for kind in ("output", "error"):
                self._store.partial(batch.id, kind).unlink(missing_ok=True)
            run = self._runs[batch.id] = _new_run(batch.id, line_offsets(self._input(batch)))
            self._run_rows(batch, run, ran, now)
        return run

    def _run_rows(self, batch: Batch, run: _Run, until: int, now: float) -> None:
        """Run the rows up to a place in the order, and append their lines to the two files."""
        faulty = self._faults.has_row_faults(batch.model)
        usage = Tokens()
        completed = failed = 0
        with (
            self._input(batch).open("rb") as lines,
            self._store.partial(batch.id, "output").open("ab") as output,
            self._store.partial(batch.id, "error").open("ab") as errors,
        ):
            for start in range(batch.ran, until, self._chunk):
                indices = run.order[start : min(start + self._chunk, until)]
                raws = [_line(lines, run.offsets[index]) for index in indices]
                requests = [orjson.loads(raw) for raw in raws]
                passed_on = self._upstream.answers(requests) if self._upstream else [None] * len(requests)
                for index, raw, request, answered in zip(indices, raws, requests, passed_on, strict=True):
                    row = _Row(batch, index + 1, raw, request)
                    if faulty:
                        good = self._run_with_faults(row, answered, int(now), output, errors, usage)
                        completed, failed = completed + (good is True), failed + (good is False)
                        continue
                    response = answered or answer(request["url"], request["body"], int(now))
                    usage.add(response.tokens)
                    good = 200 <= response.status < 300
                    (output if good else errors).write(row.line(response))
                    completed, failed = completed + good, failed + (not good)
        with self._store.lock:
            batch.ran, batch.completed, batch.failed = until, batch.completed + completed, batch.failed + failed
            batch.usage.add(usage)
            self._store.save(batch)

    def _run_with_faults(
        self, row: "_Row", answered: Answer | None, now: int, output: Any, errors: Any, usage: Tokens
    ) -> bool | None:
        """Run one row under the faults; says how it is counted: completed, failed or (None) not at all."""
        model, faults = row.batch.model, self._faults
        key = (model, row.number, row.request["custom_id"], row.raw, orjson.dumps(row.request["body"]))
        failure = faults.for_row(FailRows, *key)
        spoiling = faults.for_row(SpoilAnswers, *key) if failure is None else None
        strings = faults.for_row(StringBodies, *key) is not None
        if failure is not None:
            line = row.failure(failure, as_string=strings)
            good = False
        else:
            spoil = spoiling.how if spoiling else None
            given = faults.for_row(AnswerRows, *key)
            if given is not None:
                answered = _given_answer(given, row.request["body"])
            response = answered or answer(row.request["url"], row.request["body"], now, spoil)
            usage.add(response.tokens)
            good = 200 <= response.status < 300
            line = row.line(response, as_string=strings)
        counted_as = good or (failure is not None and failure.uncounted)
        if missing := faults.for_row(MissingRows, *key):
            return None if missing.uncounted else counted_as
        copies = 2 if faults.for_row(DuplicateRows, *key) else 1
        (output if good else errors).write(line * copies)
        return counted_as

    # Ending

    def _cut_short(self, batch: Batch, status: str, now: float) -> None:
        """End a batch as expired or cancelled: what was run is kept, a line in the error file stands for the rest."""
        if batch.in_progress_at is not None:
            run = self._run(batch, now)
            code, message = _NOT_RUN[status]
            with (
                self._input(batch).open("rb") as lines,
                self._store.partial(batch.id, "error").open("ab") as errors,
            ):
                for index in run.order[batch.ran :]:
                    raw = _line(lines, run.offsets[index])
                    row = _Row(batch, index + 1, raw, orjson.loads(raw))
                    errors.write(row.not_run(code, message))
        self._close(batch, status, now)

    def _close(self, batch: Batch, status: str, now: float) -> None:
        with self._store.lock:
            if status == "completed" and batch.status != "finalizing":
                return  # cancelled meanwhile
            batch.output_file_id = self._make_file(batch, "output", now)
            batch.error_file_id = self._make_file(batch, "error", now)
            batch.status = status
            setattr(batch, f"{status}_at", now)
            self._store.save(batch)
            self._input(batch).unlink(missing_ok=True)
            self._runs.pop(batch.id, None)

    def _make_file(self, batch: Batch, kind: str, now: float) -> str | None:
        """Make a file of what was written, where anything was."""
        content = self._store.partial(batch.id, kind)
        if kind == "error" and self._faults.for_batch(EmptyErrorFile, batch.model, batch.id):
            content.touch()
        elif not content.exists() or content.stat().st_size == 0:
            content.unlink(missing_ok=True)
            return None
        return self._store.add_file(
            content,
            project=batch.project,
            filename=f"{batch.id}_{kind}.jsonl",
            purpose="batch_output",
            created_at=now,
            expires_at=now + batch.output_seconds,
        ).id

    def _input(self, batch: Batch) -> Any:
        return self._store.partial(batch.id, "input")


def model_of_input(store: Store, file_id: str) -> str:
    """The model of a batch that is about to be created, as far as its first line tells."""
    return first_model(store.path(file_id))


def cannot_find_file(file_id: str) -> str:
    """The service's words for an input file that is not there, or not yet."""
    return f"Cannot find file {file_id}, or organization org-emulated does not have access to it."


def _given_answer(given: AnswerRows, request: dict[str, Any]) -> Answer:
    """The answer that a fault gives in place of the emulator's own."""
    body = _with_prompt(given.body, _last_text(request))
    return Answer(given.status, body, used_tokens(body))


def _with_prompt(value: Any, prompt: str) -> Any:
    if isinstance(value, dict):
        return {name: _with_prompt(item, prompt) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_prompt(item, prompt) for item in value]
    return prompt if value == PROMPT else value


def _last_text(request: dict[str, Any]) -> str:
    """The text that a request asks about: its last message's, or its input."""
    asked = request.get("input", request.get("prompt", ""))
    messages = request.get("messages") or (asked if isinstance(asked, list) else None)
    last = messages[-1] if messages else asked
    text = last.get("content", "") if isinstance(last, dict) else last
    return text if isinstance(text, str) else orjson.dumps(text).decode()


def _new_run(batch_id: str, offsets: "array[int]") -> _Run:
    order = array("L", range(len(offsets)))
    random.Random(batch_id).shuffle(order)
    return _Run(offsets, order)


def _line(file: Any, offset: int) -> bytes:
    file.seek(offset)
    line: bytes = file.readline()
    return line


class _Row:
    """One request of a batch, and the lines that can become of it."""

    def __init__(self, batch: Batch, number: int, raw: bytes, request: dict[str, Any]) -> None:
        self.batch = batch
        self.number = number
        self.raw = raw
        self.request = request
        self._id = hashlib.blake2b(f"{batch.id}/{number}".encode(), digest_size=16).hexdigest()

    def line(self, response: Answer, *, as_string: bool = False) -> bytes:
        """A line with a response, good or bad."""
        body = orjson.dumps(response.body).decode() if as_string else response.body
        request_id = self._id if response.status else ""
        return self._encoded(
            {"response": {"status_code": response.status, "request_id": request_id, "body": body}, "error": None}
        )

    def failure(self, fault: FailRows, *, as_string: bool) -> bytes:
        """The line of a row that a fault struck, in the fault's shape."""
        match fault.shape:
            case "status_zero":
                return self.line(Answer(0, {}, Tokens()), as_string=as_string)
            case "not_run":
                return self.not_run(fault.code, fault.message)
            case "no_response_member":
                return self._encoded({"error": {"code": fault.code, "message": fault.message}})
        kind = "server_error" if fault.status >= 500 else "invalid_request_error"
        body = error_body(fault.message, code=fault.code, type_=kind)
        return self.line(Answer(fault.status, body, Tokens()), as_string=as_string)

    def not_run(self, code: str, message: str) -> bytes:
        """The line of a row that was never run."""
        return self._encoded({"response": None, "error": {"code": code, "message": message}})

    def _encoded(self, members: dict[str, Any]) -> bytes:
        return orjson.dumps({"id": f"batch_req_{self._id}", "custom_id": self.request["custom_id"], **members}) + b"\n"
