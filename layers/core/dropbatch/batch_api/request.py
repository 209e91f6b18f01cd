"""One request to OpenAI, as a line of a batch file, and what it is expected to take.

A request is a pure function of a row and a recipe: it is built again, byte for byte the same, whenever it is needed.
What it takes is estimated cheaply: for a recipe once, for a ready request from the few members that matter.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson

from dropbatch.batch_api.endpoints import COMPLETIONS, EMBEDDINGS, IMAGES, MODERATIONS, RESPONSES, VIDEOS

BYTES_PER_DIMENSION = 24
"""What one number of an embedding takes as JSON (measured: 34.6 KB for 1,536), with some room."""

BYTES_PER_BASE64_DIMENSION = 6
"""What one 32-bit number of an embedding takes in base64."""

ANSWER_BYTES = 1024
"""What an answer takes besides its tokens."""

RESPONSE_BYTES = 2048
"""The same of an answer of `/v1/responses`: it gives all settings, and its reasoning is an item of its own. What it
repeats of the request is not counted: it is no more than the request, and a batch of requests has 200 MB at most."""

MODERATION_BYTES = 2560
"""What is said of one input: 13 categories three times, with a score of 20 digits."""

INCLUDED_BYTES = 65_536
"""What `include` adds to an answer, such as the twenty passages of 800 tokens that a search of files finds."""

MAX_INCLUDED = 8
"""More kinds of things cannot be included."""

BYTES_PER_TOKEN = 4
DEFAULT_TOKENS = 1_000
"""How long an answer is expected to be that has no cap."""

MAX_TOKENS = 16_000
"""Expect no more tokens than this, whatever the cap: caps are set generously, and for reasoning that is not shown.

It is an eighth of the longest answer of any model. Even if all answers of a batch are as long as that, it gives eight
times what it is expected to, which collect's disk of 10 GB holds.
"""

MAX_WIDE_TOKENS = 4_000
"""The same for tokens that take much: the models that give log probabilities or speak do not reason, and the longest
answer of theirs has 32,768 tokens."""

LOGPROB_BYTES = 100
"""What a token takes, or one of its alternatives, with its log probability: `{"token":…,"logprob":…,"bytes":[…]}`."""

MAX_LOGPROBS = 20
"""OpenAI gives no more alternatives to a token."""

PCM_BYTES_PER_TOKEN = 3_200
CODED_BYTES_PER_TOKEN = 2_000
"""What a token of speech takes in base64: it is 50 ms, which are 2,400 bytes at 24,000 samples of 16 bits a second. Of
the formats that say it shorter flac takes most."""

AUTOMATIC_PIXELS = 1536 * 1024
"""How large an image is at most if its size is left to the model."""

MAX_PIXELS = 3840 * 2160
"""The largest image that any model gives."""

PNG_BYTES_PER_PIXEL = 2
CODED_BYTES_PER_PIXEL = 1
"""What images take, before they are base64. A generated png has 1.5 to 3 MB at 1024 x 1024, where 3 bytes a pixel are
all there is to compress. jpeg and webp come in their best quality unless the request says otherwise. How detailed an
image is (`quality`) says little about its file."""

MAX_ANSWERS = 128
"""OpenAI gives no more answers to one request."""


_MODEL_NAME = re.compile(r"[A-Za-z0-9._:/@-]{1,256}")
"""OpenAI's names (`ft:<model>:org::id` too) and those of servers that have an organisation's name in front. A
model's name may come out of a row, and goes into keys, logs and notifications."""

LINE = b'{"custom_id":%b,"method":"POST","url":"%b","body":%b}\n'
"""An endpoint is one of a closed list, and needs no escapes."""


@dataclass(frozen=True, slots=True)
class RequestEstimate:
    """What a request takes: embedding inputs it counts for, and bytes its answer is expected to have.

    `is_list` says that it asks for a list of inputs, so that its answer is a list of as many, be it one.
    """

    embedding_inputs: int
    output_bytes: int
    is_list: bool = False


@dataclass(slots=True)
class Request:
    """A request body, as JSON without line feeds, and where it goes.

    Not frozen, because it is made for every row, and a frozen one costs three times as much.

    `expectation` is handed over where the builder knows it beforehand; else it is read from the body when first asked.
    """

    endpoint: str
    model: str
    body: bytes
    expectation: RequestEstimate | None = field(default=None, compare=False, repr=False)

    def line(self, custom_id: str) -> bytes:
        """The request as a line of a batch file, with its line feed."""
        return LINE % (orjson.dumps(custom_id), self.endpoint.encode(), self.body)

    def line_size(self, custom_id: str) -> int:
        """How many bytes that line has."""
        return len(LINE) - 3 * len("%b") + len(orjson.dumps(custom_id)) + len(self.endpoint.encode()) + len(self.body)

    @property
    def embedding_inputs(self) -> int:
        """How many of a batch's embedding inputs it takes; 0 for other endpoints."""
        return self._expected().embedding_inputs

    @property
    def expected_output_bytes(self) -> int:
        """How many bytes its answer is expected to take in the output file."""
        return self._expected().output_bytes

    @property
    def asks_for_list(self) -> bool:
        """Whether it asks for a list of inputs."""
        return self._expected().is_list

    @property
    def estimated_input_tokens(self) -> int:
        """A quarter of its bytes: fair for prose in most languages."""
        return len(self.body) // BYTES_PER_TOKEN

    def _expected(self) -> RequestEstimate:
        if self.expectation is None:
            self.expectation = expectation(self.endpoint, self.model, self.body)
        return self.expectation


