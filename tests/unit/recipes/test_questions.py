"""A recipe asks about its rows, and a row that asks nothing is told before anything is sent."""

import json
import re
from typing import Any

import pytest

from dropbatch.domain.errors import DropRejectedError, RowRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.parser import parse_recipe

from .problems_of import only, problems_of

MODEL = "model: m\n"


def compiled(text: str) -> CompiledRecipe:
    return compile_recipe(parse_recipe(text.encode()), {})


def rejection(text: str, row: dict[str, Any]) -> Problem:
    with pytest.raises(RowRejectedError) as rejected:
        compiled(text).request(row)
    (problem,) = rejected.value.problems
    return problem


def asked(text: str, row: dict[str, Any]) -> Any:
    request = compiled(text).request(row)
    return None if request is None else json.loads(request.body)


# Recipes that ask all rows the same


@pytest.mark.parametrize(
    "written",
    [
        "{text}",
        "${text}",
        "#{text}",
        "%(text)s",
        "{text:>9}",
        "{text!r}",
        "%text%",
        "[[text]]",
        "<%= text %>",
        "<text>",
    ],
)
def test_another_languages_placeholder_is_named_with_what_to_write(written: str) -> None:
    text = MODEL + f"prompt: 'Label this review: {written}'\n"
    problem = only(problems_of(text))
    assert (problem.code, problem.key, problem.line) == ("no_column", "prompt", 2)
    advice = f"{written} stands for nothing here; write {{{{ text }}}}"
    assert advice in problem.message
    mended = text.replace(written, "{{ text }}")
    assert problems_of(mended, columns=["text"]) == []
    assert asked(mended, {"text": "good"})["messages"][0]["content"] == "Label this review: good"


@pytest.mark.parametrize("columns", [(), ("text", "id")])
def test_the_whole_row_is_named_as_templates_write_it(columns: tuple[str, ...]) -> None:
    text = MODEL + "prompt: 'Label {row}'\n"
    with pytest.raises(DropRejectedError) as rejected:
        compile_recipe(parse_recipe(text.encode()), {}, columns=columns)
    (problem,) = rejected.value.problems
    assert "{row} stands for nothing here; write {{ row }}, the whole row" in problem.message
    assert problems_of(text.replace("{row}", "{{ row }}"), columns=["text", "id"]) == []


def test_three_braces_are_told_as_such() -> None:
    problem = only(problems_of(MODEL + "prompt: 'Label {{{text}}}'\n"))
    assert "write {{ text }}" in problem.message


@pytest.mark.parametrize(
    ("recipe", "key"),
    [
        (MODEL + "prompt: hello\n", "prompt"),
        (MODEL + "prompt: hello\nsystem: Be brief.\nexamples: [{input: a, output: b}]\n", "prompt"),
        ("model: '{{ text }}'\nprompt: hello\nwhen: '{{ text }}'\nid: text\n", "prompt"),
        (MODEL + "endpoint: /v1/embeddings\nprompt: hello\n", "prompt"),
        (MODEL + "endpoint: /v1/responses\nprompt: hello {braces}\n", "prompt"),
        ("body: {model: m, messages: [{role: user, content: hello}]}\n", "body.messages[0].content"),
        ("endpoint: /v1/embeddings\nbody: {model: m, input: [1, 2]}\n", "body"),
        ("endpoint: /v1/images/generations\nbody: {model: '{{ text }}', prompt: hello}\n", "body.prompt"),
        (MODEL + "prompt: '{{ none }}{{ true }}{{ 7 * 7 }}'\n", "prompt"),
    ],
)
def test_a_recipe_without_a_column_is_refused_at_the_question(recipe: str, key: str) -> None:
    problem = only(problems_of(recipe))
    assert (problem.code, problem.key) == ("no_column", key)


def test_the_advice_without_a_placeholder_can_be_pasted() -> None:
    problem = only(problems_of(MODEL + "prompt: hello\n"))
    line = re.search(r"as in (prompt: .*)\.$", problem.message)
    assert line is not None
    assert problems_of(MODEL + line[1] + "\n", columns=["text"]) == []


@pytest.mark.parametrize(
    "recipe",
    [
        MODEL + "prompt: hello\nsystem: '{{ text }}'\n",
        MODEL + "prompt: '{{ row }}'\n",
        MODEL + "prompt: '{% for name in row %}{{ row[name] }}{% endfor %}'\n",
        MODEL + "prompt: '{{ text | default(1) }}'\n",
        MODEL + "prompt: hello\nexamples: [{input: '{{ text }}', output: b}]\n",
        "body: {model: m, messages: [{role: user, content: [{type: image_url, image_url: {url: '{{ text }}'}}]}]}\n",
    ],
)
def test_a_column_anywhere_in_the_question_is_enough(recipe: str) -> None:
    assert problems_of(recipe, columns=["text"]) == []


