"""Drops: the meaning of a key in the inbox bucket, and the keys of a drop's results."""

import fnmatch
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from dropbatch.domain.markers import Marker, NearMarker, marker_of

RECIPE_NAMES = ("recipe.yaml", "recipe.yml")
"""The file names of a recipe. If a folder holds both, the first counts."""

S3_KEY_BYTES = 1024
"""The longest key that S3 takes, in UTF-8 bytes."""

MAX_RECIPE_FOLDERS = 50
"""In how many folders Dropbatch looks for a recipe. Each takes two requests to S3, and a key can have 450 folders."""


class ObjectKind(StrEnum):
    """The kind of an object whose key is not a marker's."""

    IGNORED = "ignored"
    RECIPE = "recipe"
    DROP = "drop"


def kind_of_object(key: str) -> ObjectKind | Marker | NearMarker:
    """Return what an object is by its key alone.

    A `.txt` that a recipe names is ignored, too, but only the recipe says so.
    """
    if is_left_over(key):
        return ObjectKind.IGNORED
    marker = marker_of(key)
    if marker is not None:
        return marker
    name = key.rpartition("/")[2]
    if not name or name.lower().endswith((".md", ".j2")):
        return ObjectKind.IGNORED
    return ObjectKind.RECIPE if name in RECIPE_NAMES else ObjectKind.DROP


LEFT_OVER_FOLDERS = {
    "[._]*": "hidden; of Hadoop and Spark (`_temporary/`, `.spark-staging/`); of macOS (`__MACOSX/`, `.Trashes/`)",
    "$RECYCLE.BIN": "the bin of Windows",
    "System Volume Information": "of Windows",
    "@eaDir": "of Synology",
    "#recycle": "the bin of Synology",
    "lost+found": "of Linux",
}
"""Folders that hold no drop, recipe or marker at any depth, whatever the letters' case."""

LEFT_OVER_NAMES = {
    "[._]*": "hidden; of Hadoop and Spark (`_SUCCESS`, `_committed_…`); of macOS (`.DS_Store`, `._reviews.csv`)",
    "*.crc": "checksums of Hadoop and Spark",
    "*_$folder$": "of Hadoop and EMR, for a folder",
    "*._COPYING_": "an unfinished upload of `hdfs dfs -put`",
    "Thumbs.db": "of Windows",
    "Thumbs.db:*": "of Windows",
    "ehthumbs*.db": "of Windows",
    "desktop.ini": "of Windows",
    "Icon\r": "of macOS",
    "~$*": "of Office, beside a file that is open",
    "*~": "an editor's copy of what was there before",
    "*.tmp": "unfinished",
    "*.temp": "unfinished",
    "*.part": "an unfinished upload or download (Firefox)",
    "*.partial": "an unfinished upload or download (rclone)",
    "*.filepart": "an unfinished upload (WinSCP)",
    "*.crdownload": "an unfinished download (Chrome)",
    "*.opdownload": "an unfinished download (Opera)",
}
"""Names of files that are not a drop, a recipe or a marker in any folder, whatever the letters' case."""

_LEFT_OVER_FOLDER, _LEFT_OVER_NAME = (
    re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns), re.IGNORECASE)
    for patterns in (LEFT_OVER_FOLDERS, LEFT_OVER_NAMES)
)


def is_left_over(key: str) -> bool:
    """Return whether a program or a system left an object behind that is not meant to be read."""
    *folders, name = key.split("/")
    if any(_LEFT_OVER_FOLDER.match(folder) for folder in folders):
        return True
    return _LEFT_OVER_NAME.match(name) is not None and not (name.endswith("~") and is_almost_a_recipe(key))


_ALMOST_A_RECIPE = re.compile(
    r".*\.ya?ml( ?\(\d+\)| - .*|~|\.(txt|text|bak|old|orig|save|download|gz|zst|zip))*", re.IGNORECASE | re.DOTALL
)
"""The names that a recipe gets from programs that copy, back up or hide extensions, or in another language."""


