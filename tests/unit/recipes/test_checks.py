"""Keys that exclude one another, or are missing."""

import pytest

from dropbatch.recipes.parser import parse_recipe

from .driving import SHORT, only, problems_of

ASKED = 'messages: [{role: user, content: "{{ text }}"}]'


@pytest.mark.parametrize("key", ["model", "prompt"])
def test_the_short_form_needs_a_model_and_a_prompt(key: str) -> None:
    text = "".join(line + "\n" for line in SHORT.splitlines() if not line.startswith(key))
    assert (only(problems_of(text)).code, only(problems_of(text)).key) == ("missing_key", key)


@pytest.mark.parametrize("key", ["model", "prompt"])
def test_an_empty_model_or_prompt_counts_as_missing(key: str) -> None:
    assert only(problems_of(SHORT.replace(f"{key}: ", f"{key}: '' # "))).key == key


def test_moderations_need_no_model() -> None:
    assert parse_recipe(b"endpoint: /v1/moderations\nprompt: hello\n").model is None


def test_the_two_forms_exclude_each_other() -> None:
    problem = only(problems_of(f"prompt: '{{{{ a }}}}'\nbody: {{model: b, {ASKED}}}\n"))
    assert (problem.code, problem.key, problem.line) == ("conflicting_keys", "prompt", 1)


@pytest.mark.parametrize("body", ["{%s}", "{temperature: 1, %s}", "{model: 4, %s}", "{model: ' ', %s}"])
def test_a_body_needs_a_model(body: str) -> None:
    assert "model" in only(problems_of(f"body: {body % ASKED}\n")).message


@pytest.mark.parametrize(
    "text", [SHORT + "parameters: {stream: true}\n", f"body: {{model: a, stream: true, {ASKED}}}\n"]
)
def test_streaming_is_refused(text: str) -> None:
    assert (only(problems_of(text)).key or "").endswith(".stream")


@pytest.mark.parametrize(
    ("endpoint", "parameters"),
    [
        ("/v1/chat/completions", "messages: []"),
        ("/v1/chat/completions", "model: b"),
        ("/v1/chat/completions", "response_format: {type: text}"),
        ("/v1/responses", "input: a"),
        ("/v1/responses", "instructions: a"),
        ("/v1/responses", "text: {format: {type: text}}"),
    ],
)
def test_parameters_cannot_set_what_the_recipe_itself_sets(endpoint: str, parameters: str) -> None:
    text = f"{SHORT}system: s\nschema: {{a: string}}\nendpoint: {endpoint}\nparameters: {{{parameters}}}\n"
    problem = only(problems_of(text))
    assert (problem.code, problem.line) == ("conflicting_keys", 6)


@pytest.mark.parametrize("key", ["system: a", "examples: []", "schema: {a: string}"])
def test_embeddings_take_no_conversation(key: str) -> None:
    problem = only(problems_of(f"{SHORT}endpoint: /v1/embeddings\n{key}\n"))
    assert (problem.code, problem.line) == ("conflicting_keys", 4)


def test_an_endpoint_beyond_the_short_form_points_to_the_body_and_to_ready_batch_files() -> None:
    problem = only(problems_of(SHORT + "endpoint: /v1/images/generations\n"))
    assert "body" in problem.message
    assert "ready batch file" in problem.message


def test_a_schema_beside_a_body_with_its_own_format_is_a_conflict() -> None:
    problem = only(
        problems_of(f"body: {{model: a, response_format: {{type: text}}, {ASKED}}}\nschema: {{a: string}}\n")
    )
    assert problem.key == "body.response_format"
