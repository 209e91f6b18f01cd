"""A recipe that can be used: it turns rows into requests, and knows the columns of the answers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dropbatch.batch_api.fast_requests import RequestChunk
from dropbatch.batch_api.request import NO_FRAME, BodyFrame, Request
from dropbatch.batch_api.token_estimates import TokenEstimate
from dropbatch.domain.errors import DropRejectedError, RowRejectedError
from dropbatch.domain.problems import Problem, Problems
from dropbatch.json_encoding import to_json
from dropbatch.recipes.answer_schema import AnswerValidator
from dropbatch.recipes.column_checks import column_exists, column_problems, expect_problems
from dropbatch.recipes.expressions import Expression
from dropbatch.recipes.file_values import FILE, FileValues
from dropbatch.recipes.key_values import TriedRow
from dropbatch.recipes.keys import Recipe
from dropbatch.recipes.prompt_cache import Caching
from dropbatch.recipes.quoted_names import quoted
from dropbatch.recipes.request_body import Body
from dropbatch.recipes.slots import Slot
from dropbatch.recipes.time_limit import TimeLimit, TimeLimitError

CHUNK_SECONDS = 10
"""The time limit of the templates of 128 KiB of rows: an invocation checks its own time between them."""


@dataclass(frozen=True, slots=True)
class CompiledRecipe:
    """A recipe that can be used.

    `columns` are the names of the answer's columns, with their prefix, in order; `all_columns` adds `_status` and
    `_error`. `categories` has the allowed values of the columns that have only a few. `properties` are the schema's, in
    the order of the first columns; `expressions` compute the last ones from the response's body. `expected` names the
    drop's columns with known answers, by the column of the answers: no request contains them. `tried` are the rows that
    are answered at once; each one's `expect` is by the column of the answers.
    """

    recipe: Recipe
    endpoint: str
    columns: tuple[str, ...]
    all_columns: tuple[str, ...]
    categories: Mapping[str, tuple[Any, ...]]
    properties: tuple[str, ...] | None
    validator: AnswerValidator | None
    expressions: tuple[Expression, ...]
    expected: Mapping[str, str]
    tried: tuple[TriedRow, ...]
    _added: frozenset[str]
    _body: Body
    _when: Slot | None
    _slots: tuple[Slot, ...]
    _limit: TimeLimit | None
    _placeholders: Mapping[str, Problem]
    _file: FileValues | None
    _without_column: tuple[Problem, ...]  # its problems for rows that have no column `file`
    _caching: Caching
    _with_column: "CompiledRecipe | None" = None  # the same for rows that have one

    @property
    def model(self) -> str | None:
        """The model of all rows; None if each row names it, or none does."""
        constant = self._body.model.template.constant if self._body.model else None
        return constant.strip() if constant else None

    @property
    def expected_tokens(self) -> TokenEstimate | None:
        """The estimate of the tokens of each request; None if it depends on the row."""
        return self._body.expected

    @property
    def cached_prefix_tokens(self) -> int:
        """The estimated tokens of the constant beginning that each row but the first can read from OpenAI's cache.

        The first row writes them. It is 0 if the beginning is too short or the model takes no breakpoints.
        """
        return self._caching.prefix_tokens

    @property
    def writes_rows_to_cache(self) -> bool:
        """True if OpenAI may write the rows' own parts to its cache, and bill that, if a prompt has 1,024 tokens.

        It does so for the models that bill writes if the recipe has `cache: off` or members of its own. If the model
        is a template, each row may name such a model.
        """
        return self._caching.writes_rows

    @property
    def dedupes(self) -> bool:
        """True if rows with the same request share one answer. By default only where answers should not differ."""
        recipe = self.recipe
        if recipe.dedupe is not None:
            return recipe.dedupe
        temperature = (recipe.parameters if recipe.body is None else recipe.body).get("temperature")
        is_zero = isinstance(temperature, int | float) and not isinstance(temperature, bool) and temperature == 0
        return is_zero or recipe.schema is not None

    @property
    def frame(self) -> BodyFrame:
        """The bytes with which all bodies begin and end, as far as they are known."""
        return self._body.plain.frame if self._body.plain is not None else NO_FRAME

    @property
    def uses_file(self) -> bool:
        """True if a template uses values of the dropped file."""
        return any(slot.template.of_file for slot in self._slots)

    def depends_on(self, file: FileValues | None) -> bool:
        """Return whether the recipe depends on the values of a dropped file, if only in its advice."""
        known = file.values if file is not None else {}
        return self.uses_file or any(name in known for slot in self._slots for name in slot.template.names)

    @property
    def used_columns(self) -> tuple[str, ...]:
        """The columns of the rows that it uses, with the one that labels them, and the values of the file's path."""
        label = (self.recipe.id,) if self.recipe.id is not None else ()
        of_file = (f"{FILE}.{name}" for slot in self._slots for name in slot.template.of_file)
        columns = (name for slot in self._slots for name in slot.template.columns)
        return tuple(dict.fromkeys([*columns, *label, *of_file]))

    @property
    def label_column(self) -> str | None:
        """The column that labels the rows, and is not sent; None if there is none, or a template uses it, too."""
        is_sent = any(self.recipe.id in slot.template.columns for slot in self._slots)
        return None if is_sent else self.recipe.id

    @property
    def uses_row(self) -> bool:
        """True if it uses the row as a whole."""
        return any(slot.template.uses_row and not slot.template.columns for slot in self._slots)

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Bound the time of all requests within the block. That is faster than a limit around each request."""
        if self._limit is None:
            yield
            return
        self._limit.renew()
        with self._limit:
            yield

    def check_columns(self, names: Sequence[str]) -> list[Problem]:
        """Return the problems of the recipe with a drop whose rows have these columns."""
        found = [] if FILE in set(names) else list(self._without_column)
        found += column_problems(self.recipe, self._slots, self._added, self._placeholders, names, self._file)
        return found + expect_problems(self.recipe, self.expected, names)

    def request(self, values: Mapping[str, Any]) -> Request | None:
        """Return the request of a row; None if `when` is empty.

        Raise RowRejectedError if the row does not fit, and DropRejectedError if the rows so far have taken too long.
        """
        if self._limit is None:
            return self._request(values)
        try:
            return self._limit.run(self._request, values)
        except TimeLimitError:
            sentence = (
                f"The templates of {self.recipe.path} take longer than {CHUNK_SECONDS} s for 128 KiB of rows; let them "
                "loop over less, or prepare the rows before they are dropped."
            )
            raise DropRejectedError.because(Problem("template_too_slow", sentence, path=self.recipe.path)) from None

    def _request(self, values: Mapping[str, Any]) -> Request | None:
        if self._with_column is not None and FILE in values:
            return self._with_column._request(values)
        if self._without_column and FILE not in values:
            problems = Problems()
            problems.extend(list(self._without_column))
            raise DropRejectedError(problems)
        if not self._added.isdisjoint(values):
            raise RowRejectedError(column_exists(next(name for name in self.all_columns if name in values)))
        if not self._placeholders.keys().isdisjoint(values):
            raise DropRejectedError.because(
                next(self._placeholders[name] for name in values if name in self._placeholders)
            )
        label = self.recipe.id
        if label is not None and label not in values:
            sentence = f"Key id of the recipe: the row has no {quoted(label)!r}; add it, or leave the key id out."
            raise RowRejectedError(Problem("undefined_name", sentence, column=label, key="id"))
        if self._when is not None and not self._when.text(values).strip():
            return None
        model, body = self._body.fill(self._without_expected(values) if self.expected else values)
        return Request(self.endpoint, model, body, self._body.estimate, self._body.expected)

    def _without_expected(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a row without its known answers, which a template that prints the whole row would send."""
        hidden = frozenset(self.expected.values())
        return {name: value for name, value in values.items() if name not in hidden}

    def requests(self, number: int, columns: Mapping[str, Sequence[Any]]) -> RequestChunk | None:
        """Return the requests of rows that have these columns, of which the first has this number, at once.

        They are those that `request` returns for each. Return None if only `request` can tell them.
        """
        if self._with_column is not None and FILE in columns:
            return self._with_column.requests(number, columns)
        if self._without_column and FILE not in columns:
            return None
        plain, expected = self._body.plain, self._body.estimate
        label = self.recipe.id
        if plain is None or expected is None or self._when is not None or not self._added.isdisjoint(columns):
            return None
        if not self._placeholders.keys().isdisjoint(columns):
            return None
        if label is not None and label not in columns:
            return None
        count = len(next(iter(columns.values())))
        filled = plain.cells(columns, count)
        if filled is None:
            return None
        form, tokens = plain.form, self._body.expected
        return RequestChunk(self.endpoint, plain.model, expected, number, count, form, filled, tokens, plain.frame)

    def label(self, values: Mapping[str, Any]) -> str | None:
        """Return the row's label, the value of its `id` column; None if it has none."""
        value = values.get(self.recipe.id) if self.recipe.id is not None else None
        if value is None or value == "":
            return None
        return value if isinstance(value, str) else to_json(value).decode().strip('"')
