"""From a recipe to what it does: its templates are compiled, and all its faults are found at once."""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from dropbatch.batch_api.endpoints import GONE, endpoint_at, gone_sentence
from dropbatch.batch_api.models import is_model_name
from dropbatch.batch_api.questions import form_flaw
from dropbatch.batch_api.refused_parameters import VARIES, refusals
from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem, Problems
from dropbatch.recipes.answer_schema import AnswerValidator, compile_schema
from dropbatch.recipes.column_checks import (
    column_problems,
    missing_file_value,
    no_column_problem,
    placeholder_problems,
)
from dropbatch.recipes.compiled_recipe import CHUNK_SECONDS, CompiledRecipe
from dropbatch.recipes.expectations import by_answer_column
from dropbatch.recipes.expressions import BadExpressionError, Expression
from dropbatch.recipes.file_references import referenced_file
from dropbatch.recipes.file_values import NO_FILE_YET, FileValues
from dropbatch.recipes.json_schema import follow
from dropbatch.recipes.key_values import TriedRow
from dropbatch.recipes.keys import Recipe
from dropbatch.recipes.prompt_cache import with_caching
from dropbatch.recipes.quoted_names import quoted
from dropbatch.recipes.recipe_problems import problem_at
from dropbatch.recipes.request_body import MODEL_NAME_ADVICE, BodySplitter
from dropbatch.recipes.request_tree import build_tree, with_constants
from dropbatch.recipes.slots import ROW_SECONDS, Slot
from dropbatch.recipes.snippets import DOUBLE
from dropbatch.recipes.template_errors import BadTemplateError
from dropbatch.recipes.templates import compile_template
from dropbatch.recipes.time_limit import TimeLimit, TimeLimitError

COMPILE_SECONDS = 20
"""The time limit of compiling a recipe. One of 1 MiB that is nothing but templates takes five."""

_OUTCOME_COLUMNS = ("_status", "_error")


def compile_recipe(
    recipe: Recipe,
    files: Mapping[str, str],
    *,
    checked: bool = False,
    columns: Sequence[str] = (),
    file: FileValues | None = NO_FILE_YET,
    caches: bool = True,
) -> CompiledRecipe:
    """Compile a recipe with the texts of the files that it names; raise DropRejectedError with all its problems.

    `checked` says that it was compiled before without a problem. Its schema is then not checked again, nor are its
    requests for time or for an empty question: they have passed that for the same rows. `columns` are a drop's, if
    they are known: advice names them. `file` has the values of the dropped file; None if the drop has a column `file`.
    `caches` is false for the recipe of a job that began before requests had members about prompt caching.
    """

    compiler = partial(_Compiler, recipe, files, checked=checked, columns=columns, caches=caches)

    def compile_both() -> CompiledRecipe:
        found = compiler(file=file).compile()
        if file is None or not file.is_known or not found.uses_file:
            return found
        # In JSON Lines each row may have a column `file` or not.
        with_column = compiler(file=None).compile()
        return replace(found, _with_column=with_column)

    try:
        return TimeLimit(COMPILE_SECONDS, COMPILE_SECONDS).run(compile_both)
    except TimeLimitError:
        sentence = f"{recipe.path} takes longer than {COMPILE_SECONDS} s to be checked; shorten and simplify it."
        raise DropRejectedError.because(Problem("recipe_too_slow", sentence, path=recipe.path)) from None


