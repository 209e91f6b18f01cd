"""Writes what became of a batch's rows: a line a row, in order, the sums, and the rows to be asked again.

It does so in as many invocations as it takes. Which results count is decided when the batch is moved on.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from itertools import islice, repeat
from operator import add
from typing import Any, cast

import orjson

from dropbatch.answers.answer import Answer
from dropbatch.answers.batch_reader import AnswerReader
from dropbatch.answers.output_files import AnswerLines
from dropbatch.answers.reader import read_answer
from dropbatch.answers.tally import Tally
from dropbatch.batch_api.error_messages import redact
from dropbatch.collection.retry_policy import RetryDecision
from dropbatch.collection.verdict import Judge
from dropbatch.delivery.render_shard import MAX_SAMPLES
from dropbatch.delivery.response_lines import answered_response, openai_message, unanswered_response
from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Shard
from dropbatch.domain.outcomes import Outcome
from dropbatch.money.pricing import CostMeter
from dropbatch.ports import BYTES, JSON, Piece, Writer
from dropbatch.rows.job_rows import JobRows
from dropbatch.storage.batch_results import (
    Result,
    responses_key,
    writing_results,
)
from dropbatch.storage.context import Context
from dropbatch.storage.fingerprints import compared_columns, row_fingerprints
from dropbatch.storage.job_files import BatchRow

CHUNK_ROWS = 128
"""How many rows are read at once: enough to save calls, and ten megabytes where they are embeddings."""

MAX_MESSAGES = 20
"""At how many of a batch's messages for the same reason is looked for one that may be told."""

_AGAIN = ".rows.0"
"""Where the rows are listed that the batch's first child asks."""

InTime = Callable[[], bool]


@dataclass(slots=True)
class Written:
    """What a batch's results came to: rows answered, tokens that were estimated and counted for what was run, what it
    cost, and the rows to be asked again."""

    ok: int = 0
    estimated_tokens: int = 0
    counted_tokens: int = 0
    again: int = 0
    tokens: int = 0
    inputs: int = 0
    tries: int = 0
    micro_usd: int = 0
    unpriced: int = 0
    out: Writer | None = field(default=None, repr=False)

    def ask_again(self, row: int, tries: int, tokens: int, inputs: int) -> None:
        assert self.out is not None  # noqa: S101  # opened before rows are judged; tells the type checker
        self.out.write(BatchRow(row, tries).to_line())
        self.again += 1
        self.tokens += tokens
        self.inputs += inputs
        self.tries = max(self.tries, tries)

    def to_json(self) -> dict[str, int]:
        return {name.name: getattr(self, name.name) for name in fields(self) if name.name != "out"}


@dataclass(slots=True)
class _Progress:
    """How far a batch's results have come, by as many invocations as that takes.

    Each of them writes objects of its own, under names that nobody else gives; `parts` are those that count.
    """

    over: bool  # as the first invocation judged, so do all
    results: str  # the token of the results if they are joined
    parts: list[str] = field(default_factory=list)
    position: int = 0  # how many of the batch's rows are judged
    is_judged: bool = False
    written: Written = field(default_factory=Written)
    tally: Tally = field(default_factory=Tally)
    samples: dict[bool, int] = field(default_factory=lambda: {True: MAX_SAMPLES, False: MAX_SAMPLES})
    joined: list[str] = field(default_factory=list)
    joining: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        members = {each.name: getattr(self, each.name) for each in fields(self)}
        samples = [self.samples[True], self.samples[False]]
        return members | {"written": self.written.to_json(), "tally": self.tally.to_json(), "samples": samples}

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> "_Progress":
        own = {
            "written": Written(**members["written"]),
            "tally": Tally.from_json(members["tally"]),
            "samples": dict(zip((True, False), members["samples"], strict=True)),
        }
        return cls(**{**members, **own})


