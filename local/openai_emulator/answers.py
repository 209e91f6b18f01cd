"""What the model says: a pure function of the request's body, marked as emulated, in the shape of each endpoint.

The same body always has the same answer (its hash seeds everything), so a row that is asked again in another batch is
answered alike. Tokens are UTF-8 bytes / 4.
"""

import base64
import hashlib
import math
import random
import re
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from local.openai_emulator.errors import ApiError, error_body, missing_parameter, wrong_type
from local.openai_emulator.faults import Spoiling
from local.openai_emulator.refusals import check_refusals, effort_of, kind_of
from local.openai_emulator.schemas import fill, strict_problem
from local.openai_emulator.store import Tokens
from local.openai_emulator.words import harms

_EFFORT_TOKENS = {
    "none": (0, 1),
    "minimal": (0, 17),
    "low": (64, 64),
    "medium": (256, 256),
    "high": (1024, 1024),
    "xhigh": (2048, 2048),
    "max": (4096, 4096),
}
"""Hidden tokens by effort: at least the first, plus less than the second."""

_DATED = {
    "gpt-5.4-mini": "gpt-5.4-mini-2026-03-17",
    "gpt-5.5": "gpt-5.5-2026-04-23",
}
"""The snapshots that models with a dated one are answered by."""

_SQUARES = [(level - 127.5) ** 2 for level in range(256)]
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@dataclass(frozen=True, slots=True)
class Answer:
    """A response's status code, body and the tokens it cost."""

    status: int
    body: Any
    tokens: Tokens


def answer(url: str, body: dict[str, Any], now: int, spoil: Spoiling | None = None) -> Answer:
    """Answer one request to `url`; a bad one gets OpenAI's 400. `now` is in Unix seconds."""
    try:
        check_refusals(url, body)
        return _ENDPOINTS[url](_Request(url, body, now, spoil))
    except ApiError as error:
        return Answer(error.status, error.body, Tokens())
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError, re.error):
        # Whatever an odd schema or tool stumbled over: the service would refuse it too, in better words.
        body = error_body("The request could not be processed.", code="invalid_request")
        return Answer(400, body, Tokens())


