"""Fast path: answers that are plainly good, as nearly all are: a text, or JSON of the recipe's schema, and usage.

It decides nothing. A line that does not have the one expected form, to the last member, is left to `read_answer`, which
knows all the others.

Reading an answer of a recipe with a schema takes 10 times as long without it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from operator import attrgetter
from types import GenericAlias
from typing import Annotated, Any, Literal

import msgspec

from dropbatch.answers.answer import Answer
from dropbatch.answers.fast_addresses import has_whole_lines
from dropbatch.answers.raw_json import DECODE_ERRORS, exact_value
from dropbatch.answers.usage import Usage
from dropbatch.batch_api.endpoints import CHAT, RESPONSES
from dropbatch.batch_api.output_items import COMMENTARY
from dropbatch.domain.outcomes import Outcome
from dropbatch.recipes.compiled_recipe import CompiledRecipe

Count = Annotated[int, msgspec.Meta(ge=0)]
Good = Annotated[int, msgspec.Meta(ge=200, le=299)]


# None of these is part of a cycle, so that the garbage collector need not visit them (`gc=False`). Members are in the
# order in which OpenAI writes them, in which msgspec finds them soonest.


class _Cached(msgspec.Struct, gc=False):
    cached_tokens: Count = 0
    cache_write_tokens: Count = 0
    audio_tokens: Literal[0] | None = None
    image_tokens: None = None


class _Reasoning(msgspec.Struct, gc=False):
    reasoning_tokens: Count = 0
    audio_tokens: Literal[0] | None = None
    image_tokens: Literal[0] | None = None


class _ChatUsage(msgspec.Struct, gc=False):
    """A usage with chat completions' names. One with the names of `/v1/responses` is not plain."""

    prompt_tokens: Count
    completion_tokens: Count
    prompt_tokens_details: _Cached | None = None
    completion_tokens_details: _Reasoning | None = None
    input_tokens_details: None = None
    output_tokens_details: None = None


class _ResponseUsage(msgspec.Struct, gc=False, kw_only=True):
    input_tokens: Count
    input_tokens_details: _Cached | None = None
    output_tokens: Count
    output_tokens_details: _Reasoning | None = None
    prompt_tokens: None = None
    completion_tokens: None = None
    prompt_tokens_details: None = None
    completion_tokens_details: None = None


Nothing = Annotated[list[msgspec.Raw], msgspec.Meta(max_length=0)]


class _Message(msgspec.Struct, gc=False):
    content: str
    refusal: None = None
    annotations: Nothing | None = None  # sources show that the model searched, which has a fee
    tool_calls: None = None
    function_call: None = None


class _Choice(msgspec.Struct, gc=False):
    message: _Message
    finish_reason: Literal["stop"]


class _Chat(msgspec.Struct, gc=False):
    choices: tuple[_Choice]
    usage: _ChatUsage | None = None

    @staticmethod
    def texts(bodies: Sequence["_Chat"]) -> Sequence[str]:
        return [body.choices[0].message.content for body in bodies]


class _Part(msgspec.Struct, gc=False):
    type: str
    text: str = ""


class _Item(msgspec.Struct, gc=False):
    type: str
    content: list[_Part] | None = None
    phase: str | None = None


class _Searches(msgspec.Struct, gc=False):
    num_requests: Literal[0] = 0


class _Images(msgspec.Struct, gc=False):
    total_tokens: Literal[0] = 0


class _ToolUsage(msgspec.Struct, gc=False):
    """Uses of tools that have no fee."""

    web_search: _Searches | None = None
    image_gen: _Images | None = None


class _Response(msgspec.Struct, gc=False, kw_only=True):
    status: Literal["completed"]
    error: None = None
    output: list[_Item]
    tool_usage: _ToolUsage | None = None
    usage: _ResponseUsage | None = None

    @staticmethod
    def texts(bodies: Sequence["_Response"]) -> Sequence[str | None]:
        return [body._text() for body in bodies]

    def _text(self) -> str | None:
        """Return the one text of the one message; None if there are several, or other items than reasoning."""
        messages = [item for item in self.output if item.type != "reasoning"]
        if len(messages) != 1 or messages[0].type != "message" or messages[0].phase == COMMENTARY:
            return None
        parts = messages[0].content or ()
        return parts[0].text if len(parts) == 1 and parts[0].type == "output_text" else None


_BODIES: Mapping[str, tuple[Any, Callable[[Any], tuple[Any, ...]]]] = {
    CHAT: (
        _Chat,
        attrgetter("prompt_tokens", "prompt_tokens_details", "completion_tokens", "completion_tokens_details"),
    ),
    RESPONSES: (
        _Response,
        attrgetter("input_tokens", "input_tokens_details", "output_tokens", "output_tokens_details"),
    ),
}
"""The type of an endpoint's body, and a getter of its usage: input tokens, details, output tokens, details."""

ColumnReader = Callable[[Sequence[str]], Sequence[tuple[Any, ...]]]
"""Returns the columns of texts; raises DecodeError if one of them is not plain."""