def test_a_file_counts_by_its_text() -> None:
    recipe = MODEL + "prompt: file://p.md\n"
    assert problems_of(recipe, files={"p.md": "{{ text }}"}, columns=["text"]) == []
    problem = only(problems_of(recipe, files={"p.md": "Label {text}"}))
    assert (problem.code, problem.path) == ("no_column", "p.md")
    assert only(problems_of(recipe)).code == "missing_file"


def test_a_drops_columns_are_named() -> None:
    recipe = parse_recipe(MODEL.encode() + b"prompt: 'Label {txt}'\n")
    with pytest.raises(DropRejectedError) as rejected:
        compile_recipe(recipe, {}, columns=["id", "text"])
    (problem,) = rejected.value.problems
    assert "did you mean {{ text }}?" in problem.message
    with pytest.raises(DropRejectedError) as rejected:
        compile_recipe(parse_recipe(MODEL.encode() + b"prompt: hello\n"), {}, columns=["id", "text"])
    (problem,) = rejected.value.problems
    assert "the columns are id, text." in problem.message


def test_a_job_that_was_accepted_goes_on() -> None:
    recipe = parse_recipe(MODEL.encode() + b"prompt: 'Label {text}'\nschema: {a: string}\n")
    assert compile_recipe(recipe, {}, checked=True).request({"text": "a"}) is not None


# Placeholders beside columns


@pytest.mark.parametrize("written", ["{title}", "${title}", "%(title)s", "#{title}", "<title>"])
def test_a_placeholder_of_a_column_beside_others_is_refused(written: str) -> None:
    text = MODEL + f"prompt: '{written}: {{{{ text }}}}'\n"
    problem = only(problems_of(text, columns=["title", "text"]))
    assert (problem.code, problem.key, problem.line) == ("placeholder", "prompt", 2)
    assert problems_of(text, columns=["text"]) == []
    assert problems_of(text.replace(written, "{{ title }}"), columns=["title", "text"]) == []
    literally = re.search(r"(\{\{ \".*\" \}\})", problem.message)
    assert literally is not None
    meant = text.replace(written, literally[1])
    assert problems_of(meant, columns=["title", "text"]) == []
    assert asked(meant, {"title": "t", "text": "a"})["messages"][0]["content"] == f"{written}: a"


@pytest.mark.parametrize(
    "prompt",
    [
        'Answer as {"title": "…"} for {{ text }}',
        "{{ text }} has {curly} braces",
        "<title>{{ title }}</title> {{ text }}",
        "<text>{{ text }}</text>",
        "Answer [title] or [text]: {{ text }}",
        "\\\\frac{title}{text} of {{ text }}",
        "{% raw %}{{title}}{% endraw %} {{ text }}",
        "100 % of {{ text }}",
        "{# {title} #}{{ text }}",
    ],
)
def test_braces_that_may_be_meant_are_let_be(prompt: str) -> None:
    assert problems_of(MODEL + f"prompt: {json.dumps(prompt)}\n", columns=["title", "text"]) == []


def test_rows_of_json_are_looked_at_for_it_too() -> None:
    recipe = compiled(MODEL + "prompt: '{title} {{ text }}'\n")
    assert recipe.request({"text": "a"}) is not None
    assert recipe.requests(1, {"text": ["a"], "title": ["b"]}) is None
    with pytest.raises(DropRejectedError) as rejected:
        recipe.request({"text": "a", "title": "b"})
    assert [problem.code for problem in rejected.value.problems] == ["placeholder"]


# Rows that ask nothing


BLANK: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("prompt: '{{ text }}'\n", {"text": ""}, {"text": "a"}),
    ("prompt: '{{ text }}'\n", {"text": " \n\u00a0"}, {"text": " a"}),
    ("prompt: '{{ text }}'\n", {"text": None}, {"text": 0}),
    ("prompt: '{{ text | trim }}'\n", {"text": None}, {"text": "a"}),
    ("prompt: '{{ text | upper }}'\n", {"text": None}, {"text": "a"}),
    ("prompt: ' {{ a }} {{ row[\"b c\"] }} '\n", {"a": "", "b c": " "}, {"a": "", "b c": "x"}),
    ("prompt: \"{{ row['it''s'] }}\"\n".replace("''", "'").replace("it's", "it\\u2019s"), {"it’s": ""}, {"it’s": "x"}),
    ("prompt: '{% if a %}{{ text }}{% endif %}'\n", {"a": "", "text": "x"}, {"a": "1", "text": "x"}),
    ("prompt: '{{ text }}'\nendpoint: /v1/embeddings\n", {"text": ""}, {"text": "a"}),
    ("prompt: '{{ text }}'\nendpoint: /v1/moderations\n", {"text": ""}, {"text": "a"}),
    ("prompt: '{{ text }}'\nendpoint: /v1/responses\n", {"text": ""}, {"text": "a"}),
    ("prompt: '{{ text }}'\nexamples: [{input: a, output: b}]\nsystem: Be brief.\n", {"text": ""}, {"text": "a"}),
    ("prompt: '{{ text }}'\nwhen: '{{ keep }}'\n", {"text": "", "keep": "x"}, {"text": "a", "keep": "x"}),
    ("prompt: '{{ text }}'\nwhen: \"{{ keep == 'x' }}\"\n", {"text": "", "keep": "x"}, {"text": "a", "keep": "x"}),
    ("prompt: '{{ texts | json }}'\nendpoint: /v1/embeddings\n", {"texts": []}, {"texts": ["a"]}),
    ("prompt: '{{ texts | json }}'\nendpoint: /v1/embeddings\n", {"texts": None}, {"texts": [[1, 2]]}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("keys", "blank", "good"), BLANK)
