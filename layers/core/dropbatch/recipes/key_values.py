"""The values that the keys of a recipe take: a reader checks each, and turns it into what `Recipe` holds.

A reader reports a wrong value, and returns None in its place.
"""

import codecs
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dropbatch.batch_api.endpoints import ENDPOINTS, GONE
from dropbatch.recipes.quoted_names import listed
from dropbatch.recipes.recipe_problems import RecipeProblems
from dropbatch.recipes.similar_names import nearest

Reader = Callable[[RecipeProblems, str, Any], Any]
"""Takes the problems to add to, the key, and the value as YAML has it."""

EVENTS = ("accepted", "ended")

NOTICES = (*EVENTS, "problems")
"""The members that `notify` can list: `problems` are files that are rejected or held, and jobs that do not succeed."""

MAX_DEADLINE_SECONDS = 14 * 86_400
"""Rows are kept for longer than that, but not for ever."""

MAX_ATTEMPTS = 10

MAX_HEADER_LINE = 1_000

MAX_SAMPLED_ROWS = 100_000
"""The numbers of sampled rows are held in memory. A larger sample says no more."""

DEFAULT_SEED = 1
MAX_SEED = 2**53
"""JSON keeps whole numbers up to it."""

MAX_TRIED_ROWS = 10
"""More rows are a file. Each is asked alone, at full price, while the message about the recipe waits."""

EXPECT = "expect"
"""The member of a row of `try` that has the known answer."""

_LIMIT_KEYS = ("rows", "sample", "seed")

TRUTHS = {
    **dict.fromkeys(("yes", "y", "on", "true", "1", "ja", "oui", "si"), "true"),
    **dict.fromkeys(("no", "n", "off", "false", "0", "nein", "non"), "false"),
}
"""Words that people write for a truth value. For YAML 1.2 most of them are texts."""


@dataclass(frozen=True, slots=True)
class Example:
    """A few-shot pair: a question, and the answer to it (text, or JSON)."""

    input: str
    output: Any


@dataclass(frozen=True, slots=True)
class TriedRow:
    """A row that is answered at once. `expect` is the known answer as it is written, None if there is none."""

    values: Mapping[str, Any]
    expect: Any = None


@dataclass(frozen=True, slots=True)
class RowLimit:
    """The number of rows of a drop that are sent: the first ones or, with a `seed`, random ones."""

    rows: int
    seed: int | None = None


def read_text(problems: RecipeProblems, key: str, value: Any) -> str | None:
    """Return a text of any length."""
    if isinstance(value, str):
        return value
    problems.add_wrong_type(key, "a text", value)
    return None


def read_column_name(problems: RecipeProblems, key: str, value: Any) -> str | None:
    """Return a text that is not empty."""
    text = read_text(problems, key, value)
    if text == "":
        problems.add("wrong_value", key, f"`{key}` must be the name of a column, not an empty text; write its name.")
        return None
    return text


def read_mapping(problems: RecipeProblems, key: str, value: Any) -> dict[str, Any] | None:
    """Return a mapping with any keys."""
    if isinstance(value, dict):
        return value
    problems.add_wrong_type(key, "a mapping (keys with values, indented below it)", value)
    return None


def read_truth(problems: RecipeProblems, key: str, value: Any) -> bool | None:
    """Return true or false. Other words for them are refused with the advice which of the two to write."""
    if isinstance(value, bool):
        return value
    meant = TRUTHS.get(value.strip().casefold()) if isinstance(value, str) else None
    if meant is not None:
        line = f"{key.rpartition('.')[2]}: {meant}"
        problems.add_wrong_value(key, "true or false", value, f"write `{line}`.", code="wrong_type")
    else:
        problems.add_wrong_type(key, "true or false", value)
    return None


def read_switch(problems: RecipeProblems, key: str, value: Any) -> bool | None:
    """Return true for `on` and false for `off`."""
    found = _read_choice(problems, key, value, ("on", "off"))
    return None if found is None else found == "on"


def choice(*known: str) -> Reader:
    """Return a reader that takes one of these texts."""

    def read(problems: RecipeProblems, key: str, value: Any) -> str | None:
        return _read_choice(problems, key, value, known)

    return read


def _read_choice(problems: RecipeProblems, key: str, value: Any, known: tuple[str, ...]) -> str | None:
    if value in known and isinstance(value, str):
        return value
    like = nearest(value, known) if isinstance(value, str) else None
    advice = f"did you mean {like}?" if like else "write one of them."
    problems.add_wrong_value(key, f"{', '.join(known[:-1])} or {known[-1]}", value, advice)
    return None


