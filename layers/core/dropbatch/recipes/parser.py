"""From a recipe's text to its keys: a closed list, each checked for what it may hold.

Parsing looks at the recipe alone. Whether its templates, schema and files hold together is compiling's business, and
whether they fit a drop's columns is seen when there is a drop. All problems are found at once, each with its line.
"""

import codecs
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dropbatch.batch_api.endpoints import CHAT, ENDPOINTS, GONE, RESPONSES, SHORT_FORM_ENDPOINTS, endpoint_at
from dropbatch.batch_api.models import EXAMPLE_MODEL
from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem, Problems
from dropbatch.recipes import misplaced
from dropbatch.recipes.naming import listed, nearest, quoted
from dropbatch.recipes.yaml import Document, Place, dotted, read_yaml

SHORT_FORM = ("model", "system", "prompt", "examples", "parameters")
SHARED = (
    "endpoint", "schema", "columns", "prefix", "id", "when", "bad_rows", "delimiter", "encoding", "limit", "notify",
    "digest", "attempts", "deadline", "retry_invalid", "formulas", "blank_rows", "quoting", "escape", "header",
    "replace", "mirror",
)  # fmt: skip  # a list of names reads best as lines of text
KEYS = (*SHORT_FORM, "body", *SHARED)
NOT_SUPPORTED_YET = frozenset({"dedupe", "expect", "try", "budget_usd", "hold", "canary", "prices"})

EVENTS = ("accepted", "ended")

NOTICES = (*EVENTS, "problems")
"""What `notify` can list: `problems` are files that are rejected or held, and jobs that do not succeed."""

DEADLINE_SECONDS = 72 * 3600
MAX_DEADLINE_SECONDS = 14 * 86_400
"""Rows are kept for longer than that, but not for ever."""

MAX_ATTEMPTS = 10

MAX_HEADER_LINE = 1_000

MAX_SAMPLED_ROWS = 100_000
"""The numbers of sampled rows are held in memory. A sample of as many tells all that a sample can tell."""

DEFAULT_SEED = 1
MAX_SEED = 2**53
"""JSON keeps whole numbers up to it."""

_LIMIT_KEYS = ("rows", "sample", "seed")

FILE = "file://"

_TRUTHS = {
    **dict.fromkeys(("yes", "y", "on", "true", "1", "ja", "oui", "si"), "true"),
    **dict.fromkeys(("no", "n", "off", "false", "0", "nein", "non"), "false"),
}
"""What is written for a truth value: YAML 1.2 takes most of it for a text."""


@dataclass(frozen=True, slots=True)
class Example:
    """A few-shot pair: what somebody might ask, and how it should be answered (text, or JSON)."""

    input: str
    output: Any


