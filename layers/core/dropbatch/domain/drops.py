"""What a key in the inbox bucket means, and where the results of a drop go."""

import fnmatch
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from dropbatch.domain.markers import Marker, NearMarker, marker_of

RECIPE_NAMES = ("recipe.yaml", "recipe.yml")
"""A recipe's file names; where a folder holds both, the first counts."""

S3_KEY_BYTES = 1024
"""The longest key that S3 takes, in UTF-8 bytes."""


MAX_RECIPE_FOLDERS = 50
"""In how many folders a recipe is looked for: each takes two requests to S3, and a key has room for 450."""


class ObjectKind(StrEnum):
    """What a key that is no marker stands for."""

    IGNORED = "ignored"
    RECIPE = "recipe"
    DROP = "drop"


def meaning_of(key: str) -> ObjectKind | Marker | NearMarker:
    """What an object's key says about the object, before anything is read.

    A `.txt` that a recipe names is ignored as well; that takes the recipe to know.
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
"""Folders of which nothing at any depth is a drop, a recipe or a marker; capitals do not matter."""

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
"""Files that are no drop, no recipe and no marker, whatever their folder; capitals do not matter."""

_LEFT_OVER_FOLDER, _LEFT_OVER_NAME = (
    re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns), re.IGNORECASE)
    for patterns in (LEFT_OVER_FOLDERS, LEFT_OVER_NAMES)
)


def is_left_over(key: str) -> bool:
    """Return whether a program or a system left an object behind that nobody means to be read."""
    *folders, name = key.split("/")
    if any(_LEFT_OVER_FOLDER.match(folder) for folder in folders):
        return True
    return _LEFT_OVER_NAME.match(name) is not None and not (name.endswith("~") and is_almost_a_recipe(key))


_ALMOST_A_RECIPE = re.compile(
    r".*\.ya?ml( ?\(\d+\)| - .*|~|\.(txt|text|bak|old|orig|save|download|gz|zst|zip))*", re.IGNORECASE | re.DOTALL
)
"""What a recipe's file is called by a program that copies, backs up or hides endings, or in another language."""


def is_almost_a_recipe(key: str) -> bool:
    """Return whether a drop's name says that it is YAML, which no drop is: it was meant to be a recipe."""
    return _ALMOST_A_RECIPE.fullmatch(key.rpartition("/")[2]) is not None


def recipe_beside(key: str) -> str:
    """The key of a recipe in the folder of a drop."""
    folder, slash, _ = key.rpartition("/")
    return folder + slash + RECIPE_NAMES[0]


def recipe_keys(key: str) -> list[str]:
    """The keys under which the recipe of a drop may stand, the nearest first and the bucket's root last.

    Of a key that lies deeper than anybody sorts files, the nearest folders and the root are looked at.
    """
    folders = key.split("/")[:-1]
    prefixes = ["/".join(folders[:depth]) + "/" for depth in range(len(folders), 0, -1)][:MAX_RECIPE_FOLDERS]
    return [prefix + name for prefix in [*prefixes, ""] for name in RECIPE_NAMES]


@dataclass(frozen=True, slots=True)
class Drop:
    """One version of one object in the inbox bucket.

    `modified` is S3's LastModified in seconds since 1970: of an upload in parts, when it *began*. `arrived` is the time
    of its event, when the version was there. `sequencer` orders the versions of a key; empty if no event told of it.
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
    """The id of a job of a drop. It begins with when it was asked for, so that a drop's jobs sort as they happened.

    `requested_at` is when the drop arrived, or the marker whose version makes it another job of the same drop.
    Processes may disagree about it: the first one's id counts, see `deduplication.claim_job`.
    """
    identity = "\n".join((drop.bucket, drop.key, drop.version_id, rerun_version))
    when = datetime.fromtimestamp(requested_at, UTC)
    return f"{when:%Y%m%dT%H%M%SZ}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def is_later(sequencer: str, other: str) -> bool:
    """Return whether an event's `sequencer` comes after another of the same key.

    They are hexadecimal texts of any length; S3 has the shorter one padded with zeros on the right before they are
    compared (S3 User Guide, event message structure).
    """
    size = max(len(sequencer), len(other))
    return sequencer.upper().ljust(size, "0") > other.upper().ljust(size, "0")


def results_root(key: str) -> str:
    """`<key of the drop>/` in the results bucket, cut where S3 would not take the keys below it."""
    if len(key.encode()) <= 900:
        return key + "/"
    return f"{cut(key, 860)}~{hashlib.sha256(key.encode()).hexdigest()[:8]}/"


def results_name(prefix: str, stem: str, ending: str) -> str:
    """The key `<prefix><stem><ending>`, the stem cut where S3 would not take the whole."""
    room = S3_KEY_BYTES - len(prefix.encode()) - len(ending.encode())
    return prefix + cut(stem, room) + ending


def results_path(prefix: str, path: str) -> str:
    """The key `<prefix><path>`; a path too long for S3 is cut, with what tells it from others that are cut alike."""
    if len((prefix + path).encode()) <= S3_KEY_BYTES:
        return prefix + path
    ending = f"~{hashlib.sha256(path.encode()).hexdigest()[:8]}"
    return results_name(prefix, path, ending)


def cut(text: str, size: int) -> str:
    """`text` cut to at most `size` UTF-8 bytes, between characters."""
    return text.encode()[:size].decode(errors="ignore")


def without_controls(text: str) -> str:
    """Return `text` with a space for every control character, those of text direction too: fit for a subject line.

    A direction control in a file's name would show the rest of the line, our numbers too, in another order.
    """
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]", " ", text)
