"""The likely encodings of a file, named in the problems of its bytes that are not UTF-8."""

from collections.abc import Callable, Iterator

from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problems
from dropbatch.formats.csv.merged_rows import Noticed
from dropbatch.formats.encodings import NOT_UTF_8, half_a_character, with_likely
from dropbatch.formats.guessing import guess_encoding
from dropbatch.formats.records import Chunk, Record, Records
from dropbatch.formats.transcoding import Storage


def name_encodings(
    chunks: Iterator[Chunk], upcoming: Callable[[], bytes], sample: bytes, storage: Storage, noticed: Noticed
) -> Iterator[Chunk]:
    """Yield the chunks, with the likely encodings named in the problems of bytes that are not UTF-8.

    They are guessed once, from `sample`, the file's start, and from what is around the first such byte.
    """
    for chunk in chunks:
        if isinstance(chunk, Records) and any(_is_not_utf_8(record) for record in chunk.records()):
            if noticed.likely is None and not storage.codec:
                around = b"".join([*chunk.raws, b"\n", upcoming(), b"\n", sample])
                noticed.likely = tuple(guess_encoding(around).names)
            records = [
                record._replace(
                    problem=half_a_character(record.problem)
                    if storage.codec
                    else with_likely(record.problem, noticed.likely or ())
                )
                if record.problem is not None and _is_not_utf_8(record)
                else record
                for record in chunk.records()
            ]
            yield Records(records)
        else:
            yield chunk


def with_encodings_named(rejected: DropRejectedError, sample: bytes) -> DropRejectedError:
    """Return a rejection with the likely encodings named in the problems of bytes that are not UTF-8."""
    problems = Problems()
    for problem in rejected.problems:
        if problem.code == NOT_UTF_8:
            problems.add(with_likely(problem, guess_encoding(sample).names))
        else:
            problems.add(problem)
    return DropRejectedError(problems)


def _is_not_utf_8(record: Record) -> bool:
    return record.problem is not None and record.problem.code == NOT_UTF_8
