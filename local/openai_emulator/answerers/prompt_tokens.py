"""The tokens of what a prompt has besides its texts: the schema that answers have to fit, tools, and images."""

from typing import Any

import orjson

from local.openai_emulator.answerers.request import AnswerRequest, count_tokens

_TILES = ("gpt-5.2",)
"""How the names of models begin that count images by tiles of 512 pixels. The others count patches of 32 x 32."""

_TILED, _PATCHED = {"low": 70, "high": 630}, {"low": 256, "high": 1_024}
"""The tokens of an image by its detail. The emulator fetches none: each counts as one of 1,024 x 1,024 pixels."""


def extra_tokens(request: AnswerRequest, schema: object, messages: list[Any]) -> int:
    """Return the tokens of the schema, the tools and the images of a request."""
    tools = request.body.get("tools")
    written = [orjson.dumps(part).decode() for part in (schema, tools) if part]
    return sum(map(count_tokens, written)) + sum(_image_tokens(request.model, message) for message in messages)


def _image_tokens(model: str, message: Any) -> int:
    content = message.get("content") if isinstance(message, dict) else None
    tokens = _TILED if model.startswith(_TILES) else _PATCHED
    return sum(tokens[_detail(part)] for part in content if _is_image(part)) if isinstance(content, list) else 0


def _is_image(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") in ("image_url", "input_image")


def _detail(part: dict[str, Any]) -> str:
    image = part.get("image_url")
    detail = image.get("detail") if isinstance(image, dict) else part.get("detail")
    return "low" if detail == "low" else "high"
