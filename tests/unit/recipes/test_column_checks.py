"""Columns that a drop lacks or has twice, and recipes that use none."""

import json
import re

import pytest

from dropbatch.domain.errors import DropRejectedError
from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.parser import parse_recipe

from .driving import SHORT, body_of, compiled, only, problems_of

MODEL = "model: m\n"


def test_an_unknown_column_is_named_with_its_line_and_the_right_spelling() -> None:
    problem = only(problems_of("model: m\nprompt: '{{ txt }}'\n", columns=["id", "text"]))
    assert (problem.code, problem.line, problem.key, problem.path) == ("undefined_name", 2, "prompt", "recipe.yaml")
    assert "did you mean {{ text }}?" in problem.message


@pytest.mark.parametrize("written", ["{{ review_text }}", "{{ row['review text'] }}", "{{ row.ReviewText }}"])
def test_a_column_that_is_not_an_identifier_is_suggested_as_a_subscript(written: str) -> None:
    problem = only(problems_of(f'model: m\nprompt: "{written}"\n', columns=["Review Text"]))
    assert "{{ row['Review Text'] }}" in problem.message


def test_names_are_checked_in_every_template() -> None:
    text = "model: '{{ a }}'\nsystem: '{{ b }}'\nprompt: '{{ c }}'\nwhen: '{{ d }}'\nid: e\n"
    text += "examples: [{input: '{{ f }}', output: '{{ g }}'}]\n"
    keys = {problem.key for problem in problems_of(text, columns=["x"])}
    assert keys == {"model", "system", "prompt", "when", "id", "examples[0].input", "examples[0].output"}


@pytest.mark.parametrize(
    "template",
    [
        "{{ x | default('') }}",
        "{% if x is defined %}{{ x }}{% endif %}",
        "{% if 'x' in row %}{{ row['x'] }}{% endif %}",
    ],
)
def test_a_missing_column_with_a_default_is_accepted(template: str) -> None:
    assert problems_of(f'model: m\nprompt: "{template}"\n', columns=["text"]) == []


def test_a_column_that_the_answers_would_add_is_named_and_a_prefix_suggested() -> None:
    problems = problems_of(SHORT + "schema: {mood: string}\n", columns=["text", "mood", "_status", "answer"])
    assert [(problem.code, problem.column) for problem in problems] == [
        ("column_exists", "mood"),
        ("column_exists", "_status"),
    ]
    assert all("prefix" in problem.message for problem in problems)


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
    corrected = text.replace(written, "{{ text }}")
    assert problems_of(corrected, columns=["text"]) == []
    assert body_of(corrected, {"text": "good"})["messages"][0]["content"] == "Label this review: good"


@pytest.mark.parametrize("columns", [(), ("text", "id")])
def test_the_whole_row_is_named_as_templates_write_it(columns: tuple[str, ...]) -> None:
    text = MODEL + "prompt: 'Label {row}'\n"
    with pytest.raises(DropRejectedError) as rejected:
        compile_recipe(parse_recipe(text.encode()), {}, columns=columns)
    (problem,) = rejected.value.problems
    assert "{row} stands for nothing here; write {{ row }}, the whole row" in problem.message
    assert problems_of(text.replace("{row}", "{{ row }}"), columns=["text", "id"]) == []


def test_three_braces_are_named_as_the_cause() -> None:
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


def test_a_job_that_was_accepted_continues() -> None:
    recipe = parse_recipe(MODEL.encode() + b"prompt: 'Label {text}'\nschema: {a: string}\n")
    assert compile_recipe(recipe, {}, checked=True).request({"text": "a"}) is not None


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
    assert body_of(meant, {"title": "t", "text": "a"})["messages"][0]["content"] == f"{written}: a"


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
def test_braces_that_may_be_meant_are_accepted(prompt: str) -> None:
    assert problems_of(MODEL + f"prompt: {json.dumps(prompt)}\n", columns=["title", "text"]) == []


def test_json_rows_are_checked_for_such_placeholders_too() -> None:
    recipe = compiled(MODEL + "prompt: '{title} {{ text }}'\n")
    assert recipe.request({"text": "a"}) is not None
    assert recipe.requests(1, {"text": ["a"], "title": ["b"]}) is None
    with pytest.raises(DropRejectedError) as rejected:
        recipe.request({"text": "a", "title": "b"})
    assert [problem.code for problem in rejected.value.problems] == ["placeholder"]
