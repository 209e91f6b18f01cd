"""Redaction of OpenAI's messages: no text of a row leaves S3."""

import pytest

from dropbatch.batch_api.error_messages import MAX_CHARACTERS, redact

UNSUPPORTED = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
)

REDACTED = [
    (UNSUPPORTED, UNSUPPORTED),
    (
        "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) is supported.",
        "Unsupported value: 'temperature' does not support # with this model. Only the default (#) is supported.",
    ),
    (
        "This model's maximum context length is 8,192 tokens. However, your messages resulted in 9001 tokens.",
        "This model's maximum context length is # tokens. However, your messages resulted in # tokens.",
    ),
    ("The model `gpt-6-luna` does not exist.", "The model `gpt-6-luna` does not exist."),
    ("Invalid type for 'messages[3].content'.", "Invalid type for 'messages[#].content'."),
    (
        "Invalid schema for response_format 'answer': In context=(), 'required' is required to be supplied and "
        "to be an array including every key in properties. Missing 'label'.",
        "Invalid schema for response_format 'answer': In context=(), 'required' is required to be supplied and "
        "to be an array including every key in properties. Missing 'label'.",
    ),
    (
        "You exceeded your current quota: https://platform.openai.com/docs/guides/error-codes/api-errors.",
        "You exceeded your current quota: https://platform.openai.com/docs/guides/error-codes/api-errors.",
    ),
]


@pytest.mark.parametrize(("message", "redacted"), REDACTED)
def test_a_message_in_openais_own_words_is_repeated_without_its_numbers(message: str, redacted: str) -> None:
    assert redact(message, {"gpt-6-luna", "label"}) == redacted


@pytest.mark.parametrize(
    "message",
    [
        "",
        "Invalid value: 'kettle'. Supported values are: 'low' and 'high'.",
        "Invalid input: kettle.",
        "Error while downloading https://example.com/image.",
        "Error while downloading https://platform.openai.com.example.com/image.",
        "Invalid value: 'the model is not supported'.",
        'Invalid value: "of a user with no access".',
        "Invalid value: '\u914d\u7f6e'.",
        "Invalid value: 'is' or 'm\u00fcller'.",
        "The model `my-model` does not exist.",
        "Could not parse the file data:image/png;base64,iVBORw0KGgo.",
        "The prompt of user@example.com is too long.",
        "Please " * 1_000,
    ],
)
def test_a_message_that_may_quote_a_row_is_not_repeated(message: str) -> None:
    assert redact(message, {"gpt-6-luna"}) is None


def test_a_long_message_is_cut_between_words() -> None:
    redacted = redact("the model does not exist " * 20) or ""
    assert len(redacted) <= MAX_CHARACTERS
    assert redacted.endswith(" …")
