"""`/v1/responses`: output items of reasoning, text, JSON, function calls or refusals."""

from dataclasses import replace
from typing import Any

from local.openai_emulator.answerers.function_calls import arguments_for, forced_function
from local.openai_emulator.answerers.messages import check_messages, last_user_text, text_of
from local.openai_emulator.answerers.prompt_tokens import extra_tokens
from local.openai_emulator.answerers.request import REFUSAL, Answer, AnswerRequest, CutText, clip, count_tokens
from local.openai_emulator.answerers.structured_output import requested_schema
from local.openai_emulator.errors import missing_parameter, wrong_type
from local.openai_emulator.store import Tokens


def answer_response(request: AnswerRequest) -> Answer:
    body = request.body
    about, said, items = _read_input(body.get("input"))
    is_json, schema = requested_schema(_text_format(body), "text.format", nested=False)
    cap = request.token_cap("max_output_tokens")
    function = forced_function(body)
    if function is not None:
        whole = arguments_for(request, function, about)
    else:
        whole = request.structured(schema, about) if is_json else request.text(about)
    cut, incomplete = _cut(request, whole, cap)
    refuses = function is None and request.spoil == "refusal"
    content = REFUSAL if refuses else cut.text

    status = "incomplete" if incomplete else "completed"
    output: list[dict[str, Any]] = []
    if request.reasons:
        output.append({"id": f"rs_{request.digest}", "type": "reasoning", "summary": []})
    if function is not None:
        output.append(_function_call(request, status, function["name"], content))
    elif refuses:
        output.append(_message(request, status, [{"type": "refusal", "refusal": content}]))
    elif content or not incomplete:
        output.append(_message(request, status, _text_parts(request, content)))

    instructions = body.get("instructions")
    tokens = Tokens(
        input=count_tokens(said)
        + (count_tokens(instructions) if isinstance(instructions, str) else 0)
        + extra_tokens(request, schema, items)
        + 7,
        output=cut.hidden_tokens + count_tokens(content),
        reasoning=cut.hidden_tokens,
    )
    return Answer(200, _response(request, output, incomplete, cap, tokens), tokens)


def _read_input(given: object) -> tuple[str, str, list[Any]]:
    """Return the text that the request asks about, all the text that counts as its input, and the messages."""
    if given is None:
        raise missing_parameter("input")
    if isinstance(given, str):
        return given, given, []
    items = check_messages("input", given)
    return last_user_text(items), "\n".join(text_of(item.get("content")) for item in items), items


def _text_format(body: dict[str, Any]) -> Any:
    options = body.get("text") or {}
    if not isinstance(options, dict):
        raise wrong_type("text", "an object", options)
    return options.get("format")


def _cut(request: AnswerRequest, whole: str, cap: int | None) -> tuple[CutText, str | None]:
    """Cut the content as the cap or a fault says; return with it why the response is incomplete, None if it is not."""
    cut = request.cut(whole, cap)
    if cut.is_cut:
        return cut, "max_output_tokens"
    if request.spoil == "content_filter":
        return replace(cut, text=clip(whole, 2)), "content_filter"
    return cut, None


def _text_parts(request: AnswerRequest, content: str) -> list[dict[str, Any]]:
    """Return the text as one part, or now and then as two, which readers have to join."""
    middle = len(content) // 2 if int(request.digest[-2:], 16) % 5 == 0 else 0
    parts = [part for part in (content[:middle], content[middle:]) if part] or [""]
    return [{"type": "output_text", "text": part, "annotations": [], "logprobs": []} for part in parts]


def _message(request: AnswerRequest, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": f"msg_{request.digest}", "type": "message", "status": status, "role": "assistant", "content": content}


def _function_call(request: AnswerRequest, status: str, name: str, arguments: str) -> dict[str, Any]:
    return {
        "id": f"fc_{request.digest}",
        "type": "function_call",
        "status": status,
        "call_id": f"call_{request.digest[:24]}",
        "name": name,
        "arguments": arguments,
    }


def _response(
    request: AnswerRequest, output: list[dict[str, Any]], incomplete: str | None, cap: int | None, tokens: Tokens
) -> dict[str, Any]:
    body = request.body
    reasoning = body.get("reasoning") if isinstance(body.get("reasoning"), dict) else {}
    return {
        "id": f"resp_{request.digest}",
        "object": "response",
        "created_at": request.now,
        "status": "incomplete" if incomplete else "completed",
        "background": False,
        "error": None,
        "incomplete_details": {"reason": incomplete} if incomplete else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": cap,
        "model": request.dated_model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None, **(reasoning or {})},
        "service_tier": "default",
        "store": True,
        "temperature": body.get("temperature", 1.0),
        "text": {"format": _text_format(body) or {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": {
            "input_tokens": tokens.input,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": tokens.output,
            "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
            "total_tokens": tokens.input + tokens.output,
        },
        "user": None,
        "metadata": body.get("metadata") or {},
    }
