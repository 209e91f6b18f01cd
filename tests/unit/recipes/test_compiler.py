"""A row becomes a request, and an answer has its columns."""

import json
from contextlib import suppress
from typing import Any

import pytest

from dropbatch.domain.errors import DropRejectedError, RowRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.recipes import compiler as compiling
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.parser import parse_recipe

from .problems_of import only, problems_of

SHORT = "model: gpt-6-luna\nprompt: '{{ text }}'\n"


def compiled(text: str, **files: str) -> CompiledRecipe:
    recipe = parse_recipe(text.encode())
    return compile_recipe(recipe, {name.replace("_", "."): content for name, content in files.items()})


def body_of(text: str, row: dict[str, Any], **files: str) -> Any:
    request = compiled(text, **files).request(row)
    assert request is not None
    return json.loads(request.body)


def rejection(text: str, row: dict[str, Any]) -> Problem:
    with pytest.raises(RowRejectedError) as rejected:
        compiled(text).request(row)
    (problem,) = rejected.value.problems
    return problem


def test_the_short_form_becomes_a_chat() -> None:
    text = SHORT + "system: Be brief.\nparameters: {max_completion_tokens: 50, stop: ['{{']}\n"
    assert body_of(text, {"text": "hi"}) == {
        "model": "gpt-6-luna",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        "max_completion_tokens": 50,
        "stop": ["{{"],
    }


def test_examples_are_turns_before_the_prompt() -> None:
    text = SHORT + "system: s\nexamples: [{input: good, output: {mood: 1}}, {input: bad, output: no}]\n"
    turns = body_of(text, {"text": "hi"})["messages"]
    assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert [turn["content"] for turn in turns] == ["s", "good", '{"mood":1}', "bad", "no", "hi"]


def test_responses_take_input_and_instructions() -> None:
    text = SHORT + "endpoint: /v1/responses\nsystem: s\n"
    assert body_of(text, {"text": "hi"}) == {"model": "gpt-6-luna", "instructions": "s", "input": "hi"}


def test_examples_of_responses_are_items_of_the_input() -> None:
    text = SHORT + "endpoint: /v1/responses\nexamples: [{input: a, output: b}]\n"
    assert [item["content"] for item in body_of(text, {"text": "hi"})["input"]] == ["a", "b", "hi"]


def test_embeddings_and_moderations_take_the_prompt_as_input() -> None:
    assert body_of(SHORT + "endpoint: /v1/embeddings\n", {"text": "hi"}) == {"model": "gpt-6-luna", "input": "hi"}
    assert body_of("endpoint: /v1/moderations\nprompt: '{{ text }}'\n", {"text": "hi"}) == {"input": "hi"}


def test_every_string_of_a_body_is_a_template() -> None:
    text = """
body:
  model: "{{ model }}"
  n: 2
  messages:
    - role: user
      content:
        - {type: text, text: "Caption this: {{ title }}"}
        - {type: image_url, image_url: {url: "{{ image }}"}}
  metadata: {}
"""
    assert body_of(text, {"model": " gpt-6-sol ", "title": 'a "b"', "image": "https://x/é"}) == {
        "model": "gpt-6-sol",
        "n": 2,
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": 'Caption this: a "b"'},
                    {"type": "image_url", "image_url": {"url": "https://x/é"}},
                ],
            }
        ],
        "metadata": {},
    }


def test_the_model_of_a_row_is_known_beside_its_body() -> None:
    request = compiled("model: '{{ m }}'\nprompt: '{{ text }}'\n").request({"m": "gpt-6-sol", "text": "hi"})
    assert request is not None
    assert request.model == "gpt-6-sol"


@pytest.mark.parametrize("model", ["", " ", None])
def test_a_row_whose_model_is_empty_is_rejected(model: str | None) -> None:
    problem = rejection("model: '{{ m }}'\nprompt: '{{ text }}'\n", {"m": model, "text": "hi"})
    assert (problem.code, problem.key) == ("empty_model", "model")


