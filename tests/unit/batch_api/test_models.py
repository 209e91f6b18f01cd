"""The members of a request that known models refuse."""

from typing import Any

import pytest

from dropbatch.batch_api.endpoints import CHAT, EMBEDDINGS, RESPONSES
from dropbatch.batch_api.models import family_of
from dropbatch.batch_api.refused_parameters import VARIES, refusals


def keys(endpoint: str, model: str, **body: Any) -> list[str]:
    return [refusal.key for refusal in refusals(endpoint, model, body)]


def sentence(endpoint: str, model: str, **body: Any) -> str:
    (refusal,) = refusals(endpoint, model, body)
    return refusal.sentence


REASONING = ["gpt-6-luna", "gpt-6-sol", "gpt-6.1-sol", "gpt-5.6-terra", "gpt-5.4-mini", "gpt-5-mini", "o3", "o4-mini"]


@pytest.mark.parametrize("model", [*REASONING, "gpt-5-mini-2025-08-07", "ft:o4-mini-2025-04-16:org::id"])
def test_a_reasoning_model_refuses_max_tokens_in_chat(model: str) -> None:
    assert sentence(CHAT, model, max_tokens=9) == f"{model} refuses max_tokens; write max_completion_tokens instead."
    assert keys(CHAT, model, max_completion_tokens=9) == []
    assert keys(CHAT, model, max_tokens=None) == []


@pytest.mark.parametrize(
    ("model", "effort", "words"),
    [
        ("gpt-6-luna", "minimal", "it has none, low, medium, high, xhigh, max; write none"),
        ("gpt-6-sol", "minimal", "it has none, low, medium, high, xhigh, max; write none"),
        ("gpt-5.6-luna", "minimal", "write none"),
        ("gpt-6.1-sol", "minimal", "it has low, medium, high, xhigh, max; write low"),
        ("gpt-5.5", "max", "write xhigh"),
        ("gpt-5.1", "xhigh", "write high"),
        ("gpt-5-mini", "none", "it has minimal, low, medium, high; write minimal"),
        ("gpt-5-mini", "xhigh", "write high"),
        ("gpt-5-pro", "low", "it has high only; write high"),
        ("o3", "minimal", "it has low, medium, high; write low"),
        ("gpt-6-luna", "enormous", "write none"),
    ],
)
def test_an_effort_that_a_model_lacks_is_named_with_those_it_has(model: str, effort: str, words: str) -> None:
    assert words in sentence(CHAT, model, reasoning_effort=effort)
    (refusal,) = refusals(RESPONSES, model, {"reasoning": {"effort": effort}})
    assert refusal.key == "reasoning.effort"
    followed = words.rpartition("write ")[2]
    assert keys(CHAT, model, reasoning_effort=followed) == []
    assert keys(RESPONSES, model, reasoning={"effort": followed}) == []


@pytest.mark.parametrize("name", ["temperature", "top_p", "logprobs", "top_logprobs"])
@pytest.mark.parametrize(
    ("model", "effort", "refused"),
    [
        *(("gpt-6-luna", effort, effort != "none") for effort in (None, "none", "low", "max")),
        *(("gpt-5.4-mini", effort, effort == "low") for effort in (None, "none", "low")),
        *(("gpt-5.1", effort, effort == "high") for effort in (None, "none", "high")),
        *(("gpt-5.5", effort, effort != "none") for effort in (None, "none", "low")),
        *(("gpt-5-mini", effort, True) for effort in (None, "minimal", "low")),
        *(("o3", effort, True) for effort in (None, "low")),
        *((model, None, False) for model in ("gpt-4o", "gpt-4.1-mini", "my-model", "openai/gpt-6-luna")),
        ("gpt-6-luna", VARIES, False),
        ("o3", VARIES, True),
    ],
)
def test_temperature_and_the_like_are_refused_while_a_model_reasons(
    name: str, model: str, effort: Any, *, refused: bool
) -> None:
    value = {"temperature": 0.2, "top_p": 0.5, "logprobs": True, "top_logprobs": 3}[name]
    given = {} if effort is None else {"reasoning_effort": effort}
    assert keys(CHAT, model, **{name: value}, **given) == [name] * refused


def test_the_advice_about_a_temperature_works() -> None:
    assert sentence(CHAT, "gpt-6-luna", temperature=0) == (
        "gpt-6-luna takes no temperature but the default (1) while it reasons (with medium effort unless told "
        "otherwise); leave it out, or write reasoning_effort: none."
    )
    assert keys(CHAT, "gpt-6-luna", temperature=0, reasoning_effort="none") == []
    assert sentence(RESPONSES, "gpt-6-sol", temperature=0, reasoning={"effort": "low"}).endswith(
        "leave it out, or write reasoning: {effort: none}."
    )
    assert keys(RESPONSES, "gpt-6-sol", temperature=0, reasoning={"effort": "none"}) == []
    assert sentence(CHAT, "o3", temperature=0).endswith("takes no temperature but the default (1); leave it out.")


