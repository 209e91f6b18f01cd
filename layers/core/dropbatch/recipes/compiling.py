"""From a recipe to what it does: a row becomes a request, and an answer has its columns.

The request's body is taken apart once, into JSON that is the same for every row and the places in between; a row only
fills the places in.
"""

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import orjson

from dropbatch.batch_api.endpoints import CHAT, EMBEDDINGS, GONE, MODERATIONS, gone_sentence
from dropbatch.batch_api.models import VARIES, refusals
from dropbatch.domain.errors import Rejected, RowRejected
from dropbatch.domain.problems import Problem, Problems
from dropbatch.json_values import sound, to_json
from dropbatch.recipes.expressions import BadExpressionError, Expression
from dropbatch.recipes.names import listed, nearest, quoted
from dropbatch.recipes.parsing import Recipe, file_name, problem_at
from dropbatch.recipes.schema import build_schema, in_place_repeats
from dropbatch.recipes.templates import (
    BadTemplate,
    Template,
    TemplateFailed,
    TemplateTooLarge,
    UndefinedName,
    compile_template,
    spelling,
)
from dropbatch.recipes.time_limit import TimeLimit, TimeLimitError
from dropbatch.requests import FORMS, RELEVANT, Expectation, Request, Requests, expectation, is_model_name

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


MAX_SCHEMA_REPEATS = 1_000
"""How many schemas one value of an answer may have to be held to: a millisecond or ten."""

COMPILE_SECONDS = 20
"""How long compiling a recipe may take. One of 1 MiB that is nothing but templates takes five."""

ROW_SECONDS = 2
"""How long the templates of one row may take, which mostly take 50 µs."""

CHUNK_SECONDS = 10
"""How long those of 128 KiB of rows may take: an invocation looks at its time between them."""


@dataclass(frozen=True, slots=True)
class _Slot:
    """A template in its place: the recipe's key, and the file and line where its text stands."""

    template: Template
    key: str
    path: str
    line: int | None

    def text(self, values: Mapping[str, Any]) -> str:
        return self._checked(self.template.render, values)  # type: ignore[no-any-return]  # render gives text

    def json(self, values: Mapping[str, Any]) -> bytes:
        value = self._checked(self.template.value, values)
        try:
            return to_json(value)
        except (TypeError, ValueError, RecursionError):
            raise self._failed("value that is not JSON") from None

    def _checked(self, render: Callable[[Mapping[str, Any]], Any], values: Mapping[str, Any]) -> Any:
        try:
            return render(values)
        except UndefinedName as undefined:
            raise RowRejected(self._undefined(undefined, values)) from None
        except TemplateTooLarge:
            sentence = "the template makes a text or a list too large to be sent for this row; make less of it."
            raise self._rejected("template_too_large", sentence) from None
        except TemplateFailed as failure:
            raise self._failed(failure.kind) from None
        except TimeLimitError as late:
            if late.total:
                raise
            sentence = f"the template takes longer than {ROW_SECONDS} s for this row; let it loop over less."
            raise self._rejected("template_too_slow", sentence) from None

    def _undefined(self, missing: UndefinedName, values: Mapping[str, Any]) -> Problem:
        if missing.name is None:
            sentence = "the template uses something that the row does not have; give it a default, or mend the row."
        elif missing.within is None:
            sentence = f"the row has no {quoted(missing.name)!r}; {spelling(missing.name, values)}"
        else:
            like = nearest(missing.name, missing.within)
            advice = f"did you mean {quoted(like)}?" if like else "give it a default, or mend the row."
            sentence = f"the value that should have {quoted(missing.name)!r} has none; {advice}"
        column = None if missing.name is None else sound(missing.name)
        where = f"Key {quoted(self.key)} of the recipe"
        return Problem("undefined_name", f"{where}: {sentence}", column=column, key=self.key)

    def _failed(self, kind: str) -> RowRejected:
        sentence = f"the template cannot be rendered for this row ({kind}); mend the template or the row."
        return self._rejected("template_failed", sentence)

    def _rejected(self, code: str, sentence: str) -> RowRejected:
        return RowRejected(Problem(code, f"Key {quoted(self.key)} of the recipe: {sentence}", key=self.key))


