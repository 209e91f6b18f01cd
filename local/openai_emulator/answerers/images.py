"""`/v1/images/generations` and `/v1/images/edits`: an image of one pixel."""

from local.openai_emulator.answerers.request import Answer, AnswerRequest, count_tokens
from local.openai_emulator.errors import missing_parameter
from local.openai_emulator.store import Tokens

_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def answer_image(request: AnswerRequest) -> Answer:
    prompt = request.body.get("prompt")
    if not isinstance(prompt, str):
        raise missing_parameter("prompt")
    tokens = Tokens(input=count_tokens(prompt), output=272)
    usage = {
        "input_tokens": tokens.input,
        "input_tokens_details": {"text_tokens": tokens.input, "image_tokens": 0},
        "output_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
    }
    data = [{"b64_json": _PIXEL, "revised_prompt": "emulated: one pixel"}]
    return Answer(200, {"created": request.now, "data": data, "usage": usage}, tokens)
