"""The rows of a shard, paired with the results that its batches have for them."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from dropbatch.answers.tally import Tally
from dropbatch.delivery.response_lines import shared_response, unanswered_response
from dropbatch.delivery.shared_answers import SharedAnswers
from dropbatch.domain.jobs import Shard
from dropbatch.domain.outcomes import COLUMN_EXISTS, WHEN, Outcome
from dropbatch.formats.reading import Record, read_rows
from dropbatch.rows.job_rows import JobRows
from dropbatch.storage.batch_results import Found, Result
from dropbatch.storage.shard_index import ShardIndex


class RowChunk(NamedTuple):
    """Rows that follow one another, with a result and a response line for each.

    `first_row` is the number of the first. `bad_places` are the places of rows that cannot be written as they are.
    """

    first_row: int
    raws: Sequence[bytes]
    found: Sequence[Found]
    bad_places: Sequence[int]


class RowResults:
    """The rows of a shard with their results. A row that was not sent gets a result here, and counts in `skipped`.

    It is a row that was skipped, or a duplicate. `shared` are the answers of duplicates, None if there are none.
    """

    def __init__(
        self,
        rows: JobRows,
        shard: Shard,
        index: ShardIndex,
        results: Iterator[Found],
        skipped: Tally,
        shared: SharedAnswers | None = None,
    ) -> None:
        self._shared = shared
        self._rows, self._shard, self._index, self._results = rows, shard, index, results
        self._writer = rows.writer()
        self.skipped = skipped

    def chunks(self, position: int, maximum: int) -> Iterator[RowChunk]:
        """Yield the rows from a position in the shard on, at most `maximum` at once."""
        number = self._shard.first_row + position
        ahead: Sequence[Found] = ()  # results of rows that come later
        blocks = self._rows.files.shard_blocks(self._shard.number, sum(self._index.sizes[:position]))
        for raws in self._index.chunks(blocks, maximum, position):
            found = [*ahead, *islice(self._results, len(raws) - len(ahead))]
            ahead = ()
            bad_places: Sequence[int] = ()
            if not found or found[-1][0].row != number + len(raws) - 1 or len(found) < len(raws):
                found, bad_places, ahead = self._with_skipped(number, raws, found)
            yield RowChunk(number, raws, found, bad_places)
            number += len(raws)

    def _with_skipped(
        self, first_row: int, raws: Sequence[bytes], known: Sequence[Found]
    ) -> tuple[list[Found], Sequence[int], Sequence[Found]]:
        """Return the results of all these rows, the places of bad ones, and the results that are for later rows."""
        by_row = {result.row: (result, response) for result, response in known}
        by_row.update(self._duplicates(first_row, raws))
        found: list[Found] = []
        bad_places: list[int] = []
        for place, raw in enumerate(raws):
            row = first_row + place
            if row in by_row:
                found.append(by_row.pop(row))
                continue
            record = next(iter(read_rows([raw], self._rows.layout, first_number=row, first_line=1)))
            code = self._index.skipped(row - self._shard.first_row) or WHEN
            found.append(self._skip(record, code))
            if record.problem is not None or code == COLUMN_EXISTS:
                bad_places.append(place)  # a row with a name of the answers would have it twice
        return found, bad_places, list(by_row.values())

    def _duplicates(self, first_row: int, raws: Sequence[bytes]) -> dict[int, Found]:
        """Return the results of the duplicates among these rows, by row."""
        if self._shared is None:
            return {}
        found = {}
        first = self._shard.first_row
        for place, (theirs, response, _) in self._shared.share(first_row - first, len(raws)).items():
            row = first + place
            if theirs.outcome is Outcome.OK:
                self.skipped.outcomes[Outcome.OK] += 1
            else:
                self.skipped.count(row, theirs.outcome, theirs.code)
            result = Result(row, theirs.outcome, theirs.code, theirs.columns, None, theirs.fingerprints)
            found[row] = result, shared_response(response, self._custom_id(row, raws[row - first_row]))
        return found

    def _custom_id(self, row: int, raw: bytes) -> str:
        if self._rows.numbers_are_ids:
            return str(row)
        return self._rows.custom_id(next(iter(read_rows([raw], self._rows.layout, first_number=row, first_line=1))))

    def _skip(self, record: Record, code: str) -> Found:
        """Count a row that was not sent; return its result and its response line."""
        self.skipped.count(record.number, Outcome.SKIPPED, code)
        rows, columns = self._rows, None
        if rows.compiled and self._writer:
            columns = self._writer.columns([[*[None] * len(rows.compiled.columns), Outcome.SKIPPED, code]])[0]
        response = unanswered_response(record.number, rows.custom_id(record), Outcome.SKIPPED, code=code)
        return Result(record.number, Outcome.SKIPPED, code, columns), response
