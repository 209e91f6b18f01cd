"""The savings of fast paths: `python -m benchmarks.fast_paths` prints how many times as long steps take without them.

The steps take turns with all fast paths on and off, in one process. A figure is the ratio of the medians in CPU
seconds.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any
from unittest import mock

from benchmarks.cases import lines_of
from benchmarks.inputs import RECIPE, csv_drop, raw_drop
from dropbatch import fast_paths
from dropbatch.answers.batch_reader import AnswerReader
from dropbatch.answers.output_files import split_addressed
from dropbatch.batch_api.limits import Limits
from dropbatch.batch_api.request import Request
from dropbatch.formats.file_types import file_type
from dropbatch.formats.jsonl.raw_request import raw_custom_id
from dropbatch.formats.jsonl.reader import parse_object
from dropbatch.formats.reading import DropReader, read_drop
from dropbatch.formats.records import Chunk, Record
from dropbatch.intake.fast_sharding import ChunkSharder
from dropbatch.ports import Writer
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.parser import parse_recipe
from dropbatch.recipes.templates import compile_template
from dropbatch.rows.fast_custom_ids import read_custom_ids
from dropbatch.rows.request_builder import RequestBuilder
from dropbatch.storage.fingerprints import fingerprints
from dropbatch.storage.shard_index import ShardIndex

ROWS = 20_000
RUNS = 5

SENTENCE = "It works as described, and the battery lasts for a day. "
CHAT = "/v1/chat/completions"
SCHEMA_RECIPE = b"model: m\nprompt: '{{ text }}'\nschema: {sentiment: [positive, negative], reason: why}\n"


def _drop(name: str, data: bytes) -> DropReader:
    return read_drop([data], file_type(name), encoding=None, limits=Limits())


def _compiled(recipe: bytes) -> CompiledRecipe:
    return compile_recipe(parse_recipe(recipe, "recipe.yaml"), {}, checked=True)


def _answer_lines(rows: int) -> list[bytes]:
    answer = json.dumps({"sentiment": "positive", "reason": SENTENCE})
    message: dict[str, Any] = {"role": "assistant", "content": answer, "refusal": None, "annotations": []}
    usage = {"prompt_tokens": 90, "completion_tokens": 30, "prompt_tokens_details": {"cached_tokens": 0}}
    body = {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
    response = {"status_code": 200, "request_id": "r", "body": body}
    return [
        json.dumps({"id": "batch_req_1", "custom_id": str(row), "response": response, "error": None}).encode()
        for row in range(1, rows + 1)
    ]


def _exhaust(items: Iterable[object]) -> None:
    for _ in items:
        pass


def _build(builder: RequestBuilder, chunks: Iterable[Chunk]) -> None:
    for chunk in chunks:
        lines_of(builder, chunk)


def _request(builder: RequestBuilder, record: Record) -> Request:
    request = builder.request(record)
    assert request is not None
    return request


def _render(source: str, values: dict[str, str], rows: int) -> None:
    template = compile_template(source)
    for _ in range(rows):
        template.render(values)


def _custom_ids(lines: Iterable[bytes]) -> None:
    if fast_paths.enabled():
        _exhaust(read_custom_ids(lines))
    else:
        _exhaust(raw_custom_id(Record(1, 1, line, *parse_object(line, 1))) for line in lines)


class _NoStore:
    """Keeps nothing of a shard."""

    @contextmanager
    def writing_shard(self, number: int, part: str | None = None) -> Iterator[Writer]:  # noqa: ARG002  # nothing is kept
        yield self

    def write(self, data: bytes) -> None: ...

    def set_shard_aside(self, number: int, part: str, size: int) -> None: ...

    def join_shard(self, number: int, parts: list[tuple[str, int]]) -> None: ...

    def keep_index(self, number: int, index: ShardIndex, part: str | None = None) -> None: ...

    def index(self, number: int, part: str | None = None) -> ShardIndex | None: ...


def _sharding(chunks: list[Chunk]) -> Callable[[], None]:
    """Return the step that adds rows to shards whose requests are known."""
    builder = RequestBuilder(_compiled(RECIPE))
    many = [builder.requests(chunk) for chunk in chunks]
    each = [[(record, _request(builder, record)) for record in chunk.records()] for chunk in chunks]

    def shard() -> None:
        sharder = ChunkSharder(_NoStore(), Limits(), "token")
        for chunk, requests, records in zip(chunks, many, each, strict=True):
            if requests is not None and fast_paths.enabled():
                sharder.add_chunk(chunk, requests)
                continue
            for record, request in records:
                size = request.line_size(str(record.number))
                sharder.add(record.raw, record.number, record.line, request, size)

    return shard


def steps(rows: int = ROWS) -> dict[str, Callable[[], object]]:
    """Return the steps that have a fast path, by its module."""
    csv_data, raw_data = csv_drop(rows).read_bytes(), raw_drop(rows).read_bytes()
    objects = [{"id": row, "text": SENTENCE * 8} for row in range(rows)]
    lines = b"".join(json.dumps(each).encode() + b"\n" for each in objects)
    document = json.dumps(objects, indent=1).encode()
    texts = f"{SENTENCE * 8}\n".encode() * rows
    answers = _answer_lines(rows)
    chunks, raw_chunks = (list(_drop(*each).chunks()) for each in (("r.csv", csv_data), ("r.jsonl", raw_data)))
    values = {"product": "p", "text": SENTENCE * 8}
    return {
        "formats/csv/fast_reader": lambda: _exhaust(_drop("r.csv", csv_data).chunks()),
        "formats/fast_text_lines": lambda: _exhaust(_drop("r.txt", texts).chunks()),
        "formats/fast_counting": lambda: _exhaust(_drop("r.jsonl", lines).pass_over()),
        "formats/jsonl/fast_lines": lambda: _exhaust(_drop("r.jsonl", lines).chunks()),
        "formats/jsonl/fast_names": lambda: [parse_object(line, 1) for line in lines.splitlines()],
        "formats/jsonl/fast_objects": lambda: _exhaust(_drop("r.json", document).chunks()),
        "formats/jsonl/fast_raw_requests": lambda: _build(RequestBuilder(None), _drop("r.jsonl", raw_data).chunks()),
        "recipes/fast_templates": lambda: _render("{{ product }}: {{ text }}", values, rows),
        "recipes/fast_body": lambda: _build(RequestBuilder(_compiled(RECIPE)), chunks),
        "rows/fast_requests": lambda: _build(RequestBuilder(None), raw_chunks),
        "rows/fast_custom_ids": lambda: _custom_ids(raw_data.splitlines()),
        "intake/fast_sharding": _sharding(chunks),
        "answers/fast_reader": lambda: AnswerReader(_compiled(SCHEMA_RECIPE), CHAT).read_all(answers),
        "answers/fast_addresses": lambda: split_addressed(b"\n".join(answers)),
        "storage/fast_fingerprints": lambda: fingerprints(["positive"] * rows),
    }


def measure(step: Callable[[], object], runs: int = RUNS) -> tuple[float, float]:
    """Return the CPU seconds that a step takes with the fast paths, and without them."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(runs):
        for enabled, found in seconds.items():
            with mock.patch.object(fast_paths, "enabled", lambda enabled=enabled: enabled):
                began = time.process_time()
                step()
                found.append(time.process_time() - began)
    return median(seconds[True]), median(seconds[False])


if __name__ == "__main__":
    for name, step in steps().items():
        fast, slow = (seconds / ROWS * 1e6 for seconds in measure(step))
        print(f"{name:<32} {fast:6.2f} µs a row, {slow:6.2f} without: {slow / fast:5.1f} times")
