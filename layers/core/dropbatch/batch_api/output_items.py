"""The items, parts and endings of OpenAI's answers, and the meaning of each for a row.

The tables name all that the SDK knows (openai 3.57). A test walks its types, and fails if one of them is in no table.
"""

from enum import StrEnum
from types import MappingProxyType


class ItemKind(StrEnum):
    """The meaning of an item of a response's `output` for the row."""

    MESSAGE = "message"  # its text is the answer, unless it is a comment on the way there
    CALL = "call"  # the model asks the caller to do something: the answer, if there is no text
    APPROVAL = "approval"  # the model asks for a permission, which nobody gives in a batch
    IMAGE = "image"  # an image: the answer, if there is neither a text nor a call
    WORK = "work"  # a step on the way: no part of the answer; some of it has a fee (`tool_fees`)


OUTPUT_ITEMS = MappingProxyType(
    {
        "message": ItemKind.MESSAGE,
        "function_call": ItemKind.CALL,
        "custom_tool_call": ItemKind.CALL,
        "computer_call": ItemKind.CALL,
        "local_shell_call": ItemKind.CALL,
        "shell_call": ItemKind.CALL,
        "apply_patch_call": ItemKind.CALL,
        "tool_search_call": ItemKind.CALL,
        "mcp_approval_request": ItemKind.APPROVAL,
        "image_generation_call": ItemKind.IMAGE,
        "reasoning": ItemKind.WORK,
        "compaction": ItemKind.WORK,
        "web_search_call": ItemKind.WORK,
        "file_search_call": ItemKind.WORK,
        "code_interpreter_call": ItemKind.WORK,
        "mcp_call": ItemKind.WORK,
        "mcp_list_tools": ItemKind.WORK,
        "mcp_approval_response": ItemKind.WORK,
        "program": ItemKind.WORK,
        "program_output": ItemKind.WORK,
        "additional_tools": ItemKind.WORK,
        "function_call_output": ItemKind.WORK,
        "custom_tool_call_output": ItemKind.WORK,
        "computer_call_output": ItemKind.WORK,
        "local_shell_call_output": ItemKind.WORK,
        "shell_call_output": ItemKind.WORK,
        "apply_patch_call_output": ItemKind.WORK,
        "tool_search_output": ItemKind.WORK,
    }
)
"""Items of `/v1/responses`, by their `type`. One that is not here is no part of the answer; if its type ends in
`_call`, it may have a fee that nobody knows."""

SERVER_WORK = MappingProxyType({"tool_search_call": ("execution", "server")})
"""Calls that are work on the way if their member says so."""

COMMENTARY, FINAL_ANSWER = "commentary", "final_answer"
"""The values of a message's `phase`: a comment on the way, and the answer. Older models give none."""

MESSAGE_PARTS = MappingProxyType({"output_text": "text", "refusal": "refusal"})
"""The parts of a message's `content`, by their `type`, and the member that holds the text of each."""

CHAT_MESSAGE = MappingProxyType(
    {
        "content": "the answer",
        "refusal": "the row is refused; shown if there is no content",
        "audio": "its transcript is the answer if there is no content",
        "tool_calls": "the answer if there is no content to fill a schema's columns",
        "function_call": "like tool_calls, of which it is the former name",
        "annotations": "not part of the answer; sources in it tell of a web search, which has a fee",
        "role": "not part of the answer",
    }
)
"""The use of each member of a chat completion's `message`."""

FINISH_REASONS = MappingProxyType(
    {
        "stop": "the answer counts",
        "length": "truncated",
        "content_filter": "refused",
        "tool_calls": "the calls are the answer",
        "function_call": "the call is the answer",
    }
)
"""The meaning of a chat completion's `finish_reason`; any other counts as `stop`."""

STATUSES = MappingProxyType(
    {
        "completed": "the answer counts",
        "incomplete": "truncated, or refused if the content filter is the reason",
        "failed": "an error, or refused, by its code",
        "cancelled": "an error",
        "queued": "an error",
        "in_progress": "an error",
    }
)
"""The meaning of a response's `status`; any other counts as `completed`."""
