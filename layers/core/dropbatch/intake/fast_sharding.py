"""Fast path: a chunk of rows is added to shards at once.

Adding rows to shards takes 8.8 times as long without it.
"""

from collections.abc import Sequence
from itertools import compress, repeat
from operator import not_

from dropbatch.batch_api.estimates import BYTES_PER_TOKEN, RequestEstimate
from dropbatch.batch_api.fast_requests import RequestChunk
from dropbatch.formats.records import Chunk
from dropbatch.intake.sharding import Sharder
from dropbatch.storage.shard_index import DUPLICATE


class ChunkSharder(Sharder):
    """A sharder that takes whole chunks, too."""

    def add_chunk(self, chunk: Chunk, requests: RequestChunk, originals: Sequence[int] | None = None) -> None:
        """Add a chunk whose rows have these requests, as `add` does row by row.

        `originals` has for each row the number of an earlier one with the same request, or zero; None if all are zero.
        """
        line_sizes, each, count = requests.line_sizes(), requests.estimate, requests.count
        tokens = [(size - each.unread_bytes) // BYTES_PER_TOKEN for size in requests.sizes]
        if originals is not None:
            line_sizes = [0 if original else size for original, size in zip(originals, line_sizes, strict=True)]
        start = 0
        while start < count:
            place, group = self._group(requests.endpoint, requests.model)
            end, rows = count, count - start
            while rows:  # as many as fit, found by halves
                end = start + rows
                sent = rows if originals is None else originals[start:end].count(0)
                if (
                    self.plans
                    and self.plans[-1].has_room(rows, sum(map(len, chunk.raws[start:end])), self._limits)
                    and group.fits(
                        sent,
                        sum(line_sizes[start:end]),
                        sent * each.embedding_inputs,
                        sent * each.output_bytes,
                        self._limits,
                    )
                ):
                    break
                rows //= 2
            if not rows:
                self._start(chunk.number + start, chunk.lines[start])
                place, group = self._group(requests.endpoint, requests.model)
                end = start + 1
            doubles = None if originals is None else originals[start:end]
            places: Sequence[int] = range(start, end)
            if doubles is not None:
                places = list(compress(places, map(not_, doubles)))
            if places:
                sent, size = len(places), sum(line_sizes[start:end])
                sent_tokens = [tokens[each_place] for each_place in places]
                self._new_group(place, group, chunk.lines[start]).add(
                    sent, size, sent * each.embedding_inputs, sent * each.output_bytes, sum(sent_tokens)
                )
                requests.add_expected(group.expected, places, sent_tokens)
            self._index_rows(chunk.raws[start:end], place, tokens[start:end], each, doubles)
            self._write(chunk.raws[start:end])
            start = end

    def _index_rows(
        self,
        raws: Sequence[bytes],
        group: int,
        tokens: Sequence[int],
        each: RequestEstimate,
        originals: Sequence[int] | None,
    ) -> None:
        index, rows = self._index, len(raws)
        index.sizes.extend(map(len, raws))
        if originals is None:
            index.groups.extend(repeat(group, rows))
            index.tokens.extend(tokens)
            index.inputs.extend(repeat(each.embedding_inputs, rows))
            index.lists.extend(bytes([each.is_list]) * rows)
            return
        # As `ShardIndex.add_duplicate` does.
        index.groups.extend([DUPLICATE if original else group for original in originals])
        index.tokens.extend([original or count for original, count in zip(originals, tokens, strict=True)])
        index.inputs.extend([0 if original else each.embedding_inputs for original in originals])
        index.lists.extend([not original and each.is_list for original in originals])
        self.plans[-1].duplicates += rows - originals.count(0)
