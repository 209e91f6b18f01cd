"""Reads one line of a batch's output or error file: what became of the row, and what its columns hold.

Lines come in more shapes than OpenAI documents, and other servers of the same API add their own. Whatever a line looks
like, it has exactly one outcome; one that makes no sense is an error of its own, never an exception.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import orjson

from dropbatch.answers.json_wrappings import unwrap_json
from dropbatch.answers.tool_calls import ToolCalls, count_chat_calls, count_response_calls
from dropbatch.batch_api import endpoints
from dropbatch.batch_api.error_codes import APPROVAL_REQUIRED, CONTENT_CODES, CONTEXT_LENGTH
from dropbatch.batch_api.output_items import (
    COMMENTARY,
    FINAL_ANSWER,
    MESSAGE_PARTS,
    OUTPUT_ITEMS,
    SERVER_WORK,
    ItemKind,
)
from dropbatch.domain.outcomes import Outcome
from dropbatch.json_encoding import as_list as _list
from dropbatch.json_encoding import as_mapping as _mapping
from dropbatch.json_encoding import to_json
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.expressions import Expression
from dropbatch.recipes.sizes import TooLargeError
from dropbatch.recipes.time_limit import TimeLimit, TimeLimitError

ROW_SECONDS = 1
"""How long holding one answer to a schema, or computing its columns, may take; it mostly takes 20 µs."""

BATCH_SECONDS = 60
"""How long that may take for all of a batch's answers: an invocation has 300 s for the batch."""

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_NOT_RUN = {
    "batch_expired": Outcome.EXPIRED,
    "batch_cancelled": Outcome.CANCELLED,
    "batch_canceled": Outcome.CANCELLED,
}


_PASSING = frozenset({408, 409, 429})
"""The statuses under 500 of faults that pass."""

_PASSING_CODES = frozenset(
    {"server_error", "internal_error", "internal_server_error", "service_unavailable", "timeout", "rate_limit_exceeded"}
)
"""The same, of rows that have no status because they were not run."""

_TOO_LONG = re.compile(
    "(maximum|model's) (context|input) length|context length exceeded|input tokens exceed", re.IGNORECASE
)
"""What servers say of a row that is too long for its model, if they give no code for it. OpenAI's embeddings do so."""


class Usage(NamedTuple):
    """Tokens that were billed. Those that the cache gave or took are among the input, reasoning tokens among the
    output."""

    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cache_write_tokens: int = 0


class Answer(NamedTuple):
    """A row's outcome. `code` says why it is not ok; `values` are the recipe's columns, fit for orjson.

    `again` says that another try may go better: the fault was the server's, or the moment's. `tools` counts calls that
    have a fee. `failed` says that the request itself was answered with an error, which costs nothing.
    """

    outcome: Outcome
    code: str | None
    values: tuple[Any, ...] | None
    usage: Usage | None
    again: bool = False
    tools: ToolCalls | None = None
    failed: bool = False


class _Choice(NamedTuple):
    """One of the answers in a response: its outcome, its code, and the values of the answer's own columns."""

    outcome: Outcome
    code: str | None
    values: tuple[Any, ...] | None


_WORST_FIRST = (Outcome.ERROR, Outcome.REFUSED, Outcome.INVALID_ANSWER, Outcome.TRUNCATED, Outcome.OK)

UNREADABLE = "unreadable"
"""The code of a row whose line makes no sense."""

_UNREADABLE = Answer(Outcome.ERROR, UNREADABLE, None, None)
_EMPTY = _Choice(Outcome.INVALID_ANSWER, "empty", None)
_NOT_JSON = _Choice(Outcome.INVALID_ANSWER, "not_json", None)

DECODE_ERRORS = (msgspec.DecodeError, ValueError, RecursionError)

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])


def time_limit() -> TimeLimit:
    """The limit of what a recipe has done with the answers of one batch."""
    return TimeLimit(ROW_SECONDS, BATCH_SECONDS)


