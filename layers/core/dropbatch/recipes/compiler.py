"""From a recipe to what it does: a row becomes a request, and an answer has its columns.

The request's body is taken apart once, into JSON that is the same for every row and the places in between; a row only
fills the places in.
"""

import posixpath
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dropbatch.batch_api.endpoints import CHAT, EMBEDDINGS, GONE, MODERATIONS, gone_sentence
from dropbatch.batch_api.fast_requests import RequestChunk
from dropbatch.batch_api.models import VARIES, refusals
from dropbatch.batch_api.questions import form_flaw
from dropbatch.batch_api.request import Request, is_model_name
from dropbatch.domain.errors import DropRejectedError, RowRejectedError
from dropbatch.domain.outcomes import COLUMN_EXISTS
from dropbatch.domain.problems import Problem, Problems
from dropbatch.json_encoding import to_json
from dropbatch.recipes import placeholders
from dropbatch.recipes.expressions import BadExpressionError, Expression
from dropbatch.recipes.file_values import FILE, NO_FILE_YET, FileValues
from dropbatch.recipes.naming import listed, nearest, quoted
from dropbatch.recipes.parser import Recipe, file_name, problem_at
from dropbatch.recipes.request_body import MODEL_NAME, ROW_SECONDS, Body, Slot, Split, with_constants
from dropbatch.recipes.schema import build_schema, followed, in_place_repeats
from dropbatch.recipes.slips import slip_in_type
from dropbatch.recipes.suggestions import bare, yaml_text
from dropbatch.recipes.template_errors import BadTemplateError
from dropbatch.recipes.templates import (
    DOUBLE,
    ROW,
    compile_template,
    file_expression,
    fitted,
    literal,
    placeholder,
    spelling,
)
from dropbatch.recipes.time_limit import TimeLimit, TimeLimitError
from dropbatch.recipes.yaml import dotted

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


MAX_SCHEMA_REPEATS = 1_000
"""How many schemas one value of an answer may have to be held to: a millisecond or ten."""

COMPILE_SECONDS = 20
"""How long compiling a recipe may take. One of 1 MiB that is nothing but templates takes five."""

CHUNK_SECONDS = 10
"""How long those of 128 KiB of rows may take: an invocation looks at its time between them."""


@dataclass(frozen=True, slots=True)
class CompiledRecipe:
    """A recipe that can be used.

    `columns` are the names of the answer's columns, prefix included, in order; `all_columns` adds `_status` and
    `_error`. `categories` gives the allowed values of columns that have only a few. `properties` are the schema's, in
    the order of the first columns; `expressions` compute the last ones from the response's body.
    """

    recipe: Recipe
    endpoint: str
    columns: tuple[str, ...]
    all_columns: tuple[str, ...]
    categories: Mapping[str, tuple[Any, ...]]
    properties: tuple[str, ...] | None
    validator: "AnswerValidator | None"
    expressions: tuple[Expression, ...]
    _added: frozenset[str]
    _body: Body
    _when: Slot | None
    _slots: tuple[Slot, ...]
    _limit: TimeLimit | None
    _placeholders: Mapping[str, Problem]
    _file: FileValues | None
    _without_column: tuple[Problem, ...]  # what is wrong with it for rows that have no column `file`
    _with_column: "CompiledRecipe | None" = None  # the same for rows that have one

    @property
    def model(self) -> str | None:
        """The model that all rows ask; None if it is named row by row, or not at all."""
        constant = self._body.model.template.constant if self._body.model else None
        return constant.strip() if constant else None

    @property
    def uses_file(self) -> bool:
        """Whether a template uses what the dropped file has."""
        return any(slot.template.of_file for slot in self._slots)

    def depends_on(self, file: FileValues | None) -> bool:
        """Whether it is another recipe for a file that has these values, if only in what is advised."""
        known = file.values if file is not None else {}
        return self.uses_file or any(name in known for slot in self._slots for name in slot.template.names)

    @property
    def used_columns(self) -> tuple[str, ...]:
        """The columns of the rows that it uses, the one that labels them too; and what it uses of the file's path."""
        label = (self.recipe.id,) if self.recipe.id is not None else ()
        of_file = (f"{FILE}.{name}" for slot in self._slots for name in slot.template.of_file)
        columns = (name for slot in self._slots for name in slot.template.columns)
        return tuple(dict.fromkeys([*columns, *label, *of_file]))

    @property
    def uses_row(self) -> bool:
        """Whether it uses the row as a whole."""
        return any(slot.template.uses_row and not slot.template.columns for slot in self._slots)

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Bound the time of all requests within the block, which are made faster so than each by itself."""
        if self._limit is None:
            yield
            return
        self._limit.renew()
        with self._limit:
            yield

    def check_columns(self, names: Sequence[str]) -> list[Problem]:
        """What is wrong between the recipe and a drop whose rows have these columns."""
        found = [] if FILE in set(names) else list(self._without_column)
        return found + column_problems(self.recipe, self._slots, self._added, self._placeholders, names, self._file)

    def request(self, values: Mapping[str, Any]) -> Request | None:
        """The request that a row becomes; None where `when` is empty. RowRejectedError where it cannot be one.

        DropRejectedError if the rows so far have taken so long that the drop cannot be taken in.
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
            raise RowRejectedError(_column_exists(next(name for name in self.all_columns if name in values)))
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
        model, body = self._body.fill(values)
        return Request(self.endpoint, model, body, self._body.expectation)

    def requests(self, number: int, columns: Mapping[str, Sequence[Any]]) -> RequestChunk | None:
        """The requests of rows that have these columns, the first row with this number, as `request` gives them; None
        where it has to ask each row."""
        if self._with_column is not None and FILE in columns:
            return self._with_column.requests(number, columns)
        if self._without_column and FILE not in columns:
            return None
        fast, expected = self._body.fast, self._body.expectation
        label = self.recipe.id
        if fast is None or expected is None or self._when is not None or not self._added.isdisjoint(columns):
            return None
        if not self._placeholders.keys().isdisjoint(columns):
            return None
        if label is not None and label not in columns:
            return None
        count = len(next(iter(columns.values())))
        filled = fast.cells(columns, count)
        if filled is None:
            return None
        return RequestChunk(self.endpoint, fast.model, expected, number, count, fast.form, filled)

    def label(self, values: Mapping[str, Any]) -> str | None:
        """What the `id` column calls the row; None where there is none."""
        value = values.get(self.recipe.id) if self.recipe.id is not None else None
        if value is None or value == "":
            return None
        return value if isinstance(value, str) else to_json(value).decode().strip('"')


