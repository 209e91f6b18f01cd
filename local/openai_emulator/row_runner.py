"""The rows of batches as they run: their answers, the faults that strike them, and their lines on disk."""

import random
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import orjson

from local.openai_emulator.active_faults import ActiveFaults
from local.openai_emulator.answerers.request import Answer
from local.openai_emulator.answers import answer
from local.openai_emulator.batch_rows import BatchRow, failed_answer
from local.openai_emulator.faults import (
    AnswerRows,
    DuplicateRows,
    FailRows,
    MissingRows,
    SpoilAnswers,
    Spoiling,
    StringBodies,
)
from local.openai_emulator.given_answers import given_answer
from local.openai_emulator.prompt_cache import PromptCache
from local.openai_emulator.settings import Upstream
from local.openai_emulator.store import Batch, Store, Tokens
from local.openai_emulator.upstream import UpstreamServer
from local.openai_emulator.validation import line_offsets

CHUNK_ROWS = 500
"""How many rows run before the runner checks again what else is due."""

_NOT_RUN = {
    "expired": ("batch_expired", "This request could not be executed before the completion window expired."),
    "cancelled": ("batch_cancelled", "This request was not executed because the batch was cancelled."),
}


@dataclass(slots=True)
class Run:
    """A batch being answered: where its lines start, and in which order they are run (indices into the offsets).

    `cache` is its prompt cache.
    """

    offsets: "array[int]"
    order: "array[int]"
    cache: PromptCache = field(default_factory=PromptCache)


@dataclass(slots=True)
class _Lines:
    """The two files that lines are written to, and what the rows count as."""

    output: BinaryIO
    error: BinaryIO
    cache: PromptCache
    completed: int = 0
    failed: int = 0
    usage: Tokens = field(default_factory=Tokens)

    def emulated(self, row: BatchRow, now: int, spoil: Spoiling | None = None) -> Answer:
        """Answer a row, with the tokens that it reads from the batch's prompt cache and writes to it."""
        response = answer(row.request["url"], row.request["body"], now, spoil)
        if response.is_good:
            self.cache.apply(row.request["body"], response)
        return response

    def write(self, line: bytes, *, is_good: bool) -> None:
        (self.output if is_good else self.error).write(line)

    def count(self, *, as_completed: bool) -> None:
        if as_completed:
            self.completed += 1
        else:
            self.failed += 1