def test_a_row_whose_when_is_empty_is_skipped() -> None:
    recipe = compiled(SHORT + "when: |\n  {{ text }}\n")
    assert recipe.request({"text": " "}) is None
    assert recipe.request({"text": "a"}) is not None


def test_a_condition_that_is_false_skips_too() -> None:
    recipe = compiled(SHORT + "when: \"{{ lang == 'de' }}\"\n")
    assert recipe.request({"text": "a", "lang": "en"}) is None
    assert recipe.request({"text": "a", "lang": "de"}) is not None


@pytest.mark.parametrize("nothing", [None, "", False, [], {}])
def test_a_row_with_nothing_in_a_value_is_skipped(nothing: Any) -> None:
    recipe = compiled(SHORT + 'when: "{{ reviews }}"\n')
    assert recipe.request({"text": "a", "reviews": nothing}) is None
    assert recipe.request({"text": "a", "reviews": ["b"]}) is not None
    assert recipe.request({"text": "a", "reviews": 0}) is not None


def test_a_skipped_row_need_not_fit_the_prompt() -> None:
    assert compiled(SHORT + "when: '{{ text is defined and text }}'\n").request({"other": 1}) is None


def test_a_file_is_read_beside_the_recipe() -> None:
    text = "model: m\nprompt: file://prompt.md\n"
    assert body_of(text, {"text": "hi"}, prompt_md="Q: {{ text }}\n")["messages"][0]["content"] == "Q: hi\n"


def test_a_file_that_is_missing_may_still_come() -> None:
    problem = only(problems_of("model: m\nprompt: file://prompt.md\n"))
    assert (problem.code, problem.key, problem.line) == ("missing_file", "prompt", 2)
    assert "prompt.md" in problem.message


def test_an_error_in_a_file_is_named_with_the_line_of_the_file() -> None:
    files = {"prompt.md": "Hello\n\n{{ text\n"}
    problem = only(problems_of("model: m\nprompt: file://prompt.md\n", path="a/recipe.yaml", files=files))
    assert (problem.code, problem.path, problem.key) == ("template_syntax", "a/prompt.md", "prompt")
    assert problem.line in (3, 4)


def test_a_name_that_is_no_column_is_named_with_its_line_and_the_right_spelling() -> None:
    problem = only(problems_of("model: m\nprompt: '{{ txt }}'\n", columns=["id", "text"]))
    assert (problem.code, problem.line, problem.key, problem.path) == ("undefined_name", 2, "prompt", "recipe.yaml")
    assert "did you mean {{ text }}?" in problem.message


@pytest.mark.parametrize("written", ["{{ review_text }}", "{{ row['review text'] }}", "{{ row.ReviewText }}"])
def test_a_column_that_is_no_identifier_is_suggested_as_a_subscript(written: str) -> None:
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
def test_a_name_whose_lack_the_template_provides_for_is_no_problem(template: str) -> None:
    assert problems_of(f'model: m\nprompt: "{template}"\n', columns=["text"]) == []


def test_a_column_that_the_answers_would_add_is_named_and_a_prefix_suggested() -> None:
    problems = problems_of(SHORT + "schema: {mood: string}\n", columns=["text", "mood", "_status", "answer"])
    assert [(problem.code, problem.column) for problem in problems] == [
        ("column_exists", "mood"),
        ("column_exists", "_status"),
    ]
    assert all("prefix" in problem.message for problem in problems)


def test_a_prefix_stands_before_all_that_is_added() -> None:
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
def test_columns_that_would_stand_twice_are_refused(line: str) -> None:
    assert "rename" in only(problems_of(f"{SHORT}{line}\n")).message


def test_an_expression_that_is_no_jmespath_is_named() -> None:
    problem = only(problems_of(SHORT + "columns:\n  finish: choices[\n"))
    assert (problem.key, problem.line) == ("columns.finish", 4)


