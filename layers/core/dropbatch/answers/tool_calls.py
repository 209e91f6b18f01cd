"""The calls to OpenAI's own tools in an answer: they have fees, which are added to the price of the tokens."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dropbatch.batch_api.output_items import OUTPUT_ITEMS
from dropbatch.batch_api.tool_fees import (
    CONTAINER,
    CONTAINER_FEES,
    DEFAULT_MEMORY,
    FILE_SEARCH,
    IMAGE_GENERATION,
    OTHER,
    WEB_SEARCH,
    WEB_SEARCH_PREVIEW,
)
from dropbatch.json_encoding import as_list as _list
from dropbatch.json_encoding import as_mapping as _mapping

ToolCalls = Mapping[str, int]
"""The number of calls of each kind in `tool_fees`."""


def count_response_calls(response: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> ToolCalls | None:
    """Return the calls of a response of `/v1/responses` that has these items; None if it made none with a fee."""
    counts: Counter[str] = Counter()
    containers: set[str] = set()
    tools = [tool for tool in _list(response.get("tools")) if isinstance(tool, Mapping)]
    search = WEB_SEARCH_PREVIEW if any(_starts(tool.get("type"), WEB_SEARCH_PREVIEW) for tool in tools) else WEB_SEARCH
    for place, item in enumerate(items):
        kind = item.get("type")
        if kind == "web_search_call":
            # To open a page that was found, and to search in it, is free.
            counts[search] += _mapping(item.get("action")).get("type") in (None, "search")
        elif kind == "file_search_call":
            counts[FILE_SEARCH] += 1
        elif kind == "image_generation_call":
            counts[IMAGE_GENERATION] += 1
        elif kind == "code_interpreter_call":
            containers.add(_text(item.get("container_id")) or f"item {place}")
        elif kind == "shell_call":
            environment = _mapping(item.get("environment"))
            if environment.get("type") == "container_reference":  # else the caller has to run it
                containers.add(_text(environment.get("container_id")) or f"item {place}")
        elif isinstance(kind, str) and kind.endswith("_call") and kind not in OUTPUT_ITEMS:
            counts[OTHER] += 1
    usage = _mapping(response.get("tool_usage"))
    searches = _mapping(usage.get("web_search")).get("num_requests")
    if isinstance(searches, int) and not isinstance(searches, bool) and searches >= 0:
        counts[search] = searches  # OpenAI's own count of what it charges
    if _mapping(usage.get("image_gen")).get("total_tokens"):
        counts[IMAGE_GENERATION] = max(1, counts[IMAGE_GENERATION])
    if containers:
        counts[_container_kind(tools)] += len(containers)
    return +counts or None


def count_chat_calls(choices: Sequence[Mapping[str, Any]]) -> ToolCalls | None:
    """Return the calls of a chat completion: its sources show that it searched, but not how often."""
    notes = [note for choice in choices for note in _list(_mapping(choice.get("message")).get("annotations"))]
    return {WEB_SEARCH: 1} if any(_mapping(note).get("type") == "url_citation" for note in notes) else None


def _container_kind(tools: Sequence[Mapping[str, Any]]) -> str:
    """Return the kind of the containers that these tools, as the response repeats them, have made.

    Of a container that was made before, only the id is known.
    """
    memories = set(_memories(tools))
    memory = memories.pop() if len(memories) == 1 else None
    return f"{CONTAINER}_{memory}" if memory in CONTAINER_FEES else CONTAINER


def _memories(tools: Sequence[Mapping[str, Any]]) -> Iterator[str | None]:
    for tool in tools:
        member = {"code_interpreter": "container", "shell": "environment"}.get(_text(tool.get("type")))
        found = _mapping(tool.get(member)) if member else {}
        if found.get("type") in ("auto", "container_auto"):
            yield _text(found.get("memory_limit")) or DEFAULT_MEMORY
        elif member and found.get("type") != "local":
            yield None


def _starts(value: Any, start: str) -> bool:
    return isinstance(value, str) and value.startswith(start)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