@pytest.mark.parametrize("model", REASONING)
def test_defaults_and_values_that_differ_by_row_are_accepted(model: str) -> None:
    defaults = {"temperature": 1, "top_p": 1.0, "presence_penalty": 0, "logprobs": False, "logit_bias": {}}
    assert keys(CHAT, model, **defaults) == []
    assert keys(CHAT, model, **dict.fromkeys(defaults, VARIES), reasoning_effort=VARIES) == []
    assert keys(RESPONSES, model, reasoning=VARIES, temperature=VARIES) == []


def test_penalties_are_refused_by_the_first_reasoning_models() -> None:
    assert keys(CHAT, "o3", frequency_penalty=1, logit_bias={"1": 2}) == ["frequency_penalty", "logit_bias"]
    assert keys(CHAT, "gpt-5-nano", presence_penalty=0.5) == ["presence_penalty"]
    assert keys(CHAT, "gpt-6-luna", presence_penalty=0.5) == [], "nothing is published of it"


def test_log_probabilities_of_responses_are_asked_for_by_include() -> None:
    include = ["message.output_text.logprobs"]
    assert keys(RESPONSES, "gpt-6-luna", include=include) == ["include"]
    assert keys(RESPONSES, "gpt-6-luna", include=include, reasoning={"effort": "none"}) == []
    assert keys(RESPONSES, "gpt-6-luna", include=["file_search_call.results"]) == []


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4.1-mini-2025-04-14", "gpt-3.5-turbo", "ft:gpt-4o-2024-08-06:o::i"])
def test_a_model_that_does_not_reason_takes_no_effort(model: str) -> None:
    assert sentence(CHAT, model, reasoning_effort="low").endswith("leave reasoning_effort out.")
    assert sentence(RESPONSES, model, reasoning={"effort": "low"}).endswith("leave reasoning out.")
    assert keys(CHAT, model, max_tokens=5, temperature=0, logprobs=True) == []


TOOLS = [{"type": "function", "function": {"name": "f"}}]


@pytest.mark.parametrize(
    ("model", "effort", "refused"),
    [
        *(("gpt-6-luna", effort, effort != "none") for effort in (None, "none", "high")),
        *(("gpt-6.1-sol", effort, True) for effort in (None, "low")),
        *((model, None, False) for model in ("gpt-5.4", "gpt-5-mini", "gpt-4o", "mine")),
    ],
)
def test_functions_are_called_in_chat_as_far_as_the_model_does(
    model: str, effort: str | None, *, refused: bool
) -> None:
    given = {} if effort is None else {"reasoning_effort": effort}
    assert keys(CHAT, model, tools=TOOLS, **given) == ["tools"] * refused
    assert keys(RESPONSES, model, tools=[{"type": "function", "name": "f"}]) == []
    assert keys(CHAT, model, tools=[{"type": "custom"}], functions=[], **given) == []


@pytest.mark.parametrize(
    ("endpoint", "wrong", "right"),
    [
        (CHAT, {"max_output_tokens": 5}, {"max_completion_tokens": 5}),
        (CHAT, {"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}),
        (CHAT, {"text": {"verbosity": "low"}}, {"verbosity": "low"}),
        (RESPONSES, {"max_completion_tokens": 5}, {"max_output_tokens": 5}),
        (RESPONSES, {"max_tokens": 5}, {"max_output_tokens": 5}),
        (RESPONSES, {"reasoning_effort": "none"}, {"reasoning": {"effort": "none"}}),
        (RESPONSES, {"response_format": {"type": "json_object"}}, {"text": {"format": {"type": "json_object"}}}),
        (RESPONSES, {"verbosity": "low"}, {"text": {"verbosity": "low"}}),
    ],
)
@pytest.mark.parametrize("model", ["gpt-6-luna", "gpt-5-mini"])
def test_names_of_the_other_endpoint_are_refused(endpoint: str, model: str, wrong: Any, right: Any) -> None:
    if model == "gpt-5-mini" and "none" in str(wrong):
        wrong, right = {"reasoning_effort": "minimal"}, {"reasoning": {"effort": "minimal"}}
    (name,), (other,) = wrong, right
    refusal = sentence(endpoint, model, **wrong)
    assert refusal.startswith(f"{endpoint} has no {name}; write ")
    assert other in refusal
    assert keys(endpoint, model, **right) == []
    assert keys(endpoint, "mine", **wrong) == []
    assert keys(EMBEDDINGS, model, **wrong) == []


def test_a_model_that_is_not_known_is_never_refused_anything() -> None:
    everything = {"max_tokens": 1, "temperature": 0, "reasoning_effort": "enormous", "tools": TOOLS, "reasoning": 1}
    for model in ("mine", "", "gpt-7", "gpt-6.2-astra", "openai/gpt-6-luna", "gpt-6-luna-ours", "o3-deep-research"):
        assert family_of(model) is None
        assert keys(CHAT, model, **everything) == keys(RESPONSES, model, **everything) == []


def test_the_default_effort_is_named_only_if_none_is_given() -> None:
    assert "with medium effort unless told otherwise" in sentence(CHAT, "gpt-6-luna", top_p=0.5)
    assert "unless told otherwise" not in sentence(CHAT, "gpt-6-luna", top_p=0.5, reasoning_effort="low")