class FastReader:
    """Reads the lines of one batch if all of them are plain, many at once."""

    def __init__(self, compiled: CompiledRecipe | None, endpoint: str) -> None:
        self._has_columns = compiled is not None
        self._body, self._tokens = _BODIES.get(endpoint, (None, tuple))
        self._read_columns = _column_reader(compiled)
        self._decoder: Any = None
        if self._body is not None and self._read_columns is not None:
            response = msgspec.defstruct("Good", [("status_code", Good), ("body", self._body)], gc=False)
            self._decoder = msgspec.json.Decoder(msgspec.defstruct("Line", [("response", response)], gc=False))

    def read(self, lines: Sequence[bytes]) -> Sequence[Answer] | None:
        """Return the answers if all lines are plain, else None."""
        if self._decoder is None or self._read_columns is None:
            return None
        try:
            found = self._decoder.decode_lines(b"\n".join(lines))
            bodies = [line.response.body for line in found]
            texts = self._body.texts(bodies)
            if len(texts) != len(lines) or not all(texts) or not has_whole_lines(lines):
                return None
            values = self._read_columns(texts)
        except DECODE_ERRORS:
            return None
        columns = values if self._has_columns else repeat(None)
        usages = self._usages([body.usage for body in bodies])
        fixed = (repeat(False), repeat(None), repeat(False))
        members = zip(repeat(Outcome.OK), repeat(None), columns, usages, *fixed, strict=False)
        return list(map(_new, repeat(Answer), members))

    def _usages(self, usages: Sequence[Any]) -> Iterable[Usage | None]:
        if not all(usages):
            return [next(iter(self._usages([usage]))) if usage else None for usage in usages]
        return [
            _new(
                Usage,
                (
                    read,
                    cached.cached_tokens if cached else 0,
                    written,
                    reasoning.reasoning_tokens if reasoning else 0,
                    cached.cache_write_tokens if cached else 0,
                    None,
                ),
            )
            for read, cached, written, reasoning in map(self._tokens, usages)
        ]


_new: Callable[[type[Any], tuple[Any, ...]], Any] = tuple.__new__
"""Makes a tuple of a type, without the call of a Python function."""


def _column_reader(compiled: CompiledRecipe | None) -> ColumnReader | None:
    """Return a reader of the recipe's columns; None if its answers are never plain."""
    if compiled is None:
        return _whole_texts
    if compiled.expressions:
        return None
    if compiled.validator is None:
        return _whole_texts
    return _json_reader(compiled.validator.schema, compiled.properties or ())


def _whole_texts(texts: Sequence[str]) -> Sequence[tuple[Any, ...]]:
    if any(map(str.isspace, texts)):
        raise msgspec.DecodeError("a text is blank")
    return [(text,) for text in texts]


def _json_reader(schema: Any, properties: Sequence[str]) -> ColumnReader | None:
    """Return a reader of JSON that fits the schema, which msgspec checks; None if msgspec cannot check it."""
    kind = _object_type(schema, properties)
    if kind is None:
        return None
    decoder = msgspec.json.Decoder(kind)
    members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    inexact = [place for place, name in enumerate(properties) if not _is_exact(schema["properties"][name])]
    astuple: Callable[[Any], tuple[Any, ...]] = msgspec.structs.astuple

    def exact(found: tuple[Any, ...], text: str) -> tuple[Any, ...]:
        whole = list(found)
        written = members(text)
        for place in inexact:
            whole[place] = exact_value(written[properties[place]])
        return tuple(whole)

    def values(texts: Sequence[str]) -> Sequence[tuple[Any, ...]]:
        found = list(map(astuple, map(decoder.decode, texts)))
        return list(map(exact, found, texts)) if inexact else found

    return values


_PLAIN = {"string": str, "boolean": bool, "integer": int, "number": float}
_REMARKS = frozenset({"title", "description"})


def _type_of(schema: Any) -> Any:
    """Return a type that accepts only what a JSON schema accepts; None if no type can say as much as the schema."""
    if not isinstance(schema, Mapping):
        return None
    said = schema.keys() - _REMARKS
    kind = schema.get("type")
    if said == {"type", "enum"} and kind == "string":
        allowed = schema["enum"]
        if allowed and all(isinstance(value, str) for value in allowed):
            return Literal[tuple(allowed)]
        return None
    if said == {"type"}:
        return _PLAIN.get(kind) if isinstance(kind, str) else None
    if said == {"type", "items"} and kind == "array":
        item = _type_of(schema["items"])
        return None if item is None else GenericAlias(list, (item,))
    if kind == "object" and "properties" in said:
        return _object_type(schema, tuple(schema["properties"]))
    return None


def _object_type(schema: Mapping[str, Any], properties: Sequence[str]) -> Any:
    """Return such a type for an object whose schema requires all its properties: these, in this order."""
    if schema.keys() - _REMARKS - {"required", "additionalProperties"} != {"type", "properties"}:
        return None
    members, more = schema["properties"], schema.get("additionalProperties", True)
    if schema["type"] != "object" or not set(members) == set(properties) == set(schema.get("required", ())):
        return None
    types = [_type_of(members[name]) for name in properties]
    if None in types or not isinstance(more, bool):
        return None
    fields = [(f"f{place}", kind) for place, kind in enumerate(types)]
    names = {f"f{place}": name for place, name in enumerate(properties)}
    return msgspec.defstruct("Plain", fields, rename=names, forbid_unknown_fields=not more, gc=False)


def _is_exact(schema: Mapping[str, Any]) -> bool:
    """Return whether the decoded value is exact: text and booleans are, numbers may be written in several ways."""
    return schema.get("type") in ("string", "boolean")