class _Request:
    """One request: its body, and the random source that its hash seeds."""

    def __init__(self, url: str, body: dict[str, Any], now: int, spoil: Spoiling | None) -> None:
        self.url = url
        self.body = body
        self.now = now
        self.spoil = spoil
        self.digest = hashlib.blake2b(orjson.dumps(body, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()
        self.source = random.Random(int(self.digest[:12], 16))
        self.model: str = body["model"]

    def limit(self, *names: str) -> int | None:
        """The token cap under the first of the names that is given."""
        for name in names:
            value = self.body.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise wrong_type(name, "an integer", value)
            if value < 1:
                message = (
                    f"Invalid '{name}': integer below minimum value. Expected a value >= 1, but got {value} instead."
                )
                raise ApiError(400, message, code="integer_below_min_value", param=name)
            return value
        return None

    @property
    def dated_model(self) -> str:
        return _DATED.get(self.model, self.model)

    @property
    def reasons(self) -> bool:
        kind = kind_of(self.model)
        return kind is not None and bool(kind.efforts)

    def reasoning_tokens(self) -> int:
        """Hidden tokens that a reasoning model spends before it says anything."""
        kind = kind_of(self.model)
        if kind is None or not kind.efforts:
            return 0
        least, spread = _EFFORT_TOKENS[effort_of(self.url, self.body) or kind.effort]
        return least + int(self.digest[:8], 16) % spread

    def text(self, about: str, choice: int = 0) -> str:
        if self.spoil == "empty":
            return ""
        return (
            f"emulated: answer {self.digest[:8]}{f'.{choice}' if choice else ''} to {len(about):,} characters. "
            "No model was asked."
        )

    def structured(self, schema: object, about: str) -> str:
        match self.spoil:
            case "empty":
                return ""
            case "not_json":
                return "emulated: this is not JSON"
            case "schema":
                return '{"emulated": "this violates the schema"}'
        return orjson.dumps(fill(schema, about, self.source)).decode()


def _tokens(text: str) -> int:
    return (len(text.encode()) + 3) // 4


def _clip(text: str, tokens: int) -> str:
    """The text's first tokens; a character is never cut in two."""
    return text.encode()[: tokens * 4].decode(errors="ignore")


def _said(content: object) -> str:
    """The text of a message's content: a string, or a list of parts of which some are text."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return "\n".join(text for text in texts if isinstance(text, str))
    return ""


def _last_user(messages: list[Any]) -> str:
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            return _said(message.get("content"))
    return ""


def _check_messages(name: str, messages: object) -> list[Any]:
    if not isinstance(messages, list):
        raise wrong_type(name, "an array of objects", messages)
    if not messages:
        message = (
            f"Invalid '{name}': empty array. Expected an array with minimum length 1, but got an empty array instead."
        )
        raise ApiError(400, message, code="empty_array", param=name)
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise wrong_type(f"{name}[{index}]", "an object", message)
    return messages


def _schema(format_: object, param: str, *, nested: bool) -> tuple[bool, object]:
    """Whether JSON is asked for, and the schema it has to fit; raises ApiError for what OpenAI refuses.

    Chat completions nest the schema's members in `json_schema`, responses do not.
    """
    if format_ is None:
        return False, None
    if not isinstance(format_, dict):
        raise wrong_type(param, "an object", format_)
    kind = format_.get("type")
    if kind is None:
        raise missing_parameter(f"{param}.type")
    if kind == "text":
        return False, None
    if kind == "json_object":
        return True, {"type": "object", "properties": {"emulated": {"type": "string"}}}
    if kind != "json_schema":
        message = f"Invalid value for '{param}.type'. Supported values are: 'text', 'json_object', and 'json_schema'."
        raise ApiError(400, message, code="invalid_value", param=f"{param}.type")
    holder, where = (format_.get("json_schema"), f"{param}.json_schema") if nested else (format_, param)
    if holder is None:
        raise missing_parameter(where)
    if not isinstance(holder, dict):
        raise wrong_type(where, "an object", holder)
    for key, of_type, expected in (("name", str, "a string"), ("schema", dict, "an object")):
        if holder.get(key) is None:
            raise missing_parameter(f"{where}.{key}")
        if not isinstance(holder[key], of_type):
            raise wrong_type(f"{where}.{key}", expected, holder[key])
    if holder.get("strict") and (problem := strict_problem(holder["schema"])):
        message = f"Invalid schema for response_format '{holder['name']}': {problem}."
        raise ApiError(400, message, code="invalid_json_schema", param=param)
    return True, holder["schema"]


def _chat(request: _Request) -> Answer:
    body = request.body
    if body.get("messages") is None:
        raise missing_parameter("messages")
    messages = _check_messages("messages", body["messages"])
    for index, one in enumerate(messages):
        if not isinstance(one.get("role"), str):
            raise missing_parameter(f"messages[{index}].role")
    structured, schema = _schema(body.get("response_format"), "response_format", nested=True)
    cap = request.limit("max_completion_tokens", "max_tokens")
    about = _last_user(messages)
    count = body.get("n") or 1
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 128:
        raise ApiError(400, "Invalid 'n': expected an integer from 1 to 128.", code="invalid_value", param="n")
    tool = _forced_tool(body.get("tools"), body.get("tool_choice"), "function")

    choices = []
    hidden_all = visible_all = 0
    for index in range(count):
        content = request.structured(schema, about) if structured else request.text(about, index)
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
        finish = "stop"
        if tool is not None:
            content = orjson.dumps(fill(tool.get("parameters") or {"type": "object"}, about, request.source)).decode()
            call = {"name": tool["name"], "arguments": content}
            message["content"] = None
            message["tool_calls"] = [{"id": f"call_{request.digest[:24]}", "type": "function", "function": call}]
            finish = "tool_calls" if body.get("tool_choice") == "required" else "stop"
        if request.spoil == "refusal":
            content = "emulated: I'm sorry, but I can't help with that."
            message |= {"content": None, "refusal": content}
        hidden = request.reasoning_tokens()
        room = None if cap is None else cap - hidden
        if request.spoil == "truncated":
            room = min(room or _tokens(content), _tokens(content)) // 2
        if room is not None and room < _tokens(content):
            hidden = min(hidden, cap or hidden)
            content = _clip(content, max(room, 0))
            finish = "length"
            if tool is not None:
                message["tool_calls"][0]["function"]["arguments"] = content
            elif message["refusal"] is None:
                message["content"] = content
        if request.spoil == "content_filter":
            content, finish = _clip(content, 2), "content_filter"
            message["content"] = content
        hidden_all += hidden
        visible_all += _tokens(content)
        choices.append({"index": index, "message": message, "logprobs": None, "finish_reason": finish})

    tokens = Tokens(
        input=sum(_tokens(_said(one.get("content"))) + 4 for one in messages) + 3,
        output=hidden_all + visible_all,
        reasoning=hidden_all,
    )
    return Answer(
        200,
        {
            "id": f"chatcmpl-{request.digest}",
            "object": "chat.completion",
            "created": request.now,
            "model": request.dated_model,
            "choices": choices,
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
        },
        tokens,
    )


def _forced_tool(tools: object, choice: object, nested: str) -> dict[str, Any] | None:
    """The function that has to be called: the one that `tool_choice` names, the first one where it says `required`."""
    listed = [tool for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    # Chat completions nest the function's members, responses do not.
    functions = [tool.get(nested, tool) for tool in listed if tool.get("type") == "function"]
    if choice == "required":
        return functions[0] if functions else None
    if isinstance(choice, dict) and choice.get("type") == "function":
        name = choice.get(nested, choice).get("name")
        return next((function for function in functions if function.get("name") == name), None)
    return None


def _responses(request: _Request) -> Answer:
    body = request.body
    if body.get("input") is None:
        raise missing_parameter("input")
    given = body["input"]
    if isinstance(given, str):
        about = given
        said = given
    else:
        items = _check_messages("input", given)
        about = _last_user(items)
        said = "\n".join(_said(item.get("content")) for item in items)
    text_options = body.get("text") or {}
    if not isinstance(text_options, dict):
        raise wrong_type("text", "an object", text_options)
    format_ = text_options.get("format")
    structured, schema = _schema(format_, "text.format", nested=False)
    cap = request.limit("max_output_tokens")
    reasoning_options = body.get("reasoning") if isinstance(body.get("reasoning"), dict) else {}
    hidden = request.reasoning_tokens()
    tool = _forced_tool(body.get("tools"), body.get("tool_choice"), "function")
    if tool is not None:
        content = orjson.dumps(fill(tool.get("parameters") or {"type": "object"}, about, request.source)).decode()
    else:
        content = request.structured(schema, about) if structured else request.text(about)

    incomplete = None
    room = None if cap is None else cap - hidden
    if request.spoil == "truncated":
        room = min(room or _tokens(content), _tokens(content)) // 2
    if room is not None and room < _tokens(content):
        hidden = min(hidden, cap or hidden)
        content = _clip(content, max(room, 0))
        incomplete = "max_output_tokens"
    elif request.spoil == "content_filter":
        content = _clip(content, 2)
        incomplete = "content_filter"
    status = "incomplete" if incomplete else "completed"

    output: list[dict[str, Any]] = []
    if request.reasons:
        output.append({"id": f"rs_{request.digest}", "type": "reasoning", "summary": []})
    if tool is not None:
        output.append(
            {
                "id": f"fc_{request.digest}",
                "type": "function_call",
                "status": status,
                "call_id": f"call_{request.digest[:24]}",
                "name": tool["name"],
                "arguments": content,
            }
        )
    elif request.spoil == "refusal":
        content = "emulated: I'm sorry, but I can't help with that."
        output.append(_message(request, status, [{"type": "refusal", "refusal": content}]))
    elif content or not incomplete:
        # Now and then a text comes in two items: readers have to join them.
        middle = len(content) // 2 if int(request.digest[-2:], 16) % 5 == 0 else 0
        parts = [part for part in (content[:middle], content[middle:]) if part] or [""]
        items = [{"type": "output_text", "text": part, "annotations": [], "logprobs": []} for part in parts]
        output.append(_message(request, status, items))

    instructions = body.get("instructions")
    tokens = Tokens(
        input=_tokens(said) + (_tokens(instructions) if isinstance(instructions, str) else 0) + 7,
        output=hidden + _tokens(content),
        reasoning=hidden,
    )
    return Answer(
        200,
        {
            "id": f"resp_{request.digest}",
            "object": "response",
            "created_at": request.now,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": {"reason": incomplete} if incomplete else None,
            "instructions": instructions,
            "max_output_tokens": cap,
            "model": request.dated_model,
            "output": output,
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None, **(reasoning_options or {})},
            "service_tier": "default",
            "store": True,
            "temperature": body.get("temperature", 1.0),
            "text": {"format": format_ or {"type": "text"}},
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
        },
        tokens,
    )


def _message(request: _Request, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": f"msg_{request.digest}", "type": "message", "status": status, "role": "assistant", "content": content}


def _completions(request: _Request) -> Answer:
    prompt = request.body.get("prompt")
    if prompt is None:
        raise missing_parameter("prompt")
    prompts = prompt if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int) else [prompt]
    cap = request.limit("max_tokens") or 16  # the service's own default
    choices = []
    output = 0
    for index, one in enumerate(prompts):
        text = request.text(str(one), index)
        kept = _clip(text, cap)
        output += _tokens(kept)
        finish = "length" if kept != text else "stop"
        choices.append({"index": index, "text": kept, "logprobs": None, "finish_reason": finish})
    tokens = Tokens(input=sum(_tokens(str(one)) for one in prompts), output=output)
    body = {
        "id": f"cmpl-{request.digest}",
        "object": "text_completion",
        "created": request.now,
        "model": request.dated_model,
        "choices": choices,
        "usage": {
            "prompt_tokens": tokens.input,
            "completion_tokens": tokens.output,
            "total_tokens": tokens.input + tokens.output,
        },
    }
    return Answer(200, body, tokens)


def _embeddings(request: _Request) -> Answer:
    body = request.body
    given = body.get("input")
    if given is None:
        raise missing_parameter("input")
    inputs = given if isinstance(given, list) and not (given and isinstance(given[0], int)) else [given]
    if not inputs or any(not isinstance(one, str | list) or not one for one in inputs):
        message = (
            "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
        )
        raise ApiError(400, message, code=None, param=None)
    longest = 3072 if request.model.endswith("-3-large") else 1536
    dimensions = request.limit("dimensions") or longest
    if dimensions > longest:
        message = f"Invalid value for 'dimensions' = {dimensions}. Must be less than or equal to {longest}."
        raise ApiError(400, message, code=None, param=None)
    as_base64 = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(request.model, one, dimensions, as_base64)}
        for index, one in enumerate(inputs)
    ]
    tokens = Tokens(input=sum(_tokens(one) if isinstance(one, str) else len(one) for one in inputs))
    usage = {"prompt_tokens": tokens.input, "total_tokens": tokens.input}
    return Answer(200, {"object": "list", "data": data, "model": request.model, "usage": usage}, tokens)


def _vector(model: str, text: object, dimensions: int, as_base64: bool) -> list[float] | str:
    """A unit vector that the text's hash points to: equal texts have equal vectors, nothing else is meant."""
    levels = hashlib.shake_128(orjson.dumps([model, text])).digest(dimensions)
    scale = 1 / math.sqrt(sum(map(_SQUARES.__getitem__, levels)))
    # 256 different numbers make it quick; with all their digits, a row is as large as it can get (35 to 70 KB).
    numbers = [(level - 127.5) * scale for level in range(256)]
    vector = [numbers[level] for level in levels]
    return base64.b64encode(array("f", vector).tobytes()).decode() if as_base64 else vector


_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


def _moderations(request: _Request) -> Answer:
    given = request.body.get("input")
    if given is None:
        raise missing_parameter("input")
    if isinstance(given, str):
        texts = [given]
    elif isinstance(given, list) and given and all(isinstance(one, str) for one in given):
        texts = given
    elif isinstance(given, list) and given and all(isinstance(one, dict) for one in given):
        texts = [_said(given)]  # parts of one input
    else:
        raise wrong_type("input", "a string or an array", given)
    results = []
    for text in texts:
        found = harms(text)
        scores = {name: min(0.99, 0.0001 + 0.6 * found.get(name, 0)) for name in _CATEGORIES}
        categories = {name: score > 0.5 for name, score in scores.items()}
        results.append(
            {
                "flagged": any(categories.values()),
                "categories": categories,
                "category_scores": scores,
                "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
            }
        )
    return Answer(200, {"id": f"modr-{request.digest}", "model": request.model, "results": results}, Tokens())


def _images(request: _Request) -> Answer:
    prompt = request.body.get("prompt")
    if not isinstance(prompt, str):
        raise missing_parameter("prompt")
    tokens = Tokens(input=_tokens(prompt), output=272)
    usage = {
        "input_tokens": tokens.input,
        "input_tokens_details": {"text_tokens": tokens.input, "image_tokens": 0},
        "output_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
    }
    data = [{"b64_json": _PIXEL, "revised_prompt": "emulated: one pixel"}]
    return Answer(200, {"created": request.now, "data": data, "usage": usage}, tokens)


_ENDPOINTS: dict[str, Callable[[_Request], Answer]] = {
    "/v1/chat/completions": _chat,
    "/v1/responses": _responses,
    "/v1/completions": _completions,
    "/v1/embeddings": _embeddings,
    "/v1/moderations": _moderations,
    "/v1/images/generations": _images,
    "/v1/images/edits": _images,
}
