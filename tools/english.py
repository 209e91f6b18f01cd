"""A check of the English of the project's texts: `python tools/english.py [--all] [FILE ...]`.

It prints `file:line: pattern: what to write instead` for each finding in the texts that HELD names, and exits with 1 if
there is one. With files, it checks only these. With `--all`, it also counts the findings in all other texts, by kind
and pattern, and lists them if files are given.

Code, quotations, addresses, file names and identifiers are not English: they are blanked before the search.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]

PROSE, DOCSTRING, COMMENT, STRING, DESCRIPTION = KINDS = ("prose", "docstring", "comment", "string", "description")
"""Paragraphs of Markdown; docstrings; comments; other texts in Python; descriptions in YAML and JSON Schema."""

EVERYWHERE = frozenset(KINDS)
USERS = frozenset({PROSE, STRING, DESCRIPTION})


class Pattern(NamedTuple):
    """A habit to avoid. A space in `regex` stands for any white space, a line end too."""

    name: str
    regex: str
    instead: str
    kinds: frozenset[str] = EVERYWHERE


PATTERNS = (
    Pattern("anew", r"\banew\b", "again"),
    Pattern("mend", r"\bmend(?:s|ed|ing)?\b", "fix, correct"),
    Pattern("bear", r"\b(?:bears?|bore|borne)\b", "have, hold, support"),
    Pattern("heed", r"\bheed(?:s|ed|ing)?\b", "respect, follow"),
    Pattern("whoever", r"\bwhoever\b", "name the person or the process"),
    Pattern("in vain", r"\bin vain\b", "without effect"),
    Pattern("brought home", r"\b(?:bring|brings|bringing|brought)(?: \w+)? home\b", "collect, collected"),
    Pattern("passing reason", r"\bpassing reasons?\b", "temporarily, temporary"),
    Pattern("by itself", r"\bby (?:itself|themselves)\b", "automatically, alone"),
    Pattern("asked again", r"\bask(?:s|ed|ing)? again\b", "retry, retried; send again"),
    Pattern("where there is none", r"\bwhere there (?:is|are) (?:none|no)\b", "if there is none"),
    Pattern("so many", r"\bso many\b", "maximum, how many, a number of"),
    Pattern("stands", r"\b(?:stands?|stood)\b(?! for\b| out\b| alone\b)", "is, are; was, were"),
    Pattern("is told", r"\b(?:is|are|was|were|be|been|being) told\b", "get a message, is notified; Dropbatch reports"),
    Pattern("taken for", r"\btaken for\b", "count as; Dropbatch assumes, treats as"),
    Pattern("is asked to", r"\b(?:is|are|was|were) asked to\b", "name who does it"),
    Pattern("is let", r"\b(?:is|are|was|were) let\b", "may; is accepted, stays"),
    Pattern("but for", r"\bbut for\b", "except"),
    Pattern("all the same", r"\ball the same\b", "anyway, nevertheless"),
    Pattern("old word", r"\b(?:lest|whence|thereof|whereby|hitherto|ere|nought)\b", "a word of today"),
    Pattern("is no", r"(?<!there\x20)(?<!there\n)\b(?:is|are|was|were) no\b(?! longer| more| such)", "is not a", USERS),
    Pattern("behind", r"\bbehind\b", "after", USERS),
    Pattern("else than", r"\belse than\b|\banother \w+ than\b", "other than", USERS),
    Pattern("is expected, but", r"\bis expected, but\b", "must be …, not …", frozenset({PROSE, STRING})),
    Pattern("goes on", r"\b(?:go|goes|going|went|gone) on\b", "continue, resume", USERS),
    Pattern("odd lines", r"\bodd lines?\b", "unmatched answer lines", frozenset({STRING})),
    Pattern(
        "what-sentence",
        r"(?:^|(?<=[.:|-]\x20))(?-i:What)\b(?=[^.?!|]*[.;|])",
        "name the thing: rows, batches, files",
        frozenset({PROSE, STRING}),
    ),
    Pattern("semicolons", r"(?<=;)[^.;:!?|]*[^.;:!?|\s]\s*;", "two short sentences", frozenset({PROSE})),
    Pattern(
        "question opens",
        r"\A(?-i:What|How|Where|Whether|Which|Who|When|That)\b",
        "a verb: Return, Write, Raise",
        frozenset({DOCSTRING}),
    ),
)

CODE = (
    "layers/core/*.py",
    "functions/*.py",
    "local/*.py",
    "tools/*.py",
    "benchmarks/*.py",
    "examples/*.py",
    "tests/*.py",
)

HELD: dict[str, tuple[str, ...]] = {
    PROSE: ("*.md",),
    DOCSTRING: CODE,
    COMMENT: CODE,
    STRING: ("layers/core/*.py", "functions/*.py", "local/*.py", "examples/*.py"),
    DESCRIPTION: ("docs/events/*.json", "template.yaml"),
}
"""The files whose texts of each kind are clean, and have to stay so."""

_FLAGS = re.MULTILINE | re.IGNORECASE
_COMPILED = [(pattern, re.compile(pattern.regex.replace(" ", r"\s+"), _FLAGS)) for pattern in PATTERNS]

_NO_ENGLISH = re.compile(
    r"(?P<fence>^ *```.*?^ *```[^\n]*$)"
    r"|``.+?``|`[^`]*`"
    r"|https?://[^\s)>]+"
    r"|\]\([^)\s]*\)"
    r"|<[^>\n]*>"
    r"|“[^”]*”"
    r'|"[^"\n]*(?:\n[^"\n]+)?"'
    r"|\S*\w[_/.]\w\S*",
    re.MULTILINE | re.DOTALL,
)

_DESCRIPTION = re.compile(
    r'"description": "((?:[^"\\]|\\.)*)"'  # JSON Schema
    r"|^( *)(?:Alarm)?Description: *[>|][-+]?\n((?:\2 +[^\n]*\n|\n)+)"  # a block of YAML
    r"|^ *(?:Alarm)?Description: *([^\n]+)",  # a line of YAML
    re.MULTILINE,
)


class Text(NamedTuple):
    """A text of a file, the lines of the file on which it begins and ends, and what kind it is."""

    kind: str
    line: int
    last_line: int
    text: str


class Finding(NamedTuple):
    path: str
    line: int
    kind: str
    pattern: Pattern

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.pattern.name}: {self.pattern.instead}"


def blanked(text: str) -> str:
    """Return a text with spaces in place of all that is not English. Its lines stay the same."""
    return _NO_ENGLISH.sub(lambda found: re.sub(r"[^\n]", " ", found[0][:-1]) + "§", text)


def findings(path: str, source: str) -> Iterator[Finding]:
    """Yield the findings in the texts of a file."""
    for text in texts(path, source):
        shown = blanked(text.text)
        for pattern, regex in _COMPILED:
            if text.kind in pattern.kinds:
                for found in regex.finditer(shown):
                    line = min(text.line + shown.count("\n", 0, found.start()), text.last_line)
                    yield Finding(path, line, text.kind, pattern)


def texts(path: str, source: str) -> Iterator[Text]:
    """Yield the texts of a file by its ending; none if the ending is unknown."""
    last = source.count("\n") + 1
    match Path(path).suffix:
        case ".md":
            yield Text(PROSE, 1, last, source)
        case ".py":
            yield from _comments(source)
            yield from _literals(source)
        case ".yaml" | ".json":
            for found in _DESCRIPTION.finditer(source):
                group = next(number for number in (1, 3, 4) if found[number] is not None)
                yield Text(DESCRIPTION, source.count("\n", 0, found.start(group)) + 1, last, found[group])


def _comments(source: str) -> Iterator[Text]:
    """Yield the comments of a program. Lines of comment below one another are one text."""
    block: list[str] = []
    start = last = column = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if block and (token.start[0] != last + 1 or token.start[1] != column):
            yield Text(COMMENT, start, last, "\n".join(block))
            block = []
        if not block:
            start = token.start[0]
        last, column = token.start
        block.append(token.string.lstrip("#").strip())
    if block:
        yield Text(COMMENT, start, last, "\n".join(block))


def _literals(source: str) -> Iterator[Text]:
    """Yield a program's docstrings, those of constants too, and the literals that contain words."""
    tree = ast.parse(source)
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    own = {id(node.body[0]) for node in ast.walk(tree) if isinstance(node, owners) and node.body}
    inner: set[int] = set()
    for node in ast.walk(tree):  # a parent comes before its children
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            inner.add(id(node.value))
            # The docstring of a constant may open with a question word: it says how long, or how many.
            text = node.value.value if id(node) in own else "§ " + node.value.value
            yield Text(DOCSTRING, node.lineno, node.end_lineno or node.lineno, text)
        elif isinstance(node, ast.JoinedStr):
            constants = [part for part in node.values if isinstance(part, ast.Constant)]
            inner.update(map(id, constants))
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "§" for part in node.values)
            yield from _literal(node, text)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield from _literal(node, node.value)


