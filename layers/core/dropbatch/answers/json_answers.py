"""Answers that should be JSON of the recipe's schema: which of several messages counts, and what is wrong with it."""

from typing import Any, NamedTuple

import msgspec

from dropbatch.answers.json_wrappings import unwrap_json
from dropbatch.answers.raw_json import DECODE_ERRORS, decode_members, exact_value
from dropbatch.domain.outcomes import Outcome
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.time_limit import TimeLimit, TimeLimitError


class Choice(NamedTuple):
    """The outcome and the code of one answer, and the values of the answer's own columns."""

    outcome: Outcome
    code: str | None
    values: tuple[Any, ...] | None


EMPTY = Choice(Outcome.INVALID_ANSWER, "empty", None)
_NOT_JSON = Choice(Outcome.INVALID_ANSWER, "not_json", None)
SCHEMA_MISMATCH = Choice(Outcome.INVALID_ANSWER, "schema_mismatch", None)
_TOO_SLOW = Choice(Outcome.INVALID_ANSWER, "too_slow", None)


class JsonReader:
    """The columns of an answer that is JSON. `compiled` is None for a raw drop: it has no schema."""

    def __init__(self, compiled: CompiledRecipe | None, limit: TimeLimit) -> None:
        self._limit = limit
        self._validator = compiled.validator if compiled else None
        self._properties = (compiled.properties if compiled else None) or ()

    def read(self, text: str, last: str) -> Choice:
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
            return SCHEMA_MISMATCH
        try:
            fits = self._validator is None or self._limit.run(self._validator.is_valid, parsed)
        except TimeLimitError:
            return _TOO_SLOW
        except Exception:  # noqa: BLE001  # a pattern that Python cannot read; OpenAI has checked the answer by it
            fits = True
        if not fits:
            return SCHEMA_MISMATCH
        exact = decode_members(encoded)
        values = tuple(exact_value(exact[name]) if name in exact else None for name in self._properties)
        return Choice(Outcome.OK, None, values)
