"""Writes the results of a batch's rows in order, a line a row, their sums, and the list of rows that get another try.

That may take several invocations. The write that moves the batch on decides whose results count.
"""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from dropbatch.answers.output_files import AnswerLines
from dropbatch.collection.handover import InTime
from dropbatch.collection.result_builder import ResultBuilder
from dropbatch.collection.result_progress import ResultProgress, ResultTotals
from dropbatch.collection.verdict import Judge
from dropbatch.domain.batches import USAGE_KINDS, Batch
from dropbatch.domain.jobs import Shard
from dropbatch.money.cost_meter import CostMeter
from dropbatch.ports import BYTES, JSON, Piece, RemoteUsage
from dropbatch.rows.job_rows import JobRows
from dropbatch.storage.batch_results import responses_key, writing_results
from dropbatch.storage.context import Context

CHUNK_ROWS = 128
"""How many rows are read at once: enough to save calls, and ten megabytes if they are embeddings."""

_AGAIN = ".rows.0"
"""The suffix of the object that lists the rows of the batch's child."""


def meter_of(context: Context, rows: JobRows, batch: Batch) -> CostMeter:
    """Return a meter for a batch's answers, by the recipe's own prices if it has some."""
    given = rows.compiled.recipe.prices if rows.compiled else None
    return CostMeter(batch.model, batch.endpoint, base_url=context.openai_base_url, given=given)


def write_results(
    context: Context,
    rows: JobRows,
    shard: Shard,
    batch: Batch,
    answers: AnswerLines | None,
    judge: Judge,
    bill: CostMeter,
    in_time: InTime = lambda: True,
    reported: RemoteUsage | None = None,
) -> ResultTotals | None:
    """Write the final result of each row of a batch, the sums, and the list of the rows that get another try.

    Return None if time ran out: the results so far are kept, and so are the answers. Call again for the rest, with a
    new `bill`; each call comes further. The first call's `judge.over` holds for all of them. In the end
    `batch.results` names the results, which are the same as one call would have written.

    `answers` is None if the batch never had any: then one call writes everything. `reported` are the tokens that OpenAI
    reports for the batch; None if it reports none.
    """
    former = rows.files.judged(batch) if answers is not None else {}
    progress = ResultProgress.from_json(former) if former else ResultProgress(judge.over, f"{batch.results}.joined")
    judge = replace(judge, over=progress.over)
    if not progress.is_judged:
        key = rows.files.results_key(batch) + (f".{context.new_token()}" if former else "")
        _judge_rows(context, key, ResultBuilder(rows, shard, batch, judge, bill, progress), answers, in_time)
        progress.tally.pay(bill.total())
        progress.written.usd = progress.tally.usd
        # If it is not known what the same would have cost without batching, nothing counts as saved.
        progress.written.standard_usd = progress.tally.usd + (progress.tally.saved or 0)
        progress.written.unpriced, progress.written.unread = progress.tally.unpriced, progress.tally.unread
        progress.written.outcomes = {str(outcome): rows for outcome, rows in progress.tally.outcomes.items() if rows}
        progress.written.usage = [progress.tally.tokens[kind] for kind in USAGE_KINDS]
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
    progress.written.usage_differs = progress.tally.compare_usage(reported)
    tally = json.dumps(progress.tally.to_json()).encode()
    context.objects.put(context.buckets.work, rows.files.results_key(batch) + ".tally", tally, JSON)
    return progress.written


def _judge_rows(
    context: Context, key: str, builder: ResultBuilder, answers: AnswerLines | None, in_time: InTime
) -> None:
    """Write the results of the next rows, as many as there is time for."""
    progress = builder.progress
    with ExitStack() as stack:
        out = stack.enter_context(writing_results(context, key))
        if not progress.over:
            again = context.objects.writing(context.buckets.work, key + _AGAIN, BYTES)
            progress.written.out = stack.enter_context(again)
        all_rows, tries = builder.rows, builder.tries
        while progress.position < len(all_rows):
            start = progress.position
            chunk = all_rows[start : start + CHUNK_ROWS]
            lines: Sequence[bytes | None] = [None] * len(chunk)
            if answers is not None:
                chunk = chunk[: answers.fitting(chunk)]
                lines = answers.lines(chunk)
            out.add(*builder.build(chunk, tries[start : start + len(chunk)], lines))
            if answers is not None and progress.position < len(all_rows) and not in_time():
                return
        if answers is not None:
            builder.pay_for(answers.others())
        progress.is_judged = True


def _join(context: Context, key: str, progress: ResultProgress, in_time: InTime) -> bool:
    """Join the objects that the invocations wrote; False if time ran out."""
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