def read_answer(
    line: bytes,
    compiled: CompiledRecipe | None,
    endpoint: str,
    limit: TimeLimit | None = None,
    *,
    is_list: bool = False,
) -> Answer:
    """What a line of an output or error file says; `compiled` is None for a raw drop, which has no columns.

    `is_list` says that the row asked for a list of inputs, so that its columns hold lists, even of one.

    `limit` is that of the line's batch. An answer that would exceed it is invalid, with a code of its own: it is paid,
    and OpenAI's own line is kept whatever the recipe makes of it.
    """
    limit = limit or time_limit()
    try:
        return _read(line, _Reader(compiled, endpoint, limit, is_list=is_list))
    except DECODE_ERRORS:
        pass
    try:
        return _read(mended(line), _Reader(compiled, endpoint, limit, is_list=is_list))
    except DECODE_ERRORS:
        return _UNREADABLE


def mended(line: bytes) -> bytes:
    """Return the line as strict JSON: lone surrogates, NaN and bytes that are not UTF-8 are replaced, raw control
    characters escaped."""
    return to_json(json.loads(line.decode(errors="replace"), parse_constant=lambda _: None, strict=False))


def _read(line: bytes, reader: "_Reader") -> Answer:
    members = _members.decode(line)
    response = bytes(members.get("response", b"null"))
    if response == b"null":
        return _not_run(_parsed(members.get("error")))
    parts = _members.decode(response)
    status = _parsed(parts.get("status_code"))
    body = bytes(parts.get("body", b"null"))
    if body.startswith(b'"'):
        # Some servers wrap the body into a string.
        text = msgspec.json.decode(body, type=str)
        body = text.encode() if text.lstrip().startswith("{") else b"null"
    if isinstance(status, str) and status.isdecimal():
        status = int(status)
    if status == 0 and not isinstance(status, bool):
        return Answer(Outcome.ERROR, "no_response", None, None, again=True)
    if isinstance(status, int) and not 200 <= status < 300:
        code = _code_of(body, f"http_{status}")
        refused = code in CONTENT_CODES
        again = not refused and (status in _PASSING or status >= 500)
        return Answer(Outcome.REFUSED if refused else Outcome.ERROR, code, None, None, again, failed=True)
    if not body.startswith(b"{"):
        return Answer(*_EMPTY, None) if body == b"null" else _UNREADABLE
    return reader.answer(body)


def _not_run(error: Any) -> Answer:
    if not isinstance(error, Mapping):
        return Answer(Outcome.ERROR, _fit(error), None, None) if _fit(error) else _UNREADABLE
    code = _error_code(error, "error")
    outcome = _NOT_RUN.get(code) or _failure(code)
    return Answer(outcome, code, None, None, again=code in _PASSING_CODES, failed=True)


def _failure(code: str) -> Outcome:
    """The outcome of a row that came to an error with this code."""
    return Outcome.REFUSED if code in CONTENT_CODES else Outcome.ERROR


def _code_of(body: bytes, otherwise: str) -> str:
    """The code that an error's body gives; some servers give the error's members without `error` around them."""
    try:
        members = _mapping(msgspec.json.decode(body))
    except DECODE_ERRORS:
        return otherwise
    return _error_code(members.get("error", members), otherwise)


def _error_code(error: Any, otherwise: str) -> str:
    """The code that says most: one of what is declined, else the error's own, else what its message tells."""
    found = _mapping(error)
    code, kind = _fit(found.get("code")), _fit(found.get("type"))
    inner = _mapping(found.get("innererror") or found.get("inner_error"))
    for each in (code, _fit(inner.get("code")), kind):
        if each in CONTENT_CODES:
            return each
    message = found.get("message")
    if code is None and isinstance(message, str) and _TOO_LONG.search(message):
        return CONTEXT_LENGTH
    return code or kind or otherwise


