"""Expressions over a response, and their bounds."""

import json
from typing import Any

import pytest

from dropbatch.recipes.expressions import MAX_CHARACTERS, BadExpressionError, Expression
from dropbatch.recipes.sizes import TooLargeError

from .driving import only, problems_of

BODY = {"choices": [{"finish_reason": "stop", "logprobs": {"content": [{"token": "a"}, {"token": "b"}]}}], "n": 2}
TWENTY = "{" + ", ".join(f"f{n}: choices[0].finish_reason" for n in range(20)) + "}"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("choices[0].finish_reason", "stop"),
        ("choices[].logprobs.content[].token", ["a", "b"]),
        ("join(', ', choices[0].logprobs.content[*].token)", "a, b"),
        ("to_string(n)", "2"),
        ("length(choices[?finish_reason=='stop'])", 1),
        ("[n, choices[0].finish_reason][1:]", ["stop"]),
        ("map(&{t: token}, choices[0].logprobs.content)", [{"t": "a"}, {"t": "b"}]),
        (f"{TWENTY} | {{a: f1, b: f2}}", {"a": "stop", "b": "stop"}),
        ("nothing", None),
    ],
)
def test_an_expression_finds_its_value(source: str, found: Any) -> None:
    assert Expression(source).search(BODY) == found


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("choices[0", "correct it"),
        ("(" * 499 + "n" + ")" * 499, "simplify it"),
        ("n" * (MAX_CHARACTERS + 1), "shorten it"),
        ("|".join(["[@,@]"] * 20), "select less"),
        ("|".join(["[@,@][]"] * 20), "select less"),
        ("|".join(["[@,@] | join('', @)"] * 20), "select less"),
        ("|".join(["{a: @, b: @}"] * 20), "select less"),
        ("|".join(["map(&[@,@], [@,@])"] * 10), "select less"),
    ],
)
def test_an_expression_that_could_not_be_searched_is_a_problem_of_the_recipe(source: str, says: str) -> None:
    with pytest.raises(BadExpressionError) as bad:
        Expression(source)
    assert says in bad.value.sentence
    problem = only(problems_of(f"model: m\nprompt: '{{{{ x }}}}'\ncolumns: {{a: {json.dumps(source)}}}\n"))
    assert (problem.code, problem.key) == ("wrong_value", "columns.a")


@pytest.mark.parametrize("source", ["[@,@,@,@,@,@,@,@]", "to_string([@,@,@,@,@,@,@,@])", "join(x, [x, x, x, x])"])
def test_the_result_of_an_expression_is_bounded_by_the_body(source: str) -> None:
    with pytest.raises(TooLargeError):
        Expression(source).search({"x": "a" * 500_000})
    assert Expression(source).search({"x": "a"})
