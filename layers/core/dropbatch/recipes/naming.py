"""Names in sentences: the nearest to a wrong one, lists of names, and names cut to a readable length."""

import difflib
import re
from collections.abc import Iterable

MAX_SHOWN = 200
"""The maximum length of a name in a sentence: a row or a recipe may hold names of any length."""

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


def listed(names: Iterable[str], most: int = 20) -> str:
    """Return the names with commas; the first `most` of them if they are too many for a sentence."""
    all_names = list(names)
    more = f" and {len(all_names) - most} more" if len(all_names) > most else ""
    return ", ".join(" ".join(name.split())[:60] for name in all_names[:most]) + more


def quoted(text: str, most: int = MAX_SHOWN) -> str:
    """Return a text on one line, cut if it is too long for a sentence."""
    line = " ".join(text[: 4 * most].split())
    return line if len(line) <= most and len(text) <= 4 * most else line[: most - 1] + "…"