def test_a_json_row_that_lacks_a_name_is_rejected_with_the_right_spelling() -> None:
    problem = rejection(SHORT, {"Text": "secret"})
    assert (problem.code, problem.key, problem.column) == ("undefined_name", "prompt", "text")
    assert "did you mean {{ Text }}?" in problem.message
    assert "secret" not in problem.message


def test_a_json_row_that_lacks_a_nested_name_is_rejected() -> None:
    problem = rejection("model: m\nprompt: '{{ a.titel }}'\n", {"a": {"title": "secret"}})
    assert (problem.code, problem.column) == ("undefined_name", "titel")
    assert "did you mean title?" in problem.message


def test_a_json_row_that_has_a_column_of_the_answer_is_rejected() -> None:
    assert rejection(SHORT, {"text": "a", "answer": "b"}).code == "column_exists"


def test_a_template_that_fails_says_so_without_the_text_of_the_row() -> None:
    problem = rejection("model: m\nprompt: '{{ text | int / 0 }}'\n", {"text": "secret"})
    assert (problem.code, problem.key) == ("template_failed", "prompt")
    assert "secret" not in problem.message


def test_a_name_that_the_row_computes_is_not_quoted() -> None:
    problem = rejection("model: m\nprompt: '{{ row[text] }}'\n", {"text": "secret"})
    assert problem.code == "undefined_name"
    assert "secret" not in problem.message


@pytest.mark.parametrize(
    ("value", "label"), [("r-7", "r-7"), (7, "7"), (None, None), ("", None), (1.5, "1.5"), (True, "true")]
)
def test_a_row_is_labelled_by_its_id_column(value: Any, label: str | None) -> None:
    assert compiled(SHORT + "id: key\n").label({"key": value, "text": "a"}) == label


def test_a_row_without_its_label_is_rejected() -> None:
    assert rejection(SHORT + "id: key\n", {"text": "a"}).key == "id"


def test_what_a_request_takes_is_known_from_the_recipe() -> None:
    request = compiled(SHORT + "parameters: {max_completion_tokens: 10, n: 2}\n").request({"text": "a"})
    assert request is not None
    assert request.estimate is not None
    assert request.expected_output_bytes == 2 * (1024 + 40)


def test_a_list_that_the_row_inserts_counts_its_inputs() -> None:
    text = "endpoint: /v1/embeddings\nmodel: m\nprompt: '{{ texts | json }}'\n"
    request = compiled(text).request({"texts": ["a", "b", "c"]})
    assert request is not None
    assert request.embedding_inputs == 3


def test_a_request_is_one_line_whatever_the_row_holds() -> None:
    text = 'a\n\r\u2028\u2029\u0085\x00\ud800"\\ 😀'
    request = compiled(SHORT).request({"text": text})
    assert request is not None
    line = request.line("1")
    assert line.count(b"\n") == 1
    content = json.loads(line)["body"]["messages"][0]["content"]
    assert content == text.replace("\ud800", "\ufffd")


def test_the_same_row_gives_the_same_bytes() -> None:
    text = "model: m\nprompt: '{% for k in row %}{{ k }}={{ row[k] }};{% endfor %}'\n"
    row = {"b": 1, "a": {"z": [1.10, None]}}
    assert compiled(text).request(row) == compiled(text).request(row)


def test_a_problem_can_be_written_down_whatever_name_the_template_spells() -> None:
    problem = rejection("model: m\nprompt: '{{ row[\"\\ud800\"] }}'\n", {"text": "a"})
    json.dumps(problem.to_json(), ensure_ascii=False).encode()


