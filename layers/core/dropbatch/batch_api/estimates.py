"""Estimates of what a request takes: embedding inputs, and bytes of the answer to it.

An estimate is cheap: for a recipe it is made once, for a ready request from the few members that matter. Shards are cut
by these figures. An answer of an endpoint that is not named here counts as text.
"""

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from dropbatch.batch_api.endpoints import EMBEDDINGS, IMAGES, MODERATIONS, RESPONSES, VIDEOS, endpoint_at

BYTES_PER_DIMENSION = 24
"""The size of one number of an embedding as JSON (measured: 34.6 KB for 1,536), with some reserve."""

BYTES_PER_BASE64_DIMENSION = 6
"""The size of one 32-bit number of an embedding in base64."""

ANSWER_BYTES = 1024
"""The size of an answer without its tokens."""

RESPONSE_BYTES = 2048
"""The same for an answer of `/v1/responses`: it repeats all settings, and its reasoning is an item of its own. It also
repeats parts of the request, which are not counted: a batch of requests has 200 MB at most."""

MODERATION_BYTES = 2560
"""The size of the answer to one input: 13 categories three times, with a score of 20 digits."""

INCLUDED_BYTES = 65_536
"""The size of one thing that `include` adds to an answer, such as the twenty passages of 800 tokens that a search of
files finds."""

MAX_INCLUDED = 8
"""More kinds of things cannot be included."""

BYTES_PER_TOKEN = 4
DEFAULT_TOKENS = 1_000
"""The expected length of an answer that has no cap."""

MAX_TOKENS = 16_000
"""Expect no more tokens than this, whatever the cap: caps are set generously, and for reasoning that is not shown.

It is an eighth of the longest answer of any model. Even if all answers of a batch are as long as that, the batch gives
eight times the expected bytes, which collect's disk of 10 GB holds.
"""

MAX_WIDE_TOKENS = 4_000
"""The same for tokens that take much: the models that give log probabilities or speak do not reason, and their longest
answer has 32,768 tokens."""

LOGPROB_BYTES = 100
"""The size of a token, or of one alternative, with its log probability: `{"token":…,"logprob":…,"bytes":[…]}`."""

MAX_LOGPROBS = 20
"""OpenAI gives no more alternatives to a token."""

PCM_BYTES_PER_TOKEN = 3_200
CODED_BYTES_PER_TOKEN = 2_000
"""The size of a token of speech in base64: it is 50 ms, which are 2,400 bytes at 24,000 samples of 16 bits a second. Of
the compressed formats flac takes most."""

AUTOMATIC_PIXELS = 1536 * 1024
"""The maximum size of an image if the model chooses its size."""

MAX_PIXELS = 3840 * 2160
"""The largest image that any model gives."""

PNG_BYTES_PER_PIXEL = 2
CODED_BYTES_PER_PIXEL = 1
"""The size of images, before they are base64. A generated png has 1.5 to 3 MB at 1024 x 1024, where 3 bytes a pixel are
all there is to compress. jpeg and webp come in their best quality unless the request says otherwise. How detailed an
image is (`quality`) says little about its file."""

MAX_ANSWERS = 128
"""OpenAI gives no more answers to one request."""


@dataclass(frozen=True, slots=True)
class RequestEstimate:
    """The embedding inputs of a request, and the expected bytes of the answer to it.

    `is_list` says that it asks for a list of inputs. The answer to it is then a list of as many, even if it is one.
    `unread_bytes` are those of the body that the model does not read: the members that a recipe adds about caching.
    """

    embedding_inputs: int
    output_bytes: int
    is_list: bool = False
    unread_bytes: int = 0


class _Members(msgspec.Struct):
    """The members of a body that the estimate depends on. Their types are the sender's business."""

    input: msgspec.Raw = msgspec.Raw(b"null")
    prompt: msgspec.Raw = msgspec.Raw(b"null")
    tools: msgspec.Raw = msgspec.Raw(b"null")
    dimensions: Any = None
    encoding_format: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    n: Any = None
    logprobs: Any = None
    top_logprobs: Any = None
    include: Any = None
    modalities: Any = None
    audio: Any = None
    size: Any = None
    output_format: Any = None


class _Tool(msgspec.Struct):
    """The members of a tool that the size of its product depends on."""

    type: Any = None
    size: Any = None
    output_format: Any = None


ESTIMATED_MEMBERS = frozenset(_Members.__struct_fields__)
"""The names of the members of a body that the estimate depends on."""

LISTABLE_MEMBERS = frozenset({"input", "prompt"})
"""Those of them of which only the form counts, one input or a list, and not the texts."""

_members = msgspec.json.Decoder(_Members)
_list = msgspec.json.Decoder(list[msgspec.Raw])
_tools = msgspec.json.Decoder(list[_Tool])

