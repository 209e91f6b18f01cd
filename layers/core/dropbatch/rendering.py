"""Renders a shard's pieces of the results: its rows with their answers, OpenAI's own lines, the rows that failed.

What is written follows from the rows, the recipe and the batches' results alone, so that whoever renders a shard, and
however often, writes the same bytes.
"""

import heapq
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple

import msgspec
import orjson

from dropbatch.asking import JobRows
from dropbatch.domain.errors import RowRejected
from dropbatch.domain.jobs import Batch, Shard
from dropbatch.domain.outcomes import ANSWERED, Outcome
from dropbatch.formats.compression import Compression, compressing
from dropbatch.formats.reading import Record
from dropbatch.formats.writing import answered
from dropbatch.jobfiles import lines, whole
from dropbatch.ports import BYTES, JSON, World, Writer
from dropbatch.tallies import Tally

SAMPLES = 5
"""How many rows of each kind a shard keeps for the report."""


class Result(NamedTuple):
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
    def from_line(cls, data: bytes) -> "Result":
        head, values, line = data.rstrip(b"\n").split(b"\t", 2)
        row, outcome, code, message = orjson.loads(head)
        exact = None if values == b"null" else [_exact(value) for value in _values.decode(values)]
        return cls(row, Outcome(outcome), code, exact, line or None, message)


_values = msgspec.json.Decoder(list[msgspec.Raw])


def _exact(value: msgspec.Raw) -> object:
    """Text, truth and null as Python's; numbers, lists and objects as the very JSON that was answered."""
    data = bytes(value)
    return orjson.loads(data) if data[:1] in b'"tfn' else orjson.Fragment(data)


def render(world: World, files: JobRows, shard: Shard, batches: Sequence[Batch]) -> None:
    """Writes a shard's pieces of the results: rows with answers, OpenAI's lines, rows that failed, sums."""
    job_files, work = files.files, world.buckets.work
    tally = Tally()
    for batch in batches:
        tally.merge(Tally.from_json(json.loads(whole(world.objects, work, job_files.results_key(batch) + ".tally"))))
    streams = [read_results(world, job_files.results_key(batch)) for batch in batches]
    results = heapq.merge(*streams, key=lambda result: result.row)
    samples: list[dict[str, object]] = []
    names = files.compiled.all_columns if files.compiled else ()
    with ExitStack() as stack:

        def piece(name: str, compression: Compression = Compression.NONE) -> Writer:
            key = job_files.piece_key(shard.number, name)
            writer = stack.enter_context(world.objects.writing(work, key, BYTES))
            return stack.enter_context(compressing(writer, compression))

        answers = piece("answers", files.compression) if files.compiled else None
        responses = piece("responses")
        # A raw drop's are plain, as its results are.
        failed = (
            piece("failed", files.compression if files.compiled else Compression.NONE) if tally.unanswered else None
        )
        upcoming = next(results, None)
        for record in job_files.records(shard, files.layout):
            if upcoming is not None and upcoming.row == record.number:
                result, upcoming = upcoming, next(results, None)
            else:
                code = "bad_row" if record.problem or _is_bad(files, record) else "when"
                result = Result(record.number, Outcome.SKIPPED, code, None, None, "")
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


def _is_bad(files: JobRows, record: Record) -> bool:
    try:
        files.asker.request(record)
    except RowRejected:
        return True
    return False


def read_results(world: World, key: str) -> Iterator[Result]:
    """A batch's results, in order."""
    return (Result.from_line(line) for line in lines(world.objects, world.buckets.work, key))


def _response(custom_id: str, result: Result) -> bytes:
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


def _sample(samples: list[dict[str, object]], record: Record, result: Result) -> None:
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
