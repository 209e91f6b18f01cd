"""Columns of any name, even Jinja's own names."""

import json
import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.parser import parse_recipe
from dropbatch.recipes.snippets import placeholder
from dropbatch.recipes.template_errors import BadTemplateError, UndefinedNameError
from dropbatch.recipes.templates import compile_template

from .driving import only, problems_of

OWN = re.split(
    " +",
    "self none None loop range true false True False dict cycler namespace joiner lipsum caller varargs kwargs super "
    "context environment if for in and or is else elif set block macro call filter import from include result row_ "
    "values class def lambda l_0_self __class__ _ args missing resolve größe ﬁ ℌ",
)

IDENTIFIERS = st.sampled_from(OWN) | st.from_regex(r"[^\W\d]\w{0,8}", fullmatch=True).filter(
    lambda name: name.isidentifier() and name not in ("row", "not", "recursive")
)
VALUES = st.sampled_from(["a text", "0", "é", "{{ b }}"])


@pytest.mark.slow
@given(IDENTIFIERS, VALUES)
def test_any_identifier_is_the_column_of_its_name(name: str, value: str) -> None:
    row = {"other": "x", name: value}
    for source in (
        f"{{{{ {name} }}}}",
        f"{{{{ {name} | trim }}}}",
        f"{{% if {name} %}}{{{{ {name} }}}}{{% endif %}}",
        f"{{% set copy = {name} %}}{{{{ copy }}}}",
        f"{{% for letter in {name} %}}{{{{ letter }}}}{{% endfor %}}",
        f"{{{{ {name} ~ '' }}}}",
    ):
        template = compile_template(source)
        if name == "copy" or name == "letter":
            continue
        assert template.render(row) == value, source
        assert name in template.columns or name in ("none", "None", "true", "false", "True", "False")
    assert compile_template(f"{{{{ {name} | json }}}}").value({**row, name: [value]}) == [value]


@pytest.mark.slow
@given(st.lists(IDENTIFIERS, min_size=2, max_size=4, unique=True))
def test_several_columns_are_kept_apart(names: list[str]) -> None:
    row = {name: f"value {place}" for place, name in enumerate(names)}
    template = compile_template("|".join(f"{{{{ {name} | trim }}}}" for name in names))
    assert template.render(row) == "|".join(row.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("quote", "written"), [('"', 'prompt: "%s"'), ("'", "prompt: '%s'"), ("", "prompt: |\n  %s"), ("", "file://p.md")]
)
@given(name=st.text(max_size=8) | st.sampled_from(["it's", 'say "hi"', "a\\b", "Note (1-5)", "'\"\\"]), value=VALUES)
def test_the_suggestion_for_a_column_can_be_pasted_into_the_recipe(
    quote: str, written: str, name: str, value: str
) -> None:
    name = name.encode(errors="replace").decode()
    assume(name not in ("answer", "_status", "_error"))  # the recipe adds columns of these names
    suggested = placeholder(name, quote)
    if re.search(r"[\x00-\x1f\x7f-\x9f\ufeff\ufffe\uffff\u2028\u2029]", suggested):
        return  # YAML does not accept such letters
    files = {"p.md": suggested}
    text = f"model: m\n{written % suggested if '%' in written else 'prompt: file://p.md'}\n"
    recipe = compile_recipe(parse_recipe(text.encode()), files)
    assert recipe.check_columns([name]) == [], text
    request = recipe.request({name: value + "."})
    assert request is not None
    assert json.loads(request.body)["messages"][0]["content"].strip() == (value + ".").strip()


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize("column", ["Note (1-5)", "it's", 'the "note"', "a\\b"])
def test_what_a_problem_suggests_can_be_pasted_in_place_of_what_was_written(quote: str, column: str) -> None:
    text = f"model: m\nprompt: {quote}Grade {{{{ qqqqq }}}}{quote}\n"
    problem = only(problems_of(text, columns=[column]))
    assert "the columns are" in problem.message
    wrong = "".join(letter for letter in column if letter.isalnum())
    text = f"model: m\nprompt: {quote}Grade {{{{ row.{wrong} }}}}{quote}\n"
    problem = only(problems_of(text, columns=[column]))
    suggested = re.search(r"did you mean (\{\{ .* \}\})\?", problem.message)
    assert suggested is not None, problem.message
    assert problems_of(text.replace(f"{{{{ row.{wrong} }}}}", suggested[1]), columns=[column]) == []


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ x is none }} {{ none is none }} {{ true }} {{ False }}", "true true true false"),
        ("{{ [true, none] | json }}", "[true,null]"),
        ("{% for i in range(2) %}{{ loop.index }}{% endfor %}", "12"),
        ("{% set ns = namespace(n=1) %}{{ ns.n }}{{ dict(a=1).a }}{{ cycler('a').next() }}", "11a"),
        ("{% macro range(n) %}<{{ n }}>{% endmacro %}{{ range(3) }}", "<3>"),
        ("{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}in{% endcall %}", "in"),
        ("{{ x | sort(reverse=true) | join }}", ""),
    ],
)
def test_constants_and_functions_keep_their_meaning(source: str, text: str) -> None:
    row: dict[str, Any] = {"x": None} if "sort" not in source else {"x": []}
    assert compile_template(source).render(row) == text


