"""Brings answers home: a batch's answers to its rows, a shard's rows into results, a job's shards into files.

A collector writes what it found under a name of its own, and then moves the batch on, which says whose results count
and which rows are to be asked again. Each level is settled by whoever finds that nothing is missing below it: after its
own write it reads the job's items strongly consistently, so that of two that finish last at least one sees that all is
there.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import islice
from operator import add
from typing import cast

import orjson

from dropbatch import assemble
from dropbatch.admission import learn_limit, learn_usage, start
from dropbatch.answers import Answer
from dropbatch.asking import JobRows
from dropbatch.domain.errors import ConditionFailed, OpenAIError, OpenAIKeyRejected, OpenAINotFound, TryLater
from dropbatch.domain.jobs import (
    CLOSED,
    TERMINAL,
    Batch,
    BatchState,
    Child,
    HeldReason,
    Job,
    JobState,
    OpenAIStatus,
    Shard,
    ShardState,
)
from dropbatch.domain.outcomes import PAST_DEADLINE, Outcome
from dropbatch.formats.writing import row_writer
from dropbatch.healing import FILE_SECONDS, MOST_ROUNDS, BatchFailure, Failure, Fate, failure_of, fate, put_off
from dropbatch.holding import hold
from dropbatch.jobfiles import AskedRow
from dropbatch.ledger import Ledger
from dropbatch.messages import Work, work_on
from dropbatch.plain_answers import AnswerReader
from dropbatch.ports import BYTES, JSON, RemoteBatch, World, Writer
from dropbatch.pricing import Bill
from dropbatch.reconciling import AnswerLines
from dropbatch.rendering import SAMPLES, render
from dropbatch.results import Result, answered_response, unanswered_response, writing_results
from dropbatch.tallies import Tally

LATE_SECONDS = 60
"""When files that OpenAI has not finished are looked for again."""

DOUBT_FACTOR = 3
"""So many `settle_seconds` are answers waited for that OpenAI has counted but not delivered (30 minutes by default)."""

SPARE_SECONDS = 120
"""With less than that left, the next shard is another invocation's: a gigabyte of embeddings takes a minute."""

CHUNK_ROWS = 128
"""So many rows are read at once: enough to save calls, and ten megabytes where they are embeddings."""

BAD_BATCHES = 2
"""After so many batches in a row of which less than half was answered, a job's rest is held."""


def collect(world: World, work: Work) -> None:
    """Collects the batch that a message names, then whatever is settled by that: its shard, its job."""
    ledger = Ledger(world.table)
    job = ledger.job(work.job_id)
    if job is None or job.state not in (JobState.RUNNING, JobState.HELD, JobState.ASSEMBLING):
        return
    if job.state is not JobState.ASSEMBLING:
        rows = JobRows(world, job)
        batch = ledger.batch(job.id, work.batch) if work.batch else None
        if batch is not None and batch.state is BatchState.ENDED:
            _collect_or_wait(world, ledger, rows, batch)
            if not _in_time(world):
                world.collect.send(work.to_json())
                return
        for shard in ledger.shards(job.id):
            if shard.state is ShardState.RENDERED or (batch is not None and shard.number != batch.shard):
                continue
            if _settle_shard(world, ledger, rows, shard.number) and not _in_time(world):
                _go_on(world, ledger, job)
                return
        if any(shard.state is not ShardState.RENDERED for shard in ledger.shards(job.id)):
            return
    assemble.assemble(world, ledger, job.id)


def _in_time(world: World) -> bool:
    return world.seconds_left() > SPARE_SECONDS


def _go_on(world: World, ledger: Ledger, job: Job) -> None:
    """Has another invocation go on with what is left of a job, which has not been sent in vain."""

    def came_further(current: Job) -> bool:
        current.sends, current.sent_at = 0, world.now()
        return current.state in (JobState.RUNNING, JobState.HELD)

    ledger.change(lambda: ledger.job(job.id), came_further)
    world.collect.send(work_on(job))


