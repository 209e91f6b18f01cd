"""A draft of a recipe for a file without one: the file's own columns and first rows say what goes where.

It can be used as it is: it parses, and fits the columns that it was made for. All keys that it does not need are in it
as comments, each with what it is for.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dropbatch.batch_api.models import EXAMPLE_MODEL
from dropbatch.domain.drops import without_controls
from dropbatch.json_encoding import replace_surrogates, to_json
from dropbatch.recipes import placeholders
from dropbatch.recipes.column_roles import can_be_named, columns_of, find_id, find_labels, find_text
from dropbatch.recipes.file_references import referenced_file
from dropbatch.recipes.key_values import EXPECT
from dropbatch.recipes.question_schema import GuessedColumn, free_name, guess_column
from dropbatch.recipes.quoted_names import listed
from dropbatch.recipes.reserved_names import ROW
from dropbatch.recipes.snippets import bare, literal, yaml_text

EXAMPLE_QUESTION = "Is the text positive, neutral or negative?"
"""The question of a draft for a person who has not asked one."""

MAX_TRIED_CHARACTERS = 500
"""How much of a row's value the example of `try` repeats."""

_PREFIX = "ai_"

_PLAIN = re.compile(r"[A-Za-z][\w-]*", re.ASCII)

_OFF = (
    (
        "examples",
        '[{input: "A text like yours", output: "The right answer"}]',
        "pairs that show how to answer",
    ),
    ("parameters", "{reasoning_effort: none, max_completion_tokens: 500}", "passed to the model unchanged"),
    ("endpoint", "/v1/chat/completions", "or /v1/responses; embeddings and moderations have their own"),
    ("columns", '{finish: "choices[0].finish_reason"}', "more columns, each a JMESPath expression over the response"),
    ("limit", "50", "only the first rows; a random sample is {rows: 50, sample: true}"),
    ("budget_usd", "2.50", "the most US dollars that a run may cost"),
    ("hold", "true", "every run waits until you have seen its price"),
    ("canary", "50", "this many rows are sent before all others, and checked"),
    ("prices", "{input: 0.05, output: 0.25}", "your own prices, in US dollars for a million tokens"),
    ("bad_rows", "skip", "skip rows that cannot be read or asked; else they reject the file"),
    ("blank_rows", "ask", "ask rows without any value, too"),
    ("dedupe", "false", "ask rows with the same request separately"),
    ("attempts", "3", "how often a row is sent at most"),
    ("deadline", "72 h", "after this time no row is retried"),
    ("retry_invalid", "true", "retry answers that are empty or do not fit the schema"),
    ("mirror", "true", "keep the newest answers under the file's own key, as one table"),
    ("replace", "cancel", "a new version of the file cancels the older one's job"),
    ("notify", "[problems]", "which messages you get: accepted, ended, problems"),
    ("digest", "off", "a message for each file, instead of one for many"),
    ("cache", "off", "leave OpenAI's prompt caching alone"),
    ("formulas", "keep", "do not mark answers that a spreadsheet would run as formulas"),
    ("encoding", "cp1252", "of a csv or text file that is not UTF-8"),
    ("delimiter", '";"', "of a csv, if it is not detected"),
    ("quoting", "none", "in a csv, quotes have no meaning"),
    ("escape", '"\\\\"', "in a csv, the character after this one means itself"),
    ("header", "1", "the line of a csv that has the names of the columns"),
)
"""The keys that few files need: each with a value, and what it is for."""


_WHY = {
    "encoding": "The file is not UTF-8, and this seems to be its encoding. Check letters with accents in the answers.",
    "header": "The file seems to begin with a title. This is the line of its header.",
}
"""Why a file needs a key to be read."""

_NO_KEYS: Mapping[str, str] = {}


def draft(
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    ask: str | None = None,
    keys: Mapping[str, str] = _NO_KEYS,
) -> str:
    """Return the text of a recipe for a file with these columns, none if only the rows say them, and first rows.

    `ask` is the question that a person wants answered about each row. `keys` are needed to read the file: its
    `encoding`, or the line of its `header`.
    """
    names = columns_of(columns, rows)
    text, identity = find_text(names, rows), find_id(names, rows)
    asked = " ".join(replace_surrogates(ask or "").split())
    question = asked or EXAMPLE_QUESTION
    answer = guess_column(question, names) if asked else _example_answer(names)
    lines = [*_head(names, is_asked=bool(asked)), f"model: {EXAMPLE_MODEL}", ""]
    lines += ["# The question. It is the same for all rows.", f"system: {_constant(question, names, text)}", ""]
    lines += [*_prompt(text, rows), "", *_schema(answer), "", *_prefix(names, answer)]
    lines += _label(identity, names)
    lines += _reading(keys)
    lines += ["# Keys that few files need:", *_off(keys), ""]
    lines += [*_try(text, rows), *_expect(find_labels(names, rows, (text, identity)))]
    return "\n".join(lines).rstrip("\n") + "\n"


def _example_answer(names: Sequence[str]) -> GuessedColumn:
    return GuessedColumn(free_name("sentiment", names), ("positive", "neutral", "negative"))


