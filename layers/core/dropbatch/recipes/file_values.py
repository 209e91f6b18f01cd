"""The dropped file's path in templates: `{{ file.name }}`, and `{{ file.dt }}` of a folder `dt=2026-11-27`.

These values are the same for all rows of a drop, so they are compiled into its requests like any other constant text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote

from dropbatch.formats.file_types import file_type

FILE = "file"
"""The name of the dropped file in a template, unless the row has a column of this name."""

OWN_NAMES = ("name", "stem", "folder", "key")
"""The values that every file has."""

NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"
"""The value in the name of a folder by which Hive and Spark mean null."""


@dataclass(frozen=True)
class FileValues:
    """The values of `file` in the templates of a recipe, as pairs; `is_known` is false while there is no file."""

    pairs: tuple[tuple[str, str], ...]
    is_known: bool = True

    @cached_property
    def values(self) -> dict[str, str]:
        """The values by their names."""
        return dict(self.pairs)


NO_FILE_YET = FileValues((), is_known=False)


def file_values(key: str, columns: Sequence[str]) -> FileValues | None:
    """Return the values of a drop's path; None if the drop has a column named `file`, which has precedence.

    Folders named `name=value`, as Hive and Spark write them, are values by their names; of several, the nearest counts.
    Escapes in such a path, as `%2F`, are decoded.
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