def _collect_or_wait(world: World, ledger: Ledger, rows: JobRows, batch: Batch) -> None:
    """Collects a batch; TryLater while OpenAI does not let us, which is no reason to give it up."""
    try:
        _collect_batch(world, ledger, rows, batch)
    except OpenAIError as error:
        if isinstance(error, OpenAIKeyRejected):
            hold(world, ledger, rows.job, HeldReason.KEY, error.code)

        def count_anew(current: Batch) -> bool:
            current.sends = 0
            return current.state is BatchState.ENDED

        ledger.change(lambda: ledger.batch(batch.job_id, batch.sk), count_anew)
        raise TryLater(LATE_SECONDS, f"OpenAI did not give the batch's answers: {error.code}") from error


def _collect_batch(world: World, ledger: Ledger, rows: JobRows, batch: Batch) -> None:
    """Gives each row of an ended batch its outcome, or another try."""
    job = rows.job
    shard = _shard_of(ledger, batch)
    try:
        remote = world.openai.retrieve(batch.openai_id or "")
    except OpenAINotFound:
        remote = _gone(batch)
    never_ended = remote.status not in TERMINAL
    if never_ended:
        remote = replace(remote, status=OpenAIStatus.EXPIRED)
    failure = failure_of(remote.errors) if remote.status is OpenAIStatus.FAILED else None
    bill = Bill(batch.model)  # looks into the price list, which takes 80 MB for a moment, before answers take theirs
    batch.results = world.new_token()
    output, errors = (world.scratch / f"{batch.results}.{name}" for name in ("output", "errors"))
    try:
        with AnswerLines(shard.first_row, shard.rows) as answers:
            for file_id, path in ((remote.output_file_id, output), (remote.error_file_id, errors)):
                if file_id:
                    world.openai.download(file_id, path)
                    answers.read(path)
            _check_complete(world, batch, remote, answers)
            # What never ended may still be running, for all we know: its rows are not asked twice.
            over = job.cancel_requested or world.now() >= job.deadline_at or never_ended
            judge = _Judge(job, batch, _Unanswered(remote, failure), failure, over)
            written = _write_results(world, rows, shard, batch, answers.lines, judge, bill)
    finally:
        output.unlink(missing_ok=True)
        errors.unlink(missing_ok=True)
    if answers.repeated or answers.strange:
        world.observer.warn("odd lines", repeated=answers.repeated, strange=answers.strange, **batch.ids)
    if failure is not None:
        world.observer.warn("a batch failed", code=failure.code, kind=str(failure.kind), **batch.ids)
        if failure.kind is Failure.TOKENS:
            learn_limit(world, ledger, batch, failure.message)
    elif remote.status is OpenAIStatus.COMPLETED:
        learn_usage(world, ledger, batch, written.estimated_tokens, written.counted_tokens)
    if failure is not None and failure.kind in (Failure.ACCOUNT, Failure.MODEL):
        _stop(world, ledger, batch, failure)
    _break_circuit(world, ledger, job, batch, remote, written)
    children = [_child(world, batch, written, failure)] if written.again else []

    def finish(current: Batch) -> bool:
        if current.state is not BatchState.ENDED:
            return False
        current.completed, current.failed = remote.completed, remote.failed
        current.results, current.children = batch.results, children
        current.move(BatchState.COLLECTED)
        return True

    if ledger.change(lambda: ledger.batch(batch.job_id, batch.sk), finish):
        world.observer.note(
            "collected", openai_id=batch.openai_id, lines=answers.found, again=written.again, **batch.ids
        )


def _shard_of(ledger: Ledger, batch: Batch) -> Shard:
    shard = ledger.shard(batch.job_id, batch.shard)
    if shard is None:
        raise AssertionError(f"{batch.key} has no shard")
    return shard


