"""The life of a batch: one thread moves every open batch on, whether or not a client asks about it.

    validating → failed
               → in_progress → finalizing → completed
                             → expired                     from any of the three, with what was answered by then
    (any of the three) → cancelling → cancelled            likewise

Rows are run in an order shuffled by the batch's id, in proportion to the time that has passed of the `in_progress`
delay, and written straight to disk (`row_runner`). So a batch that is cut short has answers to some rows, and errors
that say why the others have none.
"""

import os
import threading
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from local.openai_emulator.active_faults import ActiveFaults
from local.openai_emulator.answerers.request import Answer
from local.openai_emulator.errors import cannot_find_file
from local.openai_emulator.faults import (
    EmptyErrorFile,
    ExpireAfterRows,
    FailBatch,
    FileNotFound,
    StuckUntilRetrieved,
    TokenLimit,
)
from local.openai_emulator.row_runner import RowRunner
from local.openai_emulator.settings import Settings
from local.openai_emulator.store import Batch, BatchError, Store
from local.openai_emulator.validation import validate

TICK_SECONDS = 0.02


class Runner:
    """The thread that moves batches on. `clock` gives Unix seconds, and a test may change it."""

    def __init__(self, store: Store, settings: Settings, faults: ActiveFaults, clock: Callable[[], float]) -> None:
        self.delays = settings.delays
        self._store = store
        self._settings = settings
        self._faults = faults
        self._clock = clock
        self._rows = RowRunner(store, faults, settings.upstream)
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
        self._rows.close()

    @property
    def is_alive(self) -> bool:
        """Return whether batches still move on."""
        return self._thread.is_alive()

    def wake(self) -> None:
        """Check at once what is due, because something was changed."""
        self._awake.set()

    def run_due(self) -> None:
        """Do everything that is due at this moment of the clock, and return."""
        while self._run_once():
            pass

    def cancel(self, batch: Batch) -> bool:
        """Begin to cancel; return False if the batch has ended already."""
        with self._store.lock:
            if not batch.is_open:
                return False
            if batch.status != "cancelling":
                batch.status = "cancelling"
                batch.cancelling_at = self._clock()
                self._store.save(batch)
        self.wake()
        return True

    def answer_at_once(self, url: str, body: dict[str, Any], raw: bytes) -> Answer:
        """Answer a request that is in no batch. The faults of rows strike it, too."""
        return self._rows.answer_at_once(url, body, raw, int(self._clock()))

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
        """Move one batch on if it is due; return whether anything happened."""
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
                self._rows.begin(batch, found.offsets)
            self._store.save(batch)

    def _problems(self, batch: Batch, now: float) -> list[BatchError]:
        """Return the errors that fail the batch before its lines are read."""
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
        """Return the error of a batch that does not fit the limit of enqueued tokens."""
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
        """Run the rows that are due, a chunk at most; return whether anything happened."""
        run = self._rows.run_of(batch, now)
        delay = self._delay(batch, "in_progress")
        elapsed = now - (batch.in_progress_at or now)
        due = batch.total if elapsed >= delay else int(batch.total * elapsed / delay)
        expiry = self._faults.for_batch(ExpireAfterRows, batch.model, batch.id)
        if expiry is not None:
            due = min(due, expiry.rows)
        if batch.ran < due:
            self._rows.run_rows(batch, run, min(due, batch.ran + self._rows.chunk_rows), now)
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

    # Ending

    def _cut_short(self, batch: Batch, status: str, now: float) -> None:
        """End a batch as expired or cancelled: keep the rows that were run, write errors for the others."""
        if batch.in_progress_at is not None:
            self._rows.write_rows_not_run(batch, status, now)
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
            self._rows.end(batch)

    def _make_file(self, batch: Batch, kind: str, now: float) -> str | None:
        """Make a file of the lines that were written; return None if there are none."""
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

    def _input(self, batch: Batch) -> Path:
        return self._store.partial(batch.id, "input")
