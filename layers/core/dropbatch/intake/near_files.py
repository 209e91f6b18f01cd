"""Files in a marker's folder whose names are similar to the one that the marker names."""

import unicodedata
from collections.abc import Iterator
from difflib import get_close_matches

from dropbatch.domain.drops import S3_KEY_BYTES, ObjectKind, cut, kind_of_object
from dropbatch.domain.markers import COMPRESSED_EXTENSIONS, EXTENSIONS
from dropbatch.storage.context import Context

MAX_NEAR = 3
"""How many files are named."""

PAGE = 1_000
"""How many keys a page of a bucket's listing has, if more follow."""

MAX_COMPARED = 1_000
"""How many names are compared by their spelling: that takes some 20 ms."""

MAX_COMPARED_CHARACTERS = 200
"""How long a compared name may be: the time grows with the square of its length."""

_ALIKE = 0.75


def spellings(key: str) -> list[str]:
    """Return a key in all forms of Unicode: a name from macOS looks the same, but is another key."""
    forms = (key, *(unicodedata.normalize(form, key) for form in ("NFC", "NFD")))
    return [form for form in dict.fromkeys(forms) if len(form.encode()) <= S3_KEY_BYTES]


def near_files(context: Context, bucket: str, key: str) -> list[str]:
    """Return the keys of files in the folder of `key` with similar names, the likeliest first.

    First come names that differ only in capitals or spaces, then names with another or one more extension, then names
    with a similar spelling.
    """
    folder, slash, name = key.rpartition("/")
    folder += slash
    names = {each: (_plain(each), _plain(_stem(each))) for each in _names(context, bucket, folder, name)}
    wanted, stem = _plain(name), _plain(_stem(name))
    found = [each for each, (whole, _) in names.items() if whole == wanted]
    found += [each for each, (_, own) in names.items() if own == stem]
    if len(name) <= MAX_COMPARED_CHARACTERS:
        near = {form: each for each in list(names)[-MAX_COMPARED:] for form in names[each]}
        forms = [form for form in near if len(form) <= MAX_COMPARED_CHARACTERS]
        found += [near[form] for each in (wanted, stem) for form in get_close_matches(each, forms, MAX_NEAR, _ALIKE)]
    return [folder + each for each in dict.fromkeys(found)][:MAX_NEAR]


def _names(context: Context, bucket: str, folder: str, name: str) -> Iterator[str]:
    """Yield the names of the files in a folder: all if it is small, else a page from each likely place on."""
    stem = _stem(name)
    capital, small = stem[:1].upper(), stem[:1].lower()
    likely = (*spellings(stem), capital + stem[1:], small + stem[1:], capital, small)
    for after in dict.fromkeys(("", *likely)):
        page = context.objects.names(bucket, cut(folder + after, S3_KEY_BYTES))
        keys = [key for key, _ in page if key.startswith(folder)]
        inside = (key.removeprefix(folder) for key in keys if kind_of_object(key) is ObjectKind.DROP)
        yield from (each for each in inside if "/" not in each)
        if not after and len(keys) < PAGE:
            return


def _stem(name: str) -> str:
    """Return a name without the extensions of its format and its compression."""
    stem, dot, ending = name.rpartition(".")
    if dot and ending.lower() in COMPRESSED_EXTENSIONS:
        stem, dot, ending = stem.rpartition(".")
    return stem if dot and ending.lower() in EXTENSIONS else name


def _plain(name: str) -> str:
    """Return a name as people compare names: without capitals, and with one kind of space, dash and letter."""
    letters = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(letters.replace("_", " ").replace("-", " ").split())
