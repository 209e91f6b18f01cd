"""Brings answers home: a batch's answers to its rows, a shard's rows into results, a job's shards into files.

Each level is settled by whoever finds that nothing is missing below it. A collector writes its own part first and then
reads the job's items strongly consistently, so that of two that finish last at least one sees that all is there; what
two write at once, they write alike.
"""

import gzip
import heapq
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import msgspec
import orjson

from dropbatch import assemble
from dropbatch.answers import Answer, read_answer
from dropbatch.asking import Asker
from dropbatch.domain.errors import OpenAINotFound, RowRejected, TryLater
from dropbatch.domain.jobs import Batch, BatchState, Job, JobState, OpenAIStatus, Shard, ShardState
from dropbatch.domain.outcomes import ANSWERED, Outcome
from dropbatch.formats.kinds import file_type
from dropbatch.formats.layout import Layout
from dropbatch.formats.raw import raw_custom_id
from dropbatch.formats.reading import Record
from dropbatch.formats.writing import answered
from dropbatch.jobfiles import BYTES, JSON, JobFiles, lines, whole
from dropbatch.ledger import Ledger
from dropbatch.messages import Work
from dropbatch.ports import RemoteBatch, World, Writer
from dropbatch.pricing import price
from dropbatch.recipes.compiling import CompiledRecipe
from dropbatch.reconciling import AnswerLines
from dropbatch.tallies import Tally

LATE_SECONDS = 60
"""When files that OpenAI has not finished are looked for again."""

DOUBT_FACTOR = 3
"""So many `settle_seconds` are answers waited for that OpenAI has counted but not delivered (30 minutes by default)."""

SAMPLES = 5
"""How many rows of each kind a shard keeps for the report."""


def collect(world: World, work: Work) -> None:
    """Collects the batch that a message names, then whatever is settled by that: its shard, its job."""
    ledger = Ledger(world.table)
    job = ledger.job(work.job_id)
    if job is None or job.state not in (JobState.RUNNING, JobState.HELD, JobState.ASSEMBLING):
        return
    if job.state is not JobState.ASSEMBLING:
        files = _Files(world, job)
        batch = ledger.batch(job.id, work.batch) if work.batch else None
        if batch is not None:
            if batch.state is BatchState.ENDED:
                _collect_batch(world, ledger, files, batch)
            _settle_shard(world, ledger, files, batch.shard)
        else:
            for shard in ledger.shards(job.id):
                _settle_shard(world, ledger, files, shard.number)
        if any(shard.state is not ShardState.RENDERED for shard in ledger.shards(job.id)):
            return
    assemble.assemble(world, ledger, job.id)


class _Files:
    """What is read of a job's files to understand its rows."""

    def __init__(self, world: World, job: Job) -> None:
        self.job = job
        self.files = JobFiles(world.objects, world.buckets.work, job.id)
        recipe = self.files.recipe()
        self.compiled: CompiledRecipe | None = recipe.compiled() if recipe else None
        self.layout: Layout = self.files.layout()
        self.asker = Asker(self.compiled)
        self.gzipped = file_type(job.drop.key).gzipped

    def rows_of(self, shard: Shard, batch: Batch) -> Iterator[int]:
        """The numbers of the rows that the batch asks, in order."""
        for record in self.files.records(shard, self.layout):
            try:
                request = self.asker.request(record)
            except RowRejected:
                continue  # a bad row of a recipe that skips them
            if request is not None and (request.endpoint, request.model) == (batch.endpoint, batch.model):
                yield record.number

    def custom_id(self, record: Record) -> str:
        """What stands as `custom_id` in responses.jsonl: the user's own, the row's label, or its number."""
        if self.compiled is None:
            return raw_custom_id(record) or str(record.number)
        return (self.compiled.label(record.values) if record.values else None) or str(record.number)


