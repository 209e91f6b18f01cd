"""The emulator refuses the same as OpenAI's models, in OpenAI's words. Dropbatch refuses nothing that it accepts."""

import itertools
from typing import Any

import pytest

from dropbatch.batch_api.endpoints import ENDPOINTS
from dropbatch.batch_api.refused_parameters import refusals
from local.openai_emulator.answers import ENDPOINTS as emulated  # noqa: N811
from local.openai_emulator.answers import answer
from tests.unit.emulator.service import CHAT, Service, chat

RESPONSES = "/v1/responses"
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
SIX = "'none', 'low', 'medium', 'high', 'xhigh', and 'max'"


def error(url: str, model: str, **body: Any) -> dict[str, Any] | None:
    asked = {"messages": [{"role": "user", "content": "x"}]} if url == CHAT else {"input": "x"}
    response = answer(url, {"model": model, **asked, **body}, 1)
    found: dict[str, Any] | None = response.body["error"] if response.status == 400 else None
    return found


@pytest.mark.parametrize(
    ("url", "model", "body", "param", "message"),
    [
        (CHAT, "gpt-6-luna", {"max_tokens": 9}, "max_tokens",
         "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."),
        (CHAT, "gpt-6-luna", {"reasoning_effort": "minimal"}, "reasoning_effort",
         "Unsupported value: 'reasoning_effort' does not support 'minimal' with this model. Supported values are: "
         f"{SIX}."),
        (RESPONSES, "gpt-5.6-luna", {"reasoning": {"effort": "minimal"}}, "reasoning.effort",
         f"Unsupported value: 'minimal' is not supported with the 'gpt-5.6-luna' model. Supported values are: {SIX}."),
        (CHAT, "gpt-6-luna", {"temperature": 0.2}, "temperature",
         "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is "
         "supported."),
        (RESPONSES, "gpt-6-sol", {"top_p": 0.2}, "top_p",
         "Unsupported parameter: 'top_p' is not supported with this model."),
        (CHAT, "gpt-6-sol", {"logprobs": True, "reasoning_effort": "low"}, "logprobs",
         "Unsupported parameter: 'logprobs' is not supported with this model."),
        (CHAT, "gpt-6-luna", {"tools": [FUNCTION]}, "reasoning_effort",
         "Function tools with reasoning_effort are not supported for gpt-6-luna in /v1/chat/completions. To use "
         "function tools, use /v1/responses or set reasoning_effort to 'none'."),
        (RESPONSES, "gpt-6-luna", {"max_tokens": 9}, "max_tokens",
         "Unsupported parameter: 'max_tokens'. In the Responses API, this parameter has moved to 'max_output_tokens'. "
         "Try again with the new parameter."),
        (CHAT, "gpt-5.5", {"reasoning_effort": "enormous"}, "reasoning_effort",
         "Invalid value: 'enormous'. Supported values are: 'none', 'minimal', 'low', 'medium', 'high', 'xhigh', and "
         "'max'."),
        (CHAT, "gpt-6-luna", {"max_output_tokens": 9}, "max_output_tokens", "Unknown parameter: 'max_output_tokens'."),
    ],
)  # fmt: skip
def test_a_400_has_openais_words(url: str, model: str, body: dict[str, Any], param: str, message: str) -> None:
    found = error(url, model, **body)
    assert found is not None
    assert (found["param"], found["message"]) == (param, message)


@pytest.mark.parametrize(
    "body",
    [
        *({"temperature": 0.2, "reasoning_effort": "none"}, {"tools": [FUNCTION], "reasoning_effort": "none"}),
        *({"reasoning_effort": effort} for effort in ("low", "medium", "high", "xhigh", "max")),
        *({"temperature": 1}, {"max_completion_tokens": 9}, {"logprobs": False}),
    ],
)
def test_parameters_that_a_model_accepts_are_answered(body: dict[str, Any]) -> None:
    assert error(CHAT, "gpt-6-luna", **body) is None


def test_a_model_of_another_provider_accepts_every_parameter() -> None:
    everything = {"max_tokens": 99, "temperature": 0, "reasoning_effort": "enormous", "tools": [FUNCTION]}
    assert error(CHAT, "plain-1", **everything) is None


def test_the_emulator_and_dropbatch_know_the_same_endpoints() -> None:
    assert set(emulated) == set(ENDPOINTS)


def test_the_end_of_an_endpoint_is_an_error_when_a_batch_is_created(service: Service) -> None:
    import openai

    with pytest.raises(openai.BadRequestError, match="/v1/videos"):
        service.create([chat(1)], "/v1/videos")


def test_a_batch_of_refused_rows_has_an_error_line_for_each(service: Service) -> None:
    batch = service.ended([chat(number, model="gpt-6-luna", max_tokens=9) for number in (1, 2)])
    assert batch.request_counts is not None
    assert batch.request_counts.failed == 2
    for line in service.lines(batch.error_file_id):
        assert line["response"]["status_code"] == 400
        assert line["response"]["body"]["error"]["param"] == "max_tokens"


MODELS = ["gpt-6-luna", "gpt-6-sol", "gpt-6-astra", "gpt-6.1-sol", "gpt-6.1-terra", "gpt-5.6-luna", "gpt-5.6-sol"]
MODELS += ["gpt-5.5", "gpt-5.4", "gpt-5.4-mini", "gpt-5.2", "gpt-6-luna-2027-01-01", "gpt-7", "mine"]
EFFORTS = [None, "none", "minimal", "low", "medium", "high", "xhigh", "max"]
MEMBERS: list[dict[str, Any]] = [
    *(
        {},
        {"max_tokens": 9},
        {"max_completion_tokens": 9},
        {"max_output_tokens": 9},
        {"temperature": 0},
        {"top_p": 0.5},
    ),
    *({"temperature": 1}, {"logprobs": True}, {"top_logprobs": 2}, {"tools": [FUNCTION]}, {"verbosity": "low"}),
]


@pytest.mark.parametrize("model", MODELS)
def test_dropbatch_refuses_nothing_that_the_emulator_accepts(model: str) -> None:
    """Two independent tables agree, as far as Dropbatch is certain enough to refuse."""
    refused = 0
    for url, effort, members in itertools.product((CHAT, RESPONSES), EFFORTS, MEMBERS):
        given = (
            {} if effort is None else {"reasoning_effort": effort} if url == CHAT else {"reasoning": {"effort": effort}}
        )
        found = [refusal.key for refusal in refusals(url, model, {**members, **given})]
        if found:
            refused += 1
            assert error(url, model, **members, **given) is not None, (url, effort, members, found)
    assert (refused > 20) == (model not in ("gpt-7", "mine"))
