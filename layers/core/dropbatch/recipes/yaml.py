"""YAML 1.2 as plain values, each with its line.

The library parses. The meaning of a scalar is decided here, by the core schema of YAML 1.2: `no` is text, a date is
text, `1_000` is text. Parts of YAML that recipes do not use (duplicate keys, tags, merge keys) are problems.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem, Problems
from dropbatch.recipes.quoted_names import quoted

MAX_BYTES = 1_048_576
MAX_VALUES = 50_000
MAX_DEPTH = 50
"""Bounds of a recipe: nobody writes a longer one by hand, and aliases can make a short one explode."""

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED_INTEGER = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN")

_TAG = "tag:yaml.org,2002:"
_TAGS = frozenset(
    _TAG + name for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value")
)
"""The tags that the library adds, by rules of several versions of YAML."""

_SURROGATE = re.compile("[\ud800-\udfff]")

_UNQUOTED_TEMPLATE = re.compile(r"(?:^|[:\-\[,]\s)\s*(\{[{%#])")

_NESTED_QUOTES = re.compile(
    r"""[^"'#]*[:\-]\s+"[^"]*\{[{%][^"]*"[^"\s,}\]].*"|[^"'#]*[:\-]\s+"[^"]*"[^"\s,:}\]].*\{[{%].*\""""
)
"""A text in double quotes that holds double quotes itself, with a template in it."""

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a value: the line of its key and the first line of its text, both 1-based.

    `exact` says that each line of the text is a line of the file, as in a literal block; `quote` is the quote around a
    text, empty if there is none.
    """

    line: int
    text_line: int
    exact: bool = False
    quote: str = ""


@dataclass(slots=True)
class Document:
    """A parsed document: its value, and the place of every value in it."""

    value: Any = None
    places: dict[Path, Place] = field(default_factory=dict)


def read_yaml(text: bytes, path: str) -> Document:
    """Return the one document in `text`; raise DropRejectedError with all problems of its form."""
    if len(text) > MAX_BYTES:
        raise too_long(path)
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        raise _rejected(
            "not_utf8", f"Line {line} of {path} is not UTF-8 text; save the file with the encoding UTF-8.", path, line
        ) from None
    try:
        node = YAML(typ="rt", pure=True).compose(decoded)
    except (YAMLError, ValueError, RecursionError) as error:
        raise DropRejectedError.because(_syntax_problem(error, decoded, path)) from None
    reader = _Reader(path)
    document = Document(None if node is None else reader.value(node, ()), reader.places)
    if reader.problems:
        raise DropRejectedError(reader.problems)
    return document


def too_long(path: str) -> DropRejectedError:
    """Return the rejection of a recipe that is larger than `MAX_BYTES`."""
    return _rejected("recipe_too_long", f"{path} is larger than 1 MiB; move long texts into files of their own.", path)


def _rejected(code: str, message: str, path: str, line: int | None = None) -> DropRejectedError:
    return DropRejectedError.because(Problem(code, message, line=line, path=path))


def dotted(path: Path) -> str:
    """Return a path as problems name it: `examples[0].input`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