def whole_number(least: int, most: int | None = None, advice: str = "correct it.") -> Reader:
    """Return a reader that takes a whole number within these bounds."""
    bounds = f"of at least {least:,}" if most is None else f"from {least:,} to {most:,}"

    def read(problems: RecipeProblems, key: str, value: Any) -> int | None:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if is_whole and least <= value and (most is None or value <= most):
            return int(value)
        problems.add_wrong_value(key, f"a whole number {bounds}", value, advice)
        return None

    return read


read_attempts = whole_number(1, MAX_ATTEMPTS)

read_header = whole_number(
    1,
    MAX_HEADER_LINE,
    "write the number of the line that holds the header, or leave the key out if that is the first line.",
)


def read_deadline(problems: RecipeProblems, key: str, value: Any) -> int | None:
    """Return seconds, for hours (`72`, `72 h`) or days (`3 d`)."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d+)?) *(h|hours?|d|days?)?", str(value).strip())
    if found and not isinstance(value, bool):
        seconds = int(float(found[1]) * (86_400 if (found[2] or "h").startswith("d") else 3600))
        if 3600 <= seconds <= MAX_DEADLINE_SECONDS:
            return seconds
    problems.add_wrong_value(key, "hours or days, from 1 h to 14 d", value, "write it as in deadline: 72 h.")
    return None


def read_limit(problems: RecipeProblems, key: str, value: Any) -> RowLimit | None:
    """Return a limit, for a number of rows or for a mapping of the number, `sample` and `seed`."""
    if not isinstance(value, dict):
        rows = whole_number(1, advice="leave the key out to have all rows answered.")(problems, key, value)
        return None if rows is None else RowLimit(rows)
    refuse_unknown_keys(problems, key, value, _LIMIT_KEYS)
    seed = read_seed(problems, key, value)
    if "rows" not in value:
        sentence = "there is no number of rows; add one, as in limit: {rows: 50, sample: true}."
        problems.add("missing_key", key, sentence)
        return None
    rows = whole_number(1)(problems, f"{key}.rows", value["rows"])
    if rows is not None and seed is not None and rows > MAX_SAMPLED_ROWS:
        sentence = (
            f"a sample has at most {MAX_SAMPLED_ROWS:,} rows, but {rows:,} are asked for; write fewer, or leave "
            "sample out to ask the first ones."
        )
        problems.add("wrong_value", f"{key}.rows", sentence)
    return None if rows is None else RowLimit(rows, seed)


def refuse_unknown_keys(problems: RecipeProblems, key: str, value: Mapping[str, Any], known: Sequence[str]) -> None:
    """Report the keys of a mapping that are not known, each with the one that was probably meant."""
    for name in value:
        if name not in known:
            like = nearest(name, known)
            advice = f"did you mean {like}?" if like else f"the keys are {listed(known)}."
            problems.add("unknown_key", f"{key}.{name}", f"there is no such key; {advice}")


def read_seed(problems: RecipeProblems, key: str, value: Mapping[str, Any]) -> int | None:
    """Return the seed of a mapping of `rows`, `sample` and `seed`; None if it takes the first rows."""
    is_sample = read_truth(problems, f"{key}.sample", value["sample"]) if "sample" in value else False
    if "seed" in value and is_sample is False:
        problems.add("conflicting_keys", f"{key}.seed", "a seed goes with sample: true; add that, or leave it out.")
        return None
    seed = whole_number(0, MAX_SEED)(problems, f"{key}.seed", value.get("seed", DEFAULT_SEED))
    return seed if is_sample else None


def read_endpoint(problems: RecipeProblems, key: str, value: Any) -> str | None:
    """Return the path of an endpoint, one that is gone too: compiling reports that."""
    if isinstance(value, str) and (value in ENDPOINTS or value in GONE):
        return value
    if not isinstance(value, str):
        problems.add_wrong_type(key, "a text", value)
        return None
    like = nearest(value, ENDPOINTS)
    advice = f"did you mean {like}?" if like else f"the endpoints are {listed(ENDPOINTS)}."
    problems.add("wrong_value", key, f"the Batch API has no endpoint {value[:60]!r}; {advice}")
    return None


def read_examples(problems: RecipeProblems, key: str, value: Any) -> tuple[Example, ...] | None:
    """Return examples, for a list of mappings of `input` and `output`."""
    if not isinstance(value, list):
        problems.add_wrong_type(key, "a list of pairs {input: …, output: …}", value)
        return None
    examples = []
    for number, item in enumerate(value):
        at = f"{key}[{number}]"
        if not isinstance(item, dict) or set(item) != {"input", "output"}:
            sentence = "an example has the two keys input and output and no others; correct it."
            problems.add("wrong_type", at, sentence)
            continue
        question, answer = read_text(problems, f"{at}.input", item["input"]), item["output"]
        if not isinstance(answer, str | dict | list):
            problems.add_wrong_type(f"{at}.output", "a text", answer)
        elif question is not None:
            examples.append(Example(question, answer))
    return tuple(examples)


def read_columns(problems: RecipeProblems, key: str, value: Any) -> dict[str, str] | None:
    """Return JMESPath expressions by the names of columns; compiling checks them."""
    found = read_mapping(problems, key, value)
    if found is None:
        return None
    good = {}
    for name, expression in found.items():
        if isinstance(expression, str) and expression.strip():
            good[name] = expression
        else:
            problems.add_wrong_type(f"{key}.{name}", "a JMESPath expression (a text)", expression)
    return good


def read_expect(problems: RecipeProblems, key: str, value: Any) -> str | dict[str, str] | None:
    """Return the name of a column, or names of columns by columns of the answers; compiling checks them."""
    if isinstance(value, str):
        return read_column_name(problems, key, value)
    if not isinstance(value, dict) or not value:
        expected = "the name of a column, or a mapping {column of the answers: column of the file}"
        problems.add_wrong_type(key, expected, value)
        return None
    names = {name: read_column_name(problems, f"{key}.{name}", column) for name, column in value.items()}
    return {name: column for name, column in names.items() if column is not None}


def read_try(problems: RecipeProblems, key: str, value: Any) -> tuple[TriedRow, ...] | None:
    """Return rows, for a list of mappings of columns to values, each with an optional `expect`."""
    if not isinstance(value, list) or not 0 < len(value) <= MAX_TRIED_ROWS:
        expected = f"a list of 1 to {MAX_TRIED_ROWS} rows, each as in {{text: A text like yours, expect: positive}}"
        problems.add_wrong_type(key, expected, value)
        return None
    rows = []
    for number, item in enumerate(value):
        if isinstance(item, dict) and item.keys() - {EXPECT}:
            values = {name: cell for name, cell in item.items() if name != EXPECT}
            rows.append(TriedRow(values, item.get(EXPECT)))
        else:
            problems.add_wrong_type(f"{key}[{number}]", "a row: a mapping of columns to their values", item)
    return tuple(rows)


def read_notify(problems: RecipeProblems, key: str, value: Any) -> tuple[str, ...] | None:
    """Return the names of notices, each once."""
    if not isinstance(value, list):
        problems.add_wrong_type(key, "a list such as [accepted, ended]", value)
        return None
    found = [_read_choice(problems, f"{key}[{number}]", item, NOTICES) for number, item in enumerate(value)]
    return tuple(dict.fromkeys(item for item in found if item is not None))


def read_delimiter(problems: RecipeProblems, key: str, value: Any) -> str | None:
    """Return one character; the word `tab` is one."""
    if value in ("tab", "\\t"):
        return "\t"
    if _is_sign(value):
        return str(value)
    advice = 'write it in quotes, as in delimiter: ";".'
    problems.add_wrong_value(key, "one character, or the word tab", value, advice)
    return None


def read_escape(problems: RecipeProblems, key: str, value: Any) -> str | None:
    """Return one character."""
    if _is_sign(value):
        return str(value)
    problems.add_wrong_value(key, "one character", value, 'write it in quotes, as in escape: "\\\\".')
    return None


def _is_sign(value: Any) -> bool:
    """Return whether a value is one character that can have a meaning between values of a csv."""
    return isinstance(value, str) and len(value) == 1 and value not in '"\r\n'


def read_encoding(problems: RecipeProblems, key: str, value: Any) -> str | None:
    """Return the name of an encoding of texts that Python knows."""
    text = read_text(problems, key, value)
    if text is None:
        return None
    try:
        codecs.lookup(text)
        "".encode(text)
    except (LookupError, UnicodeError, ValueError):
        sentence = f"there is no encoding {text[:40]!r}; write one such as utf-8 or cp1252."
        problems.add("wrong_value", key, sentence)
        return None
    return text
