"""The reader of a batch's answers, many lines at a time."""

from collections.abc import Sequence

from dropbatch import fast_paths
from dropbatch.answers.answer import Answer
from dropbatch.answers.fast_reader import FastReader
from dropbatch.answers.reader import read_answer, time_limit
from dropbatch.recipes.compiled_recipe import CompiledRecipe


class AnswerReader:
    """`read_answer` for the lines of one batch. It chooses between that and the fast path."""

    def __init__(self, compiled: CompiledRecipe | None, endpoint: str) -> None:
        self._compiled, self._endpoint = compiled, endpoint
        self._limit = time_limit()
        self._fast = FastReader(compiled, endpoint) if fast_paths.enabled() else None

    def read_all(self, lines: Sequence[bytes], lists: Sequence[int] | None = None) -> Sequence[Answer]:
        """Return the answers of lines, in their order. `lists` says of each whether its row asked for a list of inputs.

        `lists` is None if no row did.
        """
        if lists is not None and any(lists):
            with self._limit:
                return [self._strictly(line, is_list=bool(is_list)) for line, is_list in zip(lines, lists, strict=True)]
        plain = self._plain(lines)
        if plain is not None:
            return plain
        with self._limit:
            if len(lines) == 1:
                return [self._strictly(lines[0])]
            return [self._one(line) for line in lines]

    def _one(self, line: bytes) -> Answer:
        plain = self._plain([line])
        return self._strictly(line) if plain is None else plain[0]

    def _plain(self, lines: Sequence[bytes]) -> Sequence[Answer] | None:
        return self._fast.read(lines) if self._fast is not None else None

    def _strictly(self, line: bytes, *, is_list: bool = False) -> Answer:
        return read_answer(line, self._compiled, self._endpoint, self._limit, is_list=is_list)
