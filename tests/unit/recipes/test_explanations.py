"""Explanations of templates that do not fit a value's type: the advice works."""

import json
import re
from typing import Any

import pytest

from dropbatch.domain.errors import RowRejectedError
from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.parser import parse_recipe

ROW: dict[str, Any] = {
    "score": "9123", "price": "3.75", "n": 5, "gone": None, "text": "secret", "Sc Or": "7123", "few": "5",
    "tags": ["secret"],
}  # fmt: skip  # a row


def answer(source: str) -> str:
    text = json.dumps(source + "{{ '' }}{{ text[:0] }}.")
    request = compile_recipe(parse_recipe(f"model: m\nprompt: {text}\n".encode()), {}).request(ROW)
    assert request is not None
    content: str = json.loads(request.body)["messages"][0]["content"]
    return content.removesuffix(".")


def explanation(source: str) -> str:
    with pytest.raises(RowRejectedError) as rejected:
        answer(source)
    (problem,) = rejected.value.problems
    assert (problem.code, problem.key) == ("template_failed", "prompt")
    assert not re.search("secret|9123|3.75|7123", problem.message)
    return problem.message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("expression", "says", "gives"),
    [
        ("score > 3", "column 'score' is a text; write {{ score | int > 3 }}", "true"),
        ("3 < score", "write {{ 3 < score | int }}", "true"),
        ("price >= 3.7", "column 'price' is a text; write {{ price | float >= 3.7 }}", "true"),
        ('row["Sc Or"] > 3', "write {{ row['Sc Or'] | int > 3 }}", "true"),
        ("score > n", "write {{ score | int > n }}", "true"),
        ("n > '3'", "column 'n' is a number; write {{ n > 3 }}", "true"),
        ("gone > 3", "column 'gone' is empty (null); write {{ gone | int > 3 }}", "false"),
        ("score + 1", "write {{ score | int + 1 }}", "9124"),
        ("score - 1", "write {{ score | int - 1 }}", "9122"),
        ("score - score", "write {{ score | int - score | int }}", "0"),
        ("score / 2", "write {{ score | int / 2 }}", "4561.5"),
        ("score * 0.5", "write {{ score | int * 0.5 }}", "4561.5"),
        ("-score", "write {{ -(score | int) }}", "-9123"),
        ("'no. ' + n", "column 'n' is a number; write {{ 'no. ' ~ n }}", "no. 5"),
        ("gone + '!'", "write {{ (gone or '') + '!' }}", "!"),
        ("5 in n", "write {{ 5 in n | string }}", None),
        ("'a' in gone", "write {{ 'a' in (gone or '') }}", "false"),
        ("n | length", "write {{ n | string | length }}", "1"),
        ("gone | length", "write {{ (gone or []) | length }}", "0"),
        ("gone | join(', ')", "write {{ (gone or []) | join(', ') }}", ""),
        ("score | round", "write {{ score | float | round }}", "9123.0"),
        ("score | abs", "write {{ score | float | abs }}", "9123.0"),
        ("score()", "column 'score' is a text; write {{ score }}, without the brackets", "9123"),
        ("score.strip", "write {{ score.strip() }}", "9123"),
        ("score > 3 and n == 5", "write {{ score | int > 3 }}", "true"),
    ],
)
def test_the_column_its_type_and_the_expression_are_named(expression: str, says: str, gives: str | None) -> None:
    message = explanation(f"{{{{ {expression} }}}}")
    assert says in message
    written = re.search(r"write (\{\{ .*? \}\})", message)
    assert written is not None
    if gives is not None:
        assert answer(written[1]) == gives


@pytest.mark.parametrize(
    ("loop", "says"),
    [
        ("for x in range(few)", "column 'few' is a text; write {% for x in range(few | int) %}"),
        ("for x in range(0, few)", "write {% for x in range(0, few | int) %}"),
        ("for x in n", "write {% for x in range(n) %}"),
        ("for tag in gone", "write {% for tag in gone or [] %}"),
    ],
)
def test_a_loop_over_a_value_that_is_not_a_list_is_explained(loop: str, says: str) -> None:
    message = explanation(f"{{% {loop} %}}a{{% endfor %}}")
    assert says in message
    written = re.search(r"write (\{% .* %\})", message)
    assert written is not None
    assert answer(f"{written[1]}a{{% endfor %}}") == ("aaaaa" if "range" in says else "")


@pytest.mark.parametrize("expression", ["tags > 3", "[1] + text", "text | sum"])
def test_without_a_known_cause_the_types_of_the_columns_are_named(expression: str) -> None:
    message = explanation(f"{{{{ {expression} }}}}")
    assert re.search(r"tags is a list|text is a text", message)
    assert "TypeError" in message


def test_a_condition_on_a_csv_text_is_explained() -> None:
    recipe = compile_recipe(parse_recipe(b'model: m\nprompt: "{{ text }}"\nwhen: "{{ score > 3 }}"\n'), {})
    with pytest.raises(RowRejectedError) as rejected:
        recipe.request(ROW)
    (problem,) = rejected.value.problems
    assert problem.message.startswith("Key when of the recipe: column 'score' is a text; write {{ score | int > 3 }}")
    corrected = compile_recipe(parse_recipe(b'model: m\nprompt: "{{ text }}"\nwhen: "{{ score | int > 3 }}"\n'), {})
    assert corrected.request(ROW) is not None
    assert corrected.request({**ROW, "score": "2"}) is None