def column_problems(
    recipe: Recipe,
    slots: Sequence[Slot],
    added: Collection[str],
    placeholder_problems: Mapping[str, Problem],
    names: Sequence[str],
    file: FileValues | None,
) -> list[Problem]:
    """What is wrong between a recipe, be it usable or not, and a drop whose rows have the columns `names`."""
    known = set(names)
    problems = [
        problem_at(
            slot.path,
            slot.line,
            "undefined_name",
            slot.key,
            f"there is no column {quoted(name)!r}; {spelling(name, names, file, slot.quote)}",
        )
        for slot in slots
        for name in slot.template.names
        if name not in known
    ]
    label = recipe.id
    if label is not None and label not in known:
        sentence = f"there is no column {quoted(label)!r}; the columns are {listed(names)}."
        problems.append(recipe.problem("undefined_name", "id", sentence))
    problems += [_column_exists(name) for name in names if name in added]
    return problems + [placeholder_problems[name] for name in names if name in placeholder_problems]


def _column_exists(name: str) -> Problem:
    sentence = (
        f"The drop has a column {quoted(name)!r} already, which the answers would add; set prefix in the recipe, "
        'as in prefix: "ai_", or rename the column.'
    )
    return Problem(COLUMN_EXISTS, sentence, column=name)


def compile_recipe(
    recipe: Recipe,
    files: Mapping[str, str],
    *,
    checked: bool = False,
    columns: Sequence[str] = (),
    file: FileValues | None = NO_FILE_YET,
) -> CompiledRecipe:
    """Compiles a recipe with the texts of the files that it names; DropRejectedError with all that is wrong.

    `checked` says that it was compiled before and found right: its schema is not held to JSON Schema again. Nor are its
    requests held to a time, or to what they must ask: rows that were taken in have been. `columns` are a drop's, if
    they are known: advice names them. `file` is what the dropped file has; None if a column of the drop is named so.
    """

    def compiled(file: FileValues | None) -> CompiledRecipe:
        return _Compiler(recipe, files, checked=checked, columns=columns, file=file).compiled()

    def both() -> CompiledRecipe:
        found = compiled(file)
        if file is None or not file.is_known or not found.uses_file:
            return found
        # Of JSON Lines only each row tells whether it has such a column.
        return replace(found, _with_column=compiled(None))

    try:
        return TimeLimit(COMPILE_SECONDS, COMPILE_SECONDS).run(both)
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
        self._without_column: list[Problem] = []
        self._unread = False  # a template is missing, or cannot be compiled

    def compiled(self) -> CompiledRecipe:
        recipe = self._recipe
        schema = self._schema()
        tree = self._short_form(schema) if recipe.body is None else self._full_form(recipe.body, schema)
        if not self._checked:  # a recipe that was accepted stays so, whatever is known today
            self._check_refusals(tree)
        when = self._slot(recipe.when, "when", for_when=True) if recipe.when is not None else None
        body = Split(recipe.endpoint, recipe.when).body(tree, is_checked=self._checked)
        answer_columns = self._answer_columns(schema)
        expressions = self._expressions()
        columns = tuple(recipe.prefix + name for name in [*answer_columns, *expressions])
        all_columns = (*columns, recipe.prefix + "_status", recipe.prefix + "_error")
        if not self._checked and not self._unread:
            self._check_question(tree)
        if not recipe.problems:  # else what is missing of it makes columns that it would not add
            self._check_unique(answer_columns, expressions)
        if self._problems:
            placeholder_problems = self._placeholders()
            added = frozenset(all_columns)
            self._problems.extend(
                column_problems(recipe, self._slots, added, placeholder_problems, self._columns, self._file)
                if self._columns
                else ()
            )
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
            _added=frozenset(all_columns),
            _body=body,
            _when=when,
            _slots=tuple(self._slots),
            _placeholders={} if self._checked else self._placeholders(),
            _file=self._file,
            _without_column=tuple(self._without_column),
            _limit=None if self._checked or self._is_plain() else TimeLimit(ROW_SECONDS, CHUNK_SECONDS),
        )

    def _is_plain(self) -> bool:
        """Whether no template is a program."""
        return all(slot.template.pieces is not None for slot in self._slots)

    def _complain(self, key: str, sentence: str, code: str = "wrong_value") -> None:
        self._problems.add(self._recipe.problem(code, key, sentence))

    # Templates

    def _slot(self, source: str, key: str, *, for_when: bool = False) -> Any:
        """The template that stands at a key, read from the file that it names where it does."""
        place = self._recipe.places.get(key)
        path, first = self._recipe.path, place.text_line if place else None
        exact, quote = bool(place and place.exact), place.quote if place else DOUBLE
        name = None if for_when else file_name(source)
        if name is not None:
            self._unread |= name not in self._files
            if name not in self._recipe.files:
                return ""  # no name of a file: parsing has said so
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
            self._without_column += [self._lacks(slot, name) for name in template.lacking]
        return slot

    def _lacks(self, slot: Slot, name: str) -> Problem:
        known = self._file.values if self._file is not None else {}
        like = nearest(name, known)
        named = listed(file_expression(each) for each in known)
        written = fitted(f"{{{{ {file_expression(like)} }}}}", slot.quote) if like else ""
        advice = f"did you mean {written}?" if like else f"there are {named}."
        sentence = (
            f"there is no {file_expression(quoted(name, 60))}: no folder of the file's path is named "
            f"{quoted(name, 60)}=…; {advice}"
        )
        return problem_at(slot.path, slot.line, "undefined_name", slot.key, sentence)

    def _missing_file(self, name: str, key: str) -> None:
        if name not in self._missing:
            self._missing.add(name)
            sentence = f"the file {quoted(name)} is not in the recipe's folder, or is not UTF-8 text; put it there."
            self._complain(key, sentence, "missing_file")

    # What is asked

    def _check_question(self, tree: Mapping[str, Any]) -> None:
        """Complain about a recipe that asks all rows the same, or nothing."""
        recipe = self._recipe
        if recipe.body is None and not (recipe.prompt or "").strip():
            return  # parsing has said so
        flaw = form_flaw(recipe.endpoint, with_constants(tree), Slot) if recipe.body is not None else None
        if flaw is not None:
            self._complain("body", f"the body {flaw.what.replace(' in its body', '')}.", flaw.code)
        elif not any(slot.template.uses_row for slot in self._asking()):
            problem = self._no_column()
            is_of_file = self._file is not None and any(slot.template.of_file for slot in self._asking())
            if is_of_file:  # which is a column where rows have one of this name
                self._without_column.append(problem)
            else:
                self._problems.add(problem)

    def _asking(self) -> list[Slot]:
        """The templates by which a row may be asked about."""
        return [slot for slot in self._slots if slot.key not in ("model", "body.model", "when")]

    def _no_column(self) -> Problem:
        slots = self._asking()
        said = [(slot, found) for slot in slots for found in placeholders.spotted(slot.template.around)]
        known = [each for each in said if each[1].name in self._columns]
        slot: Slot | None
        found: placeholders.Placeholder | None
        if said:
            slot, found = (known or said)[0]
        else:
            slot = next((slot for slot in slots if slot.key == "prompt"), slots[-1] if slots else None)
            found = None
        columns = f"; the columns are {listed(self._columns)}" if self._columns else ""
        quote = slot.quote if slot is not None else DOUBLE
        if found is None:
            example = yaml_text(
                f"Label this: {bare(next((name for name in self._columns if 0 < len(name) <= 60), 'text'))}"
            )
            name = slot.name if slot is not None else "content"
            advice = f"write one into it, as in {name}: {example}{columns}."
        elif found.name == ROW and not known:
            advice = (
                f"{quoted(found.written, 60)} stands for nothing here; write {{{{ row }}}}, the whole row{columns}."
            )
        elif self._columns and not known:
            advice = (
                f"{quoted(found.written, 60)} stands for nothing here; "
                f"{spelling(found.name, self._columns, quote=quote)}"
            )
        else:
            advice = (
                f"{quoted(found.written, 60)} stands for nothing here; write {placeholder(found.name, quote)}{columns}."
            )
        sentence = f"no column of the rows is used, so that all of them would be asked the same; {advice}"
        if slot is None:
            return self._recipe.problem("no_column", "body", sentence)
        return problem_at(slot.path, slot.line, "no_column", slot.key, sentence)

    def _placeholders(self) -> dict[str, Problem]:
        """What is to be said if a drop has a column of which the recipe holds another language's placeholder."""
        used = {column for slot in self._slots for column in slot.template.columns}
        problems: dict[str, Problem] = {}
        for slot in self._asking():
            text = slot.template.around
            for name, found in (placeholders.unused(text, used) | placeholders.sure(text)).items():
                literally = fitted(f"{{{{ {literal(found.written)} }}}}", slot.quote)
                sentence = (
                    f"{found.written} is sent unchanged, although the drop has this column; write "
                    f"{placeholder(name, slot.quote)}, or, if the sign itself is meant, {literally}."
                )
                problems.setdefault(name, problem_at(slot.path, slot.line, "placeholder", slot.key, sentence))
        return problems

    # The body

    def _short_form(self, schema: dict[str, Any] | None) -> dict[str, Any]:
        recipe = self._recipe
        prompt = self._slot(recipe.prompt or "", "prompt")
        tree: dict[str, Any] = {}
        if recipe.model is not None:
            tree["model"] = self._slot(recipe.model, "model")
            self._check_model(tree["model"], "model")
        system = None if recipe.system is None else self._slot(recipe.system, "system")
        turns = self._turns()
        if recipe.endpoint == CHAT:
            opening = [] if system is None else [{"role": "system", "content": system}]
            tree["messages"] = [*opening, *turns, {"role": "user", "content": prompt}]
        else:
            if system is not None:
                tree["instructions"] = system
            tree["input"] = [*turns, {"role": "user", "content": prompt}] if turns else prompt
        tree.update(recipe.parameters)
        self._add_schema(tree, schema)
        return tree

    def _check_model(self, slot: Any, key: str) -> None:
        """Complain about a name that is the same for all rows, and none; others are looked at row by row."""
        constant = slot.template.constant if isinstance(slot, Slot) else None
        if constant is not None and constant.strip() and not is_model_name(constant.strip()):
            self._complain(key, f"this is not a name of a model; {MODEL_NAME}", "invalid_model")

    def _check_refusals(self, tree: Mapping[str, Any]) -> None:
        """Complain about an endpoint that is gone, and about what the recipe's one model is known to refuse."""
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

    def _turns(self) -> list[dict[str, Any]]:
        """The examples as a conversation that went before."""
        turns: list[dict[str, Any]] = []
        for number, example in enumerate(self._recipe.examples):
            at = f"examples[{number}]"
            turns.append({"role": "user", "content": self._slot(example.input, f"{at}.input")})
            output = example.output
            answer = self._slot(output, f"{at}.output") if isinstance(output, str) else to_json(output).decode()
            turns.append({"role": "assistant", "content": answer})
        return turns

    def _full_form(self, body: Mapping[str, Any], schema: dict[str, Any] | None) -> dict[str, Any]:
        tree: dict[str, Any] = self._templated(body, "body")
        if isinstance(body.get("model"), str):
            self._check_model(tree["model"], "body.model")
        self._add_schema(tree, schema)
        return tree

    def _templated(self, value: Any, key: str) -> Any:
        if isinstance(value, str):
            return self._slot(value, key)
        if isinstance(value, Mapping):
            return {name: self._templated(item, f"{key}.{name}") for name, item in value.items()}
        if isinstance(value, list):
            return [self._templated(item, f"{key}[{number}]") for number, item in enumerate(value)]
        return value

    def _add_schema(self, tree: dict[str, Any], schema: dict[str, Any] | None) -> None:
        if schema is None:
            return
        strict = {"name": "answer", "strict": True, "schema": schema}
        if self._recipe.endpoint == CHAT:
            tree["response_format"] = {"type": "json_schema", "json_schema": strict}
        else:
            tree["text"] = {**(tree.get("text") or {}), "format": {"type": "json_schema", **strict}}

    # The answer

    def _schema(self) -> dict[str, Any] | None:
        if self._recipe.schema is None:
            return None
        before = self._problems.total
        found = build_schema(self._recipe.schema, _ignore if self._checked else self._complain)
        if self._problems.total > before:
            return found  # what was said about the notation says it better
        if not self._checked:
            self._check_schema(found)
        if not found["properties"]:
            self._complain("schema", "at least one property is expected; name one.")
        return found

    def _check_schema(self, schema: dict[str, Any]) -> None:
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import SchemaError
        from referencing import Registry
        from referencing.exceptions import Unresolvable
        from referencing.jsonschema import DRAFT202012

        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            where = "/".join(str(part) for part in error.absolute_path)
            key = dotted(("schema", *error.absolute_path))
            key = key if key in self._recipe.places else "schema"
            slip = slip_in_type(error.instance) if "type" in list(error.absolute_path)[-2:] else None
            said = f": {slip}" if slip else f" at {quoted(where) or 'its root'}; correct it."
            self._complain(key, f"this is not valid JSON Schema{said}")
        if in_place_repeats(schema) > MAX_SCHEMA_REPEATS:
            sentence = (
                "its anyOf, oneOf, allOf and $ref lead to too many combinations to check an answer; name fewer "
                "alternatives."
            )
            self._complain("schema", sentence)
        for reference in dict.fromkeys(_references(schema)):
            try:
                Registry[Any]().resolver_with_root(DRAFT202012.create_resource(schema)).lookup(reference)
            except (Unresolvable, LookupError, TypeError, ValueError):
                self._complain("schema", f"the $ref {reference[:60]!r} leads nowhere; put what it means below $defs.")

    def _answer_columns(self, schema: dict[str, Any] | None) -> list[str]:
        if schema is not None:
            return list(schema["properties"])
        return {EMBEDDINGS: ["embedding"], MODERATIONS: ["flagged", "categories"]}.get(
            self._recipe.endpoint, ["answer"]
        )

    def _expressions(self) -> dict[str, Expression]:
        found = {}
        for name, source in self._recipe.columns.items():
            try:
                found[name] = Expression(source)
            except BadExpressionError as bad:
                self._complain(f"columns.{name}", bad.sentence)
        return found

    def _check_unique(self, answer_columns: Sequence[str], expressions: Mapping[str, Any]) -> None:
        for name in answer_columns:
            if name in ("_status", "_error"):
                self._complain(f"schema.{name}", "the results have a column of this name themselves; rename it.")
        for name in expressions:
            if name in ("_status", "_error") or name in answer_columns:
                self._complain(f"columns.{name}", "the results have a column of this name already; rename it.")

    def _categories(self, schema: Mapping[str, Any] | None) -> dict[str, tuple[Any, ...]]:
        prefix = self._recipe.prefix
        if schema is None:
            return {prefix + "flagged": (True, False)} if self._recipe.endpoint == MODERATIONS else {}
        found: dict[str, tuple[Any, ...]] = {}
        for name, written in schema["properties"].items():
            item = followed(schema, written)
            if isinstance(item, Mapping) and isinstance(item.get("enum"), list):
                found[prefix + name] = tuple(item["enum"])
            elif isinstance(item, Mapping) and item.get("type") == "boolean":
                found[prefix + name] = (True, False)
        return found


def _ignore(_key: str, _sentence: str) -> None:
    """Let a schema pass that was found right when its job was accepted, whatever is known by now."""


def _references(value: Any) -> Iterator[str]:
    """Every `$ref` of a JSON Schema."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name == "$ref" and isinstance(item, str):
                yield item
            else:
                yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


class AnswerValidator:
    """Holds answers to a schema. It knows the schema's own definitions and no others: nothing is fetched.

    jsonschema is imported when an answer is first held to it by that: nearly none needs it, and it takes 60 ms.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema
        self._validator: Validator | None = None

    def is_valid(self, answer: Any) -> bool:
        if self._validator is None:
            from jsonschema import Draft202012Validator
            from referencing import Registry

            self._validator = Draft202012Validator(self.schema, registry=Registry())
        return bool(self._validator.is_valid(answer))
