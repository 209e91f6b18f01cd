"""Slips in schemas: the advice can be pasted, and works."""

import re

import pytest

from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.parser import parse_recipe

from .driving import only, problems_of

RECIPE = 'model: m\nprompt: "{{ text }}"\nschema:\n'

SLIPS = {
    "score: int": "score: integer",
    "score: Integer": "score: integer",
    "score: float": "score: number",
    "score: num": "score: number",
    "score: number 1-5": "score: number",
    "score: number 0-1": "score: number",
    "score: float from 0 to 1": "score: number",
    "score: decimal 0-100": "score: number",
    "score: 1-5": "score: [1, 2, 3, 4, 5]",
    "score: 1 to 5": "score: [1, 2, 3, 4, 5]",
    "score: integer (1-5)": "score: [1, 2, 3, 4, 5]",
    "score: integer from 0 to 100": "score: integer",
    "score: int/float": "score: number",
    "why: str": "why: string",
    "why: text": "why: string",
    "why: string | null": "why: string",
    "why: string?": "why: string",
    "flag: bool": "flag: boolean",
    "flag: true/false": "flag: boolean",
    "kind: enum": "kind: [positive, negative]",
    "tags: list": "tags: {list: string}",
    "tags: list of strings": "tags: {list: string}",
    "tags: list[int]": "tags: {list: integer}",
    "tags: string[]": "tags: {list: string}",
    "tags: [string]": "tags: {list: string}",
    "tags: {list: int}": "list: integer",
    "sentiment: positive, negative": "sentiment: [positive, negative]",
    "Stimmung: positiv/neutral/negativ": "Stimmung: [positiv, neutral, negativ]",
    "sentiment: good | bad": "sentiment: [good, bad]",
    "sentiment: good or bad": "sentiment: [good, bad]",
    "sentiment: good, bad, or neutral": "sentiment: [good, bad, neutral]",
    "ton: positif ou négatif": "ton: [positif, négatif]",
    "fruit: apple, orange": "fruit: [apple, orange]",
    'sentiment: "[good, bad]"': "sentiment: [good, bad]",
    "sentiment: [good/bad]": "sentiment: [good, bad]",
    "answer: yes/no": "answer: [yes, no]",
    "known: a/null": 'known: [a, "null"]',
    '"a b": int': '"a b": integer',
    "product: {weight: float}": "weight: number",
    "product: dict": "product: {name: string}",
}


def lines_of(message: str) -> list[str]:
    return re.findall(r"`([^`]+)`", message)


@pytest.mark.slow
@pytest.mark.parametrize(("written", "instead"), SLIPS.items())
def test_a_slip_is_refused_and_the_advice_works(written: str, instead: str) -> None:
    problem = only(problems_of(f"{RECIPE}  {written}\n"))
    assert (problem.line, problem.path) == (4, "recipe.yaml")
    advised = lines_of(problem.message)
    assert advised[0] == instead, problem.message
    for line in advised:
        name = re.escape(line.partition(": ")[0])
        pasted = re.sub(rf"{name}: [^{{}}]*(?=[}}]|$)", lambda _, line=line: line, written) if "{" in written else line
        assert problems_of(f"{RECIPE}  {pasted}\n") == [], pasted


@pytest.mark.parametrize(
    "description",
    [
        "The main complaint in a few words, empty if there is none",
        "Thema",
        "date",
        "Product name, or none",
        "number of complaints",
        "positive if they like it, negative otherwise",
        "What is wrong/missing here",
        "A text that says: positive, negative",
        "In the form positive, negative",
        "In the form MM/DD/YYYY",
        "the date as in 2026-01-31",
        "ISO 8601",
    ],
)
def test_a_description_is_not_a_slip(description: str) -> None:
    assert problems_of(f'{RECIPE}  a: "{description}"\n') == []


def test_a_list_that_looks_like_a_format_is_advised_as_a_description() -> None:
    problem = only(problems_of(f"{RECIPE}  place: City, country\n"))
    assert lines_of(problem.message) == ["place: [City, country]", 'place: "In the form City, country"']


@pytest.mark.parametrize(
    ("written", "meant"),
    [("int", "integer"), ("text", "string"), ("bool", "boolean"), ("list", "array"), ("dict", "object")],
)
def test_a_type_in_json_schema_is_corrected(written: str, meant: str) -> None:
    schema = "  type: object\n  properties:\n    s:\n      type: {}\n"
    problem = only(problems_of(RECIPE + schema.format(written)))
    assert (problem.key, problem.line) == ("schema.properties.s.type", 7)
    assert problem.message.endswith(f"this is not valid JSON Schema: “{written}” is not a type; write `type: {meant}`.")
    if meant not in ("array", "object"):  # which say more
        assert problems_of(RECIPE + schema.format(meant)) == []


def test_type_names_are_not_slips() -> None:
    text = f"{RECIPE}  a: string\n  b: integer\n  c: number\n  d: boolean\n  e: [yes, no]\n  f: {{list: string}}\n"
    assert problems_of(text) == []


def test_a_recipe_in_use_stays_accepted() -> None:
    recipe = parse_recipe(f"{RECIPE}  score: int\n".encode())
    assert compile_recipe(recipe, {}, checked=True).columns == ("score",)


@pytest.mark.parametrize(
    ("key", "meant"),
    [("expected", "expect"), ("expects", "expect")],
)
def test_a_key_is_named_for_one_that_is_nearly_it(key: str, meant: str) -> None:
    problem = only(problems_of(f'model: m\nprompt: "{{{{ text }}}}"\n{key}: 5\n'))
    assert problem.message.endswith(f"did you mean {meant}?")


@pytest.mark.parametrize(("written", "instead"), [("yes", "true"), ("no", "false"), ('"true"', "true"), ("On", "true")])
def test_a_truth_value_in_other_words_is_corrected(written: str, instead: str) -> None:
    base = 'model: m\nprompt: "{{ text }}"\n'
    problem = only(problems_of(f"{base}retry_invalid: {written}\n"))
    key, line = lines_of(problem.message)
    assert (key, line) == ("retry_invalid", f"retry_invalid: {instead}")
    assert problems_of(f"{base}{line}\n") == []
