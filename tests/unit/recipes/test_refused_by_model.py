"""Values that a recipe's model is known to refuse: the advice works."""

from collections import Counter

import pytest

from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.parser import parse_recipe

from .driving import only, problems_of

ASKS_RESPONSES = "endpoint: /v1/responses\n"
PROMPT = 'prompt: "{{ text }}"\n'


def short(model: str, parameters: str, more: str = "") -> str:
    return f"model: {model}\n{PROMPT}{more}parameters:\n  {parameters}\n"


@pytest.mark.parametrize(
    ("wrong", "key", "line", "words", "corrected"),
    [
        (short("gpt-6-luna", "max_tokens: 500"), "parameters.max_tokens", 4, "write max_completion_tokens",
         short("gpt-6-luna", "max_completion_tokens: 500")),
        (short("gpt-6-luna", "reasoning_effort: minimal"), "parameters.reasoning_effort", 4, "write none",
         short("gpt-6-luna", "reasoning_effort: none")),
        (short("gpt-6-luna", "temperature: 0"), "parameters.temperature", 4, "write reasoning_effort: none",
         short("gpt-6-luna", "{temperature: 0, reasoning_effort: none}")),
        (short("gpt-5-mini", "temperature: 0.2"), "parameters.temperature", 4, "leave it out",
         short("gpt-5-mini", "{}")),
        (short("gpt-4.1", "reasoning_effort: low"), "parameters.reasoning_effort", 4, "leave reasoning_effort out",
         short("gpt-4.1", "{}")),
        (short("gpt-6-luna", "reasoning: {effort: minimal}", ASKS_RESPONSES), "parameters.reasoning.effort", 5,
         "write none", short("gpt-6-luna", "reasoning: {effort: none}", ASKS_RESPONSES)),
        (short("gpt-6-luna", "max_completion_tokens: 5", ASKS_RESPONSES), "parameters.max_completion_tokens", 5,
         "write max_output_tokens", short("gpt-6-luna", "max_output_tokens: 5", ASKS_RESPONSES)),
        ("body:\n  model: gpt-6-sol\n  messages: [{role: user, content: '{{ text }}'}]\n  top_p: 0.5\n",
         "body.top_p", 4, "write reasoning_effort: none",
         "body:\n  model: gpt-6-sol\n  messages: [{role: user, content: '{{ text }}'}]\n  top_p: 0.5\n"
         "  reasoning_effort: none\n"),
        ("body:\n  model: gpt-6-luna\n  messages: [{role: user, content: '{{ text }}'}]\n"
         "  tools: [{type: function, function: {name: f, description: '{{ text }}'}}]\n", "body.tools", 4,
         "reasoning_effort: none",
         "body:\n  model: gpt-6-luna\n  messages: [{role: user, content: '{{ text }}'}]\n  reasoning_effort: none\n"
         "  tools: [{type: function, function: {name: f, description: '{{ text }}'}}]\n"),
    ],
)  # fmt: skip
def test_a_value_is_refused_with_its_place_and_the_advice_works(
    wrong: str, key: str, line: int, words: str, corrected: str, tally: Counter[str]
) -> None:
    problem = only(problems_of(wrong))
    assert (problem.code, problem.key, problem.line) == ("refused_by_model", key, line)
    assert words in problem.message
    assert problem.message.startswith(f"Line {line} of recipe.yaml, key {key}: ")
    assert problems_of(corrected) == []
    tally["refusals' advice"] += 1


@pytest.mark.parametrize(
    "text",
    [
        short("gpt-6-luna", "{temperature: 1, top_p: 1.0}"),
        short("my-model", "{max_tokens: 5, temperature: 0, reasoning_effort: enormous}"),
        short("openai/gpt-6-luna", "{max_tokens: 5, temperature: 0}"),
        short("'{{ model }}'", "{max_tokens: 5, temperature: 0}"),
        "body:\n  model: gpt-6-luna\n  messages: [{role: user, content: '{{ text }}'}]\n"
        "  reasoning_effort: low\n  temperature: '{{ t | json }}'\n",
        "body:\n  model: gpt-6-luna\n  messages: [{role: user, content: '{{ text }}'}]\n"
        "  reasoning_effort: '{{ effort }}'\n  temperature: 0\n",
    ],
)
def test_a_request_that_a_model_may_take_is_accepted(text: str) -> None:
    assert problems_of(text) == []


def test_spaces_around_a_model_do_not_hide_it() -> None:
    assert only(problems_of(short("' gpt-6-luna '", "max_tokens: 5"))).code == "refused_by_model"


def test_all_refusals_of_a_model_are_reported_at_once() -> None:
    found = problems_of(short("gpt-6-luna", "{max_tokens: 5, temperature: 0, top_p: 0.5}"))
    assert [problem.key for problem in found] == [
        f"parameters.{name}" for name in ("max_tokens", "temperature", "top_p")
    ]


@pytest.mark.parametrize("body", [f"model: sora-2\n{PROMPT}", "body:\n  model: sora-2\n  prompt: '{{ text }}'\n"])
def test_an_endpoint_that_is_gone_is_refused_with_the_day(body: str) -> None:
    problem = only(problems_of(f"endpoint: /v1/videos\n{body}"))
    assert (problem.code, problem.key, problem.line) == ("endpoint_gone", "endpoint", 1)
    assert "OpenAI shut the API /v1/videos down on 2026-09-24" in problem.message
    assert "/v1/images/generations" in problem.message


def test_an_accepted_recipe_stays_accepted() -> None:
    """New facts about a model do not stop running jobs."""
    recipe = parse_recipe(short("gpt-6-luna", "max_tokens: 5").encode())
    assert compile_recipe(recipe, {}, checked=True).model == "gpt-6-luna"
