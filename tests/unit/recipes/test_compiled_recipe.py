"""A recipe turns rows into requests."""

import json
from contextlib import suppress
from typing import Any

import pytest

from dropbatch.domain.errors import DropRejectedError, RowRejectedError
from dropbatch.recipes import compiler as compiling
from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.parser import parse_recipe

from .driving import LOOPS, SHORT, compiled, rejection


def test_a_row_whose_when_is_empty_is_skipped() -> None:
    recipe = compiled(SHORT + "when: |\n  {{ text }}\n")
    assert recipe.request({"text": " "}) is None
    assert recipe.request({"text": "a"}) is not None


def test_a_condition_that_is_false_skips_too() -> None:
    recipe = compiled(SHORT + "when: \"{{ lang == 'de' }}\"\n")
    assert recipe.request({"text": "a", "lang": "en"}) is None
    assert recipe.request({"text": "a", "lang": "de"}) is not None


@pytest.mark.parametrize("nothing", [None, "", False, [], {}])
def test_a_row_with_nothing_in_a_value_is_skipped(nothing: Any) -> None:
    recipe = compiled(SHORT + 'when: "{{ reviews }}"\n')
    assert recipe.request({"text": "a", "reviews": nothing}) is None
    assert recipe.request({"text": "a", "reviews": ["b"]}) is not None
    assert recipe.request({"text": "a", "reviews": 0}) is not None


def test_a_skipped_row_need_not_fit_the_prompt() -> None:
    assert compiled(SHORT + "when: '{{ text is defined and text }}'\n").request({"other": 1}) is None


def test_a_json_row_that_has_a_column_of_the_answer_is_rejected() -> None:
    assert rejection(SHORT, {"text": "a", "answer": "b"}).code == "column_exists"


@pytest.mark.parametrize(
    ("value", "label"), [("r-7", "r-7"), (7, "7"), (None, None), ("", None), (1.5, "1.5"), (True, "true")]
)
def test_a_row_is_labelled_by_its_id_column(value: Any, label: str | None) -> None:
    assert compiled(SHORT + "id: key\n").label({"key": value, "text": "a"}) == label


def test_a_row_without_its_label_is_rejected() -> None:
    assert rejection(SHORT + "id: key\n", {"text": "a"}).key == "id"


def test_a_request_is_one_line_whatever_the_row_holds() -> None:
    text = 'a\n\r\u2028\u2029\u0085\x00\ud800"\\ 😀'
    request = compiled(SHORT).request({"text": text})
    assert request is not None
    line = request.line("1")
    assert line.count(b"\n") == 1
    content = json.loads(line)["body"]["messages"][0]["content"]
    assert content == text.replace("\ud800", "\ufffd")


def test_the_same_row_gives_the_same_bytes() -> None:
    text = "model: m\nprompt: '{% for k in row %}{{ k }}={{ row[k] }};{% endfor %}'\n"
    row = {"b": 1, "a": {"z": [1.10, None]}}
    assert compiled(text).request(row) == compiled(text).request(row)


@pytest.mark.slow
def test_rows_that_together_take_too_long_reject_the_drop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "ROW_SECONDS", 0.5)
    monkeypatch.setattr(compiling, "CHUNK_SECONDS", 1.5)
    recipe = compiled(f"model: m\nprompt: '{LOOPS}{{{{ text }}}}'\nbad_rows: skip\n")

    def many() -> None:
        for _ in range(9):
            with suppress(RowRejectedError):
                recipe.request({"text": "a"})

    with recipe.limited(), pytest.raises(DropRejectedError) as rejected:
        many()
    [problem] = rejected.value.problems
    assert (problem.code, problem.path) == ("template_too_slow", "recipe.yaml")
    with recipe.limited(), pytest.raises(RowRejectedError):  # the next rows have their own time
        recipe.request({"text": "a"})


def test_templates_that_were_checked_within_time_are_not_limited_again() -> None:
    recipe = parse_recipe(b"model: m\nprompt: '{{ text | upper }}'\n")
    assert compile_recipe(recipe, {})._limit is not None
    assert compile_recipe(recipe, {}, checked=True)._limit is None
    assert compile_recipe(parse_recipe(b"model: m\nprompt: '{{ text }}'\n"), {})._limit is None
