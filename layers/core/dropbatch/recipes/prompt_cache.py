"""Prompt caching of a recipe's requests: a breakpoint behind what all rows share, and no writes of the rows' own parts.

Nothing here depends on a row. So the requests stay a function of row and recipe, and cost no time.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dropbatch.batch_api.endpoints import RESPONSES, endpoint_at
from dropbatch.batch_api.estimates import BYTES_PER_TOKEN
from dropbatch.batch_api.prompt_caching import (
    BREAKPOINT,
    CACHE_KEY,
    CACHING_ENDPOINTS,
    EXPLICIT,
    MIN_CACHED_TOKENS,
    OPTIONS,
    RETENTION,
    takes_breakpoints,
)
from dropbatch.json_encoding import to_json
from dropbatch.recipes.request_tree import decides_form, varies, with_constants
from dropbatch.recipes.slots import Slot

MIN_PROMISED_TOKENS = MIN_CACHED_TOKENS * 9 // 8
"""The estimate from which a beginning is sure enough to be cached: a token of English prose takes up to 4.5 bytes, and
the estimate takes 4. A breakpoint behind a beginning that is too short changes nothing."""

_BEFORE_MESSAGES = ("tools", "response_format", "text", "instructions")
"""The members of a request that come before the messages in what the model reads."""

_ELSEWHERE = ("previous_response_id", "conversation", "prompt")
"""The members of a Responses request that bring text from elsewhere: the order of `instructions` matters there."""

_ROLES = ("system", "developer", "user")
_MEDIA = ("image_url", "file", "input_image", "input_file")
_BLOCKS = ("text", "input_text", *_MEDIA)
"""The roles of messages, and the types of content blocks, that can carry a breakpoint."""


@dataclass(frozen=True, slots=True)
class Caching:
    """The use that a recipe's requests make of OpenAI's cache.

    `prefix_tokens` are the estimated tokens of the beginning that all rows share and that each row but the first can
    read from the cache; 0 if there is none. `writes_rows` says that OpenAI may write the rows' own parts to the cache
    and bill that. `added_bytes` is how much longer each request is for all of this.
    """

    prefix_tokens: int = 0
    writes_rows: bool = False
    added_bytes: int = 0


def with_caching(tree: dict[str, Any], endpoint: str, *, is_on: bool) -> tuple[dict[str, Any], Caching]:
    """Return a recipe's tree with the members about prompt caching, and what these do.

    The tree stays as it is unless `is_on`, or if it has such members itself, or if its model is not one that takes them
    for all rows.
    """
    model = tree.get("model")
    if endpoint not in CACHING_ENDPOINTS or not isinstance(model, Slot):
        return tree, Caching()
    name = model.template.constant
    if name is None:
        return tree, Caching(writes_rows=True)  # as far as can be known
    if not takes_breakpoints(name.strip()):
        return tree, Caching()
    if not is_on or RETENTION in tree or OPTIONS in tree or _holds(tree, BREAKPOINT):
        options = with_constants(tree.get(OPTIONS))
        is_explicit = isinstance(options, Mapping) and options.get("mode") == EXPLICIT["mode"]
        return tree, Caching(writes_rows=not is_explicit)
    start = _constant_start(tree, endpoint)
    if start is None or start.tokens < MIN_CACHED_TOKENS:
        marked = {**tree, OPTIONS: EXPLICIT}
        return marked, Caching(added_bytes=_added_bytes(tree, marked))
    key = tree.get(CACHE_KEY, f"dropbatch-{start.digest}")
    marked = {**start.tree, OPTIONS: EXPLICIT, CACHE_KEY: key}
    promised = start.tokens if start.tokens >= MIN_PROMISED_TOKENS else 0
    return marked, Caching(promised, added_bytes=_added_bytes(tree, marked))


def _added_bytes(tree: Mapping[str, Any], marked: Mapping[str, Any]) -> int:
    return len(to_json(with_constants(marked, ""))) - len(to_json(with_constants(tree, "")))


class _Start(NamedTuple):
    """A tree with a breakpoint behind its constant beginning, and the estimated tokens and a hash of the latter."""

    tree: dict[str, Any]
    tokens: int
    digest: str


def _constant_start(tree: dict[str, Any], endpoint: str) -> _Start | None:
    """Return the tree with a breakpoint behind all that is the same for every row; None if none can be placed."""
    if varies({name: tree.get(name) for name in (*_BEFORE_MESSAGES, *_ELSEWHERE)}):
        return None
    member = endpoint_at(endpoint).question
    place = _last_block(tree.get(member))
    if place is None and endpoint == RESPONSES:
        tree = _with_instructions_as_message(tree, member)
        place = _last_block(tree.get(member))
    if place is None:
        return None
    messages, number = list(tree[member]), place[0]
    messages[number] = _marked(messages[number], place[1], endpoint)
    shared = {**messages[number], "content": messages[number]["content"][: place[1] + 1]}
    before = {name: tree[name] for name in _BEFORE_MESSAGES if name in tree}
    written = with_constants([before, *messages[:number], shared])
    digest = hashlib.blake2b(to_json(written), digest_size=8).hexdigest()
    tokens = len(to_json(_without_media(written))) // BYTES_PER_TOKEN
    return _Start({**tree, member: messages}, tokens, digest)


def _without_media(value: Any) -> Any:
    """Return JSON without blocks of images and files: their tokens do not follow from their bytes."""
    if isinstance(value, Mapping):
        return {name: _without_media(item) for name, item in value.items()}
    if isinstance(value, list):
        blocks = (item for item in value if not isinstance(item, Mapping) or item.get("type") not in _MEDIA)
        return [_without_media(item) for item in blocks]
    return value


def _last_block(messages: Any) -> tuple[int, int] | None:
    """Return the numbers of a message and of its content block: the last that can carry a breakpoint before any row's
    own part.
    """
    found = None
    for number, message in enumerate(messages if isinstance(messages, list) else ()):
        if not isinstance(message, Mapping) or varies({**message, "content": None}):
            break
        carries = with_constants(message.get("role")) in _ROLES
        for place, block in enumerate(_blocks(message.get("content"))):
            if varies(block):
                return found
            if carries and _can_carry(with_constants(block)):
                found = number, place
    return found


def _blocks(content: Any, text_type: str = "text") -> list[Any]:
    """Return the blocks of a message's content: a text is one."""
    return list(content) if isinstance(content, list) else [{"type": text_type, "text": content}]