def _fit(code: Any) -> str | None:
    """A code that may stand in a log, or None: codes of another form could hold anything."""
    return code if isinstance(code, str) and _CODE.fullmatch(code) else None


class _Reader:
    """Reads a response's body for a recipe, or for none."""

    def __init__(self, compiled: CompiledRecipe | None, endpoint: str, limit: TimeLimit, *, is_list: bool) -> None:
        self._compiled = compiled
        self._is_list = is_list
        self._limit = limit
        self._endpoint = endpoint
        self._validator = compiled.validator if compiled else None
        self._properties = (compiled.properties if compiled else None) or ()
        self._structured = self._validator is not None

    def answer(self, body: bytes) -> Answer:
        if self._endpoint == endpoints.EMBEDDINGS:
            choice, usage = self._embeddings(body)
            return self._with_columns(choice, usage, body, None)
        response = _mapping(msgspec.json.decode(body))
        usage = _usage(response.get("usage"))
        tools = None
        if isinstance(response.get("error"), Mapping) and not any(
            response.get(name) for name in ("choices", "output", "results", "data")
        ):
            code = _error_code(response["error"], "error")
            return Answer(_failure(code), code, None, usage, failed=True)
        match self._endpoint:
            case endpoints.CHAT:
                choice = self._choices(response, self._chat)
                tools = count_chat_calls(_mappings(response.get("choices")))
            case endpoints.COMPLETIONS:
                choice = self._choices(response, self._completion)
            case endpoints.RESPONSES:
                items = _mappings(response.get("output"))
                choice = self._response(response, items)
                tools = count_response_calls(response, items)
            case endpoints.MODERATIONS:
                choice = self._moderations(response)
            case _:
                choice = _Choice(Outcome.OK, None, (_fragment(body),)) if response else _EMPTY
        return self._with_columns(choice, usage, body, tools)

    def _with_columns(self, choice: _Choice, usage: Usage | None, body: bytes, tools: ToolCalls | None) -> Answer:
        """The answer with the columns that the recipe computes from the body."""
        if self._compiled is None:
            return Answer(choice.outcome, choice.code, None, usage, tools=tools)
        values = choice.values
        if values is not None and self._compiled.expressions:
            try:
                values += self._limit.run(_computed, self._compiled.expressions, json.loads(body))
            except TimeLimitError:
                return Answer(Outcome.INVALID_ANSWER, "too_slow", None, usage, tools=tools)
            except TooLargeError:
                return Answer(Outcome.INVALID_ANSWER, "too_large", None, usage, tools=tools)
        return Answer(choice.outcome, choice.code, values, usage, tools=tools)

    # One text: the answer, or JSON for the schema's columns

    def _text(self, text: str, outcome: Outcome, code: str | None, last: str = "") -> _Choice:
        """The choice for a text that came with an outcome: ok, truncated or refused. `last` is its last message's."""
        if self._structured:
            return self._fitted(text, last) if outcome is Outcome.OK else _Choice(outcome, code, None)
        if outcome is Outcome.OK and not text.strip():
            return _EMPTY
        return _Choice(outcome, code, (text,) if text else None)

    def _fitted(self, text: str, last: str) -> _Choice:
        """The choice for a text that should be JSON of the recipe's schema.

        If several messages are no JSON together, the last may be it. What is wrapped around the whole of the JSON is
        taken off if the schema fits then; what else stands around it leaves it invalid.
        """
        if not text.strip():
            return _EMPTY
        choice, several = self._held(text), bool(last.strip()) and last != text
        if choice == _NOT_JSON and several:
            choice = self._held(last)
        if choice != _NOT_JSON:
            return choice
        for wrapped in (text, last) if several else (text,):
            inner = unwrap_json(wrapped)
            found = _NOT_JSON if inner is None else self._held(inner)
            if found.outcome is Outcome.OK or found.code == "too_slow":
                return found
        return choice

    def _held(self, text: str) -> _Choice:
        """The choice for a text that is held to the recipe's schema as it is."""
        encoded = text.encode()
        try:
            parsed = msgspec.json.decode(encoded)
        except DECODE_ERRORS:
            return _NOT_JSON
        if not isinstance(parsed, dict):
            return _Choice(Outcome.INVALID_ANSWER, "schema_mismatch", None)
        try:
            fits = self._validator is None or self._limit.run(self._validator.is_valid, parsed)
        except TimeLimitError:
            return _Choice(Outcome.INVALID_ANSWER, "too_slow", None)
        except Exception:  # noqa: BLE001  # a pattern that Python cannot read; OpenAI has held the answer to it
            fits = True
        if not fits:
            return _Choice(Outcome.INVALID_ANSWER, "schema_mismatch", None)
        exact = _members.decode(encoded)
        values = tuple(exact_value(exact[name]) if name in exact else None for name in self._properties)
        return _Choice(Outcome.OK, None, values)

    def _tools(self, calls: Sequence[Any]) -> _Choice:
        if self._structured:
            return _Choice(Outcome.INVALID_ANSWER, "schema_mismatch", None)
        return _Choice(Outcome.OK, None, (_fragment(to_json(calls)),))

    def _media(self, items: Any, data: str) -> _Choice:
        """The choice for images or speech without a text: what is said of them, without their `data`.

        An image has megabytes, which no table's cell holds; responses.jsonl has them all.
        """
        if self._structured:
            return _EMPTY
        told = [{name: value for name, value in item.items() if name != data} for item in items]
        return _Choice(Outcome.OK, None, (_fragment(to_json(told)),))

    # Chat completions and completions

    def _choices(self, response: Mapping[str, Any], read: Any) -> _Choice:
        choices = _mappings(response.get("choices"))
        if all(isinstance(choice.get("index"), int) for choice in choices):
            choices.sort(key=lambda choice: choice["index"])
        return _combined([read(choice) for choice in choices], is_list=self._is_list)

    def _chat(self, choice: Mapping[str, Any]) -> _Choice:
        message, finish = _mapping(choice.get("message")), choice.get("finish_reason")
        text, refusal = _content(message.get("content")), message.get("refusal")
        audio = _mapping(message.get("audio"))
        if not text.strip() and not self._structured:
            text = _content(audio.get("transcript")) or text
        if isinstance(refusal, str) and refusal:
            return self._text(text or refusal, Outcome.REFUSED, "refusal")
        if finish == "content_filter":
            return self._text(text, Outcome.REFUSED, "content_filter")
        if finish == "length":
            return self._text(text, Outcome.TRUNCATED, "length")
        calls = _list(message.get("tool_calls"))
        if isinstance(message.get("function_call"), Mapping):
            calls = [*calls, message["function_call"]]
        if calls and not (self._structured and text.strip()):
            return self._tools(calls)
        if not text.strip() and audio.get("data"):
            return self._media([audio], "data")
        return self._text(text, Outcome.OK, None)

    def _completion(self, choice: Mapping[str, Any]) -> _Choice:
        text = _content(choice.get("text"))
        match choice.get("finish_reason"):
            case "length":
                return self._text(text, Outcome.TRUNCATED, "length")
            case "content_filter":
                return self._text(text, Outcome.REFUSED, "content_filter")
        return self._text(text, Outcome.OK, None)

    # Responses

    def _response(self, response: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> _Choice:
        messages, refusals = _messages(items)
        text, last = "".join(messages), messages[-1] if messages else ""
        if not items and not text:
            text = _content(response.get("output_text"))  # as some servers, and the SDK, give it
        status = response.get("status")
        if status == "failed":
            code = _error_code(response.get("error"), "failed")
            return _Choice(_failure(code), code, None)
        if refusals:
            return self._text(text or "".join(refusals), Outcome.REFUSED, "refusal")
        if status == "incomplete":
            reason = _fit(_mapping(response.get("incomplete_details")).get("reason")) or "incomplete"
            return self._text(text, _failure(reason) if reason in CONTENT_CODES else Outcome.TRUNCATED, reason)
        if status in ("cancelled", "queued", "in_progress"):
            return _Choice(Outcome.ERROR, f"response_{status}", None)
        calls = _calls(items)
        if calls and not (self._structured and text.strip()):
            return self._tools(calls)
        return self._text(text, Outcome.OK, None, last) if text.strip() else self._wordless(items)

    def _wordless(self, items: Sequence[Mapping[str, Any]]) -> _Choice:
        """The choice for a response that has neither a text nor calls."""
        images = [item for item in items if _kind(item) is ItemKind.IMAGE]
        made = [item for item in images if item.get("result")]
        if made:
            return self._media(made, "result")
        for item in images:
            code = _error_code(item.get("error"), "")
            if code in CONTENT_CODES:
                return _Choice(Outcome.REFUSED, code, None)
        if any(_kind(item) is ItemKind.APPROVAL for item in items):
            return _Choice(Outcome.INVALID_ANSWER, APPROVAL_REQUIRED, None)
        return _EMPTY

    # Embeddings

    def _embeddings(self, body: bytes) -> tuple[_Choice, Usage | None]:
        """The vectors as they came: their numbers are never parsed."""
        members = _members.decode(body)
        usage = _usage(_parsed(members.get("usage")))
        error = _parsed(members.get("error"))
        data = bytes(members.get("data", b"null"))
        rows = [_members.decode(row) for row in _items.decode(data)] if data.startswith(b"[") else []
        if not rows and isinstance(error, Mapping):
            return _Choice(Outcome.ERROR, _error_code(error, "error"), None), usage
        indexes = [_parsed(row.get("index")) for row in rows]
        if all(isinstance(index, int) for index in indexes):
            rows = [row for _, row in sorted(zip(indexes, rows, strict=True), key=lambda pair: pair[0])]
        vectors = [exact_value(row["embedding"]) for row in rows if bytes(row.get("embedding", b"null")) not in _HOLLOW]
        if not vectors or len(vectors) < len(rows):
            return _EMPTY, usage
        return _Choice(Outcome.OK, None, (self._one_or_all(vectors),)), usage

    def _one_or_all(self, found: Sequence[Any]) -> Any:
        """What a column holds of what was found for each input: a list if a list was asked, or it must be one."""
        return found[0] if len(found) == 1 and not self._is_list else found

    # Moderations

    def _moderations(self, response: Mapping[str, Any]) -> _Choice:
        results = _mappings(response.get("results"))
        if not results or not all(isinstance(result.get("flagged"), bool) for result in results):
            return _EMPTY
        flagged = [result["flagged"] for result in results]
        categories = [[name for name, hit in _mapping(r.get("categories")).items() if hit is True] for r in results]
        return _Choice(Outcome.OK, None, (self._one_or_all(flagged), self._one_or_all(categories)))


_HOLLOW = frozenset({b"null", b"[]", b'""'})


def _kind(item: Mapping[str, Any]) -> ItemKind | None:
    """What an item of a response's output is; None for one that is not known."""
    name = item.get("type")
    return OUTPUT_ITEMS.get(name) if isinstance(name, str) else None


def _messages(items: Sequence[Mapping[str, Any]]) -> tuple[Sequence[str], Sequence[str]]:
    """The texts of the messages that are the answer, one each, and the refusals.

    Where there is a final answer, it alone counts; a comment on the way to it never does, unless it is all there is
    and declines the request.
    """
    messages = [item for item in items if _kind(item) is ItemKind.MESSAGE]
    final = [message for message in messages if message.get("phase") == FINAL_ANSWER]
    final = final or [message for message in messages if message.get("phase") != COMMENTARY]
    texts = ["".join(_parts(message, "output_text")) for message in final]
    return texts, [text for message in final or messages for text in _parts(message, "refusal")]


def _parts(message: Mapping[str, Any], kind: str) -> Sequence[str]:
    parts = _mappings(message.get("content"))
    return [_content(part.get(MESSAGE_PARTS[kind])) for part in parts if part.get("type") == kind]


def _calls(items: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """What the model asks the caller to do: calls that are not answered within the response."""
    done = [item.get("call_id") for item in items if _kind(item) is ItemKind.WORK]
    calls = [item for item in items if _kind(item) is ItemKind.CALL and not _is_server_work(item)]
    return [call for call in calls if call.get("call_id") is None or call["call_id"] not in done]


def _is_server_work(item: Mapping[str, Any]) -> bool:
    member, value = SERVER_WORK.get(item["type"], ("type", None))
    return bool(item.get(member) == value)


def _combined(choices: Sequence[_Choice], *, is_list: bool) -> _Choice:
    """Several answers to one request: the worst outcome decides, the columns hold arrays."""
    if not choices:
        return _EMPTY
    if len(choices) == 1 and not is_list:
        return choices[0]
    worst = min(choices, key=lambda choice: _WORST_FIRST.index(choice.outcome))
    width = max(len(choice.values or ()) for choice in choices)
    if not width:
        return _Choice(worst.outcome, worst.code, None)
    rows = [choice.values or (None,) * width for choice in choices]
    return _Choice(worst.outcome, worst.code, tuple([row[column] for row in rows] for column in range(width)))


def _usage(value: Any) -> Usage | None:
    if not isinstance(value, Mapping):
        return None
    received = _mapping(value.get("prompt_tokens_details") or value.get("input_tokens_details"))
    given = _mapping(value.get("completion_tokens_details") or value.get("output_tokens_details"))
    return Usage(
        input_tokens=_count(value, "prompt_tokens", "input_tokens"),
        cached_tokens=_count(received, "cached_tokens"),
        output_tokens=_count(value, "completion_tokens", "output_tokens"),
        reasoning_tokens=_count(given, "reasoning_tokens"),
        cache_write_tokens=_count(received, "cache_write_tokens"),
    )


def _count(members: Mapping[str, Any], *names: str) -> int:
    found = (members.get(name) for name in names)
    return next((n for n in found if isinstance(n, int) and not isinstance(n, bool) and n >= 0), 0)


def _content(value: Any) -> str:
    """A text, or the texts of a list of parts, as some servers give it."""
    if isinstance(value, str):
        return value
    parts: Iterable[Any] = (_mapping(part).get("text") for part in _list(value))
    return "".join(part for part in parts if isinstance(part, str))


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [_mapping(item) for item in _list(value)]


def _parsed(raw: msgspec.Raw | None) -> Any:
    return None if raw is None else msgspec.json.decode(raw)


def exact_value(raw: msgspec.Raw) -> Any:
    """Text, truth, null and whole numbers as Python's; other numbers, lists and objects as the very JSON that came."""
    data = bytes(raw).strip()
    if data[:1] in (b'"', b"t", b"f", b"n"):
        return msgspec.json.decode(data)
    if len(data) < 19 and data.lstrip(b"-").isdigit() and data != b"-0":
        return int(data)
    return _fragment(data)


def _fragment(data: bytes) -> orjson.Fragment:
    """JSON to be handed on as it came; white space between its members may not end a line or a field."""
    return orjson.Fragment(data.replace(b"\n", b" ").replace(b"\r", b" ").replace(b"\t", b" "))


def _computed(expressions: Iterable[Expression], body: Any) -> tuple[Any, ...]:
    return tuple(_found(expression, body) for expression in expressions)


def _found(expression: Expression, body: Any) -> Any:
    try:
        value = expression.search(body)
    except TooLargeError:
        raise
    except Exception:  # noqa: BLE001  # an expression that does not fit this body finds nothing in it
        return None
    return value if value is None or isinstance(value, str | bool) else _fragment(to_json(value))
