"""One line of a batch's output or error file: the outcome of its row, and the row's columns.

Lines come in more shapes than OpenAI documents, and other servers of the same API add their own. A line of any shape
has exactly one outcome. A line that cannot be read is an error with a code of its own, never an exception.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from dropbatch.answers.answer import Answer
from dropbatch.answers.choices import ChoiceReader
from dropbatch.answers.completions import read_chat, read_completion
from dropbatch.answers.embeddings import read_embeddings
from dropbatch.answers.failures import UNREADABLE_LINE, error_code, outcome_of, read_failed, read_not_run
from dropbatch.answers.json_answers import EMPTY, Choice
from dropbatch.answers.moderations import read_moderations
from dropbatch.answers.raw_json import (
    DECODE_ERRORS,
    decode_member,
    decode_members,
    fragment,
    mappings,
    repair_json,
)
from dropbatch.answers.responses import read_response
from dropbatch.answers.tool_calls import ToolCalls, count_chat_calls, count_response_calls
from dropbatch.answers.usage import Usage, read_usage
from dropbatch.batch_api import endpoints
from dropbatch.domain.outcomes import Outcome
from dropbatch.json_encoding import as_mapping, to_json
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.expressions import Expression
from dropbatch.recipes.sizes import TooLargeError
from dropbatch.recipes.time_limit import TimeLimit, TimeLimitError

MAX_ROW_SECONDS = 1
"""How long it may take to check one answer against a schema, or to compute its columns; it mostly takes 20 µs."""

MAX_BATCH_SECONDS = 60
"""How long that may take for all of a batch's answers: an invocation has 300 s for the batch."""


def time_limit() -> TimeLimit:
    """Return the limit of the time that a recipe may take for the answers of one batch."""
    return TimeLimit(MAX_ROW_SECONDS, MAX_BATCH_SECONDS)


def read_answer(
    line: bytes,
    compiled: CompiledRecipe | None,
    endpoint: str,
    limit: TimeLimit | None = None,
    *,
    is_list: bool = False,
) -> Answer:
    """Read a line of an output or error file; `compiled` is None for a raw drop, which has no columns.

    `is_list` says that the row asked for a list of inputs, so that its columns hold lists, even of one.

    `limit` is that of the line's batch. An answer that would exceed it is invalid, with a code of its own. It is paid
    for, and responses.jsonl has OpenAI's own line.
    """
    reader = _BodyReader(compiled, endpoint, limit or time_limit(), is_list=is_list)
    try:
        return _read_line(line, reader)
    except DECODE_ERRORS:
        pass
    try:
        return _read_line(repair_json(line), reader)
    except DECODE_ERRORS:
        return UNREADABLE_LINE


def _read_line(line: bytes, reader: "_BodyReader") -> Answer:
    members = decode_members(line)
    response = bytes(members.get("response", b"null"))
    if response == b"null":
        return read_not_run(decode_member(members.get("error")))
    parts = decode_members(response)
    status = decode_member(parts.get("status_code"))
    body = bytes(parts.get("body", b"null"))
    if body.startswith(b'"'):
        # Some servers wrap the body into a string.
        text = msgspec.json.decode(body, type=str)
        body = text.encode() if text.lstrip().startswith("{") else b"null"
    if isinstance(status, str) and status.isdecimal():
        status = int(status)
    if status == 0 or (isinstance(status, int) and not 200 <= status < 300):
        return read_failed(status, body)
    if not body.startswith(b"{"):
        return Answer(*EMPTY, None) if body == b"null" else UNREADABLE_LINE
    return reader.read(body)


class _BodyReader:
    """The rules for a response's body, at one endpoint and for one recipe, or for none."""

    def __init__(self, compiled: CompiledRecipe | None, endpoint: str, limit: TimeLimit, *, is_list: bool) -> None:
        self._compiled = compiled
        self._endpoint = endpoint
        self._limit = limit
        self._choices = ChoiceReader(compiled, limit, is_list=is_list)

    def read(self, body: bytes) -> Answer:
        if self._endpoint == endpoints.EMBEDDINGS:
            choice, usage = read_embeddings(body, self._choices)
            return self._with_columns(choice, usage, body, None)
        response = as_mapping(msgspec.json.decode(body))
        usage = read_usage(response.get("usage"))
        tools = None
        if isinstance(response.get("error"), Mapping) and not any(
            response.get(name) for name in ("choices", "output", "results", "data")
        ):
            code = error_code(response["error"], "error")
            return Answer(outcome_of(code), code, None, usage, failed=True)
        match self._endpoint:
            case endpoints.CHAT:
                choice = read_chat(response, self._choices)
                tools = count_chat_calls(mappings(response.get("choices")))
            case endpoints.COMPLETIONS:
                choice = read_completion(response, self._choices)
            case endpoints.RESPONSES:
                items = mappings(response.get("output"))
                choice = read_response(response, items, self._choices)
                tools = count_response_calls(response, items)
            case endpoints.MODERATIONS:
                choice = read_moderations(response, self._choices)
            case _:
                choice = Choice(Outcome.OK, None, (fragment(body),)) if response else EMPTY
        return self._with_columns(choice, usage, body, tools)

    def _with_columns(self, choice: Choice, usage: Usage | None, body: bytes, tools: ToolCalls | None) -> Answer:
        """Return the answer with the columns that the recipe computes from the body."""
        if self._compiled is None:
            return Answer(choice.outcome, choice.code, None, usage, tools=tools)
        values = choice.values
        if values is not None and self._compiled.expressions:
            try:
                values += self._limit.run(_compute, self._compiled.expressions, json.loads(body))
            except TimeLimitError:
                return Answer(Outcome.INVALID_ANSWER, "too_slow", None, usage, tools=tools)
            except TooLargeError:
                return Answer(Outcome.INVALID_ANSWER, "too_large", None, usage, tools=tools)
        return Answer(choice.outcome, choice.code, values, usage, tools=tools)


def _compute(expressions: Iterable[Expression], body: Any) -> tuple[Any, ...]:
    return tuple(_find(expression, body) for expression in expressions)


def _find(expression: Expression, body: Any) -> Any:
    """Return the value that an expression finds in a body; None if the expression does not fit the body."""
    try:
        value = expression.search(body)
    except TooLargeError:
        raise
    except Exception:  # noqa: BLE001  # an expression that does not fit this body finds nothing in it
        return None
    return value if value is None or isinstance(value, str | bool) else fragment(to_json(value))
