"""The keys of a recipe: each is a line of `Recipe`, with its type, its reader, its form and its default."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from dropbatch.batch_api.endpoints import CHAT
from dropbatch.domain.problems import Problem, Problems
from dropbatch.recipes.key_values import (
    EVENTS,
    Example,
    Reader,
    RowLimit,
    TriedRow,
    choice,
    read_attempts,
    read_column_name,
    read_columns,
    read_deadline,
    read_delimiter,
    read_encoding,
    read_endpoint,
    read_escape,
    read_examples,
    read_expect,
    read_header,
    read_limit,
    read_mapping,
    read_notify,
    read_switch,
    read_text,
    read_truth,
    read_try,
)
from dropbatch.recipes.money_values import CanaryRows, GivenPrices, read_amount, read_canary, read_prices
from dropbatch.recipes.recipe_problems import problem_at
from dropbatch.recipes.yaml import Place

DEADLINE_SECONDS = 72 * 3600


class Form(Enum):
    """The form of recipes that a key belongs to."""

    SHORT = "the request's parts, each under a key"
    FULL = "the whole request, under body"
    BOTH = "either form"


@dataclass(frozen=True, slots=True)
class Key:
    """The facts about a key.

    `read` checks its value. `in_requests`: a request may have a member of the same name, so the key is not misplaced
    there. `reads_file`: the key changes how a file is read, so that a corrected recipe can cure a rejected file. `name`
    is how the recipe spells it, if that is a word of Python.
    """

    read: Reader
    form: Form = Form.BOTH
    in_requests: bool = False
    reads_file: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The keys of a recipe with their values, and its place; `deadline` is in seconds.

    Either `body` is there, or `prompt`. Templates are as they are written. `places` maps a key as problems name it
    (`examples[0].input`) to its place in the file. A recipe with `problems` cannot be used, and its wrong keys are left
    out; compiling finds the other problems. `file_keys` says which key names each of the `files`. Two recipes are equal
    if they mean the same for files: rows to try are not compared.
    """

    path: str
    model: Annotated[str | None, Key(read_text, Form.SHORT, in_requests=True)] = None
    system: Annotated[str | None, Key(read_text, Form.SHORT)] = None
    prompt: Annotated[str | None, Key(read_text, Form.SHORT, in_requests=True)] = None
    examples: Annotated[tuple[Example, ...], Key(read_examples, Form.SHORT)] = ()
    parameters: Annotated[Mapping[str, Any], Key(read_mapping, Form.SHORT)] = field(default_factory=dict)
    body: Annotated[Mapping[str, Any] | None, Key(read_mapping, Form.FULL)] = None
    endpoint: Annotated[str, Key(read_endpoint)] = CHAT
    schema: Annotated[Mapping[str, Any] | None, Key(read_mapping)] = None
    columns: Annotated[Mapping[str, str], Key(read_columns)] = field(default_factory=dict)
    prefix: Annotated[str, Key(read_text)] = ""
    id: Annotated[str | None, Key(read_column_name, in_requests=True)] = None
    when: Annotated[str | None, Key(read_text)] = None
    bad_rows: Annotated[str, Key(choice("reject", "skip"), reads_file=True)] = "reject"
    delimiter: Annotated[str | None, Key(read_delimiter, reads_file=True)] = None
    encoding: Annotated[str | None, Key(read_encoding, reads_file=True)] = None
    limit: Annotated[RowLimit | None, Key(read_limit)] = None
    notify: Annotated[tuple[str, ...], Key(read_notify)] = EVENTS
    digest: Annotated[bool, Key(read_switch)] = True
    attempts: Annotated[int, Key(read_attempts)] = 3
    deadline: Annotated[int, Key(read_deadline)] = DEADLINE_SECONDS
    retry_invalid: Annotated[bool, Key(read_truth)] = False
    formulas: Annotated[str, Key(choice("escape", "keep"))] = "escape"
    blank_rows: Annotated[str, Key(choice("skip", "ask"))] = "skip"
    quoting: Annotated[str | None, Key(choice("double", "none"), reads_file=True)] = None
    escape: Annotated[str | None, Key(read_escape, reads_file=True)] = None
    header: Annotated[int | None, Key(read_header, reads_file=True)] = None
    replace: Annotated[str, Key(choice("finish", "cancel"))] = "finish"
    mirror: Annotated[bool, Key(read_truth)] = False
    budget_usd: Annotated[Decimal | None, Key(read_amount)] = None
    hold: Annotated[bool, Key(read_truth)] = False
    canary: Annotated[CanaryRows | None, Key(read_canary)] = None
    cache: Annotated[str, Key(choice("auto", "off"))] = "auto"
    prices: Annotated[GivenPrices | None, Key(read_prices)] = None
    dedupe: Annotated[bool | None, Key(read_truth)] = None
    expect: Annotated[str | Mapping[str, str] | None, Key(read_expect)] = None
    tried: Annotated[tuple[TriedRow, ...], Key(read_try, name="try")] = field(default=(), compare=False)

    files: tuple[str, ...] = ()
    file_keys: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    places: Mapping[str, Place] = field(default_factory=dict, compare=False, repr=False)
    problems: Problems = field(default_factory=Problems, compare=False, repr=False)

    def problem(self, code: str, key: str, sentence: str) -> Problem:
        """Return a problem with a key of this recipe; the sentence follows the place."""
        place = self.places.get(key)
        return problem_at(self.path, place.line if place else None, code, key, sentence)


_MEMBERS: Mapping[str, Key] = {
    member: get_args(hint)[1]
    for member, hint in get_type_hints(Recipe, include_extras=True).items()
    if get_origin(hint) is Annotated
}

KEYS: Mapping[str, Key] = {key.name or member: key for member, key in _MEMBERS.items()}
"""The facts about each key, by its name, in the order in which keys are checked."""

MEMBERS: Mapping[str, str] = {key.name or member: member for member, key in _MEMBERS.items()}
"""The member of `Recipe` that has the value of a key, by the key's name."""

SHORT_FORM = tuple(name for name, key in KEYS.items() if key.form is Form.SHORT)
RECIPES_OWN = frozenset(name for name, key in KEYS.items() if not key.in_requests)
READING_KEYS = tuple(name for name, key in KEYS.items() if key.reads_file)
