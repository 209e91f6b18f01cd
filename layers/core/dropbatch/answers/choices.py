"""A choice: one of the answers in a response, as the recipe's columns."""

from collections.abc import Mapping, Sequence
from typing import Any

from dropbatch.answers.json_answers import EMPTY, SCHEMA_MISMATCH, Choice, JsonReader
from dropbatch.answers.raw_json import fragment
from dropbatch.domain.outcomes import Outcome
from dropbatch.json_encoding import to_json
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.time_limit import TimeLimit

_WORST_FIRST = (Outcome.ERROR, Outcome.REFUSED, Outcome.INVALID_ANSWER, Outcome.TRUNCATED, Outcome.OK)


class ChoiceReader:
    """The columns of one row's answers. `compiled` is None for a raw drop.

    `is_list` says that the row asked for a list of inputs, so that its columns hold lists, even of one.
    """

    def __init__(self, compiled: CompiledRecipe | None, limit: TimeLimit, *, is_list: bool) -> None:
        self._is_list = is_list
        self._json = JsonReader(compiled, limit)
        self.is_structured = compiled is not None and compiled.validator is not None

    def read_text(self, text: str, outcome: Outcome, code: str | None, last: str = "") -> Choice:
        """Return the choice for a text with the outcome ok, truncated or refused.

        `last` is the text of the last message, if there are several.
        """
        if self.is_structured:
            return self._json.read(text, last) if outcome is Outcome.OK else Choice(outcome, code, None)
        if outcome is Outcome.OK and not text.strip():
            return EMPTY
        return Choice(outcome, code, (text,) if text else None)

    def read_calls(self, calls: Sequence[Any]) -> Choice:
        """Return the choice for calls of functions that the model wants."""
        if self.is_structured:
            return SCHEMA_MISMATCH
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
