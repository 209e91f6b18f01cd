"""A multipart upload, written to disk as it arrives: memory stays the same whatever the file's size."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import python_multipart
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from local.openai_emulator.errors import ApiError

MAX_FIELD_BYTES = 10_000


@dataclass(slots=True)
class Upload:
    """The contents of the form: its plain fields, and the file's name (None if there was no file)."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None
    size: int = 0


class _Form:
    """The parser's callbacks: the `file` part goes to disk, the other parts to `upload.fields`."""

    def __init__(self, content: BinaryIO, maximum: int) -> None:
        self.upload = Upload()
        self._content = content
        self._maximum = maximum
        self._header = self._value = b""
        self._disposition: dict[bytes, bytes] = {}
        self._part = b""

    def on_part_begin(self) -> None:
        self._disposition = {}
        self._part = b""

    def on_header_begin(self) -> None:
        self._header = self._value = b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = parse_options_header(self._value)[1]
            if self._is_file:
                self.upload.filename = self._disposition.get(b"filename", b"").decode(errors="replace")

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if not self._is_file:
            self._part += data[start:end]
            if len(self._part) > MAX_FIELD_BYTES:
                raise ApiError(400, "A form field is too long.", code="invalid_value")
            return
        self.upload.size += end - start
        if self.upload.size > self._maximum:
            raise ApiError(413, f"The file exceeds the maximum size of {self._maximum} bytes.", param="file")
        self._content.write(memoryview(data)[start:end])

    def on_part_end(self) -> None:
        if not self._is_file and (name := self._disposition.get(b"name")):
            self.upload.fields[name.decode(errors="replace")] = self._part.decode(errors="replace")

    @property
    def _is_file(self) -> bool:
        return self._disposition.get(b"name") == b"file"


async def receive_upload(content_type: str, chunks: AsyncIterator[bytes], path: Path, maximum: int) -> Upload:
    """Write the form's `file` to `path`, at most `maximum` bytes; raise ApiError for any other form."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise ApiError(400, "Invalid content type: expected 'multipart/form-data' with a boundary.")
    with path.open("wb") as content:
        form = _Form(content, maximum)
        parser = python_multipart.MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": form.on_part_begin,
                "on_part_data": form.on_part_data,
                "on_part_end": form.on_part_end,
                "on_header_begin": form.on_header_begin,
                "on_header_field": form.on_header_field,
                "on_header_value": form.on_header_value,
                "on_header_end": form.on_header_end,
            },
        )
        try:
            async for chunk in chunks:
                parser.write(chunk)
            parser.finalize()
        except FormParserError as error:
            raise ApiError(400, "The multipart form could not be parsed.") from error
    return form.upload
