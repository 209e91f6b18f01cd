"""Similar names: the known name that a wrong one probably means."""

import difflib
import re
from collections.abc import Iterable

from dropbatch.recipes.quoted_names import MAX_SHOWN

MAX_COMPARED = 1_000
"""The maximum number of names that a spelling is compared with: that takes 20 ms."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like `name`, None if none is.

    One that differs only in case and punctuation comes first, else the most similar spelling.
    """
    names = [candidate for candidate in known if isinstance(candidate, str)]
    alike = {_plain(candidate): candidate for candidate in reversed(names)}
    if _plain(name) and _plain(name) in alike:
        return alike[_plain(name)]
    if len(name) > MAX_SHOWN:  # comparing takes the square of their lengths
        return None
    candidates = [known for known in alike if len(known) <= MAX_SHOWN][-MAX_COMPARED:]
    found = difflib.get_close_matches(_plain(name), candidates, n=1, cutoff=0.55)
    return alike[found[0]] if found else None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()
