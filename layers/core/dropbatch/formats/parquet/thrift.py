"""Thrift's compact protocol, as far as a Parquet footer needs it: parsed into fields, and built of them again.

A value stays the bytes that it was read as until its content is needed. So a footer of any size is changed in a few
places, and all the rest is neither understood nor copied piece by piece.
(https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md)
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT, UUID = range(1, 14)

MAX_DEPTH = 32
"""The deepest nesting that is read. Parquet's own structures nest about six deep."""

_FIXED_BYTES = {BYTE: 1, DOUBLE: 8, UUID: 16}


class MalformedError(ValueError):
    """The bytes are not what the protocol requires."""


class Field(NamedTuple):
    """A field's type, one of the constants above, and the bytes of its value."""

    kind: int
    data: bytes


Struct = dict[int, Field]
"""A structure's fields by their ids, in order."""


def parse(data: bytes) -> Struct:
    """Return the fields of a structure; what follows its end is ignored."""
    fields: Struct = {}
    for identity, kind, start, end in _fields(data, 0, 0)[0]:
        fields[identity] = Field(kind, data[start:end])
    return fields


def build(fields: Mapping[int, Field]) -> bytes:
    """Return the structure of these fields, in the order of their ids."""
    out = bytearray()
    last = 0
    for identity, field in sorted(fields.items()):
        step = identity - last
        out += bytes([step << 4 | field.kind]) if 0 < step < 16 else bytes([field.kind]) + from_int(identity)
        out += field.data
        last = identity
    return bytes(out) + b"\0"


def items(field: Field) -> list[bytes]:
    """Return the elements of a list, each as its bytes."""
    kind, count, at = _list_head(field.data, 0)
    found = []
    for _ in range(count):
        end = _end(field.data, at, kind, 0, within=True)
        found.append(field.data[at:end])
        at = end
    return found


def structs(elements: Sequence[bytes]) -> Field:
    """Return a list of structures."""
    count = len(elements)
    head = bytes([count << 4 | STRUCT]) if count < 15 else bytes([0xF0 | STRUCT]) + _varint(count)
    return Field(LIST, head + b"".join(elements))


def to_int(data: bytes) -> int:
    """Return a whole number of any size but a byte's (zigzag)."""
    number, _ = _read_varint(data, 0)
    return number >> 1 ^ -(number & 1)


def from_int(number: int) -> bytes:
    """Return the bytes of a whole number."""
    return _varint(number << 1 if number >= 0 else (-number << 1) - 1)


def to_bytes(data: bytes) -> bytes:
    """Return the content of a text or a binary."""
    size, at = _read_varint(data, 0)
    return data[at : at + size]


def from_bytes(content: bytes) -> bytes:
    """Return the bytes of a text or a binary."""
    return _varint(len(content)) + content


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise MalformedError
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return number, at
        shift += 7


def _list_head(data: bytes, at: int) -> tuple[int, int, int]:
    """Return the kind of a list's elements, how many they are, and where they start."""
    if at >= len(data):
        raise MalformedError
    kind, count, at = data[at] & 0x0F, data[at] >> 4, at + 1
    if count == 15:
        count, at = _read_varint(data, at)
    if count > len(data):  # an element takes a byte at least, so that nobody is made to count to 2**63
        raise MalformedError
    return kind, count, at


def _fields(data: bytes, at: int, depth: int) -> tuple[list[tuple[int, int, int, int]], int]:
    """Return each field of a structure as (id, kind, start, end), and where the structure ends."""
    found: list[tuple[int, int, int, int]] = []
    identity = 0
    while True:
        if at >= len(data):
            raise MalformedError
        head, at = data[at], at + 1
        if head == 0:
            return found, at
        if head >> 4:
            identity += head >> 4
        else:
            number, at = _read_varint(data, at)
            identity = number >> 1 ^ -(number & 1)
        start, at = at, _end(data, at, head & 0x0F, depth)
        found.append((identity, head & 0x0F, start, at))


def _end(data: bytes, at: int, kind: int, depth: int, *, within: bool = False) -> int:
    """Return where a value that starts at `at` ends.

    `within` a list or a map a truth value takes a byte; that of a field is in the field's head.
    """
    if depth > MAX_DEPTH:
        raise MalformedError
    if kind in (TRUE, FALSE):
        at += within
    elif kind in _FIXED_BYTES:
        at += _FIXED_BYTES[kind]
    elif kind in (I16, I32, I64):
        _, at = _read_varint(data, at)
    elif kind == BINARY:
        size, at = _read_varint(data, at)
        at += size
    elif kind in (LIST, SET):
        element, count, at = _list_head(data, at)
        for _ in range(count):
            at = _end(data, at, element, depth + 1, within=True)
    elif kind == MAP:
        at = _end_of_map(data, at, depth)
    elif kind == STRUCT:
        _, at = _fields(data, at, depth + 1)
    else:
        raise MalformedError
    if at > len(data):
        raise MalformedError
    return at


def _end_of_map(data: bytes, at: int, depth: int) -> int:
    count, at = _read_varint(data, at)
    if count > len(data):
        raise MalformedError
    if not count:
        return at
    if at >= len(data):
        raise MalformedError
    kinds, at = data[at], at + 1
    for _ in range(count):
        at = _end(data, at, kinds >> 4, depth + 1, within=True)
        at = _end(data, at, kinds & 0x0F, depth + 1, within=True)
    return at
