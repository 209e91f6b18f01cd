"""The answers that duplicates share with their originals, and what the duplicates add up to."""

import json
from collections.abc import Sequence

from dropbatch.answers.answer import Answer
from dropbatch.answers.batch_reader import AnswerReader
from dropbatch.answers.tally import Tally
from dropbatch.domain.outcomes import Outcome
from dropbatch.intake.carry_over import KEPT
from dropbatch.money.cost_meter import CostMeter
from dropbatch.rows.job_rows import JobRows
from dropbatch.rows.original_results import Original, OriginalResults
from dropbatch.storage.context import Context
from dropbatch.storage.objects import read_object
from dropbatch.storage.shard_index import ShardIndex


class SharedAnswers:
    """The results of the originals of a shard's duplicates. The duplicates count in `tally`."""

    def __init__(self, context: Context, rows: JobRows, index: ShardIndex, tally: Tally) -> None:
        if rows.compiled is None:
            raise AssertionError("ready requests have no duplicates")
        self._context, self._rows, self._index, self._tally = context, rows, index, tally
        self._compiled = rows.compiled
        self._originals = OriginalResults(context, rows.files, rows.job.id, index)
        self._reader = AnswerReader(rows.compiled, rows.compiled.endpoint)
        self._meters: dict[str, CostMeter] = {}

    @property
    def may_have_failed(self) -> bool:
        """False if all rows of the originals' shards have good answers."""
        return any(self._has_failed(self._rows.files.results_key(batch)) for batch in self._originals.batches())

    def _has_failed(self, key: str) -> bool:
        tally = read_object(self._context.objects, self._context.buckets.work, key + ".tally")
        return bool(Tally.from_json(json.loads(tally)).unanswered)

    def can_load(self, position: int, count: int) -> bool:
        """Return whether there is time to read what `count` rows of the shard share, from a position on."""
        return self._originals.can_load(position, count)

    def share(self, position: int, count: int) -> dict[int, Original]:
        """Return the originals of the duplicates among `count` rows of the shard, by place; count the duplicates."""
        originals = enumerate(map(self._index.original, range(position, position + count)), position)
        wanted = {place: row for place, row in originals if row is not None}
        if not wanted:
            return {}
        loaded = self._originals.load(position, count)
        shared = {place: loaded[row] for place, row in wanted.items()}
        self._count(list(shared.values()))
        return shared

    def _count(self, shared: Sequence[Original]) -> None:
        duplicates = self._tally.duplicates
        duplicates.rows += len(shared)
        by_row = {each.result.row: each for each in shared}
        # They are read again, for what they say and what they cost.
        read = self._reader.read_all([each.response for each in by_row.values()])
        answers = dict(zip(by_row, read, strict=True))
        paid: dict[str, list[Answer]] = {}
        values = []
        for result, _, batch in shared:
            answer = answers[result.row]
            if result.outcome is answer.outcome is Outcome.OK:
                values.append(answer.values or ())
            if batch.attempt == KEPT:
                duplicates.kept[str(batch.model_group)] += 1
            else:
                paid.setdefault(batch.model, []).append(answer)
        self._tally.categorise(self._compiled, values)
        for model, each in paid.items():
            if model not in self._meters:
                given, url = self._compiled.recipe.prices, self._context.openai_base_url
                self._meters[model] = CostMeter(model, self._compiled.endpoint, base_url=url, given=given)
            meter = self._meters[model]
            usages = [answer.usage for answer in each if answer.usage is not None]
            if usages:
                duplicates.spare(meter.add(usages))
            meter.add_without_usage(each)

    def finish(self) -> None:
        """Count what the duplicates saved."""
        for meter in self._meters.values():
            cost = meter.total()
            self._tally.duplicates.usd += cost.usd
            self._tally.duplicates.unpriced += cost.unpriced
