"""Where a dropped file lies, as templates see it: `{{ file.name }}`, and `{{ file.dt }}` of a folder `dt=2026-11-27`.

These values are the same for all rows of a drop, so they are compiled into its requests like any other constant text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote

from dropbatch.formats.file_types import file_type

FILE = "file"
"""What the dropped file is called in a template, unless the row has a column of this name."""

OWN_NAMES = ("name", "stem", "folder", "key")
"""What every file has."""

NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"
"""What Hive and Spark call the folder of rows whose value is null."""


@dataclass(frozen=True)
class FileValues:
    """What `file` has in the templates of a recipe, as pairs; `is_known` is false while no file has been dropped."""

    pairs: tuple[tuple[str, str], ...]
    is_known: bool = True

    @cached_property
    def values(self) -> dict[str, str]:
        return dict(self.pairs)


NO_FILE_YET = FileValues((), is_known=False)


def file_values(key: str, columns: Sequence[str]) -> FileValues | None:
    """Return what templates can say of a drop; None if it has a column named `file`, which comes first.

    Folders named `name=value`, as Hive and Spark write them, are values by their names, the nearest of several; what
    such a path escapes as `%2F` is read.
    """
    if FILE in columns:
        return None
    *folders, name = key.split("/")
    named = {
        unquote(label): "" if value == NULL_FOLDER else unquote(value)
        for label, equals, value in (folder.partition("=") for folder in folders)
        if label and equals
    }
    own = dict(zip(OWN_NAMES, (name, file_type(key).stem, "/".join(folders) or "/", key), strict=True))
    return FileValues(tuple((named | own).items()))