def _head(names: Sequence[str], *, is_asked: bool) -> list[str]:
    question = "" if is_asked else ": above all the question, which is only an example"
    shown = _comment(listed(names)) if names else "none"
    return [
        "# A draft of a recipe, made out of the file's columns and first rows.",
        f"# 1. Edit it{question}.",
        "# 2. Put it beside the file, under the name recipe.yaml.",
        "# To use a key after a #, delete that #. All keys are explained in docs/recipes.md.",
        "#",
        f"# Columns of the file: {shown}",
        "",
    ]


def _constant(text: str, names: Sequence[str], used: str | None) -> str:
    """Return a text of the recipe, which no template language and no column of the drop gives another meaning."""
    means_more = referenced_file(text) is not None or re.search(r"\{[{%#]", text)
    found = placeholders.sure(text) | placeholders.unused(text, {used} if used is not None else ())
    if means_more or not found.keys().isdisjoint(names):
        text = f"{{{{ {literal(text)} }}}}"
    return yaml_text(text)


def _prompt(text: str | None, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if text is None:
        return ["# What is sent of each row: all of it.", f'prompt: "{{{{ {ROW} }}}}"']
    lines = [
        "# What is sent of each row: here the column with the longest texts. {{ row }} is the whole row.",
        f"prompt: {yaml_text(bare(text))}",
    ]
    when = f"when: {yaml_text(bare(text))}"
    if any(not str(row.get(text) or "").strip() for row in rows):
        return [*lines, "", "# Rows in which that is empty are not sent, and cost nothing.", when]
    return [*lines, f"# {when}  # rows in which it is empty are not sent"]


def _schema(answer: GuessedColumn) -> list[str]:
    value = answer.type if isinstance(answer.type, str) else f"[{', '.join(map(_scalar, answer.type))}]"
    return [
        "# The form of the answer. Each line becomes a column of the results: a name, and a type (string, integer,",
        "# number, boolean) or the allowed values, as in [yes, no].",
        "schema:",
        f"  {_scalar(answer.name)}: {value}",
    ]


def _prefix(names: Sequence[str], answer: GuessedColumn) -> list[str]:
    """Return the key `prefix`, which is needed if the drop has a column that the results add."""
    added = (answer.name, "_status", "_error")
    if set(added).isdisjoint(names):
        return [f"# prefix: {_PREFIX}  # at the beginning of each added column's name"]
    prefix, number = _PREFIX, 1
    while any(prefix + name in names for name in added):
        number += 1
        prefix = f"ai{number}_"
    return ["# The file has a column of a name that the results add, so these begin differently.", f"prefix: {prefix}"]


def _label(identity: str | None, names: Sequence[str]) -> list[str]:
    if identity is None:
        first = next((name for name in names if name and can_be_named(name)), None)
        return (
            []
            if first is None
            else [f"# id: {yaml_text(first)}  # the column that labels each row; it is not sent", ""]
        )
    return [
        "",
        "# The column that labels each row in responses.jsonl. It is not sent.",
        f"id: {yaml_text(identity)}",
        "",
    ]


def _reading(keys: Mapping[str, str]) -> list[str]:
    """Return the keys that are needed to read the file, each with the reason."""
    lines = []
    for name, value in keys.items():
        lines += [f"# {_WHY[name]}", f"{name}: {value}", ""]
    return lines


def _off(keys: Mapping[str, str]) -> list[str]:
    """Return the keys that few files need, and this one does not, as comments."""
    return [f"# {key}: {value}  # {why}" for key, value, why in _OFF if key not in keys]


def _try(text: str | None, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return an example of `try`, with the first row that has a text, or one that is made up."""
    if text == EXPECT:
        return ["# The key try has rows that are answered at once. A column named expect cannot be in them."]
    values = [row.get(text) for row in rows] if text is not None else []
    first = next((value for value in values if isinstance(value, str) and value.strip()), None)
    tried = replace_surrogates(first[:MAX_TRIED_CHARACTERS]) if first is not None else "A text like yours"
    return [
        "# Up to ten rows that are answered at once when you upload the recipe, at full price. Each may have the right",
        "# answer under expect; the message about the recipe says how many are as expected.",
        f"# try: [{{{_scalar(text if text is not None else 'text')}: {yaml_text(tried)}}}]",
    ]


def _expect(labels: str | None) -> list[str]:
    if labels is None:
        return [
            "# The key expect names a column with known answers. They are compared with the model's, and never sent."
        ]
    return [f"# expect: {yaml_text(labels)}  # a column with known answers; it is compared, and never sent"]


def _scalar(value: Any) -> str:
    """Return a name or a value as YAML reads it in a flow, with quotes if it needs them."""
    if not isinstance(value, str):
        return to_json(value).decode()
    is_plain = _PLAIN.fullmatch(value) and value.casefold() not in ("true", "false", "null")
    return value if is_plain else yaml_text(value)


def _comment(text: str) -> str:
    """Return a text as a line of a comment."""
    return re.sub(r"[\ufeff\ufffe\uffff]", " ", without_controls(replace_surrogates(text)))