class RowRunner:
    """A runner of rows, in the order of each batch's run, which it keeps until the batch ends."""

    def __init__(self, store: Store, faults: ActiveFaults, upstream: Upstream | None) -> None:
        self._store = store
        self._faults = faults
        self._upstream = UpstreamServer(upstream) if upstream else None
        # Between two chunks the runner notices a cancel; a real server takes long to answer.
        self.chunk_rows = self._upstream.at_once * 4 if self._upstream else CHUNK_ROWS
        self._runs: dict[str, Run] = {}

    def close(self) -> None:
        if self._upstream is not None:
            self._upstream.close()

    def begin(self, batch: Batch, offsets: "array[int]") -> Run:
        """Plan the batch's run, in an order shuffled by its id."""
        order = array("L", range(len(offsets)))
        random.Random(batch.id).shuffle(order)
        run = self._runs[batch.id] = Run(offsets, order)
        return run

    def run_of(self, batch: Batch, now: float) -> Run:
        """Return the batch's run; after a restart, plan it again, and run the rows again that had been run."""
        run = self._runs.get(batch.id)
        if run is None:
            ran, batch.ran, batch.completed, batch.failed, batch.usage = batch.ran, 0, 0, 0, Tokens()
            for kind in ("output", "error"):
                self._store.partial(batch.id, kind).unlink(missing_ok=True)
            run = self.begin(batch, line_offsets(self._store.partial(batch.id, "input")))
            self.run_rows(batch, run, ran, now)
        return run

    def end(self, batch: Batch) -> None:
        """Forget the batch's run."""
        self._runs.pop(batch.id, None)

    def run_rows(self, batch: Batch, run: Run, until: int, now: float) -> None:
        """Run the rows up to a place in the order, and append their lines to the two files."""
        faulty = self._faults.has_row_faults(batch.model)
        with (
            self._store.partial(batch.id, "input").open("rb") as requests,
            self._store.partial(batch.id, "output").open("ab") as output,
            self._store.partial(batch.id, "error").open("ab") as error,
        ):
            lines = _Lines(output, error, run.cache)
            for start in range(batch.ran, until, self.chunk_rows):
                indices = run.order[start : min(start + self.chunk_rows, until)]
                rows = [_read_row(batch, requests, run, index) for index in indices]
                for row, upstream_answer in zip(rows, self._pass_on(rows), strict=True):
                    if faulty:
                        self._run_with_faults(row, upstream_answer, int(now), lines)
                    else:
                        self._run(row, upstream_answer, int(now), lines)
        with self._store.lock:
            batch.ran, batch.completed, batch.failed = (
                until,
                batch.completed + lines.completed,
                batch.failed + lines.failed,
            )
            batch.usage.add(lines.usage)
            self._store.save(batch)

    def answer_at_once(self, url: str, body: dict[str, Any], raw: bytes, now: int) -> Answer:
        """Answer a request that is in no batch, with the faults that strike it as a batch's first line."""
        key = (body["model"], 1, "", raw, orjson.dumps(body))
        failure = self._faults.for_row(FailRows, *key)
        if failure is not None:
            return failed_answer(failure)
        given = self._faults.for_row(AnswerRows, *key)
        if given is not None:
            return given_answer(given, body)
        if self._upstream is not None:
            return self._upstream.answers([{"url": url, "body": body}])[0]
        spoiling = self._faults.for_row(SpoilAnswers, *key)
        return answer(url, body, now, spoiling.how if spoiling else None)

    def write_rows_not_run(self, batch: Batch, status: str, now: float) -> None:
        """Write a line in the error file for every row that was not run before the batch ended as `status`."""
        run = self.run_of(batch, now)
        code, message = _NOT_RUN[status]
        with (
            self._store.partial(batch.id, "input").open("rb") as requests,
            self._store.partial(batch.id, "error").open("ab") as error,
        ):
            for index in run.order[batch.ran :]:
                error.write(_read_row(batch, requests, run, index).not_run(code, message))

    def _pass_on(self, rows: list[BatchRow]) -> Iterable[Answer | None]:
        """Return the other server's answers to the rows; None for each if the emulator answers itself."""
        if self._upstream is None:
            return [None] * len(rows)
        return self._upstream.answers([row.request for row in rows])

    def _run(self, row: BatchRow, upstream_answer: Answer | None, now: int, lines: _Lines) -> None:
        response = upstream_answer or lines.emulated(row, now)
        lines.usage.add(response.tokens)
        good = response.is_good
        lines.write(row.line(response), is_good=good)
        lines.count(as_completed=good)

    def _run_with_faults(self, row: BatchRow, upstream_answer: Answer | None, now: int, lines: _Lines) -> None:
        faults = self._faults
        key = (row.batch.model, row.number, row.request["custom_id"], row.raw, orjson.dumps(row.request["body"]))
        failure = faults.for_row(FailRows, *key)
        spoiling = faults.for_row(SpoilAnswers, *key) if failure is None else None
        as_string = faults.for_row(StringBodies, *key) is not None
        if failure is not None:
            good = False
            line = row.failure(failure, as_string=as_string)
        else:
            given = faults.for_row(AnswerRows, *key)
            ready = upstream_answer if given is None else given_answer(given, row.request["body"])
            spoil = spoiling.how if spoiling else None
            response = ready or lines.emulated(row, now, spoil)
            lines.usage.add(response.tokens)
            good = response.is_good
            line = row.line(response, as_string=as_string)
        missing = faults.for_row(MissingRows, *key)
        if missing is None:
            copies = 2 if faults.for_row(DuplicateRows, *key) else 1
            lines.write(line * copies, is_good=good)
        if missing is None or not missing.uncounted:
            lines.count(as_completed=good or (failure is not None and failure.uncounted))


def _read_row(batch: Batch, requests: BinaryIO, run: Run, index: int) -> BatchRow:
    requests.seek(run.offsets[index])
    raw = requests.readline()
    return BatchRow(batch, index + 1, raw, orjson.loads(raw))
