"""The form of an answer, guessed from the question that a person asks: a name for its column, and its type.

Questions in English and German are understood. Of any other question, the answer is a text.
"""

import re
import unicodedata
from collections.abc import Collection, Sequence
from typing import NamedTuple

MAX_NAME = 40
"""The maximum number of letters in the name of a guessed column."""

MAX_VALUES = 50
MAX_VALUE = 60
"""The maximum number of values that are allowed as an answer, and of letters in each: more is a description."""

MAX_SCALE = 20
"""A scale of more numbers is an integer, and not each number."""

_MAX_EXAMINED = 2_000
"""How many letters at the end of a question are examined: a long text ends in the question."""

_WORD = re.compile(r"\w+")

_YES_OR_NO = frozenset(
    _WORD.findall(
        "is are was were does do did has have had can could should would will may might must ist sind war waren hat "
        "haben hatte kann können könnte soll sollte wird würde will möchte darf muss gibt"
    )
)
_WHICH = frozenset(_WORD.findall("which what welche welcher welches welchen was"))
_HOW_MANY = re.compile(r"(?:how many|wie viele|wieviele|count)\b", re.IGNORECASE)
_HOW_MUCH = re.compile(r"(?:how much|wie viel|wieviel)\b", re.IGNORECASE)
_SCALE = re.compile(r"(?<![\d.,-])(\d{1,6})\s*(?:to|and|bis|und|-|–|…)\s*(\d{1,6})(?![\d.,-])", re.IGNORECASE)
_ON_A_SCALE = re.compile(r"\b(?:scale|skala|from|von|between|zwischen|rate|score|bewerte)\b", re.IGNORECASE)
_OR = re.compile(r"\s*,?\s+(?:or|oder)\s+", re.IGNORECASE)
_COMMA = re.compile(r"\s*[,;/|]\s*")

_FILLERS = frozenset(
    _WORD.findall(
        "a an the this that it its there any some of in on at to for by with from about as and or not be been being he "
        "she they them their his her you your we our i my me if so very really one ones der die das den dem des ein "
        "eine einen einem einer es er sie ihr ihre sein seine von im in am an zu zum zur für mit bei über auf aus und "
        "oder nicht sehr text row zeile per pro"
    )
)
"""Words that name no column."""


class GuessedColumn(NamedTuple):
    """A column of the answers: `type` is one of the schema's, or the allowed values."""

    name: str
    type: str | Sequence[str | int]


def guess_column(question: str, taken: Collection[str] = ()) -> GuessedColumn:
    """Return the column that answers a question, under a name that is not `taken`."""
    text = " ".join(unicodedata.normalize("NFC", question)[-_MAX_EXAMINED:].split())
    sentence = re.split(r"(?<=[.!?])\s+(?=\S)", text)[-1].rstrip("?!. ")
    words = _WORD.findall(sentence)
    name, kind = _guess(sentence, words)
    return GuessedColumn(free_name(name, taken), kind)


def _guess(sentence: str, words: Sequence[str]) -> tuple[str, str | Sequence[str | int]]:
    first = words[0].casefold() if words else ""
    scale = _scale(sentence)
    if scale is not None:
        return _name(_subject(sentence, words)), scale
    values, asked = _values(sentence)
    if values is not None:
        return _name(_subject(asked, _WORD.findall(asked))), values
    for pattern, kind in ((_HOW_MANY, "integer"), (_HOW_MUCH, "number")):
        found = pattern.match(sentence)
        if found is not None:
            rest = _WORD.findall(sentence[found.end() :])
            return _name(_content(rest)[:1] if kind == "integer" else _content(rest)[-1:]), kind
    if first in _YES_OR_NO:
        return _name(_content(words[1:])[-1:]), "boolean"
    return "answer", "string"


def _scale(sentence: str) -> str | Sequence[int] | None:
    """Return the numbers of a scale, as in "from 1 to 5"; None if the sentence has none."""
    found = _SCALE.search(sentence)
    if found is None or not _ON_A_SCALE.search(sentence):
        return None
    first, last = int(found[1]), int(found[2])
    if first >= last:
        return None
    return list(range(first, last + 1)) if last - first < MAX_SCALE else "integer"


def _values(sentence: str) -> tuple[list[str | int] | None, str]:
    """Return the answers that a sentence offers, as in "Which one: a, b or c", and what is before them."""
    asked, colon, listed = sentence.rpartition(":")
    if not colon:
        head, *tail = _OR.split(sentence)
        if len(tail) != 1:
            return None, sentence
        *before, last = _COMMA.split(head)
        if not before:
            before, last = [], head
        start = (before or [last])[0].rpartition(" ")
        if not start[1]:
            return None, sentence
        asked, listed = start[0], ", ".join([start[2], *before[1:], *([last] if before else []), tail[0]])
        if any(" " in value for value in _COMMA.split(listed)):
            return None, sentence
    found = [value.strip(" \"'“”„»«()[]") for value in _COMMA.split(_OR.sub(", ", listed.strip()))]
    values = list(dict.fromkeys(value for value in found if value))
    fits = 2 <= len(values) <= MAX_VALUES and all(len(value) <= MAX_VALUE for value in values)
    if not fits or not asked.strip():
        return None, sentence
    if all(re.fullmatch(r"0|[1-9]\d{0,8}", value) for value in values):
        return [int(value) for value in values], asked
    return [*values], asked


def _subject(sentence: str, words: Sequence[str]) -> list[str]:
    """Return the word that names what is asked for: the one after "which", or the last one with a meaning."""
    if words and words[0].casefold() in _WHICH:
        following = _content(words[1:])
        return following[:1]
    how = re.match(r"(?:how|wie)\s+(\w+)", sentence, re.IGNORECASE)
    if how is not None and how[1].casefold() not in _YES_OR_NO:
        return [how[1]]
    return [word for word in _content(words) if word.casefold() not in ("scale", "skala")][-1:]


def _content(words: Sequence[str]) -> list[str]:
    return [word for word in words if word.casefold() not in _FILLERS | _YES_OR_NO and not word.isdecimal()]


def _name(words: Sequence[str]) -> str:
    """Return a name of small letters, digits and underscores."""
    text = "_".join(words).replace("ß", "ss")
    for umlaut, letters in zip("äöüÄÖÜ", ("ae", "oe", "ue", "Ae", "Oe", "Ue"), strict=True):
        text = text.replace(umlaut, letters)
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:MAX_NAME].rstrip("_")
    return name if name[:1].isalpha() else "answer"


def free_name(name: str, taken: Collection[str]) -> str:
    """Return the name, or one with a number after it if it is taken."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free
