"""Keys of the mirror: a folder of the results bucket that reads as one table."""

import re

from dropbatch.formats.file_types import file_type

FOLDER = "_answers/"
"""No drop has its results there: keys that begin with an underscore are not drops."""

_ENDS_AS_ANSWERS_TO_TEXT = re.compile(r"\.txt(\.csv)*\Z", re.IGNORECASE)
"""The endings of keys that get one more ending: those of txt drops, and those that these would then collide with."""


def mirror_key(key: str) -> str:
    """Return the key in the results bucket of the mirror of a drop's answers. No two drops share a mirror.

    Answers to a txt are a csv, and `a.csv` may be beside it, so `a.txt` is mirrored under `a.txt.csv`. A drop that is
    called `a.txt.csv` is therefore mirrored under `a.txt.csv.csv`.
    """
    compression = file_type(key).compression
    name = key[: len(key) - len(compression)]
    more = ".csv" if _ENDS_AS_ANSWERS_TO_TEXT.search(name) else ""
    return f"{FOLDER}{name}{more}{key[len(name) :]}"