def _child(world: World, batch: Batch, written: "_Written", failure: BatchFailure | None) -> Child:
    """The batch that goes on with the rows that are to be asked again."""
    child = Child(written.again, written.tokens, written.inputs, world.now(), tries=written.tries)
    match failure.kind if failure else None:
        case Failure.TOKENS:
            child.waits, child.not_before = batch.waits + 1, world.now() + world.scaled(put_off(batch.waits))
        case Failure.FILE:
            child.waits = batch.waits + 1
            if batch.waits < len(FILE_SECONDS):
                child.file_id = batch.file_id
                child.not_before = world.now() + world.scaled(FILE_SECONDS[batch.waits])
        case Failure.ROWS:
            child.waits = batch.waits + 1
        case _:
            if written.tries > batch.tries:  # what failed is given a moment
                child.not_before = world.now() + world.scaled(put_off(batch.tries))
    return child


def _stop(world: World, ledger: Ledger, batch: Batch, failure: BatchFailure) -> None:
    """Gives up what waits of the job and would fail for the same reason: all of it, or all for the same model."""
    for waiting in ledger.batches(batch.job_id):
        same = failure.kind is Failure.ACCOUNT or waiting.model == batch.model
        if waiting.state is BatchState.WAITING and same:
            waiting.refusal = failure.code
            waiting.move(BatchState.ABANDONED)
            try:
                ledger.save(waiting)
            except ConditionFailed:
                continue  # it is being submitted, and will fail by itself
            world.collect.send(work_on(waiting))


def _break_circuit(
    world: World, ledger: Ledger, job: Job, batch: Batch, remote: RemoteBatch, written: "_Written"
) -> None:
    """Holds what a job has waiting when two of its batches in a row were answered by less than half.

    Only first tries count: rows that failed before say nothing about those that have not been asked yet.
    """
    if batch.tries or remote.status is not OpenAIStatus.COMPLETED:
        return
    bad = 2 * written.ok < batch.requests

    def judge(current: Job) -> bool:
        if not bad and not current.judged:
            return False
        if bad and batch.key in current.judged:
            return False
        current.judged = [*current.judged, batch.key][-BAD_BATCHES:] if bad else []
        return True

    judged = ledger.change(lambda: ledger.job(job.id), judge)
    if judged is not None and len(judged.judged) >= BAD_BATCHES:
        waiting = [other for other in ledger.batches(job.id) if other.state is BatchState.WAITING]
        if any(other.tries == 0 for other in waiting):
            hold(world, ledger, judged, HeldReason.FAILING, "too_few_answers")


def _gone(batch: Batch) -> RemoteBatch:
    """A batch that ended and can no longer be retrieved: nothing can be read of it."""
    return RemoteBatch(
        id=batch.openai_id or "",
        status=batch.openai_status or OpenAIStatus.COMPLETED,
        created_at=batch.submitted_at or 0,
        input_file_id=batch.file_id or "",
    )


def _check_complete(world: World, batch: Batch, remote: RemoteBatch, answers: AnswerLines) -> None:
    """TryLater while OpenAI has counted more answers than it delivered: its files may come late."""
    counted = remote.completed + remote.failed
    if remote.status is OpenAIStatus.COMPLETED:
        counted = max(counted, remote.total) or batch.requests
    in_doubt = world.now() < (batch.ended_at or 0) + DOUBT_FACTOR * world.settle_seconds
    if answers.found + answers.repeated < counted and remote.status is not OpenAIStatus.FAILED and in_doubt:
        raise TryLater(min(LATE_SECONDS, world.settle_seconds), "answers are counted that have not been delivered")


class _Unanswered:
    """The outcome of rows that have no line: it follows from what became of their batch."""

    def __init__(
        self, remote: RemoteBatch | None, failure: BatchFailure | None = None, refusal: str | None = None
    ) -> None:
        self._by_line: Mapping[int, tuple[str, str]] = failure.lines if failure else {}
        self._message = failure.message if failure else ""
        match remote.status if remote else None:
            case None if refusal is None:
                self._outcome, self._code = Outcome.CANCELLED, "cancelled"
            case None if refusal == PAST_DEADLINE:
                self._outcome, self._code = Outcome.EXPIRED, PAST_DEADLINE
            case None:
                self._outcome, self._code = Outcome.ERROR, refusal or "refused"
            case OpenAIStatus.EXPIRED:
                self._outcome, self._code = Outcome.EXPIRED, "batch_expired"
            case OpenAIStatus.CANCELLED:
                self._outcome, self._code = Outcome.CANCELLED, "batch_cancelled"
            case OpenAIStatus.FAILED:
                self._outcome, self._code = Outcome.ERROR, failure.code if failure else "batch_failed"
            case _:
                self._outcome, self._code = Outcome.MISSING, "missing"

    def answer(self, position: int) -> tuple[Answer, str]:
        """The answer and OpenAI's message for the row that was line `position` (from 1) of the batch's file."""
        code, message = self._by_line.get(position, (self._code, self._message))
        return Answer(self._outcome, code, None, None), message


