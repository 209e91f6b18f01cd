"""Finds the name that somebody probably meant."""

import difflib
import re
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`: alike but for case and punctuation, else in spelling; None where none is."""
    names = [candidate for candidate in known if isinstance(candidate, str)]
    alike = {_plain(candidate): candidate for candidate in reversed(names)}
    if _plain(name) and _plain(name) in alike:
        return alike[_plain(name)]
    found = difflib.get_close_matches(_plain(name), alike, n=1, cutoff=0.55)
    return alike[found[0]] if found else None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def listed(names: Iterable[str], most: int = 20) -> str:
    """The names with commas, cut where they are too many for a sentence."""
    all_names = list(names)
    more = f" and {len(all_names) - most} more" if len(all_names) > most else ""
    return ", ".join(" ".join(name.split())[:60] for name in all_names[:most]) + more
