"""Known answers: which columns of the answers are compared with what, and when two values are the same answer.

Known answers are written by people, in a file or in a recipe. So values are compared by their meaning: `Yes` is true,
`4.0` is 4, and `Positive` is the category `positive`.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from dropbatch.json_encoding import to_json
from dropbatch.recipes.key_values import TRUTHS
from dropbatch.recipes.quoted_names import listed, quoted
from dropbatch.recipes.similar_names import nearest

Complain = Callable[[str, str], None]
"""Takes the key and the sentence of a problem."""

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,3})?", re.ASCII)


def by_answer_column(written: Any, key: str, columns: Sequence[str], prefix: str, complain: Complain) -> dict[str, Any]:
    """Return what is expected, by the column of the answers that it is compared with.

    `written` is a mapping of such columns, with or without their prefix, or one value for the only column.
    """
    if not isinstance(written, Mapping):
        if len(columns) == 1:
            return {columns[0]: written}
        advice = f"write which one, as in {{{columns[0].removeprefix(prefix)}: …}}" if columns else "leave it out"
        complain(key, f"the answers have {len(columns)} columns ({listed(columns)}); {advice}.")
        return {}
    found: dict[str, Any] = {}
    for name, value in written.items():
        column = name if name in columns else prefix + name
        if column in columns:
            found[column] = value
            continue
        like = nearest(name, [*columns, *(each.removeprefix(prefix) for each in columns)])
        advice = f"did you mean {quoted(like)}?" if like else f"they are {listed(columns)}."
        complain(f"{key}.{name}", f"the answers have no column {quoted(name)!r}; {advice}")
    return found


class Comparer:
    """Gives equal texts to values that are the same answer. `allowed` are a column's values if it has only a few."""

    def __init__(self, type_words: str, allowed: Sequence[Any] = ()) -> None:
        self._type = type_words.removesuffix(" or null").removeprefix("null or ")
        self._allowed = {text_of(value).casefold(): text_of(value) for value in allowed}

    def canonical(self, value: Any) -> str:
        """Return the text that stands for a value and for all that mean the same; empty if there is no value."""
        text = text_of(value)
        folded = text.casefold()
        if not text:
            return ""
        if self._type == "boolean":
            return TRUTHS.get(folded, folded)
        if self._type in ("integer", "number"):
            return _number(text)
        if self._allowed:
            return self._allowed.get(folded, folded)
        if self._type.startswith(("list", "object")):
            return _json(text)
        return text


def text_of(value: Any) -> str:
    """Return a value as a file of texts has it, without white space around it."""
    text = "" if value is None else value if isinstance(value, str) else to_json(value).decode()
    return unicodedata.normalize("NFC", text).strip()


def _number(text: str) -> str:
    return format(Decimal(text).normalize() + 0, "f") if _NUMBER.fullmatch(text) else text


def _json(text: str) -> str:
    try:
        return json.dumps(json.loads(text), sort_keys=True, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