@dataclass(frozen=True, slots=True)
class _Judge:
    """Says of each row of a batch whether its answer is final."""

    job: Job
    batch: Batch
    unanswered: _Unanswered
    failure: BatchFailure | None = None
    over: bool = True  # nothing is tried again any more

    @property
    def settles_good(self) -> bool:
        """Whether a good answer is final, whatever else is to be known of it."""
        return self.over or self.failure is None

    def fate(self, answer: Answer, position: int, tries: int) -> Fate:
        if self.over:
            return Fate.FINAL
        if self.failure is None:
            return fate(answer, tries=tries, attempts=self.job.attempts, retry_invalid=self.job.retry_invalid)
        match self.failure.kind:
            case Failure.TOKENS:
                return Fate.LATER  # bounded by the deadline
            case Failure.FILE if self.batch.waits < MOST_ROUNDS:
                return Fate.LATER
            case Failure.ROWS if self.batch.waits < MOST_ROUNDS and position not in self.failure.lines:
                # Were no row of the batch to blame, the same would be sent again and again.
                return (
                    Fate.LATER if any(1 <= line <= self.batch.requests for line in self.failure.lines) else Fate.FINAL
                )
        return Fate.FINAL


@dataclass(slots=True)
class _Written:
    """What a batch's results came to: rows answered, tokens that were estimated and counted for what was run, and the
    rows to be asked again."""

    ok: int = 0
    estimated_tokens: int = 0
    counted_tokens: int = 0
    again: int = 0
    tokens: int = 0
    inputs: int = 0
    tries: int = 0
    out: Writer | None = field(default=None, repr=False)

    def ask_again(self, row: int, tries: int, tokens: int, inputs: int) -> None:
        assert self.out is not None  # noqa: S101  # opened by whoever judges rows; tells the type checker
        self.out.write(AskedRow(row, tries).to_line())
        self.again += 1
        self.tokens += tokens
        self.inputs += inputs
        self.tries = max(self.tries, tries)


def _write_results(
    world: World,
    rows: JobRows,
    shard: Shard,
    batch: Batch,
    lines_of: Callable[[Sequence[int]], Sequence[bytes | None]],
    judge: _Judge,
    bill: Bill,
) -> _Written:
    """Writes what became of each row of a batch: a line a row, in order, and the sums; rows to be asked again apart."""
    key = rows.files.results_key(batch)
    with ExitStack() as stack:
        out = stack.enter_context(writing_results(world, key))
        again = (
            None
            if judge.over
            else stack.enter_context(world.objects.writing(world.buckets.work, key + ".rows.0", BYTES))
        )
        collector = _Collector(rows, shard, batch, judge, bill, _Written(out=again))
        asked, tries = rows.asked_rows(shard, batch, collector.index)
        for start in range(0, len(asked), CHUNK_ROWS):
            chunk = asked[start : start + CHUNK_ROWS]
            out.add(*collector.collected(chunk, tries[start : start + CHUNK_ROWS], lines_of(chunk)))
    tally = json.dumps(collector.tally().to_json()).encode()
    world.objects.put(world.buckets.work, key + ".tally", tally, JSON)
    return collector.written