_MODEL = object()
"""Stands in the body's parts where the model goes: it is rendered once, for the body and beside it."""


@dataclass(frozen=True, slots=True)
class _Body:
    """A request's body in parts: JSON, slots, and the model's place.

    `plain` is there where all slots are no more than columns and texts, as they mostly are.
    """

    parts: tuple[Any, ...]
    model: _Slot | None
    expectation: Expectation | None
    plain: "_PlainBody | None"

    def fill(self, values: Mapping[str, Any]) -> tuple[str, bytes]:
        """The model and the body for a row."""
        if self.plain is not None:
            body = self.plain.fill(values)
            if body is not None:
                return self.plain.model, body
        model = self._model(values) if self.model else ""
        filled = []
        for part in self.parts:
            if type(part) is bytes:
                filled.append(part)
            elif part is _MODEL:
                filled.append(to_json(model))
            else:
                filled.append(part.json(values))
        return model, b"".join(filled)

    def _model(self, values: Mapping[str, Any]) -> str:
        assert self.model is not None  # noqa: S101  # asked by the only caller; tells the type checker
        constant = self.model.template.constant
        name = (constant if constant is not None else self.model.text(values)).strip()
        if not name:
            sentence = f"Key {self.model.key} of the recipe: the model is empty for this row; name one in the row."
            raise RowRejected(Problem("empty_model", sentence, key=self.model.key))
        if not is_model_name(name):
            sentence = f"Key {self.model.key} of the recipe: for this row it gives no name of a model; {_MODEL_NAME}"
            raise RowRejected(Problem("invalid_model", sentence, key=self.model.key))
        return name


_MODEL_NAME = "a name has at most 256 letters, digits and signs of . _ : / @ -, as in gpt-6-luna."


_BETWEEN = "\x7f"
"""Stands between texts that are escaped at once: a control character, but one that JSON leaves as it is. Where a text
holds it there are more pieces than texts, which shows."""