_CODED = ("mp3", "opus", "flac", "aac")
_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")


def estimate_request(endpoint: str, model: str, body: bytes) -> RequestEstimate:
    """Return the estimate of a request with this body; a body that cannot be read counts as an ordinary one."""
    try:
        members = _members.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        members = _Members()
    facts = endpoint_at(endpoint)
    asked = (members.prompt if facts.question == "prompt" else members.input) if facts.answers_each_input else None
    if endpoint == EMBEDDINGS:
        dimensions = _count(members.dimensions) or (3072 if "3-large" in model else 1536)
        size = BYTES_PER_BASE64_DIMENSION if members.encoding_format == "base64" else BYTES_PER_DIMENSION
        inputs = _inputs(members.input)
        return RequestEstimate(inputs, inputs * dimensions * size, _is_list(members.input))
    return RequestEstimate(0, _output_bytes(endpoint, members, asked), asked is not None and _is_list(asked))


def _output_bytes(endpoint: str, members: _Members, asked: msgspec.Raw | None) -> int:
    answers = min(_count(members.n) or 1, MAX_ANSWERS)
    if endpoint in IMAGES:
        return (ANSWER_BYTES + _image_bytes(members.size, members.output_format)) * answers
    if endpoint == MODERATIONS:
        return ANSWER_BYTES + MODERATION_BYTES * _inputs(members.input)
    if endpoint == VIDEOS:
        return ANSWER_BYTES
    if endpoint == RESPONSES:
        return _response_bytes(members) + _text_bytes(members)
    answers *= 1 if asked is None else _inputs(asked)
    return (ANSWER_BYTES + _text_bytes(members)) * answers


def _text_bytes(members: _Members) -> int:
    """Return the bytes of the tokens of one answer, text or speech."""
    caps = (members.max_completion_tokens, members.max_output_tokens, members.max_tokens)
    cap = next((count for count in map(_count, caps) if count), DEFAULT_TOKENS)
    each, shown = BYTES_PER_TOKEN, _count(members.top_logprobs) or _count(members.logprobs)
    asked = members.logprobs is not None and members.logprobs is not False  # 0 is a number of alternatives to show
    if asked or shown or any(map(_is_logprobs, _listed(members.include))):
        each += LOGPROB_BYTES * (1 + min(shown, MAX_LOGPROBS))
    if "audio" in _listed(members.modalities):
        coded = isinstance(members.audio, dict) and members.audio.get("format") in _CODED
        each += CODED_BYTES_PER_TOKEN if coded else PCM_BYTES_PER_TOKEN
    return each * min(cap, MAX_TOKENS if each == BYTES_PER_TOKEN else MAX_WIDE_TOKENS)


def _response_bytes(members: _Members) -> int:
    """Return the bytes of an answer of `/v1/responses` besides its text: its tools' findings and products count."""
    included = [name for name in _listed(members.include) if not _is_logprobs(name)]
    size = RESPONSE_BYTES + INCLUDED_BYTES * min(len(included), MAX_INCLUDED)
    tools = bytes(members.tools)
    if b"image_generation" not in tools:  # a list of tools can be long: it is decoded only for these
        return size
    try:
        images = [tool for tool in _tools.decode(tools) if tool.type == "image_generation"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        images = [_Tool()]
    return size + sum(_image_bytes(tool.size, tool.output_format) for tool in images)


def _image_bytes(size: Any, output_format: Any) -> int:
    """Return the bytes of an image in base64."""
    found = _SIZE.fullmatch(size) if isinstance(size, str) else None
    pixels = min(int(found[1]) * int(found[2]), MAX_PIXELS) if found else AUTOMATIC_PIXELS
    each = CODED_BYTES_PER_PIXEL if output_format in ("jpeg", "webp") else PNG_BYTES_PER_PIXEL
    return pixels * each * 4 // 3


def _is_logprobs(included: Any) -> bool:
    return bool(included == "message.output_text.logprobs")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _count(value: Any) -> int:
    """Return a positive whole number, and 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _is_list(raw: msgspec.Raw) -> bool:
    """Return whether a request's `input` is a list of inputs; a list of tokens, or of one input's parts, is not."""
    data = bytes(raw)
    return data.startswith(b"[") and data[1:].lstrip()[:1] in (b'"', b"[")


def _inputs(raw: msgspec.Raw) -> int:
    """Return the number of inputs in a request's `input`: each text or list of tokens of a list is one."""
    data = bytes(raw)
    if not data.startswith(b"["):
        return 1
    try:
        items = _list.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 1
    tokens = bool(items) and bytes(items[0])[:1] not in (b'"', b"[")
    return 1 if tokens else max(1, len(items))
