"""The question of a request: the texts of which at least one must not be blank.

The same rules apply to a ready request, to the shape that many requests share, and to a body whose texts are still
templates. OpenAI refuses some of the requests that Dropbatch refuses here, and answers the others although they ask
nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dropbatch.batch_api.endpoints import CHAT, RESPONSES, endpoint_at

_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
_CONTENT_MEMBERS = ("tool_calls", "function_call", "audio", "refusal")
"""The members of a message that are content besides its text."""

_WITHOUT_INPUT = ("prompt", "previous_response_id", "conversation")
"""The members of a Responses body that can replace `input`."""

Path = tuple[str | int, ...]
Texts = Sequence[tuple[Path, Any]]
"""Texts, or templates of texts, with their places in the body."""


class Flaw(NamedTuple):
    """A fault of a question: a code, the body's member, and words that follow "the line" or "the recipe"."""

    code: str
    member: str
    what: str


def flaw_of(endpoint: str, body: Mapping[str, Any]) -> Flaw | None:
    """Return the reason why a request asks nothing; None if it asks something."""
    found = form_flaw(endpoint, body)
    if found is not None:
        return found
    for group in text_groups(endpoint, body):
        if not any(text.strip() for _, text in group):
            member = endpoint_at(endpoint).question
            return Flaw("empty_input", member, f"has nothing but empty texts in its {member}; fill them")
    return None


def form_flaw(endpoint: str, body: Mapping[str, Any], template: type | None = None) -> Flaw | None:
    """Return the fault of the question's form, whatever its texts say; a `template` may be in place of any value."""
    member = endpoint_at(endpoint).question
    value = body.get(member)
    if template is not None and isinstance(value, template):
        return None
    if endpoint == CHAT:
        return _messages_flaw(value, template)
    if endpoint == RESPONSES and not value and any(body.get(name) for name in _WITHOUT_INPUT):
        return None
    if not endpoint_at(endpoint).requires_question:
        return None
    if value is None:
        return Flaw("missing_input", member, f"has no {member} in its body; add it")
    if not value and isinstance(value, str | list):
        return Flaw("empty_input", member, f"has an empty {member}; fill it")
    if endpoint != RESPONSES and isinstance(value, list) and any(item == [] for item in value):
        return Flaw("empty_input", member, f"has an empty list in its {member}; fill it")
    return None


def _messages_flaw(messages: Any, template: type | None) -> Flaw | None:
    if messages is None or messages == []:
        what = 'has no messages in its body; add them, as in [{"role": "user", "content": "…"}]'
        return Flaw("missing_messages", "messages", what)
    if not isinstance(messages, list):
        what = 'has messages that are not a list; write them as in [{"role": "user", "content": "…"}]'
        return Flaw("invalid_messages", "messages", what)
    for message in messages:
        if template is not None and isinstance(message, template):
            continue
        if not isinstance(message, Mapping):
            what = 'has a message that is not an object; write it as in {"role": "user", "content": "…"}'
            return Flaw("invalid_messages", "messages", what)
        role = message.get("role")
        if not role or not isinstance(role, str if template is None else (str, template)):
            what = 'has a message without a role; give it one, as in "role": "user"'
            return Flaw("invalid_messages", "messages", what)
    return None


def text_groups(endpoint: str, body: Mapping[str, Any], template: type | None = None) -> Iterator[Texts]:
    """Yield groups of texts, each of which needs one that is not blank.

    There is no group if the request asks about something other than text, such as an image. With templates, only the
    texts of the last turn count: the messages before it are the same for many rows.
    """
    member = endpoint_at(endpoint).question
    value = body.get(member)
    instead = [((name,), body[name]) for name in _WITHOUT_INPUT if endpoint == RESPONSES and body.get(name)]
    if not all(_is_text(item, template) for _, item in instead):
        return
    if endpoint_at(endpoint).is_conversation and isinstance(value, list):
        found = _conversation_texts(value, (member,), template)
    elif isinstance(value, list) and not any(isinstance(item, Mapping) for item in value):
        yield from ([((member, place), item)] for place, item in enumerate(value) if _is_text(item, template))
        return
    else:
        found = content_texts(value, (member,), template)
    if found is not None and (value is not None or instead):
        yield [*found, *instead]


def _conversation_texts(messages: list[Any], at: Path, template: type | None) -> Texts | None:
    """Return the texts of a conversation; None if it has something other than text as well."""
    numbered = list(enumerate(messages))
    if template is not None:
        answers = [place for place, message in numbered if _role(message) == "assistant"]
        turn = numbered[answers[-1] + 1 if answers else 0 :]
        asking = [(place, message) for place, message in turn if _role(message) == "user"]
        numbered = asking or turn or numbered
    found: list[tuple[Path, Any]] = []
    for place, message in numbered:
        if _is_text(message, template):
            found.append(((*at, place), message))
            continue
        if not isinstance(message, Mapping) or _has_other_content(message):
            return None
        texts = content_texts(message.get("content"), (*at, place, "content"), template)
        if texts is None:
            return None
        found += texts
    return found


def _role(message: Any) -> Any:
    return message.get("role") if isinstance(message, Mapping) else "user"


def _has_other_content(message: Mapping[str, Any]) -> bool:
    is_message = message.get("type", "message") == "message"
    return not is_message or any(message.get(name) for name in _CONTENT_MEMBERS)


def content_texts(content: Any, at: Path, template: type | None = None) -> Texts | None:
    """Return the texts of a message's content, or of an input; None if it has something other than text."""
    if content is None:
        return []
    if _is_text(content, template):
        return [(at, content)]
    if not isinstance(content, list):
        return None
    found: list[tuple[Path, Any]] = []
    for place, part in enumerate(content):
        if _is_text(part, template):
            found.append(((*at, place), part))
        elif isinstance(part, Mapping) and part.get("type") in _TEXT_PARTS:
            text = part.get("text")
            found += [((*at, place, "text"), text)] if _is_text(text, template) else []
        else:
            inner = list(_templates(part, (*at, place), template)) if template is not None else []
            if not inner:
                return None
            found += inner
    return found


def _is_text(value: Any, template: type | None) -> bool:
    return isinstance(value, str) or (template is not None and isinstance(value, template))


def _templates(value: Any, at: Path, template: type) -> Iterator[tuple[Path, Any]]:
    """Yield the templates within a part that is not text, such as an image's address."""
    if isinstance(value, template):
        yield at, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _templates(item, (*at, name), template)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _templates(item, (*at, place), template)
