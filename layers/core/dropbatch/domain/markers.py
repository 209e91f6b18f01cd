"""Markers: objects whose names ask something of a drop's newest job, and names that are probably misspelt markers."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

EXTENSIONS = ("csv", "tsv", "jsonl", "ndjson", "json", "txt", "parquet")
"""The extensions of drops, alone or before the extension of a compression."""

COMPRESSED_EXTENSIONS = ("gz", "zst")

MAX_MARKER_BYTES = 1_024
"""A file with more bytes whose name only resembles a marker's is data."""

MAX_NAME = 200
"""How many characters of a marker's name are shown."""


class MarkerKind(StrEnum):
    """The request of a marker to the newest job of the drop beside it."""

    APPROVE = "approve"
    CANCEL = "cancel"
    RERUN = "rerun"
    RETRY = "retry"


class MarkerStatus(StrEnum):
    """The status of a marker."""

    DONE = "done"  # it has acted
    KEPT = "kept"  # it acts when its drop's job begins
    REFUSED = "refused"  # it never acts


class MarkerReason(StrEnum):
    """Why a marker has that status: a closed set."""

    CANCELLING = "cancelling"
    APPROVED = "approved"
    RESUMED = "resumed"
    TAKEN_IN = "taken_in"  # the file had no job, and gets one
    NOT_BEGUN = "not_begun"  # the file is there, and its job has not begun
    BEING_READ = "being_read"  # the file's job reads it, and does not wait for an approval yet
    BEFORE_QUOTE = "before_quote"  # it is older than the message that asks for an approval
    NO_SUCH_FILE = "no_such_file"
    NO_DROP = "no_drop"  # the file beside it is a recipe, or is ignored
    MISSPELT = "misspelt"
    OLDER = "older"  # than the drop or marker of the newest job
    ALREADY = "already"  # the job is being cancelled already
    RUNNING = "running"
    HELD = "held"  # for a reason that this marker does not end
    NOT_HELD = "not_held"
    REJECTED = "rejected"
    WAITS_NO_MORE = "waits_no_more"  # the file was rejected, and now waits for no recipe
    ENDED = "ended"
    NOTHING_TO_RETRY = "nothing_to_retry"  # the job has ended, and no row of it can be retried
    TOO_LATE = "too_late"  # nothing could be cancelled any more
    FORGOTTEN = "forgotten"  # the job's items have been deleted
    GAVE_UP = "gave_up"  # it could not be read for a day


@dataclass(frozen=True, slots=True)
class Marker:
    """`<drop>.cancel`, or the console folder `<drop>.cancel/`. A number may follow, to ask once more."""

    kind: MarkerKind
    drop_key: str


@dataclass(frozen=True, slots=True)
class NearMarker:
    """`<drop>.rertry`: it was probably meant to be a marker of this kind. `ending` is its ending as written."""

    kind: MarkerKind
    drop_key: str
    ending: str


@dataclass(frozen=True, slots=True)
class MarkerObject:
    """The object of a marker. One version of it acts once."""

    bucket: str
    key: str
    version_id: str

    @property
    def name(self) -> str:
        """Its name without folders, on one line and short enough for a sentence."""
        return re.sub(r"\s", " ", name_of(self.key))[:MAX_NAME]

    def to_json(self, kind: MarkerKind) -> dict[str, str]:
        """Return its description for programs."""
        return {"kind": str(kind), "key": self.key, "version_id": self.version_id}


MAX_NUMBER = 999
"""The greatest number after a marker's ending."""

_FLAGS = re.IGNORECASE | re.DOTALL
_NUMBER = r"[ _-]?(?:\d{1,3}|\(\d{1,3}\))"

_MARKER = re.compile(rf"(.+?)\.({'|'.join(MarkerKind)})(?:{_NUMBER})?\s*", _FLAGS)

_RESEMBLES_MARKER = re.compile(
    rf"(.+?\.(?:{'|'.join(EXTENSIONS)})(?:\.(?:{'|'.join(COMPRESSED_EXTENSIONS)}))?)"
    rf"((?:\.|[\s_-]+)([a-z][a-z _-]{{1,20}}?)(?:{_NUMBER})?(?:\.(?:txt|text|rtf))?)\s*",
    _FLAGS,
)
"""A word after the name of a drop. An editor may have added a hidden `.txt` after the word."""

_WORDS = {
    **{str(kind): kind for kind in MarkerKind},
    **dict.fromkeys(("approved", "approval", "accept", "confirm"), MarkerKind.APPROVE),
    **dict.fromkeys(("canceled", "cancelled", "abort", "stop"), MarkerKind.CANCEL),
    **dict.fromkeys(("restart", "redo", "again", "repeat", "runagain"), MarkerKind.RERUN),
    **dict.fromkeys(("retries", "tryagain", "resume"), MarkerKind.RETRY),
}
"""Words that people write for a marker."""

_MIN_MISSPELT_LETTERS = 4
"""A word with fewer letters resembles too many words."""

_ALIKE = 0.8
"""How similar a word must be to a marker, from 0 to 1, to count as a misspelling of it."""


def marker_of(key: str) -> Marker | NearMarker | None:
    """Return the marker that a key names, whatever the letters' case; None if it names none.

    Only an approval must be in small letters.
    """
    folder, slash, name = key.rstrip("/").rpartition("/")
    found = _MARKER.fullmatch(name)
    if found:
        meant, drop_key = MarkerKind(found[2].lower()), folder + slash + found[1]
        # The policy of a bucket can forbid `*.approve*` to some people, and tells capitals from small letters.
        is_exact = meant is not MarkerKind.APPROVE or found[2] == meant
        return Marker(meant, drop_key) if is_exact else NearMarker(meant, drop_key, f".{found[2]}")
    found = _RESEMBLES_MARKER.fullmatch(name)
    kind = _meant_by(found[3]) if found else None
    return NearMarker(kind, folder + slash + found[1], found[2].strip()) if found and kind else None


def name_of(key: str) -> str:
    """Return a marker's name, without its folders."""
    return key.rstrip("/").rpartition("/")[2]


def next_name(name: str) -> str:
    """Return the name of a marker that asks the same once more, beside the one with this name."""
    found = _MARKER.fullmatch(name)
    if found is None:
        return name
    stem = name[: found.end(2)]
    number = int(re.sub(r"\D", "", name[len(stem) :]) or 1)
    return f"{stem}{number % MAX_NUMBER + 1}"


def _meant_by(word: str) -> MarkerKind | None:
    letters = re.sub(r"[^a-z]", "", word.lower())
    if letters in _WORDS:
        return _WORDS[letters]
    near = get_close_matches(letters, _WORDS, 1, _ALIKE) if len(letters) >= _MIN_MISSPELT_LETTERS else []
    return _WORDS[near[0]] if near else None