class _Collector:
    """Judges a batch's rows, many at a time, and adds up what they come to."""

    def __init__(self, rows: JobRows, shard: Shard, batch: Batch, judge: _Judge, bill: Bill, written: _Written) -> None:
        self._judge = judge
        self._compiled = rows.compiled
        self._first = shard.first_row
        self.index = rows.index(shard)
        self._custom_ids = _CustomIds(rows.custom_ids(shard, self.index), shard.first_row)
        self._reader = AnswerReader(rows.compiled, batch.endpoint)
        self._writer = row_writer(rows.layout, rows.compiled.all_columns) if rows.compiled else None
        self._blank = [None] * len(rows.compiled.columns) if rows.compiled else []
        self._ok = self._ending(Outcome.OK, None)
        self._position = 0
        self._samples = {True: SAMPLES, False: SAMPLES}
        self._bill = bill
        self._tally = Tally()
        self.written = written

    def tally(self) -> Tally:
        """What all the rows came to."""
        self._tally.pay(self._bill.total())
        return self._tally

    def collected(
        self, asked: Sequence[int], tries: Sequence[int], lines: Sequence[bytes | None]
    ) -> tuple[Sequence[Result], Sequence[bytes]]:
        """The results of the next rows of the batch, by their former tries and their lines, and the lines of
        responses.jsonl."""
        rows = asked
        answers, messages = self._answers(lines)
        self._add_up_tokens(rows, answers)
        all_good = _all_good(answers)
        if not (self._judge.settles_good and all_good):
            final = [
                place for place, row in enumerate(asked) if self._is_final(row, tries[place], answers[place], place)
            ]
            rows, answers = [rows[place] for place in final], [answers[place] for place in final]
            lines, messages = [lines[place] for place in final], [messages[place] for place in final]
            all_good = _all_good(answers)
        self._position += len(asked)
        good = [answer.values or () for answer in answers if all_good or answer.outcome is Outcome.OK]
        self.written.ok += len(good)
        if good:
            self._tally.outcomes[Outcome.OK] += len(good)
        if self._compiled is not None:
            self._tally.categorise(self._compiled, good)
        return (
            self._results(rows, answers, all_good=all_good),
            self._responses(rows, answers, lines, messages, all_good=all_good),
        )

    def _answers(self, lines: Sequence[bytes | None]) -> tuple[Sequence[Answer], Sequence[str]]:
        """What each row's try came to, and what OpenAI said of rows that have no line."""
        if None not in lines:
            return self._reader.read_all(cast("Sequence[bytes]", lines)), [""] * len(lines)
        read = iter(self._reader.read_all([line for line in lines if line is not None]))
        unanswered = self._judge.unanswered.answer
        found = [
            unanswered(position) if line is None else (next(read), "")
            for position, line in enumerate(lines, self._position + 1)
        ]
        return [answer for answer, _ in found], [message for _, message in found]

    def _add_up_tokens(self, rows: Sequence[int], answers: Sequence[Answer]) -> None:
        usages = [answer.usage for answer in answers if answer.usage is not None]
        if usages:
            tokens, first = self.index.tokens, self._first
            total = self._bill.add(usages)
            self._tally.spend(total)
            self.written.counted_tokens += total.input_tokens
            if len(usages) < len(rows):
                rows = [row for row, answer in zip(rows, answers, strict=True) if answer.usage is not None]
            follow = rows[-1] - rows[0] < len(rows)  # one another, without a gap
            estimated = (
                tokens[rows[0] - first : rows[-1] - first + 1] if follow else [tokens[row - first] for row in rows]
            )
            self.written.estimated_tokens += sum(estimated)

    def _is_final(self, row: int, tries: int, answer: Answer, place: int) -> bool:
        """Counts a row that has no good answer; False where it is to be asked again."""
        what = self._judge.fate(answer, self._position + place + 1, tries)
        if what is not Fate.FINAL:
            at = row - self._first
            self.written.ask_again(row, tries + (what is Fate.AGAIN), self.index.tokens[at], self.index.inputs[at])
            return False
        if answer.outcome is not Outcome.OK:
            self._tally.count(row, answer.outcome, answer.code)
        return True

    def _results(self, rows: Sequence[int], answers: Sequence[Answer], *, all_good: bool) -> Sequence[Result]:
        columns: Sequence[str | None] = [None] * len(rows)
        if self._writer is not None and rows:
            blank, ok = self._blank, self._ok
            own = self._writer.columns([answer.values or blank for answer in answers])
            if all_good:
                columns = [added + ok for added in own]
            else:
                endings = [self._ending(answer.outcome, answer.code) for answer in answers]
                columns = list(map(add, own, endings))
        codes = [answer.code for answer in answers]
        results = list(map(Result, rows, [answer.outcome for answer in answers], codes, columns))
        if self._samples[True] or not all_good:
            for result, answer in zip(results, answers, strict=True):
                self._sample(result, answer.values or ())
        return results

    def _ending(self, outcome: Outcome, code: str | None) -> str:
        """What a row's status and error add to it."""
        return self._writer.columns([[outcome, code]], len(self._blank))[0] if self._writer is not None else ""

    def _sample(self, result: Result, values: Sequence[object]) -> None:
        """Shows a row's answer in short, where it is among the first of its kind."""
        is_good = result.outcome is Outcome.OK
        if self._samples[is_good]:
            self._samples[is_good] -= 1
            texts = (value if isinstance(value, str) else orjson.dumps(value).decode() for value in values)
            result.shown = " · ".join(texts)[:300]

    def _responses(
        self,
        rows: Sequence[int],
        answers: Sequence[Answer],
        lines: Sequence[bytes | None],
        messages: Sequence[str],
        *,
        all_good: bool,
    ) -> Sequence[bytes]:
        ids = self._custom_ids.of(rows)
        if ids is None and all_good:
            return cast("Sequence[bytes]", lines)  # a good answer has a line, which stays as it is
        named: Sequence[str | None] = ids or [None] * len(rows)
        return [
            answered_response(row, identity, line, answer.outcome)
            if line is not None
            else unanswered_response(row, identity, answer.outcome, message)
            for row, identity, answer, line, message in zip(rows, named, answers, lines, messages, strict=True)
        ]


