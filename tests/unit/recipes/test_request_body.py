"""The body of a row's request: its model, and a question that is not blank."""

import json
import re
from typing import Any

import pytest

from .driving import SHORT, compiled, problems_of, rejection

MODEL = "model: m\n"


def request_of(text: str, row: dict[str, Any]) -> Any:
    request = compiled(text).request(row)
    return None if request is None else json.loads(request.body)


# Placeholders beside columns


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
def test_a_blank_row_is_rejected_with_the_line_that_leaves_it_out(
    keys: str, blank: dict[str, Any], good: dict[str, Any]
) -> None:
    problem = rejection(MODEL + keys, blank)
    assert (problem.code, problem.key) == ("empty_prompt", "prompt")
    line = re.search(r"leave such rows out with (when: (?:\"[^\"]*\"|'(?:[^']|'')*'))", problem.message)
    assert line is not None, problem.message
    corrected = MODEL + re.sub(r"when: .*\n", "", keys) + line[1] + "\n"
    assert request_of(corrected, blank) is None
    assert request_of(corrected, good) == request_of(MODEL + keys, good) is not None
    if "keep" in good:
        assert request_of(corrected, {**good, "keep": ""}) is None


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
    assert request_of(text, good) is not None


@pytest.mark.parametrize("endpoint", ["embeddings", "moderations"])
@pytest.mark.parametrize("texts", [["a", ""], [" ", "a", None]])
def test_empty_texts_can_be_left_out_of_a_list(endpoint: str, texts: list[str]) -> None:
    keys = MODEL + f"endpoint: /v1/{endpoint}\n"
    problem = rejection(keys + "prompt: '{{ texts | json }}'\n", {"texts": ["a", ""]})
    line = re.search(r"with (prompt: \".*\")\.$", problem.message)
    assert line is not None
    assert request_of(keys + line[1] + "\n", {"texts": texts})["input"] == ["a"]


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
def test_a_body_without_messages_is_refused(body: str, code: str | None) -> None:
    problems = problems_of(f"body: {{model: m, {body}}}\n")
    if code is not None:
        assert code in [problem.code for problem in problems]


def test_a_response_of_a_stored_prompt_needs_no_input() -> None:
    text = "endpoint: /v1/responses\nbody: {model: m, prompt: {id: p, variables: {name: '{{ a }}'}}}\n"
    assert request_of(text, {"a": ""}) is not None


def test_no_text_of_a_row_is_in_a_problem() -> None:
    problem = rejection(MODEL + "prompt: '{% if a %}{{ text }}{% endif %}'\n", {"a": "", "text": "secret"})
    assert "secret" not in problem.message


def test_the_model_of_a_row_is_known_beside_its_body() -> None:
    request = compiled("model: '{{ m }}'\nprompt: '{{ text }}'\n").request({"m": "gpt-6-sol", "text": "hi"})
    assert request is not None
    assert request.model == "gpt-6-sol"


@pytest.mark.parametrize("model", ["", " ", None])
def test_a_row_whose_model_is_empty_is_rejected(model: str | None) -> None:
    problem = rejection("model: '{{ m }}'\nprompt: '{{ text }}'\n", {"m": model, "text": "hi"})
    assert (problem.code, problem.key) == ("empty_model", "model")


def test_the_estimate_follows_from_the_recipe() -> None:
    request = compiled(SHORT + "parameters: {max_completion_tokens: 10, n: 2}\n").request({"text": "a"})
    assert request is not None
    assert request.estimate is not None
    assert request.expected_output_bytes == 2 * (1024 + 40)


def test_a_list_that_the_row_inserts_counts_its_inputs() -> None:
    text = "endpoint: /v1/embeddings\nmodel: m\nprompt: '{{ texts | json }}'\n"
    request = compiled(text).request({"texts": ["a", "b", "c"]})
    assert request is not None
    assert request.embedding_inputs == 3


@pytest.mark.parametrize("model", ["gpt-6-luna", "ft:my-base:org::id", "meta-llama/Llama-3.1@v2", "a" * 256])
def test_names_of_models_are_accepted(model: str) -> None:
    assert problems_of(f"model: {model!r}\nprompt: '{{{{ text }}}}'\n") == []
    request = compiled("model: '{{ m }}'\nprompt: '{{ text }}'\n").request({"m": model, "text": "hi"})
    assert request is not None
    assert request.model == model


@pytest.mark.parametrize("model", ["Jane Doe born 1970", "a" * 257, "gpt-6-sol\nmini", "größe", "<b>"])
def test_a_text_that_cannot_be_a_models_name_is_not_repeated(model: str) -> None:
    problem = rejection("model: '{{ m }}'\nprompt: '{{ text }}'\n", {"m": model, "text": "hi"})
    assert (problem.code, problem.key) == ("invalid_model", "model")
    assert model not in problem.message
    content = "{role: user, content: '{{ text }}'}"
    for text in (
        f"model: {json.dumps(model)}\nprompt: '{{{{ text }}}}'\n",
        f"body: {{model: {json.dumps(model)}, messages: [{content}]}}\n",
    ):
        assert [found.code for found in problems_of(text)] == ["invalid_model"]