@dataclass(frozen=True, slots=True)
class RowLimit:
    """How many rows of a drop are asked: the first ones, or, with a `seed`, as many drawn at random."""

    rows: int
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe's keys with their defaults; `deadline` is in seconds.

    Either `body` is there, or `prompt`. Templates stand as they are written. `places` maps a key as problems name it
    (`examples[0].input`) to where it stands in the file. A recipe with `problems` cannot be used, and keys that are
    wrong are left out of it; compiling adds what else is wrong. `file_keys` says which key names each of the `files`.
    """

    path: str
    model: str | None = None
    system: str | None = None
    prompt: str | None = None
    examples: tuple[Example, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    endpoint: str = CHAT
    body: Mapping[str, Any] | None = None
    schema: Mapping[str, Any] | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    id: str | None = None
    when: str | None = None
    bad_rows: str = "reject"
    delimiter: str | None = None
    encoding: str | None = None
    quoting: str | None = None
    escape: str | None = None
    header: int | None = None
    limit: RowLimit | None = None
    mirror: bool = False
    notify: tuple[str, ...] = EVENTS
    digest: bool = True
    attempts: int = 3
    deadline: int = DEADLINE_SECONDS
    retry_invalid: bool = False
    formulas: str = "escape"
    blank_rows: str = "skip"
    replace: str = "finish"
    files: tuple[str, ...] = ()
    file_keys: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    places: Mapping[str, Place] = field(default_factory=dict, compare=False, repr=False)
    problems: Problems = field(default_factory=Problems, compare=False, repr=False)

    def problem(self, code: str, key: str, sentence: str) -> Problem:
        """A problem with a key of this recipe; the sentence goes on after the place."""
        place = self.places.get(key)
        return problem_at(self.path, place.line if place else None, code, key, sentence)


def problem_at(path: str, line: int | None, code: str, key: str, sentence: str) -> Problem:
    """A problem of the recipe at `path`: `Line 3 of recipe.yaml, key limit: <sentence>`."""
    where = f"Line {line} of {path}" if line else path
    return Problem(code, f"{where}, key {quoted(key)}: {sentence}", line=line, key=key, path=path)


def parse_recipe(text: bytes, path: str = "recipe.yaml") -> Recipe:
    """The recipe that stands at the key `path`, with its problems; DropRejectedError where it has no keys at all."""
    document = read_yaml(text, path)
    if document.value is None:
        sentence = f"{path} is empty; a recipe has at least the keys model and prompt."
        raise DropRejectedError.because(Problem("empty_recipe", sentence, path=path))
    if not isinstance(document.value, dict):
        sentence = f"{path} must hold keys, as in model: {EXAMPLE_MODEL}, not {described(document.value)}."
        raise DropRejectedError.because(Problem("wrong_type", sentence, line=1, path=path))
    return _Parser(document, path).recipe()


def described(value: Any) -> str:
    """What stands there, in words: of the recipe's own texts no more than a few letters are worth repeating."""
    match value:
        case None:
            return "an empty value"
        case bool():
            return "the truth value " + str(value).lower()
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {value[:40]!r}"
        case list() | tuple():
            return "a list"
        case _:
            return "a mapping"


def file_name(text: str) -> str | None:
    """The file that a text of the form `file://name` stands for, or None."""
    stripped = text.strip()
    return stripped[len(FILE) :] if stripped.startswith(FILE) and "\n" not in stripped else None