def write_results(
    context: Context,
    rows: JobRows,
    shard: Shard,
    batch: Batch,
    answers: AnswerLines | None,
    judge: Judge,
    bill: CostMeter,
    in_time: InTime = lambda: True,
) -> Written | None:
    """Write what became of each row of a batch: a line a row, in order, and the sums; rows to be asked again apart.

    Returns None if time ran out: what is written so far is kept, and so are the answers. Call again for the rest, with
    a new `bill`; each call comes further. The first call's `judge.over` holds for all of them. In the end
    `batch.results` names the results, which are what one call would have written.

    `answers` is None if the batch never had any: then all is written at once.
    """
    former = rows.files.judged(batch) if answers is not None else {}
    progress = _Progress.from_json(former) if former else _Progress(judge.over, f"{batch.results}.joined")
    judge = replace(judge, over=progress.over)
    if not progress.is_judged:
        key = rows.files.results_key(batch) + (f".{context.new_token()}" if former else "")
        _judge_rows(context, key, _Collector(rows, shard, batch, judge, bill, progress), answers, in_time)
        progress.tally.pay(bill.total())
        progress.written.micro_usd = round(progress.tally.usd * 1e6)
        progress.written.unpriced = progress.tally.unpriced
        progress.parts.append(key)
        if former or not progress.is_judged:
            rows.files.keep_judged(batch, progress.to_json())
        if answers is not None and not progress.is_judged:
            answers.keep()
            return None
    if len(progress.parts) > 1:
        batch.results = progress.results
        if not _join(context, rows.files.results_key(batch), progress, in_time):
            rows.files.keep_judged(batch, progress.to_json())
            return None
    tally = json.dumps(progress.tally.to_json()).encode()
    context.objects.put(context.buckets.work, rows.files.results_key(batch) + ".tally", tally, JSON)
    return progress.written


def _judge_rows(
    context: Context, key: str, collector: "_Collector", answers: AnswerLines | None, in_time: InTime
) -> None:
    """Write the results of the rows that are left, as many as there is time for."""
    progress = collector.progress
    with ExitStack() as stack:
        out = stack.enter_context(writing_results(context, key))
        if not progress.over:
            again = context.objects.writing(context.buckets.work, key + _AGAIN, BYTES)
            progress.written.out = stack.enter_context(again)
        asked, tries = collector.asked, collector.tries
        while progress.position < len(asked):
            start = progress.position
            chunk = asked[start : start + CHUNK_ROWS]
            lines: Sequence[bytes | None] = [None] * len(chunk)
            if answers is not None:
                chunk = chunk[: answers.fitting(chunk)]
                lines = answers.lines(chunk)
            out.add(*collector.collected(chunk, tries[start : start + len(chunk)], lines))
            if answers is not None and progress.position < len(asked) and not in_time():
                return
        if answers is not None:
            collector.pay_for(answers.others())
        progress.is_judged = True


def _join(context: Context, key: str, progress: _Progress, in_time: InTime) -> bool:
    """Make one of the objects that the invocations wrote; False if time ran out."""
    work = context.buckets.work
    for ending in ("", responses_key(""), *(() if progress.over else (_AGAIN,))):
        if ending in progress.joined:
            continue
        parts = [part + ending for part in progress.parts]
        pieces = [Piece(work, part, 0, context.objects.head(work, part).size) for part in parts]
        progress.joining = context.objects.join(pieces, work, key + ending, BYTES, in_time, progress.joining)
        if progress.joining is not None:
            return False
        progress.joined.append(ending)
    return True