def _all_good(answers: Sequence[Answer]) -> bool:
    return [answer.outcome for answer in answers].count(Outcome.OK) == len(answers)


class _CustomIds:
    """The users' ids of the rows that are asked for, in order; None where rows have none but their number."""

    def __init__(self, ids: Iterator[str] | None, first_row: int) -> None:
        self._ids = ids
        self._next = first_row

    def of(self, rows: Sequence[int]) -> Sequence[str] | None:
        if self._ids is None:
            return None
        found = []
        for row in rows:
            found.append(next(islice(self._ids, row - self._next, None)))
            self._next = row + 1
        return found


def _settle_shard(world: World, ledger: Ledger, rows: JobRows, number: int) -> bool:
    """Sees that every batch's children are there, and renders a shard if all its batches are home: True if it did."""
    shard = ledger.shard(rows.job.id, number)
    if shard is None or shard.state is ShardState.RENDERED:
        return False
    batches = ledger.batches(rows.job.id, number)
    known = {batch.sk for batch in batches}
    born = [child for batch in batches for child in batch.offspring() if child.sk not in known]
    if born:
        start(world, ledger, born)
        return False
    if any(batch.state not in CLOSED for batch in batches):
        return False
    closed = [batch for batch in batches if batch.state is not BatchState.SPLIT]
    for batch in closed:
        if batch.state is BatchState.ABANDONED:
            judge = _Judge(rows.job, batch, _Unanswered(None, refusal=batch.refusal))
            _write_results(world, rows, shard, batch, _no_lines, judge, Bill(batch.model))
    render(world, rows, shard, closed)

    def finish(current: Shard) -> bool:
        if current.state is ShardState.RENDERED:
            return False
        current.move(ShardState.RENDERED)
        return True

    ledger.change(lambda: ledger.shard(rows.job.id, number), finish)
    return True


def _no_lines(rows: Iterable[int]) -> Sequence[None]:
    """No row of a batch that was never submitted has a line."""
    return [None for _ in rows]
