"""Errors of YAML, and the advice to its author."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dropbatch.recipes.parser import parse_recipe

from .driving import only, problems_of


@pytest.mark.parametrize("text", ["", "\n\n", "# to be written\n", "---\n", "\ufeff"])
def test_an_empty_recipe_is_named_as_such_because_its_upload_may_not_be_finished(text: str) -> None:
    assert only(problems_of(text)).code == "empty_recipe"


def test_a_duplicate_key_is_named_with_both_lines() -> None:
    problem = only(problems_of("model: a\nprompt: b\nmodel: c\n"))
    assert (problem.code, problem.line, problem.key) == ("duplicate_key", 3, "model")
    assert "after line 1" in problem.message


def test_a_duplicate_nested_key_is_found_too() -> None:
    problem = only(problems_of("model: a\nprompt: b\nschema:\n  x: string\n  x: integer\n"))
    assert (problem.line, problem.key) == (5, "schema.x")


@pytest.mark.parametrize(
    "value",
    ["{{ text }}", "{{ a.b }}", '{{ row["Review Text"] }}', "{{ text }} and more", "{% if a %}b{% endif %}"],
)
def test_a_template_without_quotes_gets_the_advice_to_quote_it(value: str) -> None:
    problem = only(problems_of(f"model: a\nprompt: {value}\n"))
    assert (problem.code, problem.line) == ("unquoted_template", 2)
    assert "quotes" in problem.message


def test_a_template_without_quotes_in_a_list_gets_the_advice_too() -> None:
    problem = only(problems_of("body:\n  model: a\n  stop:\n    - {{ text }}\n"))
    assert (problem.code, problem.line) == ("unquoted_template", 4)


def test_a_quote_that_does_not_end_is_distinguished_from_a_missing_one() -> None:
    problem = only(problems_of('model: a\nprompt: "Text: {{ text }}\n'))
    assert (problem.code, problem.line) == ("bad_yaml", 2)
    assert "does not end" in problem.message


@pytest.mark.parametrize(
    ("text", "line", "advice"),
    [
        ("model: a\nparameters:\n\tn: 2\n", 3, "tab"),
        ("model: a\nprompt: Review: good\n", 2, "colon"),
        ("model: a\n---\nmodel: b\n", 2, "second document"),
        ("model: a\nprompt: *text\n", 2, "alias"),
        ("model: a\n  prompt: b\n", 2, "indentation"),
        ("model: !!python/object:os.system a\nprompt: b\n", 1, "tag"),
        ("model: !secret a\nprompt: b\n", 1, "tag"),
        ("model: a\nprompt: a\x00b\n", 2, "character"),
        ("model: a\nprompt: b\nparameters: {temperature: .nan}\n", 3, "JSON"),
        ("base: &b {model: a}\n<<: *b\n", 2, "merge"),
        ("[a, b]: c\n", 1, "key"),
        ("x: &x [*x]\n", 1, "alias"),
        ("x: " + "[" * 60 + "]" * 60, 1, "nested"),
    ],
)
def test_yaml_that_cannot_be_used_is_one_sentence_with_its_line(text: str, line: int, advice: str) -> None:
    problem = only(problems_of(text))
    assert problem.line == line
    assert advice in problem.message
    assert "\n" not in problem.message


def test_text_that_is_not_utf8_is_named_with_its_line() -> None:
    problem = only(problems_of("model: a\nprompt: größe".encode("latin-1")))
    assert (problem.code, problem.line) == ("not_utf8", 2)


@pytest.mark.slow
def test_aliases_that_explode_are_refused_quickly() -> None:
    levels = "\n".join(f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 10)}]" for n in range(1, 9))
    assert only(problems_of(f"k0: &k0 x\n{levels}\n")).code == "recipe_too_long"


def test_a_recipe_of_megabytes_is_refused() -> None:
    assert only(problems_of("model: " + "a" * 1_100_000)).code == "recipe_too_long"


def test_yaml_is_of_version_1_2_so_that_no_and_dates_are_text() -> None:
    recipe = parse_recipe(b"model: a\nprompt: no\nschema:\n  answer: [no, yes, on, 2024-01-01, 1_000, 1e3, 012]\n")
    assert recipe.prompt == "no"
    assert recipe.schema == {"answer": ["no", "yes", "on", "2024-01-01", "1_000", 1000.0, 12]}


def test_windows_line_ends_and_a_byte_order_mark_are_accepted() -> None:
    recipe = parse_recipe(b"\xef\xbb\xbfmodel: a\r\nprompt: |\r\n  one\r\n  two\r\n")
    assert recipe.prompt == "one\ntwo\n"


@pytest.mark.slow
@settings(deadline=None)  # times of a busy machine prove nothing
@given(
    where=st.integers(0, 60),
    inserted=st.sampled_from(
        ["{{", "}}", "{%", "- ", ": ", "\n", "\t", "'", '"', "[", "&a ", "*a", "? ", "...", "%YAML 1.1\n"]
    )
    | st.text(max_size=3),
)
def test_no_text_raises_anything_except_problems(where: int, inserted: str) -> None:
    text = 'model: m\nprompt: "{{ text }}"\nschema:\n  a: [b, c]\nlimit: 1\n'
    changed = (text[:where] + inserted + text[where:]).encode(errors="surrogatepass")
    for problem in problems_of(changed, columns=["text"]):
        json.dumps(problem.to_json(), ensure_ascii=False).encode()


def test_half_a_character_is_refused_because_no_message_could_hold_it() -> None:
    assert only(problems_of('model: m\nprompt: "{{ x }}"\n"\\ud83d": y\n')).line == 3


def test_numbers_as_keys_of_parameters_become_json_keys() -> None:
    recipe = parse_recipe(b"model: a\nprompt: b\nparameters: {logit_bias: {50256: -100}}\n")
    assert recipe.parameters == {"logit_bias": {"50256": -100}}
