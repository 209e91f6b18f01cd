"""Known keys in the wrong place: the problem names the right one, where the key is accepted."""

import pytest

from .driving import only, problems_of

SHORT = "model: m\nprompt: '{{ text }}'\n"
BODY = "body:\n  model: m\n  messages: [{role: user, content: '{{ text }}'}]\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "line", ["temperature: 0", "max_tokens: 5", "reasoning_effort: none", "tools: []", "top_p: 1", "n: 2", "seed: 7"]
)
def test_a_parameter_at_the_top_goes_under_parameters_or_into_the_body(line: str) -> None:
    key = line.partition(":")[0]
    problem = only(problems_of(f"{SHORT}{line}\n"))
    assert (problem.code, problem.key, problem.line) == ("misplaced_key", key, 3)
    assert "put it under parameters" in problem.message
    assert problems_of(f"{SHORT}parameters: {{{line}}}\n", columns=["text"]) == []
    problem = only(problems_of(f"{BODY}{line}\n"))
    assert "put it into the body" in problem.message
    assert problems_of(f"{BODY}  {line}\n", columns=["text"]) == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("response_format: {type: text}", "under schema, or put it under parameters"),
        ("messages: []", "write prompt instead, or the whole request under body"),
        ("input: a", "write prompt instead"),
        ("instructions: a", "write system instead"),
        ("url: /v1/responses", "write endpoint"),
        ("custom_id: a", "write id"),
        ("stream: true", "the Batch API does not stream answers; leave it out"),
    ],
)
def test_a_part_of_the_request_at_the_top_is_refused_with_its_place(line: str, says: str) -> None:
    problem = only(problems_of(f"{SHORT}{line}\n"))
    assert (problem.code, problem.line) == ("misplaced_key", 3)
    assert says in problem.message


@pytest.mark.parametrize(("key", "meant"), [("temprature", "temperature"), ("max_token", "max_tokens")])
def test_a_misspelt_parameter_at_the_top_is_refused_with_its_place(key: str, meant: str) -> None:
    problem = only(problems_of(f"{SHORT}{key}: 1\n"))
    assert (problem.code, problem.key) == ("unknown_key", key)
    assert f"did you mean {meant}? {meant} is a parameter of the request; put it under parameters." in problem.message


@pytest.mark.parametrize(
    "line", ["bad_rows: skip", "schema: {a: string}", "when: '{{ text }}'", "limit: 3", "replace: cancel"]
)
@pytest.mark.parametrize("place", ["parameters", "body"])
def test_a_key_of_the_recipe_within_the_request_goes_to_the_top(line: str, place: str) -> None:
    key = line.partition(":")[0]
    text = f"{SHORT}parameters:\n  {line}\n" if place == "parameters" else f"{BODY}  {line}\n"
    problem = only(problems_of(text))
    assert (problem.code, problem.key) == ("misplaced_key", f"{place}.{key}")
    assert "put it at the top of the recipe" in problem.message
    assert problems_of(f"{SHORT if place == 'parameters' else BODY}{line}\n", columns=["text"]) == []


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        ("prompt: '{{ text }}'\nparameters: {model: m}\n", "parameters.model", "goes to the top"),
        (BODY + "  system: Be brief.\n", "body.system", "first of the messages"),
        (BODY + "  parameters: {n: 1}\n", "body.parameters", "one step up"),
        (BODY + "  prompt: '{{ text }}'\n", "body.prompt", "one of the messages"),
        (BODY + "  input: '{{ text }}'\n", "body.input", "one of the messages"),
        (SHORT + "endpoint: /v1/responses\nparameters: {messages: []}\n", "parameters.messages", "write prompt"),
        (SHORT + "parameters: {instructions: a}\n", "parameters.instructions", "write system"),
    ],
)
def test_other_misplaced_members_are_refused_too(text: str, key: str, says: str) -> None:
    problem = next(problem for problem in problems_of(text) if problem.key == key)
    assert problem.code == "misplaced_key"
    assert says in problem.message


def test_members_that_a_request_may_have_are_accepted() -> None:
    text = "endpoint: /v1/completions\nbody: {model: m, prompt: '{{ text }}', suffix: a, logit_bias: {}}\n"
    assert problems_of(text, columns=["text"]) == []
    text = "endpoint: /v1/responses\nbody: {model: m, input: '{{ text }}', prompt: {id: p}, instructions: a}\n"
    assert problems_of(text, columns=["text"]) == []
