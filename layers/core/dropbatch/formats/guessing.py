"""Guesses of the encoding of a text that is not UTF-8: they are named if a drop is refused, and never used to read.

charset-normalizer rates how much of a mess, and how much of a language, a text is in an encoding. Its ratings are not
enough for short texts. So the number of common characters decides between Chinese, Japanese and Korean encodings. Of
other encodings that are equally likely, the one that more programs write comes first.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

SAMPLE_BYTES = 1 << 15
MIN_COMMON = 0.75
"""How many of the characters beyond ASCII are common ones in a text of an East Asian encoding."""

MIN_HANGUL = 0.9
MANY = 12
"""How many of them are syllables in a Korean text, and how many characters tell that."""

MAX_DISTANCE = 0.09
"""Encodings whose scores differ by less are as likely."""

MAX_NAMED = 3

_SINGLE_BYTE = {
    "cp1252": "windows-1252",
    "cp1251": "windows-1251",
    "cp1250": "windows-1250",
    "cp1254": "windows-1254",
    "cp1253": "windows-1253",
    "cp1255": "windows-1255",
    "cp1256": "windows-1256",
    "cp874": "cp874",
    "koi8-r": "koi8-r",
    "koi8-u": "koi8-u",
    "cp1257": "windows-1257",
    "iso8859-2": "iso-8859-2",
    "cp866": "cp866",
    "mac-roman": "mac-roman",
    "cp850": "cp850",
    "cp852": "cp852",
    "mac-cyrillic": "mac-cyrillic",
    "iso8859-5": "iso-8859-5",
}
"""The likely ones by how many files there are of each, with the names that recipes know."""


class Guess(NamedTuple):
    """The likely encodings, the likeliest first; none if it cannot be guessed."""

    names: Sequence[str]

    @property
    def is_sure(self) -> bool:
        return len(self.names) == 1


def guess_encoding(sample: bytes) -> Guess:
    """Guess what a text is encoded as whose bytes are not UTF-8, by whole lines of it."""
    sample = _telling_lines(sample)
    east_asian = _east_asian(sample)
    if east_asian:
        return Guess(east_asian)
    scores = {name: score for codec, name in _SINGLE_BYTE.items() if (score := _score(sample, codec)) is not None}
    if not scores:
        return Guess(())
    best = min(scores.values())
    likely = [name for name, score in scores.items() if score <= best + MAX_DISTANCE]
    texts = {name: sample.decode(_codec(name), "replace") for name in likely}
    distinct = [name for place, name in enumerate(likely) if texts[name] not in [texts[n] for n in likely[:place]]]
    return Guess(distinct[:MAX_NAMED])


def _telling_lines(sample: bytes) -> bytes:
    """Return the lines that are not ASCII: the others say nothing."""
    lines = [line for line in sample.splitlines(keepends=True) if not line.isascii()]
    return b"".join(lines)[:SAMPLE_BYTES].rpartition(b"\n")[0] or b"".join(lines)[:SAMPLE_BYTES]


def _codec(name: str) -> str:
    return next(codec for codec, known in _SINGLE_BYTE.items() if known == name)


def _score(sample: bytes, codec: str) -> float | None:
    """Return how unlikely the text is in an encoding; None if it cannot be in it."""
    # The import takes a tenth of a second, and is needed only if a drop is refused.
    from charset_normalizer import from_bytes

    try:
        sample.decode(codec)
    except UnicodeDecodeError:
        return None
    found = from_bytes(sample, cp_isolation=[codec], threshold=1, enable_fallback=False, language_threshold=0.0).best()
    return None if found is None else found.chaos - 0.3 * found.coherence


# What is common in East Asian texts, in the double-byte characters of each encoding

_COMMON: Sequence[tuple[str, str, re.Pattern[bytes], re.Pattern[bytes] | None]] = (
    # GB 2312: symbols, and the 3,755 commonest characters
    ("gbk", "gbk", re.compile(rb"[\xb0-\xd7][\xa1-\xfe]|[\xa1\xa3][\xa1-\xfe]"), None),
    # Big5: symbols, and the 5,401 commonest characters
    ("big5", "cp950", re.compile(rb"[\xa4-\xc6][\x40-\x7e\xa1-\xfe]|\xa1[\x40-\x7e\xa1-\xfe]"), None),
    # JIS X 0208: symbols, kana, and the 2,965 commonest characters; there is no Japanese without kana
    (
        "shift_jis",
        "cp932",
        re.compile(rb"\x81[\x40-\xac]|\x82[\x4f-\xf1]|\x83[\x40-\x96]|[\x88-\x97][\x40-\x7e\x80-\xfc]"),
        re.compile(rb"\x82[\x9f-\xf1]|\x83[\x40-\x96]"),
    ),
    (
        "euc-jp",
        "euc-jp",
        re.compile(rb"[\xa1\xa3-\xa5][\xa1-\xfe]|[\xb0-\xcf][\xa1-\xfe]"),
        re.compile(rb"[\xa4\xa5][\xa1-\xf6]"),
    ),
    # KS X 1001: symbols, and the 2,350 syllables
    ("euc-kr", "cp949", re.compile(rb"[\xb0-\xc8][\xa1-\xfe]|[\xa1\xa3][\xa1-\xfe]"), None),
)


def _east_asian(sample: bytes) -> list[str]:
    shares = {}
    for name, codec, common, kana in _COMMON:
        share = _common_share(sample, codec, common.fullmatch, kana.fullmatch if kana else None)
        if share >= MIN_COMMON:
            shares[name] = share
    if shares.get("euc-kr", 0) >= MIN_HANGUL:
        # Each of these may be a common Chinese character as well, but not all of that many.
        count = sum(not character.isascii() for character in sample.decode("cp949"))
        return ["euc-kr"] if count >= MANY else ["euc-kr", *(name for name in shares if name != "euc-kr")][:MAX_NAMED]
    best = max(shares.values(), default=0)
    return sorted((name for name in shares if shares[name] > best - 0.1), key=lambda name: -shares[name])[:MAX_NAMED]


def _common_share(
    sample: bytes, codec: str, is_common: Callable[[bytes], object], is_kana: Callable[[bytes], object] | None
) -> float:
    """Return the share of common characters among those beyond ASCII; 0 if the text is not in the encoding."""
    try:
        text = sample.decode(codec)
    except UnicodeDecodeError:
        return 0
    wide = [character.encode(codec) for character in text if not character.isascii()]
    if is_kana is not None and not any(map(is_kana, wide)):
        return 0
    return sum(map(bool, map(is_common, wide))) / max(1, len(wide))
