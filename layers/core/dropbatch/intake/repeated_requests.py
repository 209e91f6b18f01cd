"""The search for rows whose request an earlier row of the job has: such a row is not sent, and gets its answer."""

from collections.abc import Sequence

from dropbatch.batch_api.fast_requests import RequestChunk
from dropbatch.batch_api.request import Request
from dropbatch.domain.drops import Drop
from dropbatch.formats.file_types import Kind, file_type
from dropbatch.formats.records import Chunk, Record
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.storage.request_digests import RequestDigests

UNPACKED_FACTOR = 10
"""How much larger a compressed drop is taken to be. A wrong guess costs some memory, or some time."""

_SPARE = 1.05
"""How many more rows are expected than there would be if all were as long as the first ones."""


class RepeatedRequests:
    """The requests of a job so far. All of them go to the recipe's endpoint, so their bodies tell them apart.

    `digests` are those of an earlier invocation. None are made before the first row, because its size says how many
    rows to expect.
    """

    def __init__(
        self, compiled: CompiledRecipe, drop: Drop, limit: int | None = None, digests: RequestDigests | None = None
    ) -> None:
        self.digests = digests
        self._frame = compiled.frame
        self._limit = limit
        kind = file_type(drop.key)
        is_compressed = bool(kind.compression) or kind.kind is Kind.PARQUET
        self._bytes = drop.size * (UNPACKED_FACTOR if is_compressed else 1)

    def originals(self, chunk: Chunk, requests: RequestChunk) -> Sequence[int] | None:
        """Return for each row the number of an earlier one with the same request, or zero; None if all are zero."""
        return self._of(chunk.raws).add_all(requests.contents(self._frame), chunk.number)

    def original(self, record: Record, request: Request) -> int:
        """Return the number of an earlier row with the same request; 0 if there is none."""
        return self._of([record.raw]).add(self._frame.content(request.body), record.number)

    def _of(self, raws: Sequence[bytes]) -> RequestDigests:
        if self.digests is None:
            expected = int(_SPARE * self._bytes * len(raws) / max(1, sum(map(len, raws))))
            self.digests = RequestDigests(expected if self._limit is None else min(expected, self._limit))
        return self.digests