def _collect_batch(world: World, ledger: Ledger, files: _Files, batch: Batch) -> None:
    """Gives each row of an ended batch its outcome."""
    shard = ledger.shard(batch.job_id, batch.shard)
    if shard is None:
        raise AssertionError(f"{batch.key} has no shard")
    try:
        remote = world.openai.retrieve(batch.openai_id or "")
    except OpenAINotFound:
        remote = _gone(batch)
    output, errors = (world.scratch / f"{world.new_token()}.{name}" for name in ("output", "errors"))
    try:
        with AnswerLines(shard.first_row, shard.rows) as answers:
            for file_id, path in ((remote.output_file_id, output), (remote.error_file_id, errors)):
                if file_id:
                    world.openai.download(file_id, path)
                    answers.read(path)
            _check_complete(world, batch, remote, answers)
            _write_results(world, files, shard, batch, answers.line, _Unanswered(remote))
    finally:
        output.unlink(missing_ok=True)
        errors.unlink(missing_ok=True)
    if answers.repeated or answers.strange:
        world.observer.warn("odd lines", repeated=answers.repeated, strange=answers.strange, **batch.ids)

    def finish(current: Batch) -> bool:
        if current.state is not BatchState.ENDED:
            return False
        current.completed, current.failed = remote.completed, remote.failed
        current.move(BatchState.COLLECTED)
        return True

    if ledger.change(lambda: ledger.batch(batch.job_id, batch.sk), finish):
        world.observer.note("collected", openai_id=batch.openai_id, lines=answers.found, **batch.ids)


def _gone(batch: Batch) -> RemoteBatch:
    """A batch that ended and can no longer be retrieved: nothing can be read of it."""
    return RemoteBatch(
        id=batch.openai_id or "",
        status=batch.openai_status or OpenAIStatus.COMPLETED,
        created_at=batch.submitted_at or 0,
        input_file_id=batch.file_id or "",
    )


def _check_complete(world: World, batch: Batch, remote: RemoteBatch, answers: AnswerLines) -> None:
    """TryLater while OpenAI has counted more answers than it delivers: its files may come late."""
    counted = remote.completed + remote.failed
    if remote.status is OpenAIStatus.COMPLETED:
        counted = max(counted, remote.total) or batch.requests
    in_doubt = world.now() < (batch.ended_at or 0) + DOUBT_FACTOR * world.settle_seconds
    if answers.found + answers.repeated < counted and remote.status is not OpenAIStatus.FAILED and in_doubt:
        raise TryLater(min(LATE_SECONDS, world.settle_seconds), "answers are counted that have not been delivered")


class _Unanswered:
    """The outcome of rows that have no line: it follows from what became of their batch."""

    def __init__(self, remote: RemoteBatch | None, refusal: str | None = None) -> None:
        self._by_line: Mapping[int, tuple[str, str]] = {}
        self._message = ""
        match remote.status if remote else None:
            case None if refusal is None:
                self._outcome, self._code = Outcome.CANCELLED, "cancelled"
            case None:
                self._outcome, self._code = Outcome.ERROR, refusal or "refused"
            case OpenAIStatus.EXPIRED:
                self._outcome, self._code = Outcome.EXPIRED, "batch_expired"
            case OpenAIStatus.CANCELLED:
                self._outcome, self._code = Outcome.CANCELLED, "batch_cancelled"
            case OpenAIStatus.FAILED:
                errors = remote.errors if remote else ()
                self._by_line = {line: (code, message) for code, message, line in errors if line is not None}
                first = errors[0] if errors else ("batch_failed", "", None)
                self._outcome, self._code, self._message = Outcome.ERROR, first[0], first[1]
            case _:
                self._outcome, self._code = Outcome.MISSING, "missing"

    def answer(self, position: int) -> tuple[Answer, str]:
        """The answer and OpenAI's message for the row that was line `position` (from 1) of the batch's file."""
        code, message = self._by_line.get(position, (self._code, self._message))
        return Answer(self._outcome, code, None, None), message