class _Collector:
    """Judges a batch's rows, many at a time, and adds up what they come to."""

    def __init__(
        self, rows: JobRows, shard: Shard, batch: Batch, judge: Judge, bill: CostMeter, progress: _Progress
    ) -> None:
        self._judge = judge
        self._compiled = rows.compiled
        self._endpoint = batch.endpoint
        self._first = shard.first_row
        self.index = rows.index(shard)
        self._has_lists = any(self.index.lists)
        self.asked, self.tries = rows.batch_rows(shard, batch, self.index)
        self._custom_ids = _CustomIds(rows.custom_ids(shard, self.index), shard.first_row)
        self._reader = AnswerReader(rows.compiled, batch.endpoint)
        self._writer = rows.writer()
        self._compared = len(compared_columns(rows.compiled))
        self._blank = [None] * len(rows.compiled.columns) if rows.compiled else []
        self._ok = self._ending(Outcome.OK, None)
        self._samples = progress.samples
        self._names = {batch.model, *((rows.compiled.properties if rows.compiled else None) or ())}
        self._looked_at: Counter[tuple[Outcome, str | None]] = Counter()
        self._bill = bill
        self._tally = progress.tally
        self.written = progress.written
        self.progress = progress

    def pay_for(self, others: Iterable[bytes]) -> None:
        """Add what lines cost that answer no row: they are paid for like those that do."""
        read = [read_answer(line, None, self._endpoint) for line in others]
        self._bill.add_without_usage(read)
        self._bill.add_calls(answer for answer in read if answer.tools)
        usages = [answer.usage for answer in read if answer.usage is not None]
        if usages:
            self._tally.spend(self._bill.add(usages))

    def collected(
        self, asked: Sequence[int], tries: Sequence[int], lines: Sequence[bytes | None]
    ) -> tuple[Sequence[Result], Sequence[bytes]]:
        """The results of the next rows of the batch, by their former tries and their lines, and the lines of
        responses.jsonl."""
        rows = asked
        answers, messages = self._answers(asked, lines)
        self._add_up_tokens(rows, answers)
        all_good = _all_good(answers)
        if not (self._judge.settles_good and all_good):
            final = [
                place
                for place, row in enumerate(asked)
                if self._is_final(row, tries[place], answers[place], place, lines[place], messages[place])
            ]
            rows, answers = [rows[place] for place in final], [answers[place] for place in final]
            lines, messages = [lines[place] for place in final], [messages[place] for place in final]
            all_good = _all_good(answers)
        self.progress.position += len(asked)
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

    def _answers(self, asked: Sequence[int], lines: Sequence[bytes | None]) -> tuple[Sequence[Answer], Sequence[str]]:
        """What each row's try came to, and what OpenAI said of rows that have no line."""
        lists = [self.index.lists[row - self._first] for row in asked] if self._has_lists else None
        if None not in lines:
            return self._reader.read_all(cast("Sequence[bytes]", lines), lists), [""] * len(lines)
        if lists is not None:
            lists = [is_list for is_list, line in zip(lists, lines, strict=True) if line is not None]
        read = iter(self._reader.read_all([line for line in lines if line is not None], lists))
        unanswered = self._judge.unanswered.answer
        found = [
            unanswered(position) if line is None else (next(read), "")
            for position, line in enumerate(lines, self.progress.position + 1)
        ]
        return [answer for answer, _ in found], [message for _, message in found]

    def _add_up_tokens(self, rows: Sequence[int], answers: Sequence[Answer]) -> None:
        usages = [answer.usage for answer in answers if answer.usage is not None]
        if len(usages) < len(answers):
            self._bill.add_without_usage(answers)
        with_calls = [answer for answer in answers if answer.tools is not None]
        if with_calls:
            self._bill.add_calls(with_calls)
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

    def _is_final(self, row: int, tries: int, answer: Answer, place: int, line: bytes | None, message: str) -> bool:
        """Counts a row that has no good answer; False where it is to be asked again."""
        what = self._judge.fate(answer, self.progress.position + place + 1, tries)
        if what is not RetryDecision.FINAL:
            at = row - self._first
            self.written.ask_again(
                row, tries + (what is RetryDecision.AGAIN), self.index.tokens[at], self.index.inputs[at]
            )
            return False
        if answer.outcome is not Outcome.OK:
            self._tally.count(row, answer.outcome, answer.code, self._told(answer, line, message))
        return True

    def _told(self, answer: Answer, line: bytes | None, message: str) -> str | None:
        """What OpenAI says of a row that it did not answer, for the first few of a reason; None if it may not leave S3.

        It may quote the row.
        """
        reason = answer.outcome, answer.code
        if answer.outcome not in (Outcome.ERROR, Outcome.REFUSED) or self._looked_at[reason] >= MAX_MESSAGES:
            return None
        if not self._tally.lacks_message(*reason):
            return None
        self._looked_at[reason] += 1
        return redact(message if line is None else openai_message(line), self._names)

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
        outcomes = [answer.outcome for answer in answers]
        prints = self._fingerprints(answers, all_good=all_good)
        results = list(map(Result, rows, outcomes, codes, columns, repeat(None), prints))
        if self._samples[True] or not all_good:
            for result, answer in zip(results, answers, strict=True):
                self._sample(result, answer.values or ())
        return results

    def _fingerprints(self, answers: Sequence[Answer], *, all_good: bool) -> Iterable[bytes | None]:
        """Those of each answer, None of one that is not good."""
        good = answers if all_good else [answer for answer in answers if answer.outcome is Outcome.OK]
        if not self._compared or not good:
            return repeat(None)
        columns = list(zip(*[answer.values or () for answer in good], strict=True))
        found = row_fingerprints(columns[: self._compared])
        if all_good:
            return found
        prints = iter(found)
        return [next(prints) if answer.outcome is Outcome.OK else None for answer in answers]

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
            else unanswered_response(row, identity, answer.outcome, message, answer.code)
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