def test_all_that_is_wrong_with_a_recipe_is_told_at_once() -> None:
    problems = problems_of(
        "modle: a\n"
        'prompt: "{{ text | nofilter }}"\n'
        "system: [1]\n"
        "budget_usd: 3\n"
        "limit: none\n"
        "schema:\n"
        "  a: {list: 1}\n"
        "columns: {b: '[['}\n"
    )
    told = {(problem.line, problem.key) for problem in problems}
    keys = {(1, "modle"), (2, "prompt"), (3, "system"), (4, "budget_usd"), (5, "limit"), (8, "columns.b")}
    assert told >= keys
    assert {problem.line for problem in problems} >= {7}
    assert {problem.key for problem in problems} >= {"model"}


LOOPS = "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}"


@pytest.mark.slow
def test_a_row_that_a_template_takes_too_long_for_is_rejected_with_its_key() -> None:
    text = f"model: m\nprompt: x\nsystem: 'x{{% if text == \"slow\" %}}{LOOPS}{{% endif %}}'\n"
    assert compiled(text).request({"text": "quick"}) is not None
    problem = rejection(text, {"text": "slow"})
    assert (problem.code, problem.key) == ("template_too_slow", "system")


def test_a_row_that_a_template_makes_too_much_of_is_rejected_with_its_key() -> None:
    problem = rejection("model: m\nprompt: '{{ text | center(1000000000) }}'\n", {"text": "a"})
    assert (problem.code, problem.key) == ("template_too_large", "prompt")


@pytest.mark.slow
def test_rows_that_together_take_too_long_reject_the_drop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "ROW_SECONDS", 0.5)
    monkeypatch.setattr(compiling, "CHUNK_SECONDS", 1.5)
    recipe = compiled(f"model: m\nprompt: '{LOOPS}{{{{ text }}}}'\nbad_rows: skip\n")

    def many() -> None:
        for _ in range(9):
            with suppress(RowRejectedError):
                recipe.request({"text": "a"})

    with recipe.limited(), pytest.raises(DropRejectedError) as rejected:
        many()
    [problem] = rejected.value.problems
    assert (problem.code, problem.path) == ("template_too_slow", "recipe.yaml")
    with recipe.limited(), pytest.raises(RowRejectedError):  # the next rows have their own time
        recipe.request({"text": "a"})


def test_what_was_rendered_in_time_once_is_rendered_again_without_a_limit() -> None:
    recipe = parse_recipe(b"model: m\nprompt: '{{ text | upper }}'\n")
    assert compile_recipe(recipe, {})._limit is not None
    assert compile_recipe(recipe, {}, checked=True)._limit is None
    assert compile_recipe(parse_recipe(b"model: m\nprompt: '{{ text }}'\n"), {})._limit is None


def test_checking_a_recipe_computes_nothing_of_its_templates() -> None:
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


@pytest.mark.parametrize("model", ["gpt-6-luna", "ft:my-base:org::id", "meta-llama/Llama-3.1@v2", "a" * 256])
def test_names_of_models_are_taken(model: str) -> None:
    assert problems_of(f"model: {model!r}\nprompt: '{{{{ text }}}}'\n") == []
    request = compiled("model: '{{ m }}'\nprompt: '{{ text }}'\n").request({"m": model, "text": "hi"})
    assert request is not None
    assert request.model == model


@pytest.mark.parametrize("model", ["Jane Doe born 1970", "a" * 257, "gpt-6-sol\nmini", "größe", "<b>"])
def test_what_cannot_be_the_name_of_a_model_goes_nowhere(model: str) -> None:
    problem = rejection("model: '{{ m }}'\nprompt: '{{ text }}'\n", {"m": model, "text": "hi"})
    assert (problem.code, problem.key) == ("invalid_model", "model")
    assert model not in problem.message
    content = "{role: user, content: '{{ text }}'}"
    for text in (
        f"model: {json.dumps(model)}\nprompt: '{{{{ text }}}}'\n",
        f"body: {{model: {json.dumps(model)}, messages: [{content}]}}\n",
    ):
        assert [found.code for found in problems_of(text)] == ["invalid_model"]