def is_almost_a_recipe(key: str) -> bool:
    """Return whether a drop's name says that it is YAML. A drop never is: it was meant to be a recipe."""
    return _ALMOST_A_RECIPE.fullmatch(key.rpartition("/")[2]) is not None


def recipe_beside(key: str) -> str:
    """Return the key of a recipe in the folder of a drop."""
    folder, slash, _ = key.rpartition("/")
    return folder + slash + RECIPE_NAMES[0]


def recipe_keys(key: str) -> list[str]:
    """Return the keys that the recipe of a drop may have, the nearest first and the bucket's root last.

    For a key with more than MAX_RECIPE_FOLDERS folders, these are the nearest folders and the root.
    """
    folders = key.split("/")[:-1]
    prefixes = ["/".join(folders[:depth]) + "/" for depth in range(len(folders), 0, -1)][:MAX_RECIPE_FOLDERS]
    return [prefix + name for prefix in [*prefixes, ""] for name in RECIPE_NAMES]


@dataclass(frozen=True, slots=True)
class Drop:
    """One version of one object in the inbox bucket.

    `modified` is S3's LastModified in seconds since 1970: for a multipart upload, the time when it *began*. `arrived`
    is the time of its event, when the version was complete. `sequencer` orders the versions of a key; it is empty if no
    event named this one.
    """

    bucket: str
    key: str
    version_id: str
    modified: int
    size: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    arrived: int = 0
    sequencer: str = ""

    @property
    def name(self) -> str:
        """The file's name without its folders."""
        return self.key.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The folder's path without a slash at its end; `/` for the bucket's root."""
        return self.key.rpartition("/")[0] or "/"


def job_id(drop: Drop, requested_at: int, rerun_version: str = "") -> str:
    """Return the id of a job of a drop. It begins with the time of the request, so that a drop's jobs sort by time.

    `requested_at` is when the drop arrived, or the marker whose version makes it another job of the same drop.
    Processes may disagree about it: the first one's id counts, see `deduplication.claim_job`.
    """
    identity = "\n".join((drop.bucket, drop.key, drop.version_id, rerun_version))
    when = datetime.fromtimestamp(requested_at, UTC)
    return f"{when:%Y%m%dT%H%M%SZ}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def is_later(sequencer: str, other: str) -> bool:
    """Return whether an event's `sequencer` comes after another one of the same key.

    They are hexadecimal texts of any length. The shorter one is padded with zeros on the right before they are compared
    (S3 User Guide, event message structure).
    """
    size = max(len(sequencer), len(other))
    return sequencer.upper().ljust(size, "0") > other.upper().ljust(size, "0")


def results_root(key: str) -> str:
    """Return `<key of the drop>/` in the results bucket, shortened if S3 would not take the keys below it."""
    if len(key.encode()) <= 900:
        return key + "/"
    return f"{cut(key, 860)}~{hashlib.sha256(key.encode()).hexdigest()[:8]}/"


def results_name(prefix: str, stem: str, ending: str) -> str:
    """Return the key `<prefix><stem><ending>`, with a shorter stem if S3 would not take the whole."""
    room = S3_KEY_BYTES - len(prefix.encode()) - len(ending.encode())
    return prefix + cut(stem, room) + ending


def results_path(prefix: str, path: str) -> str:
    """Return the key `<prefix><path>`. A path too long for S3 is shortened, and ends in a hash of the whole path."""
    if len((prefix + path).encode()) <= S3_KEY_BYTES:
        return prefix + path
    ending = f"~{hashlib.sha256(path.encode()).hexdigest()[:8]}"
    return results_name(prefix, path, ending)


def cut(text: str, size: int) -> str:
    """Return `text` cut to at most `size` UTF-8 bytes, between characters."""
    return text.encode()[:size].decode(errors="ignore")


def without_controls(text: str) -> str:
    """Return `text` with a space for each control character, as a subject line needs it.

    Controls of text direction are replaced, too: one in a file's name would show the rest of the line in another order.
    """
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]", " ", text)