@pytest.mark.parametrize("function", ["range", "dict"])
def test_a_function_is_called_whatever_columns_there_are(function: str) -> None:
    source = "{{ range(2) | list | json }}{{ range }}" if function == "range" else "{{ dict(a=1) | json }}{{ dict }}"
    assert compile_template(source).render({function: "!"}).endswith("!")


@pytest.mark.parametrize("name", ["self", "range", "loop", "caller", "lipsum", "super"])
def test_without_such_a_column_the_name_is_unknown(name: str) -> None:
    problem = only(problems_of(f"model: m\nprompt: '{{{{ {name} | trim }}}}'\n", columns=["text"]))
    assert (problem.code, problem.key) == ("undefined_name", "prompt")
    with pytest.raises(UndefinedNameError):
        compile_template(f"{{{{ {name} }}}}").render({"text": "a"})


@pytest.mark.parametrize("source", ["{{ not }}", "{{ not | trim }}", "{% if not %}a{% endif %}"])
def test_a_word_that_cannot_be_a_name_is_refused_with_its_subscript(source: str) -> None:
    with pytest.raises(BadTemplateError) as bad:
        compile_template(source)
    assert "write the column as {{ row['not'] }}" in bad.value.sentence
    assert compile_template('{{ row["not"] }}').render({"not": "a"}) == "a"


def test_the_whole_row_keeps_its_name() -> None:
    assert compile_template("{{ row }}").render({"row": "a"}) == '{"row":"a"}'
    assert compile_template('{{ row["row"] }}').render({"row": "a"}) == "a"


def test_a_column_in_words_is_suggested_as_a_subscript() -> None:
    problem = only(problems_of("model: m\nprompt: '{{ Review Text }}'\n"))
    assert '{{ row["Review Text"] }}' in problem.message
    problem = only(problems_of('model: m\nprompt: "{{ Review Text }}"\n'))
    assert "{{ row['Review Text'] }}" in problem.message


@pytest.mark.parametrize(
    "line", ['prompt: "{{ row["Review Text"] }}"', 'when: "{{ a == "b" }}"', 'system: "say "hi" {{ a }}"']
)
def test_quotes_within_quotes_are_named_as_the_cause(line: str) -> None:
    problem = only(problems_of(f"model: m\n{line}\n"))
    assert (problem.code, problem.line) == ("bad_yaml", 2)
    assert "single quotes" in problem.message


def test_null_is_an_empty_text_for_filters_too() -> None:
    for name in ("trim", "upper", "string", "replace('a', 'b')", "truncate(3)", "wordcount"):
        assert compile_template(f"{{{{ x | {name} }}}}").render({"x": None}) in ("", "0"), name
    assert json.loads(compile_template("{{ [x] | map('trim') | list | json }}").render({"x": None})) == [""]
