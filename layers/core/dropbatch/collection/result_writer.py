"""Writes what became of a batch's rows: a line a row, in order, the sums, and the rows to be asked again."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from operator import add
from typing import cast

import orjson

from dropbatch.answers import Answer
from dropbatch.asking import JobRows
from dropbatch.collection.verdict import Judge
from dropbatch.domain.jobs import (
    Batch,
    Shard,
)
from dropbatch.domain.outcomes import Outcome
from dropbatch.healing import Fate
from dropbatch.jobfiles import AskedRow
from dropbatch.plain_answers import AnswerReader
from dropbatch.ports import BYTES, JSON, World, Writer
from dropbatch.pricing import Bill
from dropbatch.rendering import SAMPLES
from dropbatch.results import Result, answered_response, unanswered_response, writing_results
from dropbatch.tallies import Tally

CHUNK_ROWS = 128
"""So many rows are read at once: enough to save calls, and ten megabytes where they are embeddings."""


@dataclass(slots=True)
class Written:
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


def write_results(
    world: World,
    rows: JobRows,
    shard: Shard,
    batch: Batch,
    lines_of: Callable[[Sequence[int]], Sequence[bytes | None]],
    judge: Judge,
    bill: Bill,
) -> Written:
    """Writes what became of each row of a batch: a line a row, in order, and the sums; rows to be asked again apart."""
    key = rows.files.results_key(batch)
    with ExitStack() as stack:
        out = stack.enter_context(writing_results(world, key))
        again = (
            None
            if judge.over
            else stack.enter_context(world.objects.writing(world.buckets.work, key + ".rows.0", BYTES))
        )
        collector = _Collector(rows, shard, batch, judge, bill, Written(out=again))
        asked, tries = rows.asked_rows(shard, batch, collector.index)
        for start in range(0, len(asked), CHUNK_ROWS):
            chunk = asked[start : start + CHUNK_ROWS]
            out.add(*collector.collected(chunk, tries[start : start + CHUNK_ROWS], lines_of(chunk)))
    tally = json.dumps(collector.tally().to_json()).encode()
    world.objects.put(world.buckets.work, key + ".tally", tally, JSON)
    return collector.written


class _Collector:
    """Judges a batch's rows, many at a time, and adds up what they come to."""

    def __init__(self, rows: JobRows, shard: Shard, batch: Batch, judge: Judge, bill: Bill, written: Written) -> None:
        self._judge = judge
        self._compiled = rows.compiled
        self._first = shard.first_row
        self.index = rows.index(shard)
        self._custom_ids = _CustomIds(rows.custom_ids(shard, self.index), shard.first_row)
        self._reader = AnswerReader(rows.compiled, batch.endpoint)
        self._writer = rows.writer()
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


def no_lines(rows: Iterable[int]) -> Sequence[None]:
    """No row of a batch that was never submitted has a line."""
    return [None for _ in rows]
