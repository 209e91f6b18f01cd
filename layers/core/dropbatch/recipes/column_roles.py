"""The roles of a file's columns, guessed from its first rows: which one is the text, and which one labels the rows."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

MAX_EXAMINED = 100
"""How many rows are examined."""

MAX_LENGTH = 200
"""A column with a longer name has no role: nobody could read the recipe."""

_ID_NAME = re.compile(r"(?:^|[\W_]|(?<=[a-z]))(?:id|ID|Id|key|uuid|guid|nr|no|number|code|sku|ref)$")
_TEXT_NAME = re.compile(
    r"text|comment|review|message|body|content|description|kommentar|nachricht|beschreibung|answer|feedback|title|name",
    re.IGNORECASE,
)
_LABEL_NAME = re.compile(r"label|expect|gold|truth|correct|categor|class|sentiment|antwort|richtig", re.IGNORECASE)
_WORDS = re.compile(r"[^\W\d_]+\S*\s+\S*[^\W\d_]")
"""Two words: a date, a number and an address have none."""


def columns_of(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the columns of a file: those of its header, or else those that its rows have, in order."""
    return list(columns) or list(dict.fromkeys(name for row in rows for name in row))


def can_be_named(name: str) -> bool:
    """Return whether a recipe can have this name of a column: UTF-8 knows no halves of characters."""
    return len(name) <= MAX_LENGTH and not re.search("[\ud800-\udfff]", name)


def find_text(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the column with the longest free text on average; None if no column can be named in every row."""
    examined = rows[:MAX_EXAMINED]
    usable = [name for name in columns if can_be_named(name) and all(name in row for row in examined)]
    identity = find_id(columns, rows)
    for measure in (_free_text_of, _text_of, _sounds_like_text):
        scores = {name: _average(measure, name, examined) for name in usable if name != identity}
        best = max(scores, key=scores.__getitem__, default=None)
        if best is not None and scores[best]:
            return best
    return next((name for name in usable if name != identity), next(iter(usable), None))


def find_id(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the column that labels the rows: its name says so, and its values differ; None if there is none."""
    examined = rows[:MAX_EXAMINED]
    found = [name for name in columns if can_be_named(name) and _ID_NAME.search(name) and _labels(name, examined)]
    return min(found, key=len, default=None)


def find_labels(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], others: Sequence[str | None]) -> str | None:
    """Return a column, none of the `others`, that may have known answers: its values are short, and occur again.

    One whose name says so comes first, and then the last one.
    """
    examined = rows[:MAX_EXAMINED]
    found = [name for name in columns if name not in others and can_be_named(name) and _repeats(name, examined)]
    return next(filter(_LABEL_NAME.search, found), found[-1] if found else None)


def _repeats(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    values = [row.get(name) for row in rows]
    return bool(values) and all(map(_is_short, values)) and len(set(map(repr, values))) <= len(values) / 2


def _labels(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    values = [row.get(name) for row in rows]
    if not all(isinstance(value, str | int) and str(value).strip() and len(str(value)) <= 100 for value in values):
        return False
    return len(set(map(str, values))) == len(values)


def _is_short(value: Any) -> bool:
    return isinstance(value, str | int | float | bool) and 0 < len(str(value).strip()) <= 40


def _average(measure: Callable[[str, Any], float], name: str, rows: Sequence[Mapping[str, Any]]) -> float:
    scores = [measure(name, row.get(name)) for row in rows] or [measure(name, None)]
    return sum(scores) / len(scores)


def _free_text_of(_name: str, value: Any) -> float:
    return len(value) if isinstance(value, str) and _WORDS.search(value[:1_000]) else 0


def _text_of(_name: str, value: Any) -> float:
    return len(value.strip()) if isinstance(value, str) and not re.fullmatch(r"[\W\d_]*", value[:1_000]) else 0


def _sounds_like_text(name: str, _value: Any) -> float:
    return bool(_TEXT_NAME.search(name))
