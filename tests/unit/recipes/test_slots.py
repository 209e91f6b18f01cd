"""A row for which a template cannot be rendered."""

import json

import pytest

from .driving import LOOPS, SHORT, compiled, rejection


def test_a_json_row_that_lacks_a_name_is_rejected_with_the_right_spelling() -> None:
    problem = rejection(SHORT, {"Text": "secret"})
    assert (problem.code, problem.key, problem.column) == ("undefined_name", "prompt", "text")
    assert "did you mean {{ Text }}?" in problem.message
    assert "secret" not in problem.message


def test_a_json_row_that_lacks_a_nested_name_is_rejected() -> None:
    problem = rejection("model: m\nprompt: '{{ a.titel }}'\n", {"a": {"title": "secret"}})
    assert (problem.code, problem.column) == ("undefined_name", "titel")
    assert "did you mean title?" in problem.message


def test_a_template_that_fails_says_so_without_the_text_of_the_row() -> None:
    problem = rejection("model: m\nprompt: '{{ text | int / 0 }}'\n", {"text": "secret"})
    assert (problem.code, problem.key) == ("template_failed", "prompt")
    assert "secret" not in problem.message


def test_a_name_that_the_row_computes_is_not_quoted() -> None:
    problem = rejection("model: m\nprompt: '{{ row[text] }}'\n", {"text": "secret"})
    assert problem.code == "undefined_name"
    assert "secret" not in problem.message


def test_a_problem_can_be_written_down_whatever_name_the_template_spells() -> None:
    problem = rejection("model: m\nprompt: '{{ row[\"\\ud800\"] }}'\n", {"text": "a"})
    json.dumps(problem.to_json(), ensure_ascii=False).encode()


@pytest.mark.slow
def test_a_row_that_a_template_takes_too_long_for_is_rejected_with_its_key() -> None:
    text = f"model: m\nprompt: x\nsystem: 'x{{% if text == \"slow\" %}}{LOOPS}{{% endif %}}'\n"
    assert compiled(text).request({"text": "quick"}) is not None
    problem = rejection(text, {"text": "slow"})
    assert (problem.code, problem.key) == ("template_too_slow", "system")


def test_a_row_that_a_template_makes_too_large_is_rejected_with_its_key() -> None:
    problem = rejection("model: m\nprompt: '{{ text | center(1000000000) }}'\n", {"text": "a"})
    assert (problem.code, problem.key) == ("template_too_large", "prompt")
