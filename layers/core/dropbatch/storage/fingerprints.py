"""Fingerprints of answers: they allow comparing a run with an older one whose answers are gone.

A fingerprint has 32 bits. A row has one for each column of its answer, or zeros if it has no good answer. They are
below `answers/<job>/` in the work bucket, where they outlast the job: four bytes for each value, row after row, in as
many pieces as rendering took. `head.json`, written last, describes them.
"""

import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any
from zlib import crc32

import msgspec
import orjson

from dropbatch import fast_paths
from dropbatch.batch_api.endpoints import endpoint_at
from dropbatch.domain.errors import ObjectNotFoundError
from dropbatch.json_encoding import to_json
from dropbatch.ports import JSON
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.storage.context import Context
from dropbatch.storage.fast_fingerprints import text_fingerprints
from dropbatch.storage.objects import read_object

MAX_COLUMNS = 50
"""How many of an answer's columns are compared."""

VALUE_BYTES = 4

_JSON_SEED = 1
"""A seed that makes the number 5 differ from the text "5"."""

_MAX_EXACT = 2**53


class Head(msgspec.Struct):
    """A description of a job's fingerprints.

    `values` are the values that a column can have, if they are few. `limit` says which rows of the drop were taken:
    None for all of them, a number for the first ones, or a list of a sample's size and seed. `pieces` are the keys of
    the objects.
    """

    columns: list[str]
    values: dict[str, list[Any]]
    rows: int
    version_id: str
    content: str | None
    limit: Any
    pieces: list[str]

    @property
    def row_bytes(self) -> int:
        return VALUE_BYTES * len(self.columns)


def compared_columns(compiled: CompiledRecipe | None) -> Sequence[str]:
    """Return the columns of an answer that are compared. A vector has none: it differs in each run."""
    return compiled.columns[:MAX_COLUMNS] if compiled and endpoint_at(compiled.endpoint).is_repeatable else ()


def row_fingerprints(columns: Sequence[Sequence[Any]]) -> list[bytes]:
    """Return the fingerprints of rows, given column by column."""
    width, count = len(columns), len(columns[0])
    found = array("I", bytes(VALUE_BYTES * width * count))
    for place, values in enumerate(columns):
        found[place::width] = array("I", fingerprints(values))
    data, size = found.tobytes(), VALUE_BYTES * width
    return [data[start : start + size] for start in range(0, len(data), size)]


def fingerprints(values: Sequence[Any]) -> list[int]:
    """Return the fingerprints of one column's values; none of them is 0.

    Equal values have equal fingerprints, whatever their form in a file: 5 and 5.0, or members in another order.
    """
    found = text_fingerprints(values) if fast_paths.enabled() else None
    return list(map(_fingerprint, values)) if found is None else found


def _fingerprint(value: Any) -> int:
    if isinstance(value, str):
        return crc32(value.encode("utf-8", "surrogatepass")) or 1
    return crc32(_canonical(to_json(value)), _JSON_SEED) or 1


def _canonical(data: bytes) -> bytes:
    """Return JSON in a form in which equal values are equal texts."""
    if data[:1] in (b"{", b"["):
        return orjson.dumps(orjson.loads(data), option=orjson.OPT_SORT_KEYS)
    if data.lstrip(b"-").isdigit() or data in (b"true", b"false", b"null"):
        return data
    number = float(data)
    return b"%d" % number if number.is_integer() and abs(number) < _MAX_EXACT else repr(number).encode()


def piece_key(job_id: str, shard: int, token: str) -> str:
    """Return the key of the fingerprints that a process writes for rows of a shard."""
    return f"{_prefix(job_id)}{shard:06d}.{token}"


def keep_head(context: Context, job_id: str, head: Head) -> None:
    """Store the description of a job's fingerprints."""
    context.objects.put(context.buckets.work, _prefix(job_id) + "head.json", msgspec.json.encode(head), JSON)


def head_of(context: Context, job_id: str) -> Head | None:
    """Return the description of a job's fingerprints; None if they are gone."""
    try:
        data = read_object(context.objects, context.buckets.work, _prefix(job_id) + "head.json")
    except ObjectNotFoundError:
        return None
    return msgspec.json.decode(data, type=Head)


def read_rows(context: Context, head: Head, rows: int) -> Iterator[list["array[int]"]]:
    """Yield a job's fingerprints, `rows` rows at a time, each time column by column."""
    size, width = rows * head.row_bytes, len(head.columns)
    held = bytearray()
    blocks = chain.from_iterable(context.objects.blocks(context.buckets.work, key) for key in head.pieces)
    for block in blocks:
        held += block
        while len(held) >= size:
            yield _columns(bytes(held[:size]), width)
            del held[:size]
    if held:
        yield _columns(bytes(held), width)


def named(values: Mapping[str, Sequence[Any]], column: str) -> dict[int, str]:
    """Return the names of a column's values by their fingerprints; empty if the column has too many values."""
    found = values.get(column, ())
    names = [value if isinstance(value, str) else json.dumps(value) for value in found]
    return dict(zip(fingerprints(found), names, strict=True))


def _columns(data: bytes, width: int) -> list["array[int]"]:
    found = array("I", data)
    return [found[place::width] for place in range(width)]


def _prefix(job_id: str) -> str:
    return f"answers/{job_id}/"
