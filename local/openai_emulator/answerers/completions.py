"""`/v1/completions`: a text for each prompt."""

from local.openai_emulator.answerers.request import Answer, AnswerRequest, clip, count_tokens
from local.openai_emulator.errors import missing_parameter
from local.openai_emulator.store import Tokens

DEFAULT_MAX_TOKENS = 16  # the service's own


def answer_completion(request: AnswerRequest) -> Answer:
    prompt = request.body.get("prompt")
    if prompt is None:
        raise missing_parameter("prompt")
    # A list of numbers is one prompt in tokens.
    prompts = prompt if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int) else [prompt]
    cap = request.token_cap("max_tokens") or DEFAULT_MAX_TOKENS
    choices = []
    output = 0
    for index, one in enumerate(prompts):
        text = request.text(str(one), index)
        kept = clip(text, cap)
        output += count_tokens(kept)
        finish = "length" if kept != text else "stop"
        choices.append({"index": index, "text": kept, "logprobs": None, "finish_reason": finish})
    tokens = Tokens(input=sum(count_tokens(str(one)) for one in prompts), output=output)
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
