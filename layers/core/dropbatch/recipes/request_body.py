"""The request's body, taken apart: JSON that is the same for every row, and the templates in between.

A row only fills the places in. Most bodies are JSON around columns that hold texts; `fast_body` fills those, a thousand
rows at once.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import orjson

from dropbatch import fast_paths
from dropbatch.batch_api.endpoints import CHAT, RESPONSES
from dropbatch.batch_api.questions import content_texts, flaw_of, text_groups
from dropbatch.batch_api.request import FORMS, RELEVANT, RequestEstimate, expectation, is_model_name
from dropbatch.domain.errors import RowRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.json_encoding import sound, to_json
from dropbatch.recipes.explaining import explained, types_of
from dropbatch.recipes.fast_body import FastBody
from dropbatch.recipes.file_values import FILE
from dropbatch.recipes.naming import MAX_SHOWN, nearest, quoted
from dropbatch.recipes.suggestions import skip_line, without_blanks
from dropbatch.recipes.template_errors import TemplateFailedError, TemplateTooLargeError, UndefinedNameError
from dropbatch.recipes.templates import DOUBLE, Template, file_expression, spelling
from dropbatch.recipes.time_limit import TimeLimitError

ROW_SECONDS = 2
"""How long the templates of one row may take, which mostly take 50 µs."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A template in its place: the recipe's key, and the file and line where its text stands."""

    template: Template
    key: str
    path: str
    line: int | None
    quote: str = DOUBLE  # what the text stands within

    @property
    def name(self) -> str:
        """The last part of its key, as it stands in the recipe."""
        return self.key.rpartition(".")[2].partition("[")[0]

    def text(self, values: Mapping[str, Any]) -> str:
        return self._checked(self.template.render, values)  # type: ignore[no-any-return]  # render gives text

    def json(self, values: Mapping[str, Any]) -> bytes:
        value = self._checked(self.template.value, values)
        try:
            return to_json(value)
        except (TypeError, ValueError, RecursionError):
            raise self._failed("value that is not JSON", values) from None

    def _checked(self, render: Callable[[Mapping[str, Any]], Any], values: Mapping[str, Any]) -> Any:
        try:
            return render(values)
        except UndefinedNameError as undefined:
            raise RowRejectedError(self._undefined(undefined, values)) from None
        except TemplateTooLargeError:
            sentence = "the template makes a text or a list too large to be sent for this row; make less of it."
            raise self._rejected("template_too_large", sentence) from None
        except TemplateFailedError as failure:
            raise self._failed(failure.kind, values) from None
        except TimeLimitError as late:
            if late.total:
                raise
            sentence = f"the template takes longer than {ROW_SECONDS} s for this row; let it loop over less."
            raise self._rejected("template_too_slow", sentence) from None

    def _undefined(self, missing: UndefinedNameError, values: Mapping[str, Any]) -> Problem:
        if missing.name is None:
            sentence = "the template uses something that the row does not have; give it a default, or correct the row."
        elif missing.within is None:
            advice = spelling(missing.name, values, self.template.file, self.quote)
            sentence = f"the row has no {quoted(missing.name)!r}; {advice}"
        elif FILE in values and missing.name in self.template.of_file:
            written = file_expression(missing.name)
            sentence = (
                f"the row has its own column 'file', so {written} means a part of its value, which has none; rename "
                "the column to use the dropped file."
            )
        else:
            like = nearest(missing.name, missing.within)
            advice = f"did you mean {quoted(like)}?" if like else "give it a default, or correct the row."
            sentence = f"the value that should have {quoted(missing.name)!r} has none; {advice}"
        column = None if missing.name is None else sound(missing.name)
        where = f"Key {quoted(self.key)} of the recipe"
        return Problem("undefined_name", f"{where}: {sentence}", column=column, key=self.key)

    def _failed(self, kind: str, values: Mapping[str, Any]) -> RowRejectedError:
        said = explained(self.template, values, self.quote) if kind == "TypeError" else None
        if said is None:
            types = types_of(self.template, values)
            advice = "correct the template or the row" + (f"; {types}" if types else "")
            said = f"the template cannot be rendered for this row ({kind}); {advice}."
        return self._rejected("template_failed", said)

    def _rejected(self, code: str, sentence: str) -> RowRejectedError:
        return RowRejectedError(Problem(code, f"Key {quoted(self.key)} of the recipe: {sentence}", key=self.key))


