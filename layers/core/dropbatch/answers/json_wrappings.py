"""Wrappings that models put around JSON if no schema constrains them: Markdown fences, tags and reasoning."""

_REASONING = ("<think>", "<thinking>", "<thought>", "<reasoning>", "[think]")
_ANSWERS = ("<answer>", "<output>", "<result>", "<response>", "<json>")
_FENCES = ("`", "~")

MIN_FENCE = 3
MAX_INFO = 20
"""How long the word after a fence may be, as in ```` ```json ````."""

MAX_LAYERS = 6
"""How many wrappings are removed, one within the other."""


def unwrap_json(text: str) -> str | None:
    """Return the text within the wrappings around the whole of a text; None if there are none."""
    rest = text.strip().removeprefix("\ufeff").strip()
    found = rest if text.lstrip().startswith("\ufeff") else None
    for _ in range(MAX_LAYERS):
        inner = next((inner for remove in _REMOVERS if (inner := remove(rest)) is not None), None)
        if inner is None:
            break
        found = rest = inner.strip()
    return found or None


def _without_reasoning(text: str) -> str | None:
    """Return the text after the reasoning at its start; None if it does not start with reasoning.

    Some servers leave its first tag to the prompt, so that only the last one is in the answer.
    """
    if text.startswith(("{", *_FENCES)):
        return None
    lower = _lowered(text)
    for opening in _REASONING:
        closing = _closing(opening)
        at = lower.find(closing) if lower.startswith(opening) else lower.rfind(closing)
        if at >= 0:
            return text[at + len(closing) :]
    return None


def _without_tags(text: str) -> str | None:
    lower = _lowered(text)
    for opening in _ANSWERS:
        closing = _closing(opening)
        if lower.startswith(opening) and lower.endswith(closing):
            return text[len(opening) : -len(closing)]
    return None


def _without_fence(text: str) -> str | None:
    """Return the text within a Markdown fence; None if there is no fence around the whole."""
    mark = text[:1]
    size = len(text) - len(text.lstrip(mark)) if mark in _FENCES else 0
    if size < MIN_FENCE or len(text) < 2 * size or not text.endswith(mark * size):
        return None
    inner = text[size:-size]
    info = inner[: len(inner) - len(inner.lstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"))]
    return inner[len(info) :] if len(info) <= MAX_INFO else None


_REMOVERS = (_without_tags, _without_fence, _without_reasoning)


def _lowered(text: str) -> str:
    """Return a text in small letters, each in its place; unchanged if it has letters that become several."""
    lower = text.lower()
    return lower if len(lower) == len(text) else text


def _closing(opening: str) -> str:
    return opening[0] + "/" + opening[1:]
