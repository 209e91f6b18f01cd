"""`/v1/embeddings`: a unit vector for each input, taken from the input's hash."""

import base64
import hashlib
import math
from array import array
from typing import Any

import orjson

from local.openai_emulator.answerers.request import Answer, AnswerRequest, count_tokens
from local.openai_emulator.errors import ApiError, missing_parameter
from local.openai_emulator.store import Tokens

_SQUARES = [(level - 127.5) ** 2 for level in range(256)]


def answer_embeddings(request: AnswerRequest) -> Answer:
    inputs = _read_inputs(request.body.get("input"))
    dimensions = _read_dimensions(request)
    as_base64 = request.body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(request.model, one, dimensions, as_base64)}
        for index, one in enumerate(inputs)
    ]
    tokens = Tokens(input=sum(count_tokens(one) if isinstance(one, str) else len(one) for one in inputs))
    usage = {"prompt_tokens": tokens.input, "total_tokens": tokens.input}
    return Answer(200, {"object": "list", "data": data, "model": request.model, "usage": usage}, tokens)


def _read_inputs(given: object) -> list[str | list[Any]]:
    """Return the inputs: each a text, or a list of numbers, which is a text in tokens."""
    if given is None:
        raise missing_parameter("input")
    inputs: list[Any] = given if isinstance(given, list) and not (given and isinstance(given[0], int)) else [given]
    if not inputs or any(not isinstance(one, str | list) or not one for one in inputs):
        message = (
            "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
        )
        raise ApiError(400, message, code=None, param=None)
    return inputs


def _read_dimensions(request: AnswerRequest) -> int:
    maximum = 3072 if request.model.endswith("-3-large") else 1536
    dimensions = request.token_cap("dimensions") or maximum
    if dimensions > maximum:
        message = f"Invalid value for 'dimensions' = {dimensions}. Must be less than or equal to {maximum}."
        raise ApiError(400, message, code=None, param=None)
    return dimensions


def _vector(model: str, text: object, dimensions: int, as_base64: bool) -> list[float] | str:
    """Return a unit vector from the text's hash: equal texts have equal vectors, similar texts do not."""
    levels = hashlib.shake_128(orjson.dumps([model, text])).digest(dimensions)
    scale = 1 / math.sqrt(sum(map(_SQUARES.__getitem__, levels)))
    # 256 different numbers make it quick; with all their digits, a row is as large as it can get (35 to 70 KB).
    numbers = [(level - 127.5) * scale for level in range(256)]
    vector = [numbers[level] for level in levels]
    return base64.b64encode(array("f", vector).tobytes()).decode() if as_base64 else vector
