"""The placeholders of other languages, as in `{text}`: Dropbatch would send them as they are written.

A text without columns may hold any of these signs. So they only make a refusal clearer, or are refused if they name a
column of the drop.
"""

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

_NAME = r"([^\W\d]\w{0,60}(?: \w{1,30}){0,3})"

_SURE = tuple(
    re.compile(pattern % _NAME)
    for pattern in (
        r"(?<!\{)\$\{\s*%s\s*\}",
        r"(?<!\{)#\{\s*%s\s*\}",
        r"%%\(%s\)[sdrfgi]",
        r"(?<![\w\\{}$#^_])\{\s*%s\s*(?:[:!][^{}\s]{0,12})?\}(?![{}])",
        r"\[\[\s*%s\s*\]\]",
        r"(?<![%%\w])%%%s%%(?![%%\w])",
        r"<%%=?\s*%s\s*%%>",
    )
)
_MAYBE = tuple(re.compile(pattern % _NAME) for pattern in (r"<%s>", r"\[%s\](?!\()"))
"""Signs that may be meant literally: a tag in answers or examples, a reference in brackets."""


class Placeholder(NamedTuple):
    """A placeholder as it is written, and the name in it."""

    written: str
    name: str


def spot(text: str) -> Iterator[Placeholder]:
    """Yield texts that may be placeholders, the surest first."""
    for pattern in (*_SURE, *_MAYBE):
        for found in pattern.finditer(text):
            if not _ends(found, text):
                yield Placeholder(found[0], found[1])


def _ends(found: re.Match[str], text: str) -> bool:
    """Return whether this is a tag that has its end, as HTML's."""
    return f"</{found[1]}>" in text


def sure(text: str) -> dict[str, Placeholder]:
    """Return the placeholders that are certain if there is a column of their name, by that name."""
    found = (match for pattern in reversed(_SURE) for match in pattern.finditer(text))
    return {match[1]: Placeholder(match[0], match[1]) for match in found}


def unused(text: str, used: Collection[str]) -> dict[str, Placeholder]:
    """Return the placeholders in angle brackets by their names, without those of columns in `used`."""
    found = (match for match in _MAYBE[0].finditer(text) if not _ends(match, text))
    return {match[1]: Placeholder(match[0], match[1]) for match in found if match[1] not in used}
