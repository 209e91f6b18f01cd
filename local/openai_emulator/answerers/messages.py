"""The messages that a conversation is made of: checks of them, and the texts in them."""

from typing import Any

from local.openai_emulator.errors import ApiError, wrong_type


def check_messages(name: str, messages: object) -> list[Any]:
    """Return the messages; raise ApiError unless they are a list of objects that is not empty."""
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


def text_of(content: object) -> str:
    """Return the text of a message's content: a string, or a list of parts of which some are text."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return "\n".join(text for text in texts if isinstance(text, str))
    return ""


def last_user_text(messages: list[Any]) -> str:
    """Return the text of the last message that a user wrote; empty if no user wrote one."""
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            return text_of(message.get("content"))
    return ""
