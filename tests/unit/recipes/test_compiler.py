"""A recipe is compiled, or refused with all its problems."""

import pytest

from dropbatch.recipes import compiler as compiling

from .driving import SHORT, body_of, compiled, only, problems_of


def test_a_file_is_read_beside_the_recipe() -> None:
    text = "model: m\nprompt: file://prompt.md\n"
    assert body_of(text, {"text": "hi"}, prompt_md="Q: {{ text }}\n")["messages"][0]["content"] == "Q: hi\n"


def test_a_missing_file_of_a_recipe_may_come_later() -> None:
    problem = only(problems_of("model: m\nprompt: file://prompt.md\n"))
    assert (problem.code, problem.key, problem.line) == ("missing_file", "prompt", 2)
    assert "prompt.md" in problem.message


def test_an_error_in_a_file_is_named_with_the_line_of_the_file() -> None:
    files = {"prompt.md": "Hello\n\n{{ text\n"}
    problem = only(problems_of("model: m\nprompt: file://prompt.md\n", path="a/recipe.yaml", files=files))
    assert (problem.code, problem.path, problem.key) == ("template_syntax", "a/prompt.md", "prompt")
    assert problem.line in (3, 4)


def test_all_added_columns_have_the_prefix() -> None:
    recipe = compiled(SHORT + "prefix: ai_\nschema: {mood: [a]}\ncolumns: {finish: 'choices[0].finish_reason'}\n")
    assert recipe.columns == ("ai_mood", "ai_finish")
    assert recipe.all_columns == ("ai_mood", "ai_finish", "ai__status", "ai__error")
    assert recipe.categories == {"ai_mood": ("a",)}


@pytest.mark.parametrize(
    ("endpoint", "columns"),
    [
        ("/v1/chat/completions", ("answer",)),
        ("/v1/responses", ("answer",)),
        ("/v1/embeddings", ("embedding",)),
        ("/v1/moderations", ("flagged", "categories")),
    ],
)
def test_columns_without_a_schema_follow_from_the_endpoint(endpoint: str, columns: tuple[str, ...]) -> None:
    assert compiled(f"{SHORT}endpoint: {endpoint}\n").columns == columns


@pytest.mark.parametrize("line", ["schema: {_status: string}", "columns: {answer: model}", "columns: {_error: model}"])
def test_duplicate_columns_are_refused(line: str) -> None:
    assert "rename" in only(problems_of(f"{SHORT}{line}\n")).message


def test_an_expression_that_is_not_jmespath_is_named() -> None:
    problem = only(problems_of(SHORT + "columns:\n  finish: choices[\n"))
    assert (problem.key, problem.line) == ("columns.finish", 4)


def test_all_problems_of_a_recipe_are_reported_at_once() -> None:
    problems = problems_of(
        "modle: a\n"
        'prompt: "{{ text | nofilter }}"\n'
        "system: [1]\n"
        "expect: 3\n"
        "limit: none\n"
        "schema:\n"
        "  a: {list: 1}\n"
        "columns: {b: '[['}\n"
    )
    reported = {(problem.line, problem.key) for problem in problems}
    keys = {(1, "modle"), (2, "prompt"), (3, "system"), (4, "expect"), (5, "limit"), (8, "columns.b")}
    assert reported >= keys
    assert {problem.line for problem in problems} >= {7}
    assert {problem.key for problem in problems} >= {"model"}


def test_checking_a_recipe_renders_no_template() -> None:
    assert problems_of("model: m\nprompt: '{{ text }}{{ \"a\" | center(1000000000) }}'\n") == []


@pytest.mark.slow
def test_a_recipe_that_takes_too_long_to_check_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    def forever(*_args: object, **_more: object) -> None:
        while True:
            pass

    monkeypatch.setattr(compiling, "COMPILE_SECONDS", 0.5)
    monkeypatch.setattr(compiling, "compile_template", forever)
    problem = only(problems_of(SHORT))
    assert (problem.code, problem.path) == ("recipe_too_slow", "recipe.yaml")