class _Reader:
    def __init__(self, path: str) -> None:
        self.problems = Problems()
        self.places: dict[Path, Place] = {}
        self._path = path
        self._values = 0
        self._open: set[int] = set()

    def value(self, node: Node, at: Path, line: int | None = None) -> Any:
        """Return the value of the node at the path `at`; `line` is its key's."""
        start = node.start_mark.line + 1
        style = node.style if isinstance(node, ScalarNode) else None
        self.places[at] = Place(
            line or start,
            start + 1 if style in ("|", ">") else start,
            style == "|",
            style if style in ("'", '"') else "",
        )
        self._values += 1
        if self._values == MAX_VALUES:
            self._add("recipe_too_long", start, "holds more values than a recipe may; write it without the aliases.")
        if self._values >= MAX_VALUES:
            return None
        if len(at) > MAX_DEPTH:
            self._add("bad_yaml", start, "is nested too deeply; simplify it.")
            return None
        if node.tag and str(node.tag) not in _TAGS:
            self._add("bad_yaml", start, f"has the tag {str(node.tag)[:60]}, which recipes do not know; leave it out.")
            return None
        if id(node) in self._open:
            self._add("bad_yaml", start, "holds an alias of a value that contains it; write the text out.")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, MappingNode):
                return self._mapping(node, at)
            if isinstance(node, SequenceNode):
                return [self.value(item, (*at, number)) for number, item in enumerate(node.value)]
            return self._scalar(node, start)
        finally:
            self._open.discard(id(node))

    def _add(self, code: str, line: int, sentence: str, key: str | None = None) -> None:
        self.problems.add(Problem(code, f"Line {line} of {self._path} {sentence}", line=line, key=key, path=self._path))

    def _mapping(self, node: MappingNode, at: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = self._key(key_node, line)
            if key is None:
                continue
            if key in found:
                name = dotted((*at, key))
                advice = f"a second time, after line {lines[key]}; keep one of the two."
                self._add("duplicate_key", line, f"has the key {quoted(name)} {advice}", name)
                continue
            lines[key] = line
            found[key] = self.value(value_node, (*at, key), line)
        return found

    def _key(self, node: Node, line: int) -> str | None:
        if isinstance(node, MappingNode):
            self._add("unquoted_template", line, f"has a template without quotes; {_QUOTE_ADVICE}")
            return None
        value = self._scalar(node, line) if isinstance(node, ScalarNode) else None
        if isinstance(value, str) and (value != "<<" or _is_quoted(node)):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return node.value if isinstance(node.value, str) else str(value)
        if isinstance(value, str):
            self._add("bad_yaml", line, "has the merge key <<, which recipes do not know; write the keys out.")
        else:
            self._add("bad_yaml", line, "has a key that is not a text; write it in quotes.")
        return None

    def _scalar(self, node: Node, line: int) -> Any:
        text = str(node.value)
        if _SURROGATE.search(text):
            self._add("bad_yaml", line, "holds half of a character, as in \\ud83d; write the character itself.")
            return ""
        if _is_quoted(node) or node.tag == _TAG + "str":
            return text
        if _NULL.fullmatch(text):
            return None
        if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
            return text.lower() == "true"
        if _INTEGER.fullmatch(text) and len(text) <= 100:
            return int(text)
        if _BASED_INTEGER.fullmatch(text) and len(text) <= 100:
            return int(text, 0)
        if _FLOAT.fullmatch(text):
            return float(text)
        if _NO_NUMBER.fullmatch(text):
            self._add("bad_yaml", line, f"has the value {text}, which JSON does not know; write a number or a text.")
            return None
        return text


def _is_quoted(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.style is not None


_QUOTE_ADVICE = (
    'put quotes around the whole text, as in prompt: "{{ text }}", because YAML takes the braces for its own.'
)


def _syntax_problem(error: Exception, text: str, path: str) -> Problem:
    """Return one problem for an error of the YAML parser, with the line that the author has to correct."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    context = getattr(error, "context_mark", None) if isinstance(error, MarkedYAMLError) else None
    rows = text.split("\n")
    open_quote = "quoted scalar" in str(getattr(error, "context", ""))
    if open_quote and context is not None:
        mark = context
    for place in () if open_quote else (mark, context):
        if place is not None and place.line < len(rows) and _UNQUOTED_TEMPLATE.search(rows[place.line]):
            sentence = f"Line {place.line + 1} of {path} has a template without quotes; {_QUOTE_ADVICE}"
            return Problem("unquoted_template", sentence, line=place.line + 1, path=path)
    if mark is None:
        line = text[: getattr(error, "position", 0)].count("\n") + 1
        sentence = f"Line {line} of {path} holds a character that YAML does not allow; delete it."
        return Problem("bad_yaml", sentence, line=line, path=path)
    row = rows[mark.line] if mark.line < len(rows) else ""
    said = quoted(str(getattr(error, "problem", "") or ""))
    sentence = f"Line {mark.line + 1} of {path} {_syntax_advice(row, said, open_quote=open_quote)}."
    return Problem("bad_yaml", sentence, line=mark.line + 1, path=path)


_NESTED_QUOTES_ADVICE = (
    "has double quotes within double quotes; write single quotes within them, as in "
    "prompt: \"{{ row['Review Text'] }}\""
)
_TAB_ADVICE = "is indented with a tab; use spaces, because YAML does not take tabs there"

_ALIAS_ADVICE = "has a * or & that YAML takes for an alias; put quotes around the text"

_ADVICE = {
    "mapping values are not allowed": (
        "has a colon where YAML expects none; put quotes around the text, or correct the indentation"
    ),
    "another document": "starts a second document; keep one, without a line of three dashes between",
    **dict.fromkeys(("undefined alias", "duplicate anchor", "expected alphabetic"), _ALIAS_ADVICE),
}
"""Advice by words of the parser's message."""


def _syntax_advice(row: str, said: str, *, open_quote: bool) -> str:
    """Return the fault of a line and its remedy; `said` is the parser's message."""
    if _NESTED_QUOTES.match(row):
        return _NESTED_QUOTES_ADVICE
    if "\t" in row[: len(row) - len(row.lstrip())] or "'\\t'" in said:
        return _TAB_ADVICE
    advice = next((advice for words, advice in _ADVICE.items() if words in said), None)
    if advice is not None:
        return advice
    if open_quote:
        return "has a quote that does not end; close it, or write the text as a block after |"
    if "cannot start any token" in said:
        return f"has a text that must be quoted ({said}); put quotes around it"
    return "is not valid YAML" + (f" ({said})" if said else "") + "; look at its indentation, colons and quotes"
