"""`/v1/chat/completions`: choices of text, of JSON, of function calls or of refusals."""

from dataclasses import dataclass
from typing import Any

from local.openai_emulator.answerers.function_calls import arguments_for, forced_function
from local.openai_emulator.answerers.messages import check_messages, last_user_text, text_of
from local.openai_emulator.answerers.prompt_tokens import extra_tokens
from local.openai_emulator.answerers.request import REFUSAL, Answer, AnswerRequest, clip, count_tokens
from local.openai_emulator.answerers.structured_output import requested_schema
from local.openai_emulator.errors import ApiError, missing_parameter
from local.openai_emulator.store import Tokens

MAX_CHOICES = 128


@dataclass(frozen=True, slots=True)
class _Options:
    """The options of the request that hold for each choice."""

    about: str
    is_json: bool
    schema: object
    cap: int | None
    function: dict[str, Any] | None


@dataclass(slots=True)
class _Choice:
    """A choice: its message, the content that counts as tokens, and why it ends."""

    message: dict[str, Any]
    content: str
    finish: str = "stop"
    hidden_tokens: int = 0


def answer_chat_completion(request: AnswerRequest) -> Answer:
    messages = _read_messages(request.body.get("messages"))
    is_json, schema = requested_schema(request.body.get("response_format"), "response_format", nested=True)
    cap = request.token_cap("max_completion_tokens", "max_tokens")
    count = _read_count(request.body.get("n"))
    options = _Options(last_user_text(messages), is_json, schema, cap, forced_function(request.body))
    choices = [_write_choice(request, options, index) for index in range(count)]
    hidden = sum(choice.hidden_tokens for choice in choices)
    tokens = Tokens(
        input=sum(count_tokens(text_of(one.get("content"))) + 4 for one in messages)
        + extra_tokens(request, schema, messages)
        + 3,
        output=hidden + sum(count_tokens(choice.content) for choice in choices),
        reasoning=hidden,
    )
    return Answer(200, _completion(request, choices, tokens), tokens)


def _read_messages(messages: object) -> list[Any]:
    if messages is None:
        raise missing_parameter("messages")
    checked = check_messages("messages", messages)
    for index, message in enumerate(checked):
        if not isinstance(message.get("role"), str):
            raise missing_parameter(f"messages[{index}].role")
    return checked


def _read_count(n: object) -> int:
    """Return how many choices the request wants."""
    count = n or 1
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_CHOICES:
        message = f"Invalid 'n': expected an integer from 1 to {MAX_CHOICES}."
        raise ApiError(400, message, code="invalid_value", param="n")
    return count


def _write_choice(request: AnswerRequest, options: _Options, index: int) -> _Choice:
    """Write a choice whole, then cut it as the cap or a fault says."""
    choice = _whole_choice(request, options, index)
    cut = request.cut(choice.content, options.cap)
    choice.hidden_tokens = cut.hidden_tokens
    if cut.is_cut:
        choice.content, choice.finish = cut.text, "length"
        if options.function is not None:
            choice.message["tool_calls"][0]["function"]["arguments"] = cut.text
        elif choice.message["refusal"] is None:
            choice.message["content"] = cut.text
    if request.spoil == "content_filter":
        choice.content, choice.finish = clip(choice.content, 2), "content_filter"
        choice.message["content"] = choice.content
    return choice


def _whole_choice(request: AnswerRequest, options: _Options, index: int) -> _Choice:
    about = options.about
    content = request.structured(options.schema, about) if options.is_json else request.text(about, index)
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
    choice = _Choice(message, content)
    if options.function is not None:
        choice.content = arguments_for(request, options.function, about)
        call = {"name": options.function["name"], "arguments": choice.content}
        message["content"] = None
        message["tool_calls"] = [{"id": f"call_{request.digest[:24]}", "type": "function", "function": call}]
        choice.finish = "tool_calls" if request.body.get("tool_choice") == "required" else "stop"
    if request.spoil == "refusal":
        choice.content = REFUSAL
        message |= {"content": None, "refusal": REFUSAL}
    return choice


def _completion(request: AnswerRequest, choices: list[_Choice], tokens: Tokens) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{request.digest}",
        "object": "chat.completion",
        "created": request.now,
        "model": request.dated_model,
        "choices": [
            {"index": index, "message": choice.message, "logprobs": None, "finish_reason": choice.finish}
            for index, choice in enumerate(choices)
        ],
        "usage": {
            "prompt_tokens": tokens.input,
            "completion_tokens": tokens.output,
            "total_tokens": tokens.input + tokens.output,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": tokens.reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": "fp_emulated",
    }