def _can_carry(block: Any) -> bool:
    if not isinstance(block, Mapping) or block.get("type") not in _BLOCKS:
        return False
    text = block.get("text")
    return "text" not in block or (isinstance(text, str) and bool(text.strip()))


def _marked(message: Mapping[str, Any], place: int, endpoint: str) -> dict[str, Any]:
    """Return a message with a breakpoint on a block of its content."""
    blocks = _blocks(message["content"], "input_text" if endpoint == RESPONSES else "text")
    blocks[place] = {**blocks[place], BREAKPOINT: EXPLICIT}
    return {**message, "content": blocks}


def _with_instructions_as_message(tree: dict[str, Any], member: str) -> dict[str, Any]:
    """Return a Responses tree whose instructions are its first message, which means the same.

    The tree stays as it is if it has none, or if that could change the order of what the model reads.
    """
    question = tree.get(member)
    is_list = isinstance(question, list)
    if "instructions" not in tree or any(name in tree for name in _ELSEWHERE) or decides_form(question):
        return tree
    if not is_list and not isinstance(question, Slot):
        return tree
    messages: Sequence[Any] = question if is_list else [{"role": "user", "content": question}]  # type: ignore[assignment]
    first = {"role": "developer", "content": tree["instructions"]}
    return {name: item for name, item in tree.items() if name != "instructions"} | {member: [first, *messages]}


def _holds(value: Any, name: str) -> bool:
    """Return whether a tree has a member of this name at any depth."""
    if isinstance(value, Mapping):
        return name in value or any(_holds(item, name) for item in value.values())
    return isinstance(value, list) and any(_holds(item, name) for item in value)
