"""A choice: one of the answers in a response, as the recipe's columns. A text is held to the recipe's schema."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from dropbatch.answers.json_wrappings import unwrap_json
from dropbatch.answers.raw_json import DECODE_ERRORS, decode_members, exact_value, fragment
from dropbatch.domain.outcomes import Outcome
from dropbatch.json_encoding import to_json
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.time_limit import TimeLimit, TimeLimitError


class Choice(NamedTuple):
    """The outcome and the code of one answer, and the values of the answer's own columns."""

    outcome: Outcome
    code: str | None
    values: tuple[Any, ...] | None


EMPTY = Choice(Outcome.INVALID_ANSWER, "empty", None)
_NOT_JSON = Choice(Outcome.INVALID_ANSWER, "not_json", None)
_SCHEMA_MISMATCH = Choice(Outcome.INVALID_ANSWER, "schema_mismatch", None)
_TOO_SLOW = Choice(Outcome.INVALID_ANSWER, "too_slow", None)

_WORST_FIRST = (Outcome.ERROR, Outcome.REFUSED, Outcome.INVALID_ANSWER, Outcome.TRUNCATED, Outcome.OK)


class ChoiceReader:
    """The columns of one row's answers. `compiled` is None for a raw drop.

    `is_list` says that the row asked for a list of inputs, so that its columns hold lists, even of one.
    """

    def __init__(self, compiled: CompiledRecipe | None, limit: TimeLimit, *, is_list: bool) -> None:
        self._limit = limit
        self._is_list = is_list
        self._validator = compiled.validator if compiled else None
        self._properties = (compiled.properties if compiled else None) or ()
        self.is_structured = self._validator is not None

    def read_text(self, text: str, outcome: Outcome, code: str | None, last: str = "") -> Choice:
        """Return the choice for a text with the outcome ok, truncated or refused.

        `last` is the text of the last message, if there are several.
        """
        if self.is_structured:
            return self._read_json(text, last) if outcome is Outcome.OK else Choice(outcome, code, None)
        if outcome is Outcome.OK and not text.strip():
            return EMPTY
        return Choice(outcome, code, (text,) if text else None)

    def _read_json(self, text: str, last: str) -> Choice:
        """Return the choice for a text that should be JSON of the recipe's schema.

        If several messages together are not JSON, the last may be it. Wrappings around the whole of the JSON are
        removed if it then fits the schema; with any other text around it, it is invalid.
        """
        if not text.strip():
            return EMPTY
        choice, several = self._validated(text), bool(last.strip()) and last != text
        if choice == _NOT_JSON and several:
            choice = self._validated(last)
        if choice != _NOT_JSON:
            return choice
        for wrapped in (text, last) if several else (text,):
            inner = unwrap_json(wrapped)
            found = _NOT_JSON if inner is None else self._validated(inner)
            if found.outcome is Outcome.OK or found.code == _TOO_SLOW.code:
                return found
        return choice

    def _validated(self, text: str) -> Choice:
        """Return the choice for a text that is checked against the recipe's schema as it is."""
        encoded = text.encode()
        try:
            parsed = msgspec.json.decode(encoded)
        except DECODE_ERRORS:
            return _NOT_JSON
        if not isinstance(parsed, dict):
            return _SCHEMA_MISMATCH
        try:
            fits = self._validator is None or self._limit.run(self._validator.is_valid, parsed)
        except TimeLimitError:
            return _TOO_SLOW
        except Exception:  # noqa: BLE001  # a pattern that Python cannot read; OpenAI has checked the answer by it
            fits = True
        if not fits:
            return _SCHEMA_MISMATCH
        exact = decode_members(encoded)
        values = tuple(exact_value(exact[name]) if name in exact else None for name in self._properties)
        return Choice(Outcome.OK, None, values)

    def read_calls(self, calls: Sequence[Any]) -> Choice:
        """Return the choice for calls of functions that the model wants."""
        if self.is_structured:
            return _SCHEMA_MISMATCH
        return Choice(Outcome.OK, None, (fragment(to_json(calls)),))

    def read_media(self, items: Sequence[Mapping[str, Any]], data: str) -> Choice:
        """Return the choice for images or speech without a text: their other members, without their `data`.

        An image has megabytes, too much for a table's cell; responses.jsonl has them all.
        """
        if self.is_structured:
            return EMPTY
        described = [{name: value for name, value in item.items() if name != data} for item in items]
        return Choice(Outcome.OK, None, (fragment(to_json(described)),))

    def read_lists(self, *columns: Sequence[Any]) -> Choice:
        """Return the choice for values that came one for each input of the row, column by column."""
        return Choice(Outcome.OK, None, tuple(column[0] if self._is_single(column) else column for column in columns))

    def combine(self, choices: Sequence[Choice]) -> Choice:
        """Return one choice for several answers to a request: the worst outcome decides, the columns hold arrays."""
        if not choices:
            return EMPTY
        if self._is_single(choices):
            return choices[0]
        worst = min(choices, key=lambda choice: _WORST_FIRST.index(choice.outcome))
        width = max(len(choice.values or ()) for choice in choices)
        if not width:
            return Choice(worst.outcome, worst.code, None)
        rows = [choice.values or (None,) * width for choice in choices]
        return Choice(worst.outcome, worst.code, tuple([row[column] for row in rows] for column in range(width)))

    def _is_single(self, found: Sequence[Any]) -> bool:
        return len(found) == 1 and not self._is_list
