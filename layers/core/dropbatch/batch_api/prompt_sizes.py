"""The size of a prompt: the bytes of its texts, its messages, and the tokens of its images, files and sounds."""

from typing import Any, Final

import msgspec

from dropbatch.batch_api.estimates import BYTES_PER_TOKEN
from dropbatch.batch_api.media_tokens import audio_tokens, file_tokens, image_tokens
from dropbatch.domain.quotes import FILE, IMAGE, Tokens

ABSENT: Final = msgspec.Raw(b"null")
"""The value of a member that a request does not have."""

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""The errors of JSON that cannot be read, or has another form than OpenAI takes."""


class _Part(msgspec.Struct, gc=False):
    """The members of a message, or of a part of its content."""

    type: Any = None
    role: Any = None
    content: msgspec.Raw = ABSENT
    text: msgspec.Raw = ABSENT
    tool_calls: msgspec.Raw = ABSENT
    arguments: msgspec.Raw = ABSENT
    output: msgspec.Raw = ABSENT
    detail: Any = None
    image_url: Any = None
    file: Any = None
    file_data: Any = None
    input_audio: Any = None


_part = msgspec.json.Decoder(_Part)
_part_list = msgspec.json.Decoder(list[_Part])
_list = msgspec.json.Decoder(list[msgspec.Raw])


class PromptSize:
    """The bytes of the texts of a prompt, its messages, and the tokens of what is not text."""

    __slots__ = ("_model", "bytes", "media", "messages", "notes")

    def __init__(self, model: str) -> None:
        self._model = model
        self.bytes = 0
        self.messages = 0
        self.media = (0, 0, 0)
        self.notes: frozenset[str] = frozenset()

    def read(self, raw: bytes) -> None:
        """Add a text, a message, a part of one, or a list of these."""
        first = raw[:1]
        if first == b'"':
            self.bytes += len(raw) - 2
        elif first == b"{":
            self._read_part(_part.decode(raw))
        elif first == b"[":
            self._read_list(raw)
        elif raw != b"null":
            self.bytes += BYTES_PER_TOKEN  # a token in place of a text

    def _read_list(self, raw: bytes) -> None:
        try:
            parts = _part_list.decode(raw)
        except msgspec.ValidationError:  # not all are objects
            for item in _list.decode(raw):
                self.read(bytes(item))
            return
        for part in parts:
            self._read_part(part)

    def _read_part(self, part: _Part) -> None:
        kind = part.type
        if part.role is not None or kind == "message":
            self.messages += 1
            content = bytes(part.content)
            if content[:1] == b'"':
                self.bytes += len(content) - 2
            else:
                self.read(content)
            if part.tool_calls is not ABSENT:
                self._read_call(part)
        elif isinstance(kind, str) and kind.endswith("text"):
            self.read(bytes(part.text))
        elif kind in ("image_url", "input_image"):
            detail = part.image_url.get("detail") if isinstance(part.image_url, dict) else part.detail
            self._add(image_tokens(self._model, detail if isinstance(detail, str) else None), IMAGE)
        elif kind in ("file", "input_file"):
            data = part.file.get("file_data") if isinstance(part.file, dict) else part.file_data
            self._add(file_tokens(len(data) if isinstance(data, str) else 0), FILE)
        elif kind == "input_audio" and isinstance(part.input_audio, dict):
            data = part.input_audio.get("data")
            self._add(audio_tokens(len(data) if isinstance(data, str) else 0, part.input_audio.get("format")), FILE)
        else:
            self._read_call(part)

    def _read_call(self, part: _Part) -> None:
        """Add a call of a tool, or its result."""
        for raw in (part.tool_calls, part.arguments, part.output):
            if raw is not ABSENT:
                self.bytes += len(bytes(raw))

    def _add(self, tokens: Tokens, note: str) -> None:
        low, likely, high = self.media
        self.media = low + tokens.low, likely + tokens.likely, high + tokens.high
        self.notes |= {note}


def count_texts(raw: bytes) -> int:
    """Return the number of texts, or lists of tokens, in a list of these; 1 for anything else."""
    if not raw.startswith(b"["):
        return 1
    return max(1, sum(bytes(item)[:1] in (b'"', b"[") for item in _list.decode(raw)))
