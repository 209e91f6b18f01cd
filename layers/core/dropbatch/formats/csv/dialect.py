"""The dialect of a csv or tsv: how values are separated, and how answers are written for the same reader."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from dropbatch.json_encoding import to_json

DOUBLE = "double"
NONE = "none"
QUOTINGS = (DOUBLE, NONE)
"""The values of `quoting`: double quotes around values as in RFC 4180, or quotes without a meaning."""

BACKSLASH = "\\"

_NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a pipe"}


@dataclass(frozen=True, slots=True)
class CsvOptions:
    """The recipe's keys about a csv or tsv; None for those that it leaves open."""

    delimiter: str | None = None
    quoting: str | None = None
    escape: str | None = None
    header: int | None = None


NO_OPTIONS = CsvOptions()


class CsvReader(Protocol):
    """A csv.reader: the rows, and how many lines they took."""

    @property
    def line_num(self) -> int: ...

    def __iter__(self) -> Iterator[list[str]]: ...

    def __next__(self) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Dialect:
    """The characters that separate, quote and escape values.

    `quoting` is None if the recipe leaves it open: values are then read with double quotes, with care. A character
    after `escape` means itself, in quotes and outside.
    """

    delimiter: str
    quoting: str | None = None
    escape: str | None = None

    @property
    def has_quotes(self) -> bool:
        return self.quoting != NONE

    @property
    def is_plain(self) -> bool:
        """True for RFC 4180, with any delimiter."""
        return self.has_quotes and self.escape is None

    @property
    def is_unquoted(self) -> bool:
        """True if only line ends and delimiters have a meaning."""
        return not self.has_quotes and self.escape is None

    @property
    def delimiter_name(self) -> str:
        """The delimiter in a sentence."""
        return _NAMES.get(self.delimiter, f"“{self.delimiter}”")

    def reader(self, lines: Iterable[str]) -> CsvReader:
        """Return Python's csv.reader, as strict as possible."""
        if self.has_quotes:
            return csv.reader(lines, delimiter=self.delimiter, escapechar=self.escape, strict=True)
        return csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE, escapechar=self.escape, strict=True)

    def fields(self, values: Sequence[object]) -> Sequence[str]:
        """Return a column's values as fields, each behind a delimiter."""
        try:
            together = "".join(values)  # type: ignore[arg-type]  # raises if one is no text
        except TypeError:
            values = list(map(as_text, values))
            together = "".join(values)  # type: ignore[arg-type]  # they are texts now
        texts: Sequence[str] = values  # type: ignore[assignment]  # as above
        delimiter = self.delimiter
        if not any(sign in together for sign in (delimiter, '"', "\n", "\r", self.escape or delimiter)):
            return [delimiter + text for text in texts]
        if self.is_plain:
            return [
                delimiter + '"' + text.replace('"', '""') + '"'
                if delimiter in text or '"' in text or "\n" in text or "\r" in text
                else delimiter + text
                for text in texts
            ]
        if self.escape is None:
            return [delimiter + self._without_meaning(text) for text in texts]
        return [delimiter + self._escaped(text, self.escape) for text in texts]

    def _without_meaning(self, text: str) -> str:
        """Return the text with a space for each line end and delimiter: nothing marks them as part of a value."""
        for sign in ("\r\n", "\r", "\n"):
            text = text.replace(sign, " ")
        return text.replace(self.delimiter, "_" if self.delimiter == " " else " ")

    def _escaped(self, text: str, escape: str) -> str:
        text = text.replace(escape, escape * 2)
        if self.has_quotes:
            if any(sign in text for sign in (self.delimiter, '"', "\n", "\r")):
                return '"' + text.replace('"', escape + '"') + '"'
            return text
        for sign in (self.delimiter, "\r", "\n"):
            text = text.replace(sign, escape + sign)
        return text


def as_text(value: object) -> str:
    """Return what a field holds of a value."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return to_json(value).decode()
