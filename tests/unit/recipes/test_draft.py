"""The draft of a recipe: it can be used as it is, for any file, and says what each key is for."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.draft import draft
from dropbatch.recipes.file_values import file_values
from dropbatch.recipes.keys import KEYS
from dropbatch.recipes.parser import parse_recipe

from .driving import problems_of

REVIEWS = [
    {"review_id": "r1", "stars": "1", "dt": "2026-11-27", "text": "The kettle leaks.", "label": "negative"},
    {"review_id": "r2", "stars": "5", "dt": "2026-11-27", "text": "I love my toaster so much.", "label": "positive"},
    {"review_id": "r3", "stars": "5", "dt": "2026-11-28", "text": "Works as it should.", "label": "positive"},
    {"review_id": "r4", "stars": "2", "dt": "2026-11-28", "text": "Broke after a week.", "label": "negative"},
]
COLUMNS = list(REVIEWS[0])


def used(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], ask: str | None = None) -> CompiledRecipe:
    """Return the compiled draft for a file, which must fit the file."""
    text = draft(columns, rows, ask)
    assert problems_of(text, columns=columns or None) == [], text
    file = file_values("a.csv", columns)
    compiled = compile_recipe(parse_recipe(text.encode()), {}, file=file)
    names = columns or list(dict.fromkeys(name for row in rows for name in row))
    assert compiled.check_columns(names) == [], text
    for row in rows:
        compiled.request(row)
    return compiled


def question(compiled: CompiledRecipe, row: Mapping[str, Any]) -> str:
    request = compiled.request(row)
    assert request is not None
    system = json.loads(request.body)["messages"][0]
    assert system["role"] == "system"
    return str(system["content"])


def test_keys_that_are_needed_to_read_a_file_are_in_its_draft_once() -> None:
    text = draft(COLUMNS, REVIEWS, keys={"encoding": "windows-1252", "header": "3"})
    recipe = parse_recipe(text.encode())
    assert (recipe.encoding, recipe.header) == ("windows-1252", 3)
    assert (text.count("encoding: "), text.count("header: ")) == (1, 1)
    assert parse_recipe(draft(COLUMNS, REVIEWS).encode()).encoding is None
    assert "# encoding: cp1252" in draft(COLUMNS, REVIEWS)


def test_the_longest_free_text_is_asked_and_the_id_labels_the_rows() -> None:
    recipe = used(COLUMNS, REVIEWS, "Is the customer angry?").recipe
    assert recipe.prompt == "{{ text }}"
    assert recipe.system == "Is the customer angry?"
    assert recipe.id == "review_id"
    assert recipe.schema == {"angry": "boolean"}
    assert recipe.when is None
    assert '# expect: "label"' in draft(COLUMNS, REVIEWS)


def test_the_same_file_without_a_question_has_an_example_to_edit() -> None:
    text = draft(COLUMNS, REVIEWS)
    assert "above all the question, which is only an example" in text
    assert used(COLUMNS, REVIEWS).categories == {"sentiment": ("positive", "neutral", "negative")}


@pytest.mark.parametrize("rows", [REVIEWS, [{**REVIEWS[0], "text": ""}, *REVIEWS[1:]]])
def test_rows_without_a_text_are_left_out_if_the_first_rows_have_some(rows: list[dict[str, str]]) -> None:
    has_empty = any(not row["text"] for row in rows)
    compiled = used(COLUMNS, rows)
    assert compiled.recipe.when == ("{{ text }}" if has_empty else None)
    assert (compiled.request({**REVIEWS[0], "text": " "}) is None) if has_empty else "# when: " in draft(COLUMNS, rows)


def test_columns_of_json_are_those_of_its_rows() -> None:
    rows = [{"id": 1, "body": "A text of words"}, {"id": 2, "body": "Another one", "note": "A very long note of words"}]
    recipe = used([], rows).recipe
    assert (recipe.prompt, recipe.id) == ("{{ body }}", "id")  # a row lacks the note


def test_a_file_without_rows_is_read_by_the_names_of_its_columns() -> None:
    assert used(["id", "stars", "Comment"], []).recipe.prompt == "{{ Comment }}"
    assert used(["id"], []).recipe.prompt == "{{ id }}"
    assert used([], []).recipe.prompt == "{{ row }}"


@pytest.mark.parametrize(
    ("taken", "prefix"), [(["_status"], "ai_"), (["_error", "ai__error"], "ai2_"), (["sentiment"], "")]
)
def test_added_columns_never_collide_with_the_files_own(taken: list[str], prefix: str) -> None:
    compiled = used([*taken, "text"], [dict.fromkeys([*taken, "text"], "some words")])
    assert compiled.recipe.prefix == prefix
    assert set(compiled.all_columns).isdisjoint(taken)


def test_every_key_is_explained_and_can_be_used_by_deleting_its_sign() -> None:
    text = draft(COLUMNS, REVIEWS, "Is the customer angry?")
    off = re.findall(r"^# (\w+): ", text, re.MULTILINE)
    on = re.findall(r"^(\w+):", text, re.MULTILINE)
    assert {*on, *off} == KEYS.keys() - {"body"}
    assert len(off) + len(on) == len(set(off) | set(on))
    for name in off:
        uncommented = re.sub(rf"^# ({name}: .*)", r"\1", text, flags=re.MULTILINE)
        assert uncommented != text
        assert problems_of(uncommented, columns=COLUMNS) == [], name


ODD = st.sampled_from(
    [
        *(
            "",
            " ",
            "Review Text",
            "it's",
            'a "b"',
            "a\\b",
            "a.b",
            "😀",
            "größe",
            "a\nb",
            "a\tb",
            "\x85",
            "\u2028",
            "\ufeff",
            "\x00",
        ),
        *("{{ x }}", "{% if %}", "{# x #}", "}}", "%}", "# x", "- x", "a: b", "*x", "&x", "!x", "row", "file", "loop"),
        *(
            "self",
            "not",
            "in",
            "none",
            "true",
            "null",
            "expect",
            "id",
            "_status",
            "_error",
            "sentiment",
            "answer",
            "angry",
        ),
        *(
            "customer",
            "text",
            "${text}",
            "<text>",
            "x" * 300,
            "\ud800",
            "a 😀\x85b",
            "recursive",
            "and",
            "~",
            "1",
            "0x1",
        ),
    ]
) | st.text(max_size=12)
VALUES = st.sampled_from(
    [
        "",
        " ",
        "two words",
        "a longer text of some words",
        "{{ x }}",
        "1",
        "\x85\u2028😀",
        None,
        3,
        2.5,
        True,
        ["x"],
        {"a": 1},
    ]
)
QUESTIONS = st.sampled_from(
    [
        *(
            "Is {text} angry?",
            "Is <customer> angry?",
            "What about {{ x }}?",
            "file://x",
            "Is it true?",
            "Is it null?",
            "{#",
        ),
        *(
            "Which type: object, array or a 'b'?",
            "Which: true, false?",
            "How many?",
            "Rate from 1 to 5",
            "a\x85b 😀",
            "\ud800?",
        ),
        *(
            "Is the answer \"x\" or 'y'?",
            "Which one: " + ", ".join(map(str, range(60))),
            "%text% ${text} [text]",
            "Is it _status?",
        ),
    ]
) | st.text(max_size=40)


@pytest.mark.slow
@given(
    st.lists(ODD, max_size=5, unique=True), st.lists(st.lists(VALUES, min_size=5, max_size=5), max_size=3), QUESTIONS
)
@example(["a"], [], "Is the customer angry?")
@settings(max_examples=50)
def test_a_draft_fits_the_file_that_it_was_made_for(columns: list[str], cells: list[list[Any]], ask: str) -> None:
    rows = [dict(zip(columns, row, strict=False)) for row in cells]
    for question_ in (ask, None):
        used(columns, rows, question_)
        used([], rows, question_)
    text = draft(columns, rows, ask)
    uncommented = re.sub(r"^# (try|expect|id|when): ", r"\1: ", text, flags=re.MULTILINE)
    assert problems_of(uncommented, columns=columns or None) == [], uncommented


@pytest.mark.slow
@given(QUESTIONS, st.sampled_from([["text"], ["text", "customer"]]))
def test_the_question_reaches_the_model_as_it_was_asked(ask: str, columns: list[str]) -> None:
    row = dict.fromkeys(columns, "some words of a customer")
    asked = " ".join(ask.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").split())
    if asked:
        assert question(used(columns, [row], ask), row) == asked


def test_five_hundred_columns() -> None:
    columns = [f"Column {number}" for number in range(500)]
    rows = [{name: f"{name} has words" for name in columns} for _ in range(3)]
    text = draft(columns, rows, "Is it good?")
    assert len(text) < 6_000
    assert "and 480 more" in text
    assert used(columns, rows).recipe.prompt == "{{ row['Column 100'] }}"


def test_a_draft_is_of_a_readable_width() -> None:
    assert max(map(len, draft(COLUMNS, REVIEWS).splitlines())) <= 120