def texts_of(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Every text within a value, at any depth, with the key it stands at."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from texts_of(item, f"{key}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from texts_of(item, f"{key}[{number}]")


class _Parser:
    def __init__(self, document: Document, path: str) -> None:
        self._values: dict[str, Any] = document.value
        self._places = {dotted(at): place for at, place in document.places.items()}
        self._path = path
        self._problems = Problems()

    def recipe(self) -> Recipe:
        for key in self._values:
            if key not in KEYS:
                self._unknown(key)
        read: dict[str, Callable[[str, Any], Any]] = {
            **dict.fromkeys(("model", "system", "prompt", "when", "prefix"), self._text),
            **dict.fromkeys(("parameters", "body", "schema"), self._mapping),
            "endpoint": self._endpoint,
            "examples": self._examples,
            "columns": self._columns,
            "id": self._name,
            "bad_rows": self._bad_rows,
            "delimiter": self._delimiter,
            "encoding": self._encoding,
            "quoting": self._quoting,
            "escape": self._escape,
            "header": self._header,
            "limit": self._limit,
            "notify": self._notify,
            "digest": self._switch,
            "attempts": self._attempts,
            "deadline": self._deadline,
            "retry_invalid": self._truth,
            "mirror": self._truth,
            "formulas": self._formulas,
            "blank_rows": self._blank_rows,
            "replace": self._replace,
        }
        members = {}
        for key in KEYS:
            if key in self._values:
                value = read[key](key, self._values[key])
                if value is not None:
                    members[key] = value
        self._check_forms(members)
        files = self._files(members)
        return Recipe(
            path=self._path,
            files=tuple(files),
            file_keys=files,
            places=self._places,
            problems=self._problems,
            **members,
        )

    def _add(self, code: str, key: str, sentence: str) -> None:
        place = self._places.get(key)
        self._problems.add(problem_at(self._path, place.line if place else None, code, key, sentence))

    def _unknown(self, key: str) -> None:
        if key in NOT_SUPPORTED_YET:
            self._add("not_supported_yet", key, "this key is planned, but not supported yet; leave it out.")
            return
        where = misplaced.at_top(key, has_body="body" in self._values)
        if where is not None:
            self._add("misplaced_key", key, where)
            return
        like = nearest(key, (*KEYS, *sorted(NOT_SUPPORTED_YET), *sorted(misplaced.PARAMETERS)))
        advice = f"did you mean {like}?" if like else f"the keys are {listed(KEYS)}."
        if like in NOT_SUPPORTED_YET:
            advice = f"did you mean {like}? It is planned, but not supported yet; leave it out."
        elif like is not None and like not in KEYS:
            advice = f"did you mean {like}? {misplaced.at_top(like, has_body='body' in self._values)}"
        self._add("unknown_key", key, f"there is no such key; {advice}")

    def _wrong_type(self, key: str, expected: str, value: Any) -> None:
        advice = (
            "write it in quotes" if expected == "a text" and isinstance(value, bool | int | float) else "correct it"
        )
        self._must_be(key, expected, value, f"{advice}.", "wrong_type")

    def _must_be(self, key: str, expected: str, value: Any, advice: str, code: str = "wrong_value") -> None:
        """Report a value that its key does not take, and what to write: all such problems have this one wording."""
        self._add(code, key, f"`{quoted(key)}` must be {expected}, not {described(value)}; {advice}")

    def _whole_number(
        self, key: str, value: Any, least: int, most: int | None = None, advice: str = "correct it."
    ) -> int | None:
        if (
            isinstance(value, int)
            and not isinstance(value, bool)
            and least <= value
            and (most is None or value <= most)
        ):
            return value
        bounds = f"of at least {least:,}" if most is None else f"from {least:,} to {most:,}"
        self._must_be(key, f"a whole number {bounds}", value, advice)
        return None

    def _text(self, key: str, value: Any) -> str | None:
        if isinstance(value, str):
            return value
        self._wrong_type(key, "a text", value)
        return None

    def _name(self, key: str, value: Any) -> str | None:
        text = self._text(key, value)
        if text == "":
            self._add("wrong_value", key, f"`{key}` must be the name of a column, not an empty text; write its name.")
            return None
        return text

    def _mapping(self, key: str, value: Any) -> dict[str, Any] | None:
        if isinstance(value, dict):
            return value
        self._wrong_type(key, "a mapping (keys with values, indented below it)", value)
        return None

    def _one_of(self, key: str, value: Any, known: tuple[str, ...]) -> str | None:
        if value in known and isinstance(value, str):
            return value
        like = nearest(value, known) if isinstance(value, str) else None
        advice = f"did you mean {like}?" if like else "write one of them."
        self._must_be(key, f"{', '.join(known[:-1])} or {known[-1]}", value, advice)
        return None

    def _bad_rows(self, key: str, value: Any) -> str | None:
        return self._one_of(key, value, ("reject", "skip"))

    def _blank_rows(self, key: str, value: Any) -> str | None:
        return self._one_of(key, value, ("skip", "ask"))

    def _replace(self, key: str, value: Any) -> str | None:
        return self._one_of(key, value, ("finish", "cancel"))

    def _formulas(self, key: str, value: Any) -> str | None:
        return self._one_of(key, value, ("escape", "keep"))

    def _endpoint(self, key: str, value: Any) -> str | None:
        if isinstance(value, str) and (value in ENDPOINTS or value in GONE):  # compiling says that one is gone
            return value
        if not isinstance(value, str):
            self._wrong_type(key, "a text", value)
            return None
        like = nearest(value, ENDPOINTS)
        advice = f"did you mean {like}?" if like else f"the endpoints are {listed(ENDPOINTS)}."
        self._add("wrong_value", key, f"the Batch API has no endpoint {value[:60]!r}; {advice}")
        return None

    def _examples(self, key: str, value: Any) -> tuple[Example, ...] | None:
        if not isinstance(value, list):
            self._wrong_type(key, "a list of pairs {input: …, output: …}", value)
            return None
        examples = []
        for number, item in enumerate(value):
            at = f"{key}[{number}]"
            if not isinstance(item, dict) or set(item) != {"input", "output"}:
                self._add("wrong_type", at, "an example has the two keys input and output and no others; correct it.")
                continue
            question, answer = self._text(f"{at}.input", item["input"]), item["output"]
            if not isinstance(answer, str | dict | list):
                self._wrong_type(f"{at}.output", "a text", answer)
            elif question is not None:
                examples.append(Example(question, answer))
        return tuple(examples)

    def _columns(self, key: str, value: Any) -> dict[str, str] | None:
        found = self._mapping(key, value)
        if found is None:
            return None
        good = {}
        for name, expression in found.items():
            if isinstance(expression, str) and expression.strip():
                good[name] = expression
            else:
                self._wrong_type(f"{key}.{name}", "a JMESPath expression (a text)", expression)
        return good

    def _delimiter(self, key: str, value: Any) -> str | None:
        if value in ("tab", "\\t"):
            return "\t"
        if isinstance(value, str) and len(value) == 1 and value not in '"\r\n':
            return value
        advice = 'write it in quotes, as in delimiter: ";".'
        self._must_be(key, "one character, or the word tab", value, advice)
        return None

    def _quoting(self, key: str, value: Any) -> str | None:
        return self._one_of(key, value, ("double", "none"))

    def _escape(self, key: str, value: Any) -> str | None:
        if isinstance(value, str) and len(value) == 1 and value not in '"\r\n':
            return value
        self._must_be(key, "one character", value, 'write it in quotes, as in escape: "\\\\".')
        return None

    def _header(self, key: str, value: Any) -> int | None:
        advice = "write the number of the line that holds the header, or leave the key out if that is the first line."
        return self._whole_number(key, value, 1, MAX_HEADER_LINE, advice)

    def _encoding(self, key: str, value: Any) -> str | None:
        text = self._text(key, value)
        if text is None:
            return None
        try:
            codecs.lookup(text)
            "".encode(text)
        except (LookupError, UnicodeError, ValueError):
            self._add("wrong_value", key, f"there is no encoding {text[:40]!r}; write one such as utf-8 or cp1252.")
            return None
        return text

    def _limit(self, key: str, value: Any) -> RowLimit | None:
        if not isinstance(value, dict):
            rows = self._whole_number(key, value, 1, advice="leave the key out to have all rows answered.")
            return None if rows is None else RowLimit(rows)
        for name in value:
            if name not in _LIMIT_KEYS:
                like = nearest(name, _LIMIT_KEYS)
                advice = f"did you mean {like}?" if like else f"the keys are {listed(_LIMIT_KEYS)}."
                self._add("unknown_key", f"{key}.{name}", f"there is no such key; {advice}")
        is_sample = self._truth(f"{key}.sample", value["sample"]) if "sample" in value else False
        seed: Any = value.get("seed", DEFAULT_SEED)
        if "seed" in value and is_sample is False:
            self._add("conflicting_keys", f"{key}.seed", "a seed goes with sample: true; add that, or leave it out.")
        else:
            self._whole_number(f"{key}.seed", seed, 0, MAX_SEED)
        if "rows" not in value:
            self._add("missing_key", key, "there is no number of rows; add one, as in limit: {rows: 50, sample: true}.")
            return None
        rows = self._whole_number(f"{key}.rows", value["rows"], 1)
        if rows is not None and is_sample and rows > MAX_SAMPLED_ROWS:
            sentence = (
                f"a sample has at most {MAX_SAMPLED_ROWS:,} rows, but {rows:,} are asked for; write fewer, or leave "
                "sample out to ask the first ones."
            )
            self._add("wrong_value", f"{key}.rows", sentence)
        return None if rows is None else RowLimit(rows, seed if is_sample else None)

    def _attempts(self, key: str, value: Any) -> int | None:
        return self._whole_number(key, value, 1, MAX_ATTEMPTS)

    def _deadline(self, key: str, value: Any) -> int | None:
        """Seconds, out of hours (`72`, `72 h`) or days (`3 d`)."""
        found = re.fullmatch(r"(\d{1,6}(?:\.\d+)?) *(h|hours?|d|days?)?", str(value).strip())
        if found and not isinstance(value, bool):
            seconds = int(float(found[1]) * (86_400 if (found[2] or "h").startswith("d") else 3600))
            if 3600 <= seconds <= MAX_DEADLINE_SECONDS:
                return seconds
        self._must_be(key, "hours or days, from 1 h to 14 d", value, "write it as in deadline: 72 h.")
        return None

    def _truth(self, key: str, value: Any) -> bool | None:
        if isinstance(value, bool):
            return value
        meant = _TRUTHS.get(value.strip().casefold()) if isinstance(value, str) else None
        if meant is not None:
            line = f"{key.rpartition('.')[2]}: {meant}"
            self._must_be(key, "true or false", value, f"write `{line}`.", "wrong_type")
        else:
            self._wrong_type(key, "true or false", value)
        return None

    def _switch(self, key: str, value: Any) -> bool | None:
        found = self._one_of(key, value, ("on", "off"))
        return None if found is None else found == "on"

    def _notify(self, key: str, value: Any) -> tuple[str, ...] | None:
        if not isinstance(value, list):
            self._wrong_type(key, "a list such as [accepted, ended]", value)
            return None
        found = [self._one_of(f"{key}[{number}]", item, NOTICES) for number, item in enumerate(value)]
        return tuple(dict.fromkeys(item for item in found if item is not None))

    def _check_forms(self, members: dict[str, Any]) -> None:
        endpoint = members.get("endpoint", CHAT)
        if members.get("mirror") and "limit" in self._values:
            sentence = "a mirror is a whole table, and limit takes only some of its rows; leave one of the two out."
            self._add("conflicting_keys", "mirror", sentence)
        if "body" in self._values:
            for key in SHORT_FORM:
                if key in self._values:
                    self._add(
                        "conflicting_keys", key, f"{key} and body exclude each other; write it into the body instead."
                    )
            self._check_body(members.get("body"), endpoint)
        else:
            self._check_short_form(members, endpoint)
        if "schema" in self._values and not endpoint_at(endpoint).is_conversation:
            self._add(
                "conflicting_keys",
                "schema",
                f"{endpoint} gives no structured answers; leave it out, or ask {CHAT}.",
            )

    def _check_body(self, body: Mapping[str, Any] | None, endpoint: str) -> None:
        if body is None:
            return
        model = body.get("model")
        if model is None and endpoint_at(endpoint).default_model is None:
            self._add("missing_key", "body", f"the body has no model; add one, as in model: {EXAMPLE_MODEL}.")
        elif model is not None and (not isinstance(model, str) or not model.strip()):
            self._wrong_type("body.model", "the name of a model (a text)", model)
        self._check_stream(body, "body")
        self._check_places(body, "body", endpoint)
        if "schema" not in self._values:
            return
        text = body.get("text")
        if endpoint == CHAT and "response_format" in body:
            self._add(
                "conflicting_keys", "body.response_format", "schema sets the response_format; leave one of the two out."
            )
        elif endpoint == RESPONSES and text is not None and not isinstance(text, dict):
            self._wrong_type("body.text", "a mapping", text)
        elif endpoint == RESPONSES and isinstance(text, dict) and "format" in text:
            self._add("conflicting_keys", "body.text.format", "schema sets the format; leave one of the two out.")

    def _check_short_form(self, members: Mapping[str, Any], endpoint: str) -> None:
        if endpoint in GONE:
            return
        if "endpoint" in members and endpoint not in SHORT_FORM_ENDPOINTS:
            self._add(
                "wrong_value",
                "endpoint",
                f"the short form is for {listed(SHORT_FORM_ENDPOINTS)}; write the whole request under body, or drop a "
                "ready batch file (.jsonl), which needs no recipe.",
            )
            return
        if "prompt" not in self._values:
            self._add("missing_key", "prompt", 'there is no prompt; add one, as in prompt: "{{ text }}".')
        if "model" not in self._values and endpoint_at(endpoint).default_model is None:
            self._add("missing_key", "model", f"there is no model; add one, as in model: {EXAMPLE_MODEL}.")
        for key in ("prompt", "model"):
            if not members.get(key, "-").strip():
                self._add("wrong_value", key, f"`{key}` must be a text, not an empty one; write one.")
        if not endpoint_at(endpoint).is_conversation:
            for key in ("system", "examples"):
                if key in self._values:
                    self._add("conflicting_keys", key, f"{endpoint} takes no {key}; leave the key out.")
        parameters = members.get("parameters", {})
        self._check_stream(parameters, "parameters")
        self._check_places(parameters, "parameters", endpoint)
        for name, ours in self._set_by_recipe(endpoint).items():
            if name in parameters and name == ours and name not in self._values:
                self._add("misplaced_key", f"parameters.{name}", f"{name} goes to the top of the recipe; put it there.")
            elif name in parameters:
                self._add(
                    "conflicting_keys",
                    f"parameters.{name}",
                    f"{ours} sets this already; leave it out of the parameters, or write the whole request under body.",
                )
        text = parameters.get("text")
        if endpoint == RESPONSES and "schema" in self._values and text is not None:
            if not isinstance(text, dict):
                self._wrong_type("parameters.text", "a mapping", text)
            elif "format" in text:
                self._add("conflicting_keys", "parameters.text.format", "schema sets the format; leave it out.")

    def _set_by_recipe(self, endpoint: str) -> dict[str, str]:
        """The members of the body that the recipe's own keys set, by the key that does."""
        members = {"model": "model", endpoint_at(endpoint).question: "prompt"}
        if endpoint == RESPONSES and "system" in self._values:
            members["instructions"] = "system"
        if endpoint == CHAT and "schema" in self._values:
            members["response_format"] = "schema"
        return members

    def _check_places(self, members: Mapping[str, Any], key: str, endpoint: str) -> None:
        for name in members:
            where = misplaced.within(name, key, endpoint)
            if where is not None:
                self._add("misplaced_key", f"{key}.{name}", where)

    def _check_stream(self, members: Mapping[str, Any], key: str) -> None:
        if members.get("stream"):
            self._add("wrong_value", f"{key}.stream", "the Batch API does not stream answers; leave it out.")

    def _files(self, members: Mapping[str, Any]) -> dict[str, str]:
        """The files that the recipe reads, as it names them, with the first key that does."""
        texts = [*texts_of(members.get("system"), "system"), *texts_of(members.get("prompt"), "prompt")]
        texts += texts_of(members.get("body"), "body")
        for number, example in enumerate(members.get("examples", ())):
            for part, text in (("input", example.input), ("output", example.output)):
                if isinstance(text, str):
                    texts.append((f"examples[{number}].{part}", text))
        names: dict[str, str] = {}
        for key, text in texts:
            name = file_name(text)
            if name is not None and self._is_beside(key, name):
                names.setdefault(name, key)
        return names

    def _is_beside(self, key: str, name: str) -> bool:
        if not name or name.endswith("/") or name.startswith("/") or re.search(r"[\x00-\x1f]|\{\{", name):
            self._add(
                "wrong_value",
                key,
                f"{described(FILE + name)} names no file; write its path from the recipe's folder, as in "
                "file://prompt.md.",
            )
            return False
        if ".." in name.split("/"):
            self._add(
                "wrong_value",
                key,
                f"{described(FILE + name)} lies outside of the recipe's folder; move the file into it, or below it.",
            )
            return False
        return True
