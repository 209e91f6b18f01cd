"""Bytes to text and back, in the encodings that a csv, tsv or txt may have.

The list is closed: every encoding in it contains ASCII and never uses a byte of a line feed, a carriage return or a
quote for anything else, so that files can be cut into lines and records before they are decoded.
"""

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches
from itertools import repeat

from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem

UTF_8 = "utf-8"
BYTE_ORDER_MARK = codecs.BOM_UTF8

NOT_UTF_8 = "invalid_utf8"
"""The code of a problem with a byte that is not UTF-8."""

_NAMES = (
    UTF_8,
    "us-ascii",
    *(f"windows-{page}" for page in range(1250, 1259)),
    *(f"iso-8859-{part}" for part in range(1, 17) if part != 12),
    *("koi8-r", "koi8-u", "mac-roman", "mac-cyrillic", "cp437", "cp850", "cp852", "cp866", "cp874"),
    *("shift_jis", "cp932", "euc-jp", "euc-kr", "cp949", "gb2312", "gbk", "gb18030", "big5", "cp950"),
)
_WIDER = {"shift_jis": "cp932", "euc_kr": "cp949", "gb2312": "gbk", "big5": "cp950"}
"""The encodings that programs mean by a name: with their vendor's additions, as browsers read it (WHATWG Encoding)."""
_CODECS = {codecs.lookup(name).name for name in _NAMES}

_WIDE_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_ARCHIVES = {
    b"\x1f\x8b\x08": ("gzip-compressed", "let its name end in .gz"),
    b"PK\x03\x04": ("a zip archive or a spreadsheet", "save it as CSV UTF-8, or unpack it"),
    b"\x28\xb5\x2f\xfd": ("zstd-compressed", "let its name end in .zst"),
}


def codec_of(encoding: str | None) -> str:
    """Return the codec for a recipe's `encoding`, UTF-8 if it names none.

    Raise DropRejectedError if it is not in the list.
    """
    if encoding is None:
        return UTF_8
    try:
        codec = codecs.lookup(encoding.strip()).name
    except (LookupError, ValueError):
        codec = ""
    if codec == "utf-8-sig":
        return UTF_8
    if codec not in _CODECS:
        near = get_close_matches(re.sub(r"[\s_]+", "-", encoding.strip().lower()), _NAMES, 1, 0.5)
        hint = (
            f"did you mean {near[0]}?" if near else "known are utf-8, windows-1252, iso-8859-1, shift_jis and others."
        )
        if codec.startswith(("utf-16", "utf-32", "utf-7")):
            hint = "save the file as UTF-8 and leave `encoding` out."
        raise DropRejectedError.because(
            Problem("unknown_encoding", f"`encoding: {encoding}` is unknown; {hint}", key="encoding")
        )
    return _WIDER.get(codec, codec)


def check_is_text(start: bytes) -> None:
    """Raise DropRejectedError if a file's first bytes show that it is an archive, or UTF-16 or UTF-32."""
    for magic, (what, remedy) in _ARCHIVES.items():
        if start.startswith(magic):
            raise DropRejectedError.because(
                Problem("not_text", f"The file is {what}, not text; {remedy} and drop it again.", line=1)
            )
    wide = None
    if start.startswith(_WIDE_MARKS):
        wide = "UTF-32"
    elif len(start) >= 4 and start.count(0) * 3 >= len(start):
        # A third of it is zero: every other byte of Latin text, save for a wider letter.
        wide = "UTF-32" if start.count(0) * 2 > len(start) else "UTF-16, without a mark that says so"
    if wide is not None:
        raise DropRejectedError.because(
            Problem("not_utf8", f"The file is encoded as {wide}; save it as UTF-8 and drop it again.", line=1)
        )


def undecodable(error: UnicodeDecodeError, line: int, codec: str, *, can_be_set: bool = True) -> Problem:
    """Return the problem of a byte that is no text. `can_be_set` says whether a recipe may name the encoding."""
    place = f"Line {line}, byte {error.start + 1} (0x{error.object[error.start]:02x})"
    if codec != UTF_8:
        name = codec.replace("cp125", "windows-125")
        message = f"{place} is not {name}; correct `encoding` in the recipe, or save the file as UTF-8."
        return Problem("invalid_encoding", message, line=line)
    remedy = "save the file as UTF-8" + (f", or name its encoding in the recipe{_AS_IN}" if can_be_set else "")
    return Problem(NOT_UTF_8, f"{place} is not UTF-8; {remedy}.", line=line)


_AS_IN = ", as in `encoding: windows-1252`"


def half_a_character(problem: Problem) -> Problem:
    """Return the problem of such a byte in a file that was UTF-16: half a surrogate pair."""
    message = f"Line {problem.line} holds half of a character (a surrogate without its pair); remove it."
    return replace(problem, message=message)


def with_likely(problem: Problem, names: Sequence[str]) -> Problem:
    """Return the problem of a byte that is not UTF-8, with the likely encodings of the file."""
    if not names:
        return problem
    first, *others = names
    what, _, remedy = problem.message.partition("; ")
    if _AS_IN not in remedy:
        message = f"{what}; the file seems to be {' or '.join(names)}: save it as UTF-8."
    elif others:
        message = (
            f"{what}; save the file as UTF-8, or set `encoding: {first}` in the recipe, or {' or '.join(others)}: too "
            "few of its bytes tell which."
        )
    else:
        message = f"{what}; save the file as UTF-8, or set `encoding: {first}` in the recipe, which it seems to be."
    return replace(problem, message=message)


def encode_text(text: str, encoding: str) -> bytes:
    """Return the bytes of a text; what the encoding lacks becomes an XML character reference, e.g. `&#8364;`."""
    return text.encode(encoding, "xmlcharrefreplace")


def encode_texts(texts: Iterable[str], encoding: str) -> Iterator[bytes]:
    """Yield the bytes of texts, as `encode_text` returns them."""
    return map(str.encode, texts, repeat(encoding), repeat("xmlcharrefreplace"))