def _literal(node: ast.expr, text: str) -> Iterator[Text]:
    if re.search(r"[a-z,] [a-z]+ ", text):
        yield Text(STRING, node.lineno, node.end_lineno or node.lineno, text)


def is_held(path: str, kind: str) -> bool:
    """Return whether a file's texts of a kind have to be clean."""
    return any(fnmatch(path, glob) for glob in HELD.get(kind, ()))


def tracked() -> list[str]:
    """Return the paths of the project's files, relative to its root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()


def main(arguments: Sequence[str]) -> int:
    shows_all = "--all" in arguments
    named = [str(Path(each).resolve().relative_to(ROOT)) for each in arguments if each != "--all"]
    paths = [path for path in named or tracked() if (ROOT / path).suffix in {".md", ".py", ".yaml", ".json"}]
    if not shows_all:
        paths = [path for path in paths if any(is_held(path, kind) for kind in KINDS)]
    found = [
        each for path in paths if (ROOT / path).is_file() for each in findings(path, (ROOT / path).read_text("utf-8"))
    ]
    held = [each for each in found if is_held(each.path, each.kind)]
    for each in found if shows_all and named else held:
        print(f"{each} [{each.kind}]" if shows_all else each)
    if shows_all:
        counts = Counter((each.kind, each.pattern.name) for each in found)
        for kind in KINDS:
            by_name = ", ".join(f"{name} {count}" for (its, name), count in counts.most_common() if its == kind)
            print(f"{kind}: {sum(count for (its, _), count in counts.items() if its == kind)}  {by_name}")
    return 1 if held else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
