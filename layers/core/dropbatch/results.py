"""What became of a batch's rows, kept from when it is collected to when its shard is rendered.

Two objects, a line a row, in order: what the row's answer comes to, with its columns as they will be written; and its
line of responses.jsonl. Where one batch asks all rows of a shard, the latter is the shard's piece of it already.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, dropwhile, repeat

import msgspec
import orjson

from dropbatch.answers import NO_SENSE, mended
from dropbatch.domain.outcomes import (
    ANSWERS_GONE,
    BLANK_ROW,
    IN_DOUBT,
    NEVER_ENDED,
    NOT_COLLECTED,
    PAST_DEADLINE,
    WHEN,
    Outcome,
)
from dropbatch.jobfiles import lines, whole_lines
from dropbatch.ports import BYTES, World, Writer


class Result(msgspec.Struct, array_like=True, gc=False):
    """What became of one row. `columns` are what is added to it; None in a raw drop.

    `shown` is its answer in short, for the report, where the row is among the first of its batch. `fingerprints` are
    those of a good answer's values, if it is to be compared with others.
    """

    row: int
    outcome: Outcome
    code: str | None
    columns: str | None
    shown: str | None = None
    fingerprints: bytes | None = None


_encode_lines = msgspec.json.Encoder().encode_lines
_decode_lines = msgspec.json.Decoder(Result).decode_lines


class ResultsWriter:
    """Takes a batch's results, many at once: a call for every row costs more than its bytes."""

    def __init__(self, results: Writer, responses: Writer) -> None:
        self._results, self._responses = results, responses

    def add(self, results: Sequence[Result], responses: Sequence[bytes]) -> None:
        """Adds the next rows, with their response lines."""
        if results:
            self._results.write(_encode_lines(results))
            self._responses.write(b"\n".join([*responses, b""]))


@contextmanager
def writing_results(world: World, key: str) -> Iterator[ResultsWriter]:
    """Writes a batch's results under a key, and their response lines beside."""
    bucket = world.buckets.work
    with (
        world.objects.writing(bucket, key, BYTES) as results,
        world.objects.writing(bucket, responses_key(key), BYTES) as responses,
    ):
        yield ResultsWriter(results, responses)


def responses_key(key: str) -> str:
    """Where the response lines of the results under `key` lie."""
    return key + ".responses"


def read_results(world: World, key: str) -> Iterator[Result]:
    """A batch's results, in order."""
    return chain.from_iterable(map(_decode_lines, whole_lines(world.objects, world.buckets.work, key)))


def read_responses(world: World, key: str) -> Iterator[bytes]:
    """Their response lines, without line feeds."""
    return (line[:-1] for line in lines(world.objects, world.buckets.work, responses_key(key)))


Found = tuple[Result, bytes]
"""A row's result, and its line of responses.jsonl."""

Place = tuple[int, int]
"""Where reading can be taken up again: an offset into the results, and one into their response lines."""


class ResultsReader:
    """Reads a batch's results in order, and tells from where another reader can go on."""

    def __init__(self, world: World, key: str, place: Place = (0, 0), *, with_responses: bool = True) -> None:
        self._objects, self._bucket, self._key = world.objects, world.buckets.work, key
        self._with_responses = with_responses
        self._at, self._responses_at = place
        self._marks: list[tuple[int, Place]] = [(0, place)]  # the first row of what was read at once, and its place

    def read(self, first_row: int = 0) -> Iterator[Found]:
        """Yield the results from this row on, each with its response line, or b"" if those are not asked for."""
        results = chain.from_iterable(self._results())
        found = zip(results, self._responses() if self._with_responses else repeat(b""), strict=self._with_responses)
        return dropwhile(lambda found: found[0].row < first_row, found) if first_row else found

    def place(self, row: int) -> Place:
        """Return a place from which on this row can be read, if it has not been passed over before."""
        return next(place for first, place in reversed(self._marks) if first <= row)

    def _results(self) -> Iterator[Sequence[Result]]:
        for block in whole_lines(self._objects, self._bucket, self._key, self._at):
            results = _decode_lines(block)
            self._marks.append((results[0].row, (self._at, self._responses_at)))
            self._at += len(block)
            yield results

    def _responses(self) -> Iterator[bytes]:
        for line in lines(self._objects, self._bucket, responses_key(self._key), self._responses_at):
            self._responses_at += len(line)
            yield line[:-1]