def is_model_name(text: str) -> bool:
    """Whether a text can be the name of a model."""
    return _MODEL_NAME.fullmatch(text) is not None


class _Members(msgspec.Struct):
    """The members of a body that its answer's size depends on. Their types are the sender's business."""

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
    """The members of a tool that the size of what it makes depends on."""

    type: Any = None
    size: Any = None
    output_format: Any = None


RELEVANT = frozenset(_Members.__struct_fields__)
"""The names of the body's members that its expectation depends on."""

FORMS = frozenset({"input", "prompt"})
"""Those of them whose form it depends on, but not their texts."""

_members = msgspec.json.Decoder(_Members)
_list = msgspec.json.Decoder(list[msgspec.Raw])
_tools = msgspec.json.Decoder(list[_Tool])

_CODED = ("mp3", "opus", "flac", "aac")
_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")


def expectation(endpoint: str, model: str, body: bytes) -> RequestEstimate:
    """What a request with this body takes; a body that cannot be read counts as an ordinary one."""
    try:
        members = _members.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        members = _Members()
    if endpoint == EMBEDDINGS:
        dimensions = _count(members.dimensions) or (3072 if "3-large" in model else 1536)
        size = BYTES_PER_BASE64_DIMENSION if members.encoding_format == "base64" else BYTES_PER_DIMENSION
        inputs = _inputs(members.input)
        return RequestEstimate(inputs, inputs * dimensions * size, _is_list(members.input))
    asked = {MODERATIONS: members.input, COMPLETIONS: members.prompt}.get(endpoint)
    return RequestEstimate(0, _output_bytes(endpoint, members), asked is not None and _is_list(asked))


def _output_bytes(endpoint: str, members: _Members) -> int:
    answers = min(_count(members.n) or 1, MAX_ANSWERS)
    if endpoint in IMAGES:
        return (ANSWER_BYTES + _image_bytes(members.size, members.output_format)) * answers
    if endpoint == MODERATIONS:
        return ANSWER_BYTES + MODERATION_BYTES * _inputs(members.input)
    if endpoint == VIDEOS:
        return ANSWER_BYTES
    if endpoint == RESPONSES:
        return _response_bytes(members) + _text_bytes(members)
    answers *= _inputs(members.prompt) if endpoint == COMPLETIONS else 1
    return (ANSWER_BYTES + _text_bytes(members)) * answers


def _text_bytes(members: _Members) -> int:
    """What the tokens of one answer take, be they text or speech."""
    caps = (members.max_completion_tokens, members.max_output_tokens, members.max_tokens)
    cap = next((count for count in map(_count, caps) if count), DEFAULT_TOKENS)
    each, shown = BYTES_PER_TOKEN, _count(members.top_logprobs) or _count(members.logprobs)
    asked = members.logprobs is not None and members.logprobs is not False  # 0 is how many alternatives to show
    if asked or shown or any(map(_is_logprobs, _listed(members.include))):
        each += LOGPROB_BYTES * (1 + min(shown, MAX_LOGPROBS))
    if "audio" in _listed(members.modalities):
        coded = isinstance(members.audio, dict) and members.audio.get("format") in _CODED
        each += CODED_BYTES_PER_TOKEN if coded else PCM_BYTES_PER_TOKEN
    return each * min(cap, MAX_TOKENS if each == BYTES_PER_TOKEN else MAX_WIDE_TOKENS)


def _response_bytes(members: _Members) -> int:
    """What an answer of `/v1/responses` takes besides its text: what is found or made on the way is part of it."""
    included = [name for name in _listed(members.include) if not _is_logprobs(name)]
    size = RESPONSE_BYTES + INCLUDED_BYTES * min(len(included), MAX_INCLUDED)
    tools = bytes(members.tools)
    if b"image_generation" not in tools:  # a list of tools can be long, and is looked into only for these
        return size
    try:
        images = [tool for tool in _tools.decode(tools) if tool.type == "image_generation"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        images = [_Tool()]
    return size + sum(_image_bytes(tool.size, tool.output_format) for tool in images)


def _image_bytes(size: Any, output_format: Any) -> int:
    """What an image takes in base64."""
    found = _SIZE.fullmatch(size) if isinstance(size, str) else None
    pixels = min(int(found[1]) * int(found[2]), MAX_PIXELS) if found else AUTOMATIC_PIXELS
    each = CODED_BYTES_PER_PIXEL if output_format in ("jpeg", "webp") else PNG_BYTES_PER_PIXEL
    return pixels * each * 4 // 3


def _is_logprobs(included: Any) -> bool:
    return bool(included == "message.output_text.logprobs")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _count(value: Any) -> int:
    """A positive whole number, or 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _is_list(raw: msgspec.Raw) -> bool:
    """Whether a request's `input` is a list of inputs. A list of tokens, or of the parts of one input, is none."""
    data = bytes(raw)
    return data.startswith(b"[") and data[1:].lstrip()[:1] in (b'"', b"[")


def _inputs(raw: msgspec.Raw) -> int:
    """How many inputs a request's `input` is: a list of texts or token lists counts each, a list of tokens is one."""
    data = bytes(raw)
    if not data.startswith(b"["):
        return 1
    try:
        items = _list.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 1
    tokens = bool(items) and bytes(items[0])[:1] not in (b'"', b"[")
    return 1 if tokens else max(1, len(items))
