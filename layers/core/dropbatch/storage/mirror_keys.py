"""Where answers are mirrored: a folder of the results bucket that reads as one table."""

import re

from dropbatch.formats.file_types import file_type

FOLDER = "_answers/"
"""No drop's results lie there: keys that begin with an underscore are no drops."""


_ENDS_AS_ANSWERS_TO_TEXT = re.compile(r"\.txt(\.csv)*\Z", re.IGNORECASE)
"""How the keys end that get an ending more: those of txt drops, and those that would then be taken by one."""


def mirror_key(key: str) -> str:
    """Return where in the results bucket the answers to a drop are mirrored: no two drops share a mirror.

    Answers to a txt are a csv, and `a.csv` may lie beside it: `a.txt` is mirrored under `a.txt.csv`. For that a drop
    that is called `a.txt.csv` makes room, and is mirrored under `a.txt.csv.csv`.
    """
    compression = file_type(key).compression
    name = key[: len(key) - len(compression)]
    more = ".csv" if _ENDS_AS_ANSWERS_TO_TEXT.search(name) else ""
    return f"{FOLDER}{name}{more}{key[len(name) :]}"
