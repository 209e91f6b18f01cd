"""The prompt cache of a batch, for GPT-5.6 and later: which tokens of a prompt are written to it, and which are read.

A prompt's beginning is all that comes before its last question, or up to its last `prompt_cache_breakpoint`. The first
request with a beginning of 1,024 tokens or more writes its whole prompt, later ones read the beginning. Without
`prompt_cache_options: {mode: explicit}`, the rest of a prompt is written too if it has 1,024 tokens or more. Each batch
has a cache of its own, and rows run in a fixed order, so that the same batch always has the same usage.
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

from local.openai_emulator.answerers.messages import text_of
from local.openai_emulator.answerers.request import Answer, count_tokens
from local.openai_emulator.store import Tokens

MIN_TOKENS = 1_024
"""OpenAI caches no shorter beginning."""

MESSAGE_TOKENS = 4
"""What a message counts beside its text."""

_CACHING = re.compile(r"gpt-(?:5\.[6-9]|[6-9])")


@dataclass(slots=True)
class PromptCache:
    """The beginnings that the requests of one batch have written."""

    _written: set[bytes] = field(default_factory=set)

    def apply(self, body: dict[str, Any], answer: Answer) -> None:
        """Set the tokens that an answer's request read from the cache and wrote to it."""
        if not _CACHING.match(str(body.get("model"))) or answer.tokens.input < MIN_TOKENS:
            return
        parts, is_marked = _beginning(body)
        begun = min(_tokens(parts), answer.tokens.input)
        is_explicit = _mode(body) == "explicit"
        if is_explicit and not is_marked:
            return
        read = 0
        if begun >= MIN_TOKENS:
            digest = hashlib.blake2b(repr((body["model"], parts)).encode(), digest_size=16).digest()
            read = begun if digest in self._written else 0
            self._written.add(digest)
        rest = answer.tokens.input - read
        new = max(0, begun - read) if is_explicit else rest
        written = new if new >= MIN_TOKENS else 0
        answer.tokens.cached, answer.tokens.cache_write = read, written
        _report(answer.body, answer.tokens)


def _mode(body: dict[str, Any]) -> object:
    options = body.get("prompt_cache_options")
    return options.get("mode") if isinstance(options, dict) else None


def _beginning(body: dict[str, Any]) -> tuple[list[str], bool]:
    """Return the texts of a prompt's beginning, and whether a breakpoint ends it."""
    given = body.get("messages", body.get("input"))
    messages = [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []
    instructions = body.get("instructions")
    first = [instructions] if isinstance(instructions, str) else []
    for number in range(len(messages) - 1, -1, -1):
        content = messages[number].get("content")
        blocks = content if isinstance(content, list) else []
        marks = [place for place, block in enumerate(blocks) if _is_marked(block)]
        if marks:
            texts = [text_of(message.get("content")) for message in messages[:number]]
            return [*first, *texts, text_of(blocks[: marks[-1] + 1])], True
    last = max((at for at, message in enumerate(messages) if message.get("role") == "user"), default=len(messages))
    return [*first, *(text_of(message.get("content")) for message in messages[:last])], False


def _is_marked(block: object) -> bool:
    return isinstance(block, dict) and block.get("prompt_cache_breakpoint") is not None


def _tokens(texts: list[str]) -> int:
    return sum(count_tokens(text) + MESSAGE_TOKENS for text in texts)


def _report(body: Any, tokens: Tokens) -> None:
    """Write the tokens into the usage of a response, in either of its two spellings."""
    usage = body.get("usage") if isinstance(body, dict) else None
    if not isinstance(usage, dict):
        return
    for name in ("prompt_tokens_details", "input_tokens_details"):
        details = usage.get(name)
        if isinstance(details, dict):
            details["cached_tokens"], details["cache_write_tokens"] = tokens.cached, tokens.cache_write
