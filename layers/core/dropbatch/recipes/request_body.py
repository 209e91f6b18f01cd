"""The body of a request, in parts: JSON that is the same for every row, and the templates in between.

A row only fills in the templates.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from dropbatch import fast_paths
from dropbatch.batch_api.endpoints import endpoint_at
from dropbatch.batch_api.estimates import ESTIMATED_MEMBERS, LISTABLE_MEMBERS, RequestEstimate, estimate_request
from dropbatch.batch_api.models import EXAMPLE_MODEL, MODEL_NAME_RULE, is_model_name
from dropbatch.batch_api.questions import content_texts, flaw_of, text_groups
from dropbatch.batch_api.token_estimates import ROW_MEMBERS, TOKEN_MEMBERS, TokenEstimate, estimate_tokens
from dropbatch.domain.errors import RowRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.json_encoding import to_json
from dropbatch.recipes.fast_body import PlainBody, plain_body
from dropbatch.recipes.quoted_names import MAX_SHOWN, quoted
from dropbatch.recipes.request_tree import decides_any_form, decides_form, varies, with_constants
from dropbatch.recipes.slots import Slot
from dropbatch.recipes.suggestions import suggest_list, suggest_when

MODEL_NAME_ADVICE = f"{MODEL_NAME_RULE}, as in {EXAMPLE_MODEL}."

_MODEL = object()
"""The place of the model in the body's parts: the model is rendered once, for the body and beside it."""


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body in parts: JSON, slots, and the model's place.

    `plain` is the fast path to it, if all slots are only columns and texts. `questions` must not be blank for a row.
    """

    parts: tuple[Any, ...]
    model: Slot | None
    estimate: RequestEstimate | None
    plain: PlainBody | None
    questions: tuple["Question", ...]
    expected: TokenEstimate | None = None  # None if it depends on the row

    def fill(self, values: Mapping[str, Any]) -> tuple[str, bytes]:
        """Return the model and the body for a row; raise RowRejectedError if there is none."""
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
        for question in self.questions:
            if question.is_blank(filled):
                raise RowRejectedError(question.problem)
        return model, b"".join(filled)

    def _model(self, values: Mapping[str, Any]) -> str:
        assert self.model is not None  # noqa: S101  # the only caller has checked it
        constant = self.model.template.constant
        name = (constant if constant is not None else self.model.text(values)).strip()
        if not name:
            sentence = f"Key {self.model.key} of the recipe: the model is empty for this row; name one in the row."
            raise RowRejectedError(Problem("empty_model", sentence, key=self.model.key))
        if not is_model_name(name):
            sentence = f"for this row it does not give a name of a model; {MODEL_NAME_ADVICE}"
            message = f"Key {self.model.key} of the recipe: {sentence}"
            raise RowRejectedError(Problem("invalid_model", message, key=self.model.key))
        return name


@dataclass(frozen=True, slots=True)
class Question:
    """Templates of which at least one must not be blank: their places in the body's parts, and in the body."""

    asked: tuple[tuple[int, Slot, tuple[str | int, ...]], ...]
    endpoint: str
    problem: Problem

    def is_blank(self, filled: Sequence[bytes]) -> bool:
        """Return whether all of them are blank in the parts of a filled body."""
        return all(self._is_blank_text(filled[place], slot, path) for place, slot, path in self.asked)

    def _is_blank_text(self, written: bytes, slot: Slot, path: tuple[str | int, ...]) -> bool:
        if slot.template.expression is None:
            return written[1:2] in _MAYBE_BLANK and not orjson.loads(written).strip()
        value = json.loads(written)  # a row's integers may be of any size
        if len(path) == 1:
            return flaw_of(self.endpoint, {str(path[0]): value}) is not None
        texts = content_texts(value, ())
        return texts is not None and not any(text.strip() for _, text in texts)


_MAYBE_BLANK = frozenset(bytes([code]) for code in (*b'"\\ \x7f', *range(0x80, 0x100)))
"""The bytes with which a text of JSON may begin, after its quote, that is nothing but white space."""


class BodySplitter:
    """Splits a body's tree into constant JSON and slots.

    `when` is the recipe's own, for the advice in problems. `unread_bytes` are those that the model does not read.
    """

    def __init__(self, endpoint: str, when: str | None = None, unread_bytes: int = 0) -> None:
        self._endpoint = endpoint
        self._when = when
        self._unread_bytes = unread_bytes
        self._parts: list[Any] = []

    def split(self, tree: Mapping[str, Any], *, is_checked: bool = False) -> Body:
        """Return the body; one that `is_checked` is filled for rows that are known to have a question."""
        model = tree.get("model")
        model = model if isinstance(model, Slot) else None
        # If a row decides the form of a member that counts, or the model, each body is estimated on its own.
        known = (
            not any(decides_form(tree.get(name)) for name in LISTABLE_MEMBERS)
            and not any(varies(tree.get(name)) for name in ESTIMATED_MEMBERS - LISTABLE_MEMBERS)
            and (model is None or model.template.constant is not None)
        )
        self._mapping(tree, root=True)
        estimate = expected = None
        if known:
            name = (model.template.constant or "").strip() if model else ""
            constant = orjson.dumps(with_constants(tree, ""))
            estimate = replace(estimate_request(self._endpoint, name, constant), unread_bytes=self._unread_bytes)
            expected = self._expected(tree, name, constant)
        parts = tuple(self._merged())
        questions = () if is_checked else tuple(self._questions(tree, parts))
        plain = _plain(parts, model, questions) if fast_paths.enabled() else None
        return Body(parts, model, estimate, plain, questions, expected)

    def _expected(self, tree: Mapping[str, Any], model: str, constant: bytes) -> TokenEstimate | None:
        """Return the estimate of the tokens of all requests; None if a row decides more than the length of texts."""
        if any(varies(tree.get(name)) for name in TOKEN_MEMBERS - ROW_MEMBERS):
            return None
        if any(decides_any_form(tree.get(name)) for name in ROW_MEMBERS):
            return None
        expected = estimate_tokens(self._endpoint, model, constant, self._unread_bytes)
        return None if expected.has_media else expected

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
        advice = f"{fill}, or leave such rows out with {suggest_when([slot.template for slot in slots], self._when)}"
        is_list = last.template.expression is not None and not endpoint_at(self._endpoint).is_conversation
        if is_list and len(columns) == 1 and len(columns[0]) <= MAX_SHOWN:
            advice += f", and empty texts within a list with {last.name}: {suggest_list(columns[0])}"
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


def _plain(parts: Sequence[Any], model: Slot | None, questions: Sequence[Question]) -> PlainBody | None:
    name = (model.template.constant or "").strip() if model else ""
    if model is not None and not name:
        return None
    with_model = [to_json(name) if part is _MODEL else part for part in parts]
    return plain_body(name, with_model, [[slot for _, slot, _ in question.asked] for question in questions])
