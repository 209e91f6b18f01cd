"""Templates over the values of a row."""

import datetime
from decimal import Decimal
from typing import Any

import pytest

from dropbatch.json_encoding import to_json
from dropbatch.recipes.template_errors import BadTemplateError, TemplateFailedError, UndefinedNameError
from dropbatch.recipes.templates import Template, compile_template


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (123456789012345678901234567890, "123456789012345678901234567890"),
        (1.5, "1.5"),
        (float("nan"), ""),
        (Decimal("1.10"), "1.10"),
        (datetime.date(2024, 1, 2), "2024-01-02"),
        (["a", 1, None], '["a",1,null]'),
        ({"a": {"b": "é"}}, '{"a":{"b":"é"}}'),
        ("<b> & 'c'", "<b> & 'c'"),
    ],
)
@pytest.mark.parametrize("source", ["{{ x }}", "{{ row['x'] }}", "{{ x if true else x }}"])
def test_values_print_as_a_reader_expects(source: str, value: Any, text: str) -> None:
    assert compile_template(source).render({"x": value}) == text


@pytest.mark.parametrize(
    ("source", "row", "text"),
    [
        ("{{ a.b }}", {"a": {"b": 1}}, "1"),
        ("{{ a.items }}", {"a": {"items": 1}}, "1"),
        ("{{ row.items }}", {"items": 1}, "1"),
        ("{{ a[0].b }}", {"a": [{"b": 1}]}, "1"),
        ("{{ row['Review Text'] }}", {"Review Text": "r"}, "r"),
        ("{{ row }}", {"a": 1}, '{"a":1}'),
        ("{{ a | upper }}!\n", {"a": "x"}, "X!\n"),
        ("{% if a %}yes{% else %}no{% endif %}", {"a": None}, "no"),
        ("{% for k, v in a.items() %}{{ k }}{{ v }}{% endfor %}", {"a": {"b": 1}}, "b1"),
        ("Data: {{ a | json }}.", {"a": [1, "x"]}, 'Data: [1,"x"].'),
        ("{{ a | tojson }}", {"a": "<"}, '"<"'),
        ("{{ a | trim | length }}", {"a": " x "}, "1"),
        ("{{ a }}", {"a": "{{ b }}"}, "{{ b }}"),
        ("\r\na\r\n", {}, "\na\n"),
    ],
)
def test_templates_reach_into_the_row(source: str, row: dict[str, Any], text: str) -> None:
    assert compile_template(source).render(row) == text


@pytest.mark.parametrize("value", [["a"], {"b": 1}, 4, None, "x", True])
def test_json_as_a_whole_string_inserts_the_value_itself(value: Any) -> None:
    assert compile_template(" {{ x | json }}\n").value({"x": value}) == value


def test_json_within_a_text_inserts_its_text() -> None:
    assert compile_template("a {{ x | json }}").value({"x": [1]}) == "a [1]"


@pytest.mark.parametrize("source", ["{{ y }}", "{{ row['y'] }}", "{{ row.y }}", "{{ y | json }}", "{{ y | upper }}"])
@pytest.mark.parametrize("render", [Template.render, Template.value])
def test_a_name_that_the_row_lacks_is_an_error_that_names_it(source: str, render: Any) -> None:
    with pytest.raises(UndefinedNameError) as undefined:
        render(compile_template(source), {"x": 1})
    assert (undefined.value.name, undefined.value.within) == ("y", None)


def test_an_undefined_name_is_not_false() -> None:
    with pytest.raises(UndefinedNameError):
        compile_template("{% if y %}a{% endif %}").render({})


@pytest.mark.parametrize(
    "source",
    [
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% from 'x' import y %}",
        "{% extends 'x' %}",
    ],
)
def test_a_template_cannot_read_others(source: str) -> None:
    with pytest.raises(BadTemplateError) as bad:
        compile_template(source)
    assert bad.value.code == "template_statement"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("a\n{{ b | uper }}", "did you mean upper?"),
        ("a\n{{ Review Text }}", "row['Review Text']"),
        ("a\n{% if b %}", "missing"),
        ("a\n{{ b } }", "wrong"),
    ],
)
def test_a_syntax_error_says_its_line_and_what_to_do(source: str, says: str) -> None:
    with pytest.raises(BadTemplateError) as bad:
        compile_template(source)
    assert bad.value.line == 2
    assert says in bad.value.sentence


@pytest.mark.parametrize(
    "source",
    [
        "{{ x.__class__.__mro__ }}",
        "{{ ''.__class__ }}",
        "{{ x.upper }}",
        "{{ 10 ** 1000000 }}",
        "{{ x * 10000000 }}",
        "{% for i in range(10000000) %}{% endfor %}",
        "{{ row.update({'x': 1}) }}",
        "{{ x / 0 }}",
    ],
)
def test_a_forbidden_call_fails_the_row_without_its_text(source: str) -> None:
    with pytest.raises((TemplateFailedError, UndefinedNameError)) as failed:
        compile_template(source).render({"x": "secret"})
    assert "secret" not in str(failed.value)


@pytest.mark.parametrize("source", ["{{ " + "9" * 5000 + " }}", "{{ " + "(" * 3000, "{% if a %}" * 150])
def test_a_template_that_python_cannot_compile_is_a_problem(source: str) -> None:
    with pytest.raises(BadTemplateError):
        compile_template(source)


def test_templates_have_nothing_random_because_requests_are_built_again() -> None:
    with pytest.raises(BadTemplateError):
        compile_template("{{ [1, 2] | random }}")
    assert compile_template("{{ lipsum }}").names == ("lipsum",)


def test_names_are_known_beforehand_in_their_order() -> None:
    template = compile_template("{{ b }}{% set c = a %}{{ c }}{{ row['d e'] }}{% for f in g %}{{ f }}{% endfor %}")
    assert template.names == ("b", "a", "g", "d e")


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("\ud83d\ude00", '"😀"'),
        ("a\ud800", '"a\ufffd"'),
        ({"\ud800": [float("inf"), 2**70]}, '{"\ufffd":[null,1180591620717411303424]}'),
        (float("nan"), "null"),
        (b"caf\xc3\xa9", '"café"'),
    ],
)
def test_every_value_becomes_json(value: Any, encoded: str) -> None:
    assert to_json(value).decode() == encoded