def _write_results(
    world: World,
    files: _Files,
    shard: Shard,
    batch: Batch,
    line_of: Callable[[int], bytes | None],
    unanswered: _Unanswered,
) -> None:
    """Writes what became of each row of a batch: a line a row, in order, as `_Result` reads it; and the sums."""
    tally = Tally()
    key = files.files.results_key(batch)
    with world.objects.writing(world.buckets.work, key, BYTES) as out:
        for position, row in enumerate(files.rows_of(shard, batch), 1):
            line, message = line_of(row), ""
            if line is None:
                answer, message = unanswered.answer(position)
            else:
                answer = read_answer(line, files.compiled, batch.endpoint)
            tally.add(row, answer)
            if answer.usage is not None:
                tally.pay(price(batch.model, answer.usage))
            if answer.outcome is Outcome.OK:
                _categorise(tally, files.compiled, answer)
            result = _Result(row, answer.outcome, answer.code, answer.values, line, message)
            out.write(result.to_line())
    world.objects.put(world.buckets.work, key + ".tally", json.dumps(tally.to_json()).encode(), JSON)


def _categorise(tally: Tally, compiled: CompiledRecipe | None, answer: Answer) -> None:
    if compiled is None or answer.values is None:
        return
    for column, value in zip(compiled.columns, answer.values, strict=True):
        if column in compiled.categories and value in compiled.categories[column]:
            tally.categorise(column, value if isinstance(value, str) else json.dumps(value))


class _Result(NamedTuple):
    """What became of one row: a line of tab-separated JSON, which holds no raw tab within its members but the last."""

    row: int
    outcome: Outcome
    code: str | None
    values: Sequence[object] | None
    line: bytes | None  # OpenAI's
    message: str

    def to_line(self) -> bytes:
        head = orjson.dumps([self.row, self.outcome, self.code, self.message])
        return b"%b\t%b\t%b\n" % (head, orjson.dumps(self.values), self.line or b"")

    @classmethod
    def from_line(cls, data: bytes) -> "_Result":
        head, values, line = data.rstrip(b"\n").split(b"\t", 2)
        row, outcome, code, message = orjson.loads(head)
        exact = None if values == b"null" else [_exact(value) for value in _values.decode(values)]
        return cls(row, Outcome(outcome), code, exact, line or None, message)


_values = msgspec.json.Decoder(list[msgspec.Raw])


def _exact(value: msgspec.Raw) -> object:
    """Text, truth and null as Python's; numbers, lists and objects as the very JSON that was answered."""
    data = bytes(value)
    return orjson.loads(data) if data[:1] in b'"tfn' else orjson.Fragment(data)


def _settle_shard(world: World, ledger: Ledger, files: _Files, number: int) -> None:
    """Renders a shard if all its batches are home."""
    shard = ledger.shard(files.job.id, number)
    if shard is None or shard.state is ShardState.RENDERED:
        return
    batches = ledger.batches(files.job.id, number)
    if any(batch.state not in (BatchState.COLLECTED, BatchState.ABANDONED) for batch in batches):
        return
    for batch in batches:
        if batch.state is BatchState.ABANDONED:
            _write_results(world, files, shard, batch, _no_line, _Unanswered(None, batch.refusal))
    _render(world, files, shard, batches)

    def finish(current: Shard) -> bool:
        if current.state is ShardState.RENDERED:
            return False
        current.move(ShardState.RENDERED)
        return True

    ledger.change(lambda: ledger.shard(files.job.id, number), finish)


def _no_line(_row: int) -> None:
    """No row of a batch that was never submitted has a line."""


