"""Names in sentences: lists of names, and names cut to a readable length."""

from collections.abc import Iterable

MAX_SHOWN = 200
"""The maximum length of a name in a sentence: a row or a recipe may hold names of any length."""


def listed(names: Iterable[str], most: int = 20) -> str:
    """Return the names with commas; the first `most` of them if they are too many for a sentence."""
    all_names = list(names)
    more = f" and {len(all_names) - most} more" if len(all_names) > most else ""
    return ", ".join(" ".join(name.split())[:60] for name in all_names[:most]) + more


def quoted(text: str, most: int = MAX_SHOWN) -> str:
    """Return a text on one line, cut if it is too long for a sentence."""
    line = " ".join(text[: 4 * most].split())
    return line if len(line) <= most and len(text) <= 4 * most else line[: most - 1] + "…"
