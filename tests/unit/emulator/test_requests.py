"""Single requests: the emulator answers them at once, as those of a batch."""

from collections.abc import Callable
from typing import Any

import openai
import pytest
from pydantic import TypeAdapter

from local.openai_emulator.faults import AnyFault, Fault
from tests.unit.emulator.service import CHAT, chat

parsed: TypeAdapter[Fault] = TypeAdapter(AnyFault)
MESSAGES: Any = [{"role": "user", "content": "hello"}]


@pytest.fixture
def strike(service: Any) -> Callable[..., None]:
    return lambda kind, **members: service.running.faults.add(parsed.validate_python({"kind": kind, **members}))


def ask(service: Any, **body: Any) -> Any:
    return service.client.chat.completions.create(**{"model": "plain-1", "messages": MESSAGES, **body})


def test_a_single_request_has_the_answer_of_a_batch(service: Any) -> None:
    alone = ask(service)
    in_batch = service.answer(chat(1))
    assert alone.choices[0].message.content == in_batch["choices"][0]["message"]["content"]
    assert alone.usage.prompt_tokens == in_batch["usage"]["prompt_tokens"]


def test_every_endpoint_is_served(service: Any) -> None:
    client = service.client
    assert client.responses.create(model="plain-1", input="hello").output_text
    assert client.embeddings.create(model="text-embedding-3-small", input="hello").data[0].embedding
    assert client.moderations.create(input="hello", model="omni-moderation-latest").results


def test_the_faults_of_rows_strike_it(service: Any, strike: Any) -> None:
    strike("fail_rows", status=429, code="rate_limit_exceeded", times=1)
    with pytest.raises(openai.RateLimitError):
        ask(service)
    strike("spoil_answers", how="refusal", times=1)
    assert ask(service).choices[0].message.refusal
    strike("answer_rows", body={"id": "given", "choices": []}, times=1)
    assert ask(service).id == "given"
    assert ask(service).choices[0].message.content


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"model": "gpt-6-luna", "max_tokens": 5}, 400, "unsupported_parameter"),
        ({"model": ""}, 400, "missing_required_parameter"),
        ({"stream": True}, 400, "unsupported_value"),
        ({"messages": 5}, 400, "invalid_type"),
    ],
)
def test_what_a_model_refuses_is_refused(service: Any, body: dict[str, Any], status: int, code: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(service, **body)
    assert (refused.value.status_code, refused.value.code) == (status, code)


def test_it_needs_a_key(service: Any) -> None:
    with pytest.raises(openai.AuthenticationError):
        ask(type("Other", (), {"client": service.client.with_options(api_key="sk-wrong")}))


def test_a_text_that_is_not_json_is_refused(service: Any) -> None:
    with pytest.raises(openai.BadRequestError):
        service.client.post(CHAT.removeprefix("/v1"), cast_to=object, content=b"{")