def _render(world: World, files: _Files, shard: Shard, batches: Sequence[Batch]) -> None:
    """Writes a shard's pieces of the results: rows with answers, OpenAI's lines, rows that failed, sums."""
    job_files, work = files.files, world.buckets.work
    tally = Tally()
    for batch in batches:
        tally.merge(Tally.from_json(json.loads(whole(world.objects, work, job_files.results_key(batch) + ".tally"))))
    streams = [_results(world, job_files.results_key(batch)) for batch in batches]
    results = heapq.merge(*streams, key=lambda result: result.row)
    samples: list[dict[str, object]] = []
    names = files.compiled.all_columns if files.compiled else ()
    with ExitStack() as stack:

        def piece(name: str, gzipped: bool) -> Writer:
            key = job_files.piece_key(shard.number, name)
            writer = stack.enter_context(world.objects.writing(work, key, BYTES))
            return stack.enter_context(_gzip(writer)) if gzipped else writer

        answers = piece("answers", files.gzipped) if files.compiled else None
        responses = piece("responses", False)
        failed = piece("failed", files.gzipped and files.compiled is not None) if tally.unanswered else None
        upcoming = next(results, None)
        for record in job_files.records(shard, files.layout):
            if upcoming is not None and upcoming.row == record.number:
                result, upcoming = upcoming, next(results, None)
            else:
                code = "bad_row" if record.problem or _is_bad(files, record) else "when"
                result = _Result(record.number, Outcome.SKIPPED, code, None, None, "")
                tally.count(record.number, Outcome.SKIPPED, code)
            responses.write(_response(files.custom_id(record), result))
            if answers is not None:
                values = list(result.values or [None] * (len(names) - 2))
                answers.write(answered(files.layout, record, names, [*values, str(result.outcome), result.code]))
            if failed is not None and result.outcome not in ANSWERED:
                failed.write(record.raw)
            _sample(samples, record, result)
    stats = {"tally": tally.to_json(), "samples": samples}
    world.objects.put(work, job_files.piece_key(shard.number, "stats.json"), orjson.dumps(stats), JSON)


def _is_bad(files: _Files, record: Record) -> bool:
    try:
        files.asker.request(record)
    except RowRejected:
        return True
    return False


def _results(world: World, key: str) -> Iterator[_Result]:
    return (_Result.from_line(line) for line in lines(world.objects, world.buckets.work, key))


@contextmanager
def _gzip(writer: Writer) -> Iterator[Writer]:
    """A gzip member of its own: members one after another are a gzip file again."""
    with gzip.GzipFile(fileobj=writer, mode="wb", compresslevel=6, mtime=0) as file:  # type: ignore[call-overload]
        yield file


def _response(custom_id: str, result: _Result) -> bytes:
    """The row's line of responses.jsonl: OpenAI's own, under the user's custom_id."""
    members: dict[str, object] = {"id": None, "custom_id": custom_id, "response": None, "error": None}
    message = result.message
    if result.line is not None:
        theirs = _members.decode(result.line)
        if bytes(theirs.get("response", b"null")) != b"null":
            return msgspec.json.encode({**theirs, "custom_id": custom_id}) + b"\n"
        members |= {"id": theirs.get("id")}
        message = _message(theirs.get("error")) or message
    members["error"] = {"code": result.outcome, "message": message or _SENTENCES.get(result.outcome, "")}
    return msgspec.json.encode(members) + b"\n"


_members = msgspec.json.Decoder(dict[str, msgspec.Raw])

_SENTENCES = {
    Outcome.SKIPPED: "The recipe skips this row; it was not sent.",
    Outcome.MISSING: "OpenAI completed the batch, but returned nothing for this row.",
    Outcome.EXPIRED: "The batch expired before this row was answered.",
    Outcome.CANCELLED: "The job was cancelled before this row was answered.",
    Outcome.ERROR: "OpenAI did not run this row.",
}


def _message(error: msgspec.Raw | None) -> str:
    try:
        message = msgspec.json.decode(error or b"null", type=dict[str, object] | None)
    except msgspec.DecodeError:
        return ""
    found = (message or {}).get("message")
    return found if isinstance(found, str) else ""


def _sample(samples: list[dict[str, object]], record: Record, result: _Result) -> None:
    """Keeps a few rows for the report, cut short; they stay in S3."""
    good = result.outcome is Outcome.OK
    if result.outcome is Outcome.SKIPPED or sum(1 for sample in samples if sample["good"] is good) >= SAMPLES:
        return
    samples.append(
        {
            "good": good,
            "row": record.number,
            "text": record.raw[:300].decode(errors="replace").strip(),
            "answer": " · ".join(_shown(value) for value in result.values or ())[:300],
            "outcome": result.outcome,
            "code": result.code,
        }
    )


def _shown(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode(errors="replace")