_MODEL = object()
"""Stands in the body's parts where the model goes: it is rendered once, for the body and beside it."""


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body in parts: JSON, slots, and the model's place.

    `fast` fills most rows if all slots are no more than columns and texts, as they mostly are. `questions` are what a
    row must not leave blank.
    """

    parts: tuple[Any, ...]
    model: Slot | None
    expectation: RequestEstimate | None
    fast: FastBody | None
    questions: tuple["Question", ...]

    def fill(self, values: Mapping[str, Any]) -> tuple[str, bytes]:
        """The model and the body for a row."""
        if self.fast is not None:
            body = self.fast.fill(values)
            if body is not None:
                return self.fast.model, body
        model = self._model(values) if self.model else ""
        filled = []
        for part in self.parts:
            if type(part) is bytes:
                filled.append(part)
            elif part is _MODEL:
                filled.append(to_json(model))
            else:
                filled.append(part.json(values))
        for question in self.questions:
            if question.is_blank(filled):
                raise RowRejectedError(question.problem)
        return model, b"".join(filled)

    def _model(self, values: Mapping[str, Any]) -> str:
        assert self.model is not None  # noqa: S101  # asked by the only caller; tells the type checker
        constant = self.model.template.constant
        name = (constant if constant is not None else self.model.text(values)).strip()
        if not name:
            sentence = f"Key {self.model.key} of the recipe: the model is empty for this row; name one in the row."
            raise RowRejectedError(Problem("empty_model", sentence, key=self.model.key))
        if not is_model_name(name):
            sentence = (
                f"Key {self.model.key} of the recipe: for this row it does not give a name of a model; {MODEL_NAME}"
            )
            raise RowRejectedError(Problem("invalid_model", sentence, key=self.model.key))
        return name


@dataclass(frozen=True, slots=True)
class Question:
    """Templates of which at least one must render something: their places in the body's parts, and in the body."""

    asked: tuple[tuple[int, Slot, tuple[str | int, ...]], ...]
    endpoint: str
    problem: Problem

    def is_blank(self, filled: Sequence[bytes]) -> bool:
        """Whether all of them have rendered nothing, of the body's parts as they are filled."""
        return all(self._says_nothing(filled[place], slot, path) for place, slot, path in self.asked)

    def _says_nothing(self, written: bytes, slot: Slot, path: tuple[str | int, ...]) -> bool:
        if slot.template.expression is None:
            return written[1:2] in _MAYBE_BLANK and not orjson.loads(written).strip()
        value = json.loads(written)  # a row's integers may be of any size
        if len(path) == 1:
            return flaw_of(self.endpoint, {str(path[0]): value}) is not None
        texts = content_texts(value, ())
        return texts is not None and not any(text.strip() for _, text in texts)


_MAYBE_BLANK = frozenset(bytes([code]) for code in (*b'"\\ \x7f', *range(0x80, 0x100)))
"""How a text of JSON may begin, after its quote, that is nothing but white space."""


MODEL_NAME = "a name has at most 256 letters, digits and signs of . _ : / @ -, as in gpt-6-luna."


class Split:
    """Takes a body's tree apart into constant JSON and slots. `when` is the recipe's own, for what is advised."""

    def __init__(self, endpoint: str, when: str | None = None) -> None:
        self._endpoint = endpoint
        self._when = when
        self._parts: list[Any] = []

    def body(self, tree: Mapping[str, Any], *, is_checked: bool = False) -> Body:
        """Return the body; one that `is_checked` is filled for rows that are known to ask something."""
        model = tree.get("model")
        model = model if isinstance(model, Slot) else None
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
        questions = () if is_checked else tuple(self._questions(tree, parts))
        fast = _fast_body(parts, model, questions) if fast_paths.enabled() else None
        return Body(parts, model, expected, fast, questions)

    def _questions(self, tree: Mapping[str, Any], parts: Sequence[Any]) -> Iterator[Question]:
        places = {id(part): place for place, part in enumerate(parts)}
        for group in text_groups(self._endpoint, with_constants(tree), Slot):
            slots = [(slot, path) for path, slot in group if isinstance(slot, Slot)]
            is_sure = any(not slot.template.may_be_blank for slot, _ in slots)
            if is_sure or any(isinstance(text, str) and text.strip() for _, text in group):
                continue
            asked = tuple((places[id(slot)], slot, path) for slot, path in slots)
            if asked:
                yield Question(asked, self._endpoint, self._empty([slot for slot, _ in slots]))

    def _empty(self, slots: Sequence[Slot]) -> Problem:
        last = slots[-1]
        columns = list(dict.fromkeys(column for slot in slots for column in slot.template.columns))
        fill = f"fill {'the column ' + quoted(columns[0], 60) if len(columns) == 1 else 'its columns'}"
        advice = f"{fill}, or leave such rows out with {skip_line([slot.template for slot in slots], self._when)}"
        is_list = last.template.expression is not None and self._endpoint not in (CHAT, RESPONSES)
        if is_list and len(columns) == 1 and len(columns[0]) <= MAX_SHOWN:
            advice += f", and empty texts within a list with {last.name}: {without_blanks(columns[0])}"
        sentence = f"Key {quoted(last.key)} of the recipe: what is asked is empty for this row; {advice}."
        return Problem("empty_prompt", sentence, key=last.key)

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
            if root and name == "model" and isinstance(item, Slot):
                self._parts.append(_MODEL)
            else:
                self._value(item)
        self._parts.append(b"{}" if opening == b"{" else b"}")

    def _value(self, value: Any) -> None:
        if isinstance(value, Slot):
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


def with_constants(value: Any, varies: Any = None) -> Any:
    """Return a body's tree with texts for the templates that are the same for every row.

    All others stay, or are `varies` if that is given.
    """
    if isinstance(value, Slot):
        constant = value.template.constant
        return constant if constant is not None else value if varies is None else varies
    if isinstance(value, Mapping):
        return {name: with_constants(item, varies) for name, item in value.items()}
    if isinstance(value, list):
        return [with_constants(item, varies) for item in value]
    return value


def _fast_body(parts: Sequence[Any], model: Slot | None, questions: Sequence[Question]) -> FastBody | None:
    """Return the fast path for a body of columns and texts; None if it is more than that."""
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
    asked = [[slot.template.columns for _, slot, _ in question.asked] for question in questions]
    return FastBody(name, form, tuple(columns), tuple(tuple(chain.from_iterable(each)) for each in asked))


def _inserts(value: Any) -> bool:
    """Whether a row decides what kind of value this is, or how many there are."""
    return isinstance(value, Slot) and value.template.expression is not None


def _varies(value: Any) -> bool:
    """Whether this depends on the row in any way."""
    if isinstance(value, Slot):
        return value.template.constant is None
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return any(map(_varies, parts))


def _skeleton(value: Any) -> Any:
    """The body without any row's values: what its expectation follows from."""
    if isinstance(value, Slot):
        return value.template.constant or ""
    if isinstance(value, Mapping):
        return {name: _skeleton(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_skeleton(item) for item in value]
    return value
