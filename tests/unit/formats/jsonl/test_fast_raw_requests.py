"""Lines that are read by a template give the same rows and problems as lines read one by one."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dropbatch.domain.errors import RowRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.formats.jsonl import reader as jsonl
from dropbatch.formats.jsonl.fast_line_template import MAX_BYTES, MAX_GAPS, RawChunk
from dropbatch.formats.jsonl.fast_raw_requests import (
    MAX_MISSES,
    RETRIES,
    LineTemplates,
)
from dropbatch.formats.jsonl.raw_request import raw_custom_id
from dropbatch.formats.records import Record
from dropbatch.rows.request_builder import RequestBuilder
from tests.unit.formats.reading_drops import drop

pytestmark = pytest.mark.usefixtures("with_fast_paths")


def request(row: int, **body: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"row {row}"}]
    members = {"model": "m", "messages": messages, "max_completion_tokens": 50, "temperature": 0.5, **body}
    return {"custom_id": f"row-{row}", "method": "POST", "url": "/v1/chat/completions", "body": members}


ALIKE = [json.dumps(request(row)).encode() + b"\n" for row in range(100)]

Requests = list[tuple[Any, ...]]


def requests_of(records: Sequence[Record]) -> Requests:
    """Return the requests of rows, made one by one."""
    asker, found = RequestBuilder(None), []
    for record in records:
        try:
            asked = asker.request(record)
            assert asked is not None
            each = (asked.endpoint, asked.model, asked.body, asked.embedding_inputs, asked.expected_output_bytes)
        except RowRejectedError as rejected:
            each = tuple(rejected.problems)
        found.append((record.number, record.line, record.raw, raw_custom_id(record), each))
    return found


def read_together(lines: list[bytes]) -> Requests:
    asker, found = RequestBuilder(None), []
    for chunk in drop("r.jsonl", b"".join(lines)).chunks():
        requests = asker.requests(chunk)
        if not isinstance(chunk, RawChunk) or requests is None:
            found += requests_of(chunk.records())
            continue
        bodies = requests.bodies()
        assert list(map(len, bodies)) == requests.sizes
        expected = (requests.estimate.embedding_inputs, requests.estimate.output_bytes)
        each = [(requests.endpoint, requests.model, body, *expected) for body in bodies]
        rows = zip(chunk.lines, chunk.raws, chunk.ids, each, strict=True)
        found += [(number, *row) for number, row in enumerate(rows, chunk.number)]
    return found


def read_one_by_one(lines: list[bytes]) -> Requests:
    records: list[Record] = []
    for line, raw in enumerate(lines, 1):
        if not raw.isspace():
            records.append(Record(len(records) + 1, line, raw, *jsonl.parse_object(raw, line)))
    return requests_of(records)


def test_lines_of_the_same_form_are_one_chunk() -> None:
    chunks = list(drop("r.jsonl", b"".join(ALIKE)).chunks())
    assert [type(chunk).__name__ for chunk in chunks[:2]] == ["ObjectRows"] * 2, "the first two lines give the shape"
    assert sum(len(chunk.raws) for chunk in chunks if isinstance(chunk, RawChunk)) == 98
    assert read_together(ALIKE) == read_one_by_one(ALIKE)


def changed(text: str, by: str) -> bytes:
    line = ALIKE[40].decode()
    assert text in line
    return line.replace(text, by, 1).encode()


COMPACT = json.dumps(request(40), separators=(",", ":")).encode() + b"\n"
assert len(COMPACT.replace(b'"temp', b'"temperature":100000,"temp')) == len(ALIKE[40])

MALFORMED = {
    "no JSON": changed('"method": ', '"method" '),
    "a comma too many": changed("0.5}", "0.5,}"),
    "not an object": b"[]\n",
    "NaN": changed("0.5", "NaN"),
    "a number out of range": changed("0.5", "1e400"),
    "a long number out of range": changed("0.5", "1" + "0" * 400 + ".0"),
    "a leading zero": changed("0.5", "00.5"),
    "a lone surrogate": changed("row 40", "\\ud83d"),
    "half an escape": changed("row 40", "\\u00"),
    "an unknown escape": changed("row 40", "\\x41"),
    "a control character": changed("row 40", "row\x0140"),
    "no UTF-8": changed("row 40", "row é").replace(b"\xc3\xa9", b"\xff"),
    "a surrogate as UTF-8": changed("row 40", "row é").replace(b"\xc3\xa9", b"\xed\xa0\x80"),
    "nested too deeply": changed("0.5", "[" * 50_000 + "]" * 50_000),
    "a member twice": changed('"method": "POST"', '"method": "POST", "method": "POST"'),
    "a member twice, escaped": changed('"method": "POST"', '"method": "POST", "m\\u0065thod": "POST"'),
    "a member of the body twice": changed('"temperature": 0.5', '"temperature": 0.5, "temperature": 1'),
    "a member within twice": changed('"role": "user"', '"role": "user", "role": "user"'),
    "a member within twice, no space saved": changed('"role": "user"', '"role":"user","role":"us"'),
    "a member twice, in just the space that is left out": COMPACT.replace(b'"temp', b'"temperature":100000,"temp'),
    "no custom_id": changed('"custom_id"', '"id"'),
    "an empty custom_id": changed("row-40", ""),
    "a custom_id that is a number": changed('"row-40"', "40"),
    "another method": changed("POST", "GET"),
    "another url": changed("/v1/chat/completions", "/v1/chat"),
    "no body": changed('"body"', '"bodies"'),
    "a body in quotes": changed('"body": {', '"body": "", "x": {'),
    "no model": changed('"model"', '"models"'),
    "an empty model": changed('"model": "m"', '"model": ""'),
    "a model that is a number": changed('"model": "m"', '"model": 7'),
    "a stream": changed('"temperature": 0.5', '"stream": true'),
    "a stream more": changed('"temperature": 0.5', '"temperature": 0.5, "stream": true'),
    "two objects": changed("0.5}}", "0.5}} {}"),
    "cut short": ALIKE[40][:60] + b"\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_line_is_refused_among_lines_of_the_same_form(name: str) -> None:
    lines = [*ALIKE[:40], MALFORMED[name], *ALIKE[41:]]
    found = read_together(lines)
    assert found == read_one_by_one(lines)
    problems = found[40][-1]
    assert problems[0].line == 41
    assert all(isinstance(each[-1][0], str) for number, each in enumerate(found) if number != 40)


SOUND = {
    "escapes in its id": changed("row-40", r"caf\u00e9 \"40\" \\"),
    "letters in its id": changed("row-40", "café 40"),
    "no spaces": COMPACT,
    "more spaces": changed('"body": {', '"body":   {').replace(b"}}", b"} }"),
    "escapes": changed("row 40", '\\u00e9\\u2028\\ud83d\\ude00 \\/ \\n \\u000a \\u0001 \\\\u0041 \\" \\u0041'),
    "letters": changed("row 40", "é 😀 \u2028"),
    "other white space": changed('"method": "POST"', '"method" :\t"POST"'),
    "another order": changed(
        '"method": "POST", "url": "/v1/chat/', '"url": "/v1/responses", "method": "POST", "x": "/'
    ),
    "another cap": changed("50", "4000"),
    "a float more": changed("0.5", "1"),
    "a name that looks repeated": changed("row 40", 'say \\"role\\": \\"user\\", \\"role\\":'),
    "one message more": changed('[{"role"', '[{"role": "user", "content": "x"}, {"role"'),
    "a member more": changed('"method"', '"note": {"a": [1, null, true]}, "method"'),
    "windows": ALIKE[40].replace(b"\n", b"\r\n"),
    "a blank line": b" \n",
}


@pytest.mark.parametrize("name", SOUND)
def test_a_line_of_another_form_is_read_unchanged(name: str) -> None:
    lines = [*ALIKE[:40], SOUND[name], *ALIKE[41:], SOUND[name], SOUND[name]]
    assert read_together(lines) == read_one_by_one(lines)


TEXTS = st.text(alphabet=st.sampled_from('ab"\\/\n\x01\x7f\x85é\u2028\ufffd😀:{},'), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
LINES = st.builds(
    lambda row, order, extra, ascii_only, compact, cut: (
        json.dumps(
            {name: {**request(row, **extra), "x": f"{row}"}[name] for name in order},
            ensure_ascii=ascii_only,
            separators=(",", ":") if compact else None,
        ).encode()[: -cut or None]
        + b"\n"
    ),
    st.integers(0, 12),
    st.sampled_from(
        [["custom_id", "method", "url", "body"], ["x", "body", "url", "custom_id", "method"], ["url", "body", "x"]]
    ),
    st.dictionaries(st.sampled_from(["x", "temperature", "stream", "input", "model", "n"]), VALUES, max_size=2),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0, 0, 0, 0, 0, 0, 1, 9]),
)


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(st.lists(LINES, max_size=3), st.lists(st.tuples(st.integers(0, 9), LINES), max_size=5))
def test_any_lines_are_read_as_they_are_one_by_one(kinds: list[bytes], others: list[tuple[int, bytes]]) -> None:
    lines = [ALIKE[0], *(line for kind in kinds for line in [kind] * 4)]
    for place, other in others:
        lines.insert(1 + place % len(lines), other)
    assert read_together(lines) == read_one_by_one(lines)


def test_a_line_of_two_requests_beside_a_blank_one_is_not_two_lines() -> None:
    lines = [*ALIKE[:20], ALIKE[20][:-1] + ALIKE[21], b"\n", *ALIKE[22:]]
    found = read_together(lines)
    assert found == read_one_by_one(lines)
    assert found[20][-1][0].line == 21


def written(line: dict[str, Any], *, compact: bool = False) -> bytes:
    return json.dumps(line, separators=(",", ":") if compact else None).encode() + b"\n"


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize(
    "line",
    [
        lambda n: request(n),
        lambda n: dict(reversed(request(n).items())),
        lambda n: request(n, temperature=n / 7, seed=-n, metadata={"n": str(n), "say": 'a "quoted" \\', "on": True}),
        lambda n: {"note": ["é", n, None, {"id": f"{n}"}], **request(n), "more": n},
        lambda n: {"before": request(7)["body"], **request(7), "custom_id": f"{n}"},
        lambda n: {**request(7), "custom_id": f"{n}", "after": request(7)["body"]},
        lambda n: {"custom_id": f'"{n}"', **request(n), "body": {**request(n)["body"], "stop": ['"', f'"{n}\\"', "x"]}},
        lambda n: {
            "custom_id": f"{n}",
            "method": "POST",
            "url": "/v1/embeddings",
            "body": {"model": "e", "input": [f"a {n}", "b" * (1 + n % 5)], "dimensions": 256},
        },
        lambda n: {
            "custom_id": f"{n}",
            "method": "POST",
            "url": "/v1/embeddings",
            "body": {"input": [n, n + 1, 9], "model": "e"},
        },
        lambda n: {"custom_id": f"{n}", "method": "POST", "url": "/v1/moderations", "body": {"input": f"say {n}"}},
        lambda n: {
            "custom_id": f"{n}",
            "method": "POST",
            "url": "/v1/images/generations",
            "body": {"model": "i", "prompt": f"draw {n}", "size": "1024x1024", "n": 2},
        },
    ],
)
def test_lines_that_differ_only_in_texts_and_numbers_are_read_together(line: Any, compact: bool) -> None:
    lines = [written(line(n), compact=compact) for n in range(60)]
    assert read_together(lines) == read_one_by_one(lines)
    chunks = drop("r.jsonl", b"".join(lines)).chunks()
    assert sum(len(chunk.raws) for chunk in chunks if isinstance(chunk, RawChunk)) > 50


DECIDING: dict[str, list[Any]] = {
    "size": ["1024x1024", "1536x1024"],
    "output_format": ["png", "jpeg"],
    "n": [1, 2],
    "logprobs": [1, 5],
    "top_logprobs": [1, 20],
    "max_output_tokens": [10, 90],
    "include": [["message.output_text.logprobs"], ["file_search_call.results"]],
    "modalities": [["text"], ["audio"]],
    "audio": [{"format": "mp3"}, {"format": "wav"}],
    "tools": [[{"type": "web_search"}], [{"type": "image_generation"}]],
    "prompt": [["a"], ["a", "b"], ["c", "d"], "e"],
    "input": [["a"], ["a", "b"], ["c", "d"], "e"],
}


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.sampled_from(
        ["/v1/chat/completions", "/v1/responses", "/v1/completions", "/v1/moderations", "/v1/images/generations"]
    ),
    st.lists(st.sampled_from(sorted(DECIDING)), unique=True, min_size=1, max_size=3),
    st.lists(st.integers(0, 11), min_size=12, max_size=24),
)
def test_estimates_of_lines_read_together_equal_those_of_each_line(
    url: str, names: list[str], choices: list[int]
) -> None:
    lines = []
    for n, choice in enumerate(choices):
        body = {name: DECIDING[name][(choice >> place) % len(DECIDING[name])] for place, name in enumerate(names)}
        asked = {"input": "a"} if "chat" not in url else {"messages": [{"role": "user", "content": "a"}]}
        line = {"custom_id": f"{n}", "method": "POST", "url": url, "body": {"model": "m", "seed": n, **asked, **body}}
        lines.append(written(line))
    assert read_together(lines) == read_one_by_one(lines)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('"seed": 1', '"seed": 1, 2'),
        ('"seed": 1', '"seed": '),
        ('"seed": 1', '"seed": "1"'),
        ('"seed": 1', '"seed": 1 1'),
    ],
)
def test_a_gap_takes_one_number(first: str, second: str) -> None:
    lines = [written(request(n, seed=n)) for n in range(40)]
    lines[21] = lines[1].replace(first.encode(), b'"seed": 1, 2').replace(b"row-1", b"row-21")
    lines[22] = lines[1].replace(first.encode(), second.encode()).replace(b"row-1", b"row-22")
    assert read_together(lines) == read_one_by_one(lines)


def _chat(n: int, *messages: Any, **body: Any) -> dict[str, Any]:
    return {**request(n), "body": {"model": "m", "messages": list(messages), **body}}


def _of(endpoint: str, n: int, **body: Any) -> dict[str, Any]:
    return {"custom_id": f"row-{n}", "method": "POST", "url": endpoint, "body": {"model": "m", **body}}


ASKED: dict[str, Any] = {
    "a chat": lambda n, text: _chat(n, {"role": "user", "content": text}),
    "a chat with two texts": lambda n, text: _chat(
        n, {"role": "system", "content": text}, {"role": "user", "content": text[::-1]}
    ),
    "a chat in parts": lambda n, text: _chat(n, {"role": "user", "content": [{"type": "text", "text": text}]}),
    "an embedding": lambda n, text: _of("/v1/embeddings", n, input=text),
    "a list of embeddings": lambda n, text: _of("/v1/embeddings", n, input=["a", text, "b"]),
    "a moderation": lambda n, text: _of("/v1/moderations", n, input=text),
    "a response": lambda n, text: _of("/v1/responses", n, input=text),
    "a response's items": lambda n, text: _of("/v1/responses", n, input=[{"role": "user", "content": text}]),
    "a response that continues": lambda n, text: _of("/v1/responses", n, previous_response_id=text),
    "a completion": lambda n, text: _of("/v1/completions", n, prompt=text),
    "an image": lambda n, text: _of("/v1/images/generations", n, prompt=text),
}

BLANK = st.sampled_from(["", " ", "\n", "\u00a0\t", "\u2028"])


@pytest.mark.slow
@pytest.mark.parametrize("line", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize("blank", ["", "  ", "\n\t", "\u00a0"])
def test_a_line_without_a_question_is_found_among_lines_read_together(line: Any, blank: str) -> None:
    lines = [written(line(n, f"row {n}")) for n in range(60)]
    assert sum(len(c.raws) for c in drop("r.jsonl", b"".join(lines)).chunks() if isinstance(c, RawChunk)) > 50
    lines[20] = written(line(20, blank))
    lines[40:43] = [written(line(n, blank)) for n in range(40, 43)]
    found = read_together(lines)
    assert found == read_one_by_one(lines)
    bad = [number for number, *_, each in found if each and isinstance(each[0], Problem)]
    assert bad == [21, 41, 42, 43]


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.sampled_from(sorted(ASKED)),
    st.lists(st.one_of(st.just("text"), st.text(max_size=3), BLANK), min_size=8, max_size=40),
)
def test_lines_read_together_equal_lines_read_one_by_one_for_any_texts(kind: str, texts: list[str]) -> None:
    lines = [written(ASKED[kind](n, text)) for n, text in enumerate(texts)]
    assert read_together(lines) == read_one_by_one(lines)


@pytest.mark.parametrize(
    "line",
    [
        lambda n: _chat(n, {"role": "system", "content": ""}, {"role": "user", "content": f"row {n}"}),
        lambda n: _chat(n, {"role": "system", "content": f"s {n}"}, {"role": "user", "content": " " * (n % 3)}),
        lambda n: _chat(
            n,
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]},
            {"role": "user", "content": "?" * (n % 3)},
        ),
        lambda n: _of(
            "/v1/moderations", n, input=[{"type": "text", "text": ""}, {"type": "image_url", "image_url": {}}]
        ),
        lambda n: _of("/v1/responses", n, input=" " * (n % 2), prompt={"id": "p"}),
        lambda n: _of("/v1/embeddings", n, input=[n, 0]),
    ],
)
def test_a_line_with_another_question_may_have_blank_members(line: Any) -> None:
    lines = [written(line(n)) for n in range(60)]
    found = read_together(lines)
    assert found == read_one_by_one(lines)
    assert not [each for *_, each in found if isinstance(each[0], Problem)]
    assert sum(len(c.raws) for c in drop("r.jsonl", b"".join(lines)).chunks() if isinstance(c, RawChunk)) > 50


def embedding(name: str, *inputs: Any) -> bytes:
    body = {"model": "e", "input": inputs}
    return written({"custom_id": name, "method": "POST", "url": "/v1/embeddings", "body": body})


REPEATING = st.builds(
    lambda name, sizes, numbers: embedding("i" * name, *(size if numbers else "a" * size for size in sizes)),
    st.integers(1, 3),
    st.lists(st.integers(0, 12), min_size=1, max_size=4),
    st.sampled_from([False, False, False, True]),
)


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(st.lists(REPEATING, min_size=8, max_size=24))
def test_lists_of_any_length_are_read_as_they_are_one_by_one(lines: list[bytes]) -> None:
    assert read_together(lines) == read_one_by_one(lines)


def test_a_list_of_fewer_texts_is_not_confused_with_one_of_more() -> None:
    """The text between its values is the same as in the other lists."""
    for long in range(1, 12):
        lines = [embedding("0", "a", "b", "c"), embedding("1", "aa", "bb", "cc"), embedding("2", "aa", "bbb", "c")]
        lines += [embedding("3", "a" * long, "c")]
        assert read_together(lines) == read_one_by_one(lines)


def test_a_member_that_decides_is_not_a_gap() -> None:
    """Two models alternate: each has its own template, and no request goes to the other model."""
    lines = [written(request(n, model=f"m{n % 2}", max_completion_tokens=50 + n // 40)) for n in range(80)]
    found = read_together(lines)
    assert found == read_one_by_one(lines)
    assert [each[-1][1] for each in found] == ["m0", "m1"] * 40


def test_lines_with_many_differences_and_long_ones_are_read_one_by_one() -> None:
    wide = [written(request(n, metadata={f"k{k}": f"{n}" for k in range(MAX_GAPS)})) for n in range(9)]
    assert read_together(wide) == read_one_by_one(wide)
    long = [written(request(n, input="x" * MAX_BYTES)) for n in range(5)]
    assert read_together(long) == read_one_by_one(long)


def test_templates_that_do_not_fit_are_not_tried_again() -> None:
    """A file without two lines of the same form is read as fast as single lines."""
    shapes = LineTemplates()
    lines = [written(request(row, metadata={f"k{row}": "v"})) for row in range(400)]
    for most in (MAX_MISSES + 1, RETRIES + 1, RETRIES + 1):
        chunks = list(shapes.chunks(lines, 1, 1))
        assert [record.raw for chunk in chunks for record in chunk.records()] == lines
        assert len(chunks) <= most
    assert sum(len(chunk.raws) for chunk in shapes.chunks(ALIKE, 1, 1) if isinstance(chunk, RawChunk)) > 50