def test_a_row_that_asks_nothing_is_told_with_the_line_that_leaves_it_out(
    keys: str, blank: dict[str, Any], good: dict[str, Any]
) -> None:
    problem = rejection(MODEL + keys, blank)
    assert (problem.code, problem.key) == ("empty_prompt", "prompt")
    line = re.search(r"leave such rows out with (when: (?:\"[^\"]*\"|'(?:[^']|'')*'))", problem.message)
    assert line is not None, problem.message
    mended = MODEL + re.sub(r"when: .*\n", "", keys) + line[1] + "\n"
    assert asked(mended, blank) is None
    assert asked(mended, good) == asked(MODEL + keys, good) is not None
    if "keep" in good:
        assert asked(mended, {**good, "keep": ""}) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "blank", "good"),
    [
        ("messages: [{role: user, content: '{{ a }}'}]", {"a": " "}, {"a": "x"}),
        ("messages: [{role: system, content: s}, {role: user, content: '{{ a }}'}]", {"a": ""}, {"a": "x"}),
        (
            "messages: [{role: user, content: q}, {role: assistant, content: r}, {role: user, content: '{{ a }}'}]",
            {"a": ""},
            {"a": "x"},
        ),
        ("messages: [{role: user, content: [{type: text, text: '{{ a }}'}]}]", {"a": ""}, {"a": "x"}),
        (
            "messages: [{role: user, content: [{type: text, text: '{{ a }}'}, "
            "{type: image_url, image_url: {url: '{{ b }}'}}]}]",
            {"a": "", "b": ""},
            {"a": "", "b": "https://x.test"},
        ),
        ("messages: '{{ a | json }}'", {"a": []}, {"a": [{"role": "user", "content": "x"}]}),
        ("messages: '{{ a | json }}'", {"a": [{"role": "user"}]}, {"a": [{"role": "user", "content": ["x"]}]}),
        ("messages: [{role: user, content: '{{ a | json }}'}]", {"a": []}, {"a": [{"type": "image_url"}]}),
        (
            "messages: [{role: user, content: '{{ a }}'}, {role: user, content: '{{ b }}'}]",
            {"a": "", "b": ""},
            {"a": "", "b": "x"},
        ),
    ],
)
def test_a_body_without_a_question_is_a_bad_row(body: str, blank: dict[str, Any], good: dict[str, Any]) -> None:
    text = f"body: {{model: m, {body}}}\n"
    assert rejection(text, blank).code == "empty_prompt"
    assert asked(text, good) is not None


@pytest.mark.parametrize("endpoint", ["embeddings", "moderations"])
@pytest.mark.parametrize("texts", [["a", ""], [" ", "a", None]])
def test_empty_texts_can_be_taken_out_of_a_list(endpoint: str, texts: list[str]) -> None:
    keys = MODEL + f"endpoint: /v1/{endpoint}\n"
    problem = rejection(keys + "prompt: '{{ texts | json }}'\n", {"texts": ["a", ""]})
    line = re.search(r"with (prompt: \".*\")\.$", problem.message)
    assert line is not None
    assert asked(keys + line[1] + "\n", {"texts": texts})["input"] == ["a"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("messages: []", "missing_messages"),
        ("messages: hello {{ a }}, n: 1", None),
        ("prompt: '{{ a }}'", "missing_messages"),
        ("messages: [{content: '{{ a }}'}]", "invalid_messages"),
        ("messages: {role: user, content: '{{ a }}'}", "invalid_messages"),
    ],
)
def test_a_body_without_messages_is_no_recipe(body: str, code: str | None) -> None:
    problems = problems_of(f"body: {{model: m, {body}}}\n")
    if code is not None:
        assert code in [problem.code for problem in problems]


def test_a_response_of_a_stored_prompt_needs_no_input() -> None:
    text = "endpoint: /v1/responses\nbody: {model: m, prompt: {id: p, variables: {name: '{{ a }}'}}}\n"
    assert asked(text, {"a": ""}) is not None


def test_no_text_of_a_row_is_told() -> None:
    problem = rejection(MODEL + "prompt: '{% if a %}{{ text }}{% endif %}'\n", {"a": "", "text": "secret"})
    assert "secret" not in problem.message
