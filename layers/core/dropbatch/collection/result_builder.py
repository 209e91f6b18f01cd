"""Builds the results of a batch's rows from their answers, many rows at a time, and adds up their sums.

The class is the hot path of collecting. Its methods work on whole chunks, because a call for each row costs more than
the work on it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, repeat
from operator import add
from typing import cast

import orjson

from dropbatch.answers.answer import Answer
from dropbatch.answers.batch_reader import AnswerReader
from dropbatch.answers.reader import read_answer
from dropbatch.batch_api.error_messages import redact
from dropbatch.collection.result_progress import ResultProgress
from dropbatch.collection.retry_policy import RetryDecision
from dropbatch.collection.verdict import Judge
from dropbatch.delivery.response_lines import answered_response, openai_message, unanswered_response
from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Shard
from dropbatch.domain.outcomes import Outcome
from dropbatch.money.cost_meter import CostMeter
from dropbatch.rows.job_rows import JobRows
from dropbatch.storage.batch_results import Result
from dropbatch.storage.fingerprints import compared_columns, row_fingerprints

MAX_MESSAGES = 20
"""How many of a batch's messages with the same reason are searched for one that may be published."""


class ResultBuilder:
    """A builder of results: it judges a batch's rows, many at a time, and adds up their sums."""

    def __init__(
        self, rows: JobRows, shard: Shard, batch: Batch, judge: Judge, bill: CostMeter, progress: ResultProgress
    ) -> None:
        self._judge = judge
        self._compiled = rows.compiled
        self._endpoint = batch.endpoint
        self._first = shard.first_row
        self.index = rows.index(shard)
        self._has_lists = any(self.index.lists)
        self.rows, self.tries = rows.batch_rows(shard, batch, self.index)
        self._custom_ids = _CustomIds(rows.custom_ids(shard, self.index), shard.first_row)
        self._reader = AnswerReader(rows.compiled, batch.endpoint)
        self._writer = rows.writer()
        self._compared = len(compared_columns(rows.compiled))
        self._blank = [None] * len(rows.compiled.columns) if rows.compiled else []
        self._ok = self._ending(Outcome.OK, None)
        self._samples = progress.samples
        self._names = {batch.model, *((rows.compiled.properties if rows.compiled else None) or ())}
        self._searched: Counter[tuple[Outcome, str | None]] = Counter()
        self._bill = bill
        self._tally = progress.tally
        self.written = progress.written
        self.progress = progress

    def pay_for(self, others: Iterable[bytes]) -> None:
        """Add the cost of lines that answer no row: they are paid for like the others."""
        read = [read_answer(line, None, self._endpoint) for line in others]
        self._bill.add_without_usage(read)
        self._bill.add_calls(answer for answer in read if answer.tools)
        usages = [answer.usage for answer in read if answer.usage is not None]
        if usages:
            self._bill.add(usages)

    def build(
        self, chunk: Sequence[int], tries: Sequence[int], lines: Sequence[bytes | None]
    ) -> tuple[Sequence[Result], Sequence[bytes]]:
        """Return the final results of the next rows, and their lines of responses.jsonl.

        `tries` are the rows' former tries, `lines` their answer lines, None for a row without one.
        """
        rows = chunk
        answers, messages = self._answers(chunk, lines)
        self._add_up_tokens(rows, answers)
        all_good = _all_good(answers)
        if not (self._judge.settles_good and all_good):
            final = [
                place
                for place, row in enumerate(chunk)
                if self._is_final(row, tries[place], answers[place], place, lines[place], messages[place])
            ]
            rows, answers = [rows[place] for place in final], [answers[place] for place in final]
            lines, messages = [lines[place] for place in final], [messages[place] for place in final]
            all_good = _all_good(answers)
        self.progress.position += len(chunk)
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

    def _answers(self, chunk: Sequence[int], lines: Sequence[bytes | None]) -> tuple[Sequence[Answer], Sequence[str]]:
        """Return the answer to each row, and OpenAI's message about rows without a line."""
        lists = [self.index.lists[row - self._first] for row in chunk] if self._has_lists else None
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
            self.written.counted_tokens += total.input_tokens
            self.written.answers += len(usages)
            if len(usages) < len(rows):
                rows = [row for row, answer in zip(rows, answers, strict=True) if answer.usage is not None]
            is_gapless = rows[-1] - rows[0] < len(rows)
            estimated = (
                tokens[rows[0] - first : rows[-1] - first + 1] if is_gapless else [tokens[row - first] for row in rows]
            )
            self.written.estimated_tokens += sum(estimated)

    def _is_final(self, row: int, tries: int, answer: Answer, place: int, line: bytes | None, message: str) -> bool:
        """Return whether a row's answer is final. Count the row if so; else list it for another try."""
        decision = self._judge.decide(answer, self.progress.position + place + 1, tries)
        if decision is not RetryDecision.FINAL:
            at = row - self._first
            self.written.add_retry(
                row, tries + (decision is RetryDecision.RETRY), self.index.tokens[at], self.index.inputs[at]
            )
            return False
        if answer.outcome is not Outcome.OK:
            self._tally.count(row, answer.outcome, answer.code, self._message(answer, line, message))
        return True

    def _message(self, answer: Answer, line: bytes | None, message: str) -> str | None:
        """Return OpenAI's message about a row that it did not answer, for the first few rows of a reason.

        None if it may not be published: it may quote the row.
        """
        reason = answer.outcome, answer.code
        if answer.outcome not in (Outcome.ERROR, Outcome.REFUSED) or self._searched[reason] >= MAX_MESSAGES:
            return None
        if not self._tally.lacks_message(*reason):
            return None
        self._searched[reason] += 1
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
        """Yield the fingerprint of each answer; None for one that is not good."""
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
        """Return the text of a row's status and error columns."""
        return self._writer.columns([[outcome, code]], len(self._blank))[0] if self._writer is not None else ""

    def _sample(self, result: Result, values: Sequence[object]) -> None:
        """Add a short form of a row's answer to its result, if it is among the first of its kind."""
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
    """The users' ids of rows, in order; none if the rows have only their numbers."""

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