class _Compiler:
    def __init__(
        self,
        recipe: Recipe,
        files: Mapping[str, str],
        *,
        checked: bool,
        columns: Sequence[str],
        file: FileValues | None,
        caches: bool,
    ) -> None:
        self._recipe = recipe
        self._files = files
        self._checked = checked
        self._problems = Problems()
        self._problems.extend(recipe.problems)
        self._slots: list[Slot] = []
        self._missing: set[str] = set()
        self._columns = columns
        self._file = file
        self._caches = caches
        self._without_column: list[Problem] = []
        self._unread = False  # a template is missing, or cannot be compiled

    def compile(self) -> CompiledRecipe:
        recipe = self._recipe
        schema = compile_schema(recipe, self._complain, is_checked=self._checked)
        tree = build_tree(recipe, self._slot, schema)
        if not self._checked:  # a recipe that was accepted stays so, whatever is known today
            self._check_refusals(tree)
        when = self._slot(recipe.when, "when", for_when=True) if recipe.when is not None else None
        tree, caching = with_caching(tree, recipe.endpoint, is_on=self._caches and recipe.cache == "auto")
        splitter = BodySplitter(recipe.endpoint, recipe.when, caching.added_bytes)
        body = splitter.split(tree, is_checked=self._checked)
        answer_columns = list(schema["properties"] if schema is not None else self._columns_of_endpoint())
        expressions = self._expressions()
        columns = tuple(recipe.prefix + name for name in [*answer_columns, *expressions])
        all_columns = (*columns, *(recipe.prefix + name for name in _OUTCOME_COLUMNS))
        if not self._checked and not self._unread:
            self._check_question(tree)
        if not recipe.problems:  # else the missing keys could add other columns
            self._check_unique(answer_columns, expressions)
        expected, tried = self._expected(columns), self._tried(columns)
        if self._problems:
            self._check_columns(all_columns)
            raise DropRejectedError(self._problems)
        return CompiledRecipe(
            recipe=recipe,
            endpoint=recipe.endpoint,
            columns=columns,
            all_columns=all_columns,
            categories=self._categories(schema),
            properties=tuple(answer_columns) if schema is not None else None,
            validator=None if schema is None else AnswerValidator(schema),
            expressions=tuple(expressions.values()),
            expected=expected,
            tried=tried,
            _added=frozenset(all_columns),
            _body=body,
            _when=when,
            _slots=tuple(self._slots),
            _placeholders={} if self._checked else placeholder_problems(self._slots, self._question_slots()),
            _file=self._file,
            _without_column=tuple(self._without_column),
            _limit=None if self._checked or self._is_plain() else TimeLimit(ROW_SECONDS, CHUNK_SECONDS),
            _caching=caching,
        )

    def _is_plain(self) -> bool:
        """Return whether no template is a program."""
        return all(slot.template.pieces is not None for slot in self._slots)

    def _complain(self, key: str, sentence: str, code: str = "wrong_value") -> None:
        self._problems.add(self._recipe.problem(code, key, sentence))

    # Templates

    def _slot(self, source: str, key: str, *, for_when: bool = False) -> Any:
        """Return the slot of a template, whose text may be in the file that it names; an empty text if it is wrong."""
        place = self._recipe.places.get(key)
        path, first = self._recipe.path, place.text_line if place else None
        exact, quote = bool(place and place.exact), place.quote if place else DOUBLE
        name = None if for_when else referenced_file(source)
        if name is not None:
            self._unread |= name not in self._files
            if name not in self._recipe.files:
                return ""  # not the name of a file: parsing has reported it
            if name not in self._files:
                self._missing_file(name, key)
                return ""
            source, exact, first, quote = self._files[name], True, 1, ""
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
        try:
            template = compile_template(source, for_when=for_when, file=self._file, quote=quote)
        except BadTemplateError as bad:
            self._unread = True
            line = first + bad.line - 1 if exact and first else first
            self._problems.add(problem_at(path, line, bad.code, key, bad.sentence))
            return ""
        slot = Slot(template, key, path, first, quote)
        self._slots.append(slot)
        if not self._checked:
            self._without_column += [missing_file_value(slot, name, self._file) for name in template.lacking]
        if key in ("model", "body.model"):
            self._check_model(template.constant, key)
        return slot

    def _missing_file(self, name: str, key: str) -> None:
        if name not in self._missing:
            self._missing.add(name)
            sentence = f"the file {quoted(name)} is not in the recipe's folder, or is not UTF-8 text; put it there."
            self._complain(key, sentence, "missing_file")

    # The request

    def _check_model(self, constant: str | None, key: str) -> None:
        """Complain about a name that is the same for all rows and cannot be a model's; rows check other names."""
        if constant is not None and constant.strip() and not is_model_name(constant.strip()):
            self._complain(key, f"this is not a name of a model; {MODEL_NAME_ADVICE}", "invalid_model")

    def _check_refusals(self, tree: Mapping[str, Any]) -> None:
        """Complain about an endpoint that is gone, and about members that the recipe's one model is known to refuse."""
        recipe, slot = self._recipe, tree.get("model")
        if recipe.endpoint in GONE:
            self._complain("endpoint", f"{gone_sentence(recipe.endpoint)}.", "endpoint_gone")
            return
        constant = slot.template.constant if isinstance(slot, Slot) else None
        if constant is None:
            return
        within = "parameters" if recipe.body is None else "body"
        for refusal in refusals(recipe.endpoint, constant.strip(), with_constants(tree, VARIES)):
            self._complain(f"{within}.{refusal.key}", refusal.sentence, "refused_by_model")

    def _check_question(self, tree: Mapping[str, Any]) -> None:
        """Complain about a recipe that asks all rows the same, or nothing."""
        recipe = self._recipe
        if recipe.body is None and not (recipe.prompt or "").strip():
            return  # parsing has reported it
        flaw = form_flaw(recipe.endpoint, with_constants(tree), Slot) if recipe.body is not None else None
        slots = self._question_slots()
        if flaw is not None:
            self._complain("body", f"the body {flaw.what.replace(' in its body', '')}.", flaw.code)
        elif not any(slot.template.uses_row for slot in slots):
            problem = no_column_problem(recipe, slots, self._columns)
            is_of_file = self._file is not None and any(slot.template.of_file for slot in slots)
            if is_of_file:  # which is a column if rows have one of this name
                self._without_column.append(problem)
            else:
                self._problems.add(problem)

    def _question_slots(self) -> list[Slot]:
        """Return the templates that may hold what is asked of a row."""
        return [slot for slot in self._slots if slot.key not in ("model", "body.model", "when")]

    # The columns

    def _check_columns(self, all_columns: Sequence[str]) -> None:
        """Complain about the columns of the drop, if they are known."""
        if not self._columns:
            return
        placeholders = placeholder_problems(self._slots, self._question_slots())
        added = frozenset(all_columns)
        self._problems.extend(
            column_problems(self._recipe, self._slots, added, placeholders, self._columns, self._file)
        )

    def _columns_of_endpoint(self) -> dict[str, Mapping[str, Any]]:
        """Return the JSON Schemas of the columns without a schema, by their names."""
        return {column.name: column.schema for column in endpoint_at(self._recipe.endpoint).columns}

    def _expressions(self) -> dict[str, Expression]:
        found = {}
        for name, source in self._recipe.columns.items():
            try:
                found[name] = Expression(source)
            except BadExpressionError as bad:
                self._complain(f"columns.{name}", bad.sentence)
        return found

    def _expected(self, columns: Sequence[str]) -> dict[str, str]:
        """Return the drop's columns with known answers, by the column of the answers; complain about those it sends."""
        recipe = self._recipe
        if recipe.expect is None or recipe.problems:
            return {}
        expected = by_answer_column(recipe.expect, "expect", columns, recipe.prefix, self._complain)
        hidden = frozenset(expected.values())
        for slot in self._slots:
            for name in slot.template.columns:
                if name in hidden and slot.key != "when":
                    sentence = (
                        f"the column {quoted(name)!r} has known answers (expect), which are never sent; leave it out "
                        "of this text."
                    )
                    self._problems.add(problem_at(slot.path, slot.line, "conflicting_keys", slot.key, sentence))
        return expected

    def _tried(self, columns: Sequence[str]) -> tuple[TriedRow, ...]:
        """Return the rows of `try`, with their known answers by column; complain about those that lack a column."""
        recipe = self._recipe
        if recipe.problems or self._checked:
            return ()
        rows = []
        needed = dict.fromkeys((name, slot.name) for slot in self._slots for name in slot.template.names)
        for number, row in enumerate(recipe.tried):
            at = f"try[{number}]"
            for name, key in needed:
                if name not in row.values:
                    self._complain(at, f"the row has no {quoted(name)!r}, which {key} uses; add it.", "undefined_name")
            known = {}
            if row.expect is not None:
                known = by_answer_column(row.expect, f"{at}.expect", columns, recipe.prefix, self._complain)
            rows.append(replace(row, expect=known))
        return tuple(rows)

    def _check_unique(self, answer_columns: Sequence[str], expressions: Mapping[str, Any]) -> None:
        for name in answer_columns:
            if name in _OUTCOME_COLUMNS:
                self._complain(f"schema.{name}", "the results have a column of this name themselves; rename it.")
        for name in expressions:
            if name in _OUTCOME_COLUMNS or name in answer_columns:
                self._complain(f"columns.{name}", "the results have a column of this name already; rename it.")

    def _categories(self, schema: Mapping[str, Any] | None) -> dict[str, tuple[Any, ...]]:
        """Return the allowed values of the columns that have only a few, by the names of the columns."""
        prefix = self._recipe.prefix
        found: dict[str, tuple[Any, ...]] = {}
        properties = schema["properties"] if schema is not None else self._columns_of_endpoint()
        for name, written in properties.items():
            item = follow(schema or {}, written)
            if isinstance(item, Mapping) and isinstance(item.get("enum"), list):
                found[prefix + name] = tuple(item["enum"])
            elif isinstance(item, Mapping) and item.get("type") == "boolean":
                found[prefix + name] = (True, False)
        return found