# The lines of responses.jsonl, without their line feeds

_CANONICAL = re.compile(rb'\{ ?"id": ?"[^"\\]*", ?"custom_id": ?"(\d+)", ?"response": ?\{')
"""How OpenAI begins a line that holds a response."""

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])

_SENTENCES = {
    Outcome.SKIPPED: "The row cannot be asked, and the recipe skips such rows; it was not sent.",
    Outcome.MISSING: "OpenAI completed the batch, but returned nothing for this row.",
    Outcome.EXPIRED: "The batch expired before this row was answered.",
    Outcome.CANCELLED: "The job was cancelled before this row was answered.",
    Outcome.ERROR: "OpenAI did not run this row.",
}

_BY_CODE = {
    WHEN: "The recipe skips this row; it was not sent.",
    BLANK_ROW: "No column of this row has a value; it was not sent.",
    PAST_DEADLINE: "The recipe's deadline passed before this row was sent.",
    IN_DOUBT: "Nobody could tell whether this row was sent.",
    ANSWERS_GONE: "OpenAI no longer has the answer to this row.",
    NOT_COLLECTED: "The answer to this row could not be read.",
    NEVER_ENDED: "The batch did not end; this row may still be answered.",
}
"""The same where more is known than the outcome."""


def answered_response(row: int, custom_id: str | None, line: bytes, outcome: Outcome) -> bytes:
    """OpenAI's own line for a row, under the user's custom_id; None where that is the row's number.

    A line that begins as OpenAI's do keeps its bytes: parsing it and writing it again takes ten times as long. Neither
    has to be done where the id is to stay.
    """
    if custom_id is None and outcome is Outcome.OK:
        return line
    found = _CANONICAL.match(line)
    if found is not None and found[1] == b"%d" % row:
        if custom_id is None:
            return line
        return b"%b%b%b" % (line[: found.start(1) - 1], orjson.dumps(custom_id), line[found.end(1) + 1 :])
    named = custom_id if custom_id is not None else str(row)
    theirs = _members_of(line)
    if bytes(theirs.get("response", b"null")) != b"null":
        return msgspec.json.encode({**theirs, "custom_id": named})
    return _without_response(theirs.get("id"), named, outcome, _message(theirs.get("error")))


def _members_of(line: bytes) -> dict[str, msgspec.Raw]:
    """The members of a line, read as its answer was: strictly, then mended; none of one that is no JSON."""
    for read in (bytes, mended):
        try:
            return _members.decode(read(line))
        except NO_SENSE:
            continue
    return {}


def unanswered_response(
    row: int, custom_id: str | None, outcome: Outcome, message: str = "", code: str | None = None
) -> bytes:
    """The line of a row that has none of OpenAI's; `message` is what OpenAI said of its batch."""
    named = custom_id if custom_id is not None else str(row)
    return _without_response(None, named, outcome, message or _BY_CODE.get(code or "", ""))


def _without_response(identity: object, custom_id: str, outcome: Outcome, message: str) -> bytes:
    error = {"code": outcome, "message": message or _SENTENCES.get(outcome, "")}
    return msgspec.json.encode({"id": identity, "custom_id": custom_id, "response": None, "error": error})


def openai_message(line: bytes) -> str:
    """What OpenAI says of a row that it did not answer; empty if it says nothing. It may quote the row."""
    members = _members_of(line)
    try:
        response = msgspec.json.decode(members.get("response", b"null"))
        body = response["body"] if isinstance(response, dict) else None
        error = (json.loads(body) if isinstance(body, str) else body or {}).get("error")
    except (*NO_SENSE, KeyError, AttributeError):
        return ""
    if isinstance(error, dict):
        message = error.get("message")
        return message if isinstance(message, str) else ""
    return error if isinstance(error, str) else _message(members.get("error"))


def _message(error: msgspec.Raw | None) -> str:
    try:
        message = msgspec.json.decode(error or b"null", type=dict[str, object] | None)
    except msgspec.DecodeError:
        return ""
    found = (message or {}).get("message")
    return found if isinstance(found, str) else ""