@dataclass(frozen=True, slots=True)
class _PlainBody:
    """A body of JSON around columns that hold texts: `form` takes one `%b` for each of `columns`.

    Escaping a text as JSON goes letter by letter, so that a thousand are escaped at once, for a third of the time
    (measured: 0.5 µs a row for two columns of 500 bytes, beside 0.7 µs for taking its csv apart).
    """

    model: str
    form: bytes
    columns: tuple[str, ...]

    def fill(self, values: Mapping[str, Any]) -> bytes | None:
        """The body for a row; None where a value is no text, or not there: the long way knows what to do then."""
        try:
            pieces = self._escaped([values[name] for name in self.columns])
        except KeyError:
            return None
        return None if pieces is None else self.form % tuple(pieces)

    def cells(self, columns: Mapping[str, Sequence[Any]], count: int) -> list[list[bytes]] | None:
        """What `form` takes for so many rows, column by column as they are given; None as above."""
        if not columns.keys() >= set(self.columns):
            return None
        pieces = self._escaped(list(chain.from_iterable(columns[name] for name in self.columns)))
        if pieces is None:
            return None
        return [pieces[start : start + count] for start in range(0, len(pieces), count)]

    def _escaped(self, texts: Sequence[Any]) -> list[bytes] | None:
        if not texts:
            return []
        try:
            pieces = orjson.dumps(_BETWEEN.join(texts)).split(_BETWEEN.encode())
        except TypeError:
            return None  # no text, or one with a lone surrogate
        pieces[0] = pieces[0][1:]  # without the quotes around all of them
        pieces[-1] = pieces[-1][:-1]
        return pieces if len(pieces) == len(texts) else None


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
    _body: _Body
    _when: _Slot | None
    _slots: tuple[_Slot, ...]
    _limit: TimeLimit | None

    @property
    def model(self) -> str | None:
        """The model that all rows ask; None if it is named row by row, or not at all."""
        constant = self._body.model.template.constant if self._body.model else None
        return constant.strip() if constant else None

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
        known = set(names)
        problems = [
            problem_at(
                slot.path,
                slot.line,
                "undefined_name",
                slot.key,
                f"there is no column {quoted(name)!r}; {spelling(name, names)}",
            )
            for slot in self._slots
            for name in slot.template.names
            if name not in known
        ]
        label = self.recipe.id
        if label is not None and label not in known:
            sentence = f"there is no column {quoted(label)!r}; the columns are {listed(names)}."
            problems.append(self.recipe.problem("undefined_name", "id", sentence))
        problems += [self._column_exists(name) for name in names if name in self._added]
        return problems

    def request(self, values: Mapping[str, Any]) -> Request | None:
        """The request that a row becomes; None where `when` is empty. RowRejected where it cannot be one.

        Rejected if the rows so far have taken so long that the drop cannot be taken in.
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
            raise Rejected.because(Problem("template_too_slow", sentence, path=self.recipe.path)) from None

    def _request(self, values: Mapping[str, Any]) -> Request | None:
        if not self._added.isdisjoint(values):
            raise RowRejected(self._column_exists(next(name for name in self.all_columns if name in values)))
        label = self.recipe.id
        if label is not None and label not in values:
            sentence = f"Key id of the recipe: the row has no {quoted(label)!r}; add it, or leave the key id out."
            raise RowRejected(Problem("undefined_name", sentence, column=label, key="id"))
        if self._when is not None and not self._when.text(values).strip():
            return None
        model, body = self._body.fill(values)
        return Request(self.endpoint, model, body, self._body.expectation)

    def requests(self, number: int, columns: Mapping[str, Sequence[Any]]) -> Requests | None:
        """The requests of rows that have these columns, the first row with this number, as `request` gives them; None
        where it has to ask each row."""
        plain, expected = self._body.plain, self._body.expectation
        label = self.recipe.id
        if plain is None or expected is None or self._when is not None or not self._added.isdisjoint(columns):
            return None
        if label is not None and label not in columns:
            return None
        count = len(next(iter(columns.values())))
        filled = plain.cells(columns, count)
        if filled is None:
            return None
        return Requests(self.endpoint, plain.model, expected, number, count, plain.form, filled)

    def label(self, values: Mapping[str, Any]) -> str | None:
        """What the `id` column calls the row; None where there is none."""
        value = values.get(self.recipe.id) if self.recipe.id is not None else None
        if value is None or value == "":
            return None
        return value if isinstance(value, str) else to_json(value).decode().strip('"')

    def _column_exists(self, name: str) -> Problem:
        sentence = (
            f"The drop has a column {quoted(name)!r} already, which the answers would add; set prefix in the recipe, "
            'as in prefix: "ai_", or rename the column.'
        )
        return Problem("column_exists", sentence, column=name)


def compile_recipe(recipe: Recipe, files: Mapping[str, str], *, checked: bool = False) -> CompiledRecipe:
    """Compiles a recipe with the texts of the files that it names; Rejected with all that is wrong.

    `checked` says that it was compiled before and found right: its schema is not held to JSON Schema again. Nor are its
    requests held to a time: rows that have been taken in have all been rendered within it.
    """
    try:
        return TimeLimit(COMPILE_SECONDS, COMPILE_SECONDS).run(_Compiler(recipe, files, checked=checked).compiled)
    except TimeLimitError:
        sentence = f"{recipe.path} takes longer than {COMPILE_SECONDS} s to be checked; shorten and simplify it."
        raise Rejected.because(Problem("recipe_too_slow", sentence, path=recipe.path)) from None


class _Compiler:
    def __init__(self, recipe: Recipe, files: Mapping[str, str], *, checked: bool) -> None:
        self._recipe = recipe
        self._files = files
        self._checked = checked
        self._problems = Problems()
        self._problems.extend(recipe.problems)
        self._slots: list[_Slot] = []
        self._missing: set[str] = set()

    def compiled(self) -> CompiledRecipe:
        recipe = self._recipe
        schema = self._schema()
        tree = self._short_form(schema) if recipe.body is None else self._full_form(recipe.body, schema)
        if not self._checked:  # a recipe that was accepted stays so, whatever is known today
            self._check_refusals(tree)
        when = self._slot(recipe.when, "when", for_when=True) if recipe.when is not None else None
        body = _Split(recipe.endpoint).body(tree)
        answer_columns = self._answer_columns(schema)
        expressions = self._expressions()
        columns = tuple(recipe.prefix + name for name in [*answer_columns, *expressions])
        all_columns = (*columns, recipe.prefix + "_status", recipe.prefix + "_error")
        if not recipe.problems:  # else what is missing of it makes columns that it would not add
            self._check_unique(answer_columns, expressions)
        if self._problems:
            raise Rejected(self._problems)
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
            _limit=None if self._checked or self._is_plain() else TimeLimit(ROW_SECONDS, CHUNK_SECONDS),
        )

    def _is_plain(self) -> bool:
        """Whether no template is a program."""
        return all(slot.template.parts is not None for slot in self._slots)

    def _complain(self, key: str, sentence: str, code: str = "wrong_value") -> None:
        self._problems.add(self._recipe.problem(code, key, sentence))

    # Templates

    def _slot(self, source: str, key: str, *, for_when: bool = False) -> Any:
        """The template that stands at a key, read from the file that it names where it does."""
        place = self._recipe.places.get(key)
        path, first = self._recipe.path, place.text_line if place else None
        exact = bool(place and place.exact)
        name = None if for_when else file_name(source)
        if name is not None:
            if name not in self._recipe.files:
                return ""  # no name of a file: parsing has said so
            if name not in self._files:
                self._missing_file(name, key)
                return ""
            source, exact, first = self._files[name], True, 1
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
        try:
            template = compile_template(source, for_when=for_when)
        except BadTemplate as bad:
            line = first + bad.line - 1 if exact and first else first
            self._problems.add(problem_at(path, line, bad.code, key, bad.sentence))
            return ""
        slot = _Slot(template, key, path, first)
        self._slots.append(slot)
        return slot

    def _missing_file(self, name: str, key: str) -> None:
        if name not in self._missing:
            self._missing.add(name)
            sentence = f"the file {quoted(name)} is not in the recipe's folder, or is not UTF-8 text; put it there."
            self._complain(key, sentence, "missing_file")

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
        constant = slot.template.constant if isinstance(slot, _Slot) else None
        if constant is not None and constant.strip() and not is_model_name(constant.strip()):
            self._complain(key, f"this is no name of a model; {_MODEL_NAME}", "invalid_model")

    def _check_refusals(self, tree: Mapping[str, Any]) -> None:
        """Complain about an endpoint that is gone, and about what the recipe's one model is known to refuse."""
        recipe, slot = self._recipe, tree.get("model")
        if recipe.endpoint in GONE:
            self._complain("endpoint", f"{gone_sentence(recipe.endpoint)}.", "endpoint_gone")
            return
        constant = slot.template.constant if isinstance(slot, _Slot) else None
        if constant is None:
            return
        within = "parameters" if recipe.body is None else "body"
        for refusal in refusals(recipe.endpoint, constant.strip(), _constants(tree)):
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
        found = build_schema(self._recipe.schema, self._complain)
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
            self._complain("schema", f"this is no valid JSON Schema at {quoted(where) or 'its root'}; correct it.")
        if in_place_repeats(schema) > MAX_SCHEMA_REPEATS:
            sentence = (
                "its anyOf, oneOf, allOf and $ref lead to so many combinations that no answer could be checked; name "
                "fewer alternatives."
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
        for name, item in schema["properties"].items():
            if isinstance(item, Mapping) and isinstance(item.get("enum"), list):
                found[prefix + name] = tuple(item["enum"])
            elif isinstance(item, Mapping) and item.get("type") == "boolean":
                found[prefix + name] = (True, False)
        return found


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


class _Split:
    """Takes a body's tree apart into constant JSON and slots."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._parts: list[Any] = []

    def body(self, tree: Mapping[str, Any]) -> _Body:
        model = tree.get("model")
        model = model if isinstance(model, _Slot) else None
        # Where a row decides what a member that counts is, or the model differs by row, each body is asked itself.
        known = (
            not any(_inserts(tree.get(name)) for name in FORMS)
            and not any(_varies(tree.get(name)) for name in RELEVANT - FORMS)
            and (model is None or model.template.constant is not None)
        )
        self._mapping(tree, root=True)
        expected = None
        if known:
            name = (model.template.constant or "").strip() if model else ""
            expected = expectation(self._endpoint, name, orjson.dumps(_skeleton(tree)))
        parts = tuple(self._merged())
        return _Body(parts, model, expected, _plain(parts, model))

    def _merged(self) -> list[Any]:
        merged: list[Any] = []
        for part in self._parts:
            if isinstance(part, bytes) and merged and isinstance(merged[-1], bytes):
                merged[-1] += part
            else:
                merged.append(part)
        return merged

    def _mapping(self, tree: Mapping[str, Any], *, root: bool = False) -> None:
        opening = b"{"
        for name, item in tree.items():
            self._parts += [opening, to_json(name), b":"]
            opening = b","
            if root and name == "model" and isinstance(item, _Slot):
                self._parts.append(_MODEL)
            else:
                self._value(item)
        self._parts.append(b"{}" if opening == b"{" else b"}")

    def _value(self, value: Any) -> None:
        if isinstance(value, _Slot):
            constant = value.template.constant
            self._parts.append(value if constant is None else to_json(constant))
        elif isinstance(value, Mapping):
            self._mapping(value)
        elif isinstance(value, list):
            opening = b"["
            for item in value:
                self._parts.append(opening)
                self._value(item)
                opening = b","
            self._parts.append(b"[]" if opening == b"[" else b"]")
        else:
            self._parts.append(to_json(value))


def _plain(parts: Sequence[Any], model: _Slot | None) -> _PlainBody | None:
    name = (model.template.constant or "").strip() if model else ""
    if model is not None and not name:
        return None
    form = b""
    columns: list[str] = []
    for part in parts:
        if part is _MODEL or isinstance(part, bytes):
            form += (part if isinstance(part, bytes) else to_json(name)).replace(b"%", b"%%")
            continue
        pieces = part.template.pieces
        if pieces is None:
            return None
        form += b'"'
        for piece, is_column in pieces:
            form += b"%b" if is_column else to_json(piece)[1:-1].replace(b"%", b"%%")
            columns += [piece] * is_column
        form += b'"'
    return _PlainBody(name, form, tuple(columns))


def _inserts(value: Any) -> bool:
    """Whether a row decides what kind of value this is, or how many there are."""
    return isinstance(value, _Slot) and value.template.expression is not None


def _varies(value: Any) -> bool:
    """Whether this depends on the row in any way."""
    if isinstance(value, _Slot):
        return value.template.constant is None
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return any(map(_varies, parts))


def _constants(value: Any) -> Any:
    """The body as all rows have it; what depends on the row is VARIES."""
    if isinstance(value, _Slot):
        return VARIES if value.template.constant is None else value.template.constant
    if isinstance(value, Mapping):
        return {name: _constants(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_constants(item) for item in value]
    return value


def _skeleton(value: Any) -> Any:
    """The body without any row's values: what its expectation follows from."""
    if isinstance(value, _Slot):
        return value.template.constant or ""
    if isinstance(value, Mapping):
        return {name: _skeleton(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_skeleton(item) for item in value]
    return value
