"""Each kind of wrong drop, as `rejected.json` and the notification describe it to its owner.

Each problem is one sentence that says what is wrong, where it is, and what to do.
"""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.formats.compression import Compression, compress
from tests.driving import RECIPE, drop, result_json, run
from tests.fakes import FakeContext

GOOD: Mapping[str, Any] = {
    "custom_id": "1",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "hi"}]},
}


def raw(**changes: Any) -> bytes:
    """Return a raw drop with a good line, and a second line with these changes. None leaves a member out."""
    second = {name: value for name, value in ({**GOOD, "custom_id": "2"} | changes).items() if value is not None}
    return json.dumps(GOOD).encode() + b"\n" + json.dumps(second).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Wrong:
    """A drop, and its expected problem: the code, the place, and words of the fault and of the advice."""

    name: str
    data: bytes
    code: str
    words: tuple[str, ...]
    line: int | None = None
    column: str | None = None
    key: str | None = None
    recipe: bytes | None = RECIPE
    limits: Limits = field(default_factory=Limits)


CHAT = "/v1/chat/completions"

CASES = {
    "not JSON": Wrong(
        "a.jsonl", b'{"text": "a"}\n{"text": }\n', "not_json", ("Line 2 is not JSON", "write one JSON object"), 2
    ),
    "not JSON in a raw drop": Wrong(
        "a.jsonl", json.dumps(GOOD).encode() + b"\nnope\n", "not_json", ("Line 2", "write one JSON object"), 2
    ),
    "no custom_id": Wrong(
        "a.jsonl", raw(custom_id=None), "missing_custom_id", ("Line 2 has no custom_id", "needs"), 2, key="custom_id"
    ),
    "a custom_id twice": Wrong(
        "a.jsonl", raw(custom_id="1"), "duplicate_custom_id", ("Line 2", "give every line its own"), 2, key="custom_id"
    ),
    "an unknown url": Wrong(
        "a.jsonl", raw(url="/v1/chat/completion"), "invalid_url", ("Line 2", f"did you mean {CHAT}?"), 2, key="url"
    ),
    "another method": Wrong(
        "a.jsonl", raw(method="PUT"), "invalid_method", ("Line 2", 'write "method": "POST"'), 2, key="method"
    ),
    "no body": Wrong("a.jsonl", raw(body=None), "missing_body", ("Line 2 has no body", "needs"), 2, key="body"),
    "no model": Wrong(
        "a.jsonl",
        raw(body={"messages": [{"role": "user", "content": "hi"}]}),
        "missing_model",
        ("Line 2 has no model", "add it"),
        2,
        key="body.model",
    ),
    "a stream": Wrong(
        "a.jsonl",
        raw(body={"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}),
        "streaming",
        ("Line 2 asks for a stream", "remove stream"),
        2,
        key="body.stream",
    ),
    "a line over the byte limit": Wrong(
        "a.csv",
        b"text\nshort\n" + b"x" * 2000 + b"\n",
        "line_too_long",
        ("ine 3", "1,000", "shorten"),
        3,
        limits=Limits(line_bytes=1000),
    ),
    "a request over the byte limit": Wrong(
        "a.csv",
        b"text\n" + b"x" * 900 + b"\n",
        "line_too_long",
        ("The request of line 2", "1,000", "shorten the row"),
        2,
        limits=Limits(line_bytes=1000),
    ),
    "a template that names no column": Wrong(
        "a.csv", b"txet\na\n", "undefined_name", ("recipe.yaml", "key prompt", "{{ txet }}"), 2, key="prompt"
    ),
    "ragged rows": Wrong(
        "a.csv", b"id,text\n1,a\n2\n", "ragged_row", ("Line 3 has 1 value where the header has 2 columns", "add"), 3
    ),
    "a column twice": Wrong(
        "a.csv",
        b"text,id,text\na,1,b\n",
        "duplicate_column",
        ("header (line 1)", "“text” more than once", "rename"),
        1,
        column="text",
    ),
    "a column that the answers would add": Wrong(
        "a.csv", b"text,answer\na,b\n", "column_exists", ("'answer' already", "set prefix"), column="answer"
    ),
    "a column _status": Wrong(
        "a.csv", b"text,_status\na,b\n", "column_exists", ("'_status' already", "set prefix"), column="_status"
    ),
    "an empty file": Wrong("a.csv", b"", "empty_file", ("empty", "drop")),
    "a header without rows": Wrong("a.csv", b"text\n", "empty_file", ("no rows", "at least one row")),
    "no recipe": Wrong("b/a.csv", b"text\na\n", "no_recipe", ("b/recipe.yaml", "put a recipe.yaml"), recipe=None),
    "an unknown recipe key": Wrong(
        "a.csv",
        b"text\na\n",
        "unknown_key",
        ("Line 3 of recipe.yaml", "did you mean schema?"),
        3,
        key="shema",
        recipe=RECIPE + b"shema: {a: string}\n",
    ),
    "known answers in no column": Wrong(
        "a.csv",
        b"text\na\n",
        "wrong_type",
        ("Line 3 of recipe.yaml", "`expect` must be the name of a column", "not the number 5"),
        3,
        key="expect",
        recipe=RECIPE + b"expect: 5\n",
    ),
    "a wrong type in a recipe": Wrong(
        "a.csv",
        b"text\na\n",
        "wrong_type",
        ("Line 3 of recipe.yaml, key system", "`system` must be a text", "not the number 4", "write it in quotes"),
        3,
        key="system",
        recipe=RECIPE + b"system: 4\n",
    ),
    "a template without quotes": Wrong(
        "a.csv",
        b"text\na\n",
        "unquoted_template",
        ("Line 2 of recipe.yaml", "quotes"),
        2,
        recipe=b"model: m\nprompt: {{ text }}\n",
    ),
    "an unknown extension": Wrong("a.doc", b"text\na\n", "unknown_extension", (".doc", "csv, tsv, jsonl")),
    "a spreadsheet": Wrong("a.xlsx", b"PK", "unknown_extension", ("spreadsheet", "CSV UTF-8")),
    "a damaged gzip": Wrong("a.csv.gz", b"text\na\n", "corrupt_gzip", ("damaged", "compress the file and drop it")),
    "a gzip cut short": Wrong(
        "a.csv.gz", gzip.compress(b"text\n" + b"a\n" * 99)[:-9], "corrupt_gzip", ("cut short", "compress and drop it")
    ),
    "a zstd cut short": Wrong(
        "a.csv.zst", compress(b"text\na\n", Compression.ZSTD)[:-1], "corrupt_zstd", ("cut short", "drop it again")
    ),
    "a bomb": Wrong(
        "a.csv.gz",
        gzip.compress(b"text\n" + b"a\n" * 10_000),
        "drop_too_large",
        ("larger than 20,000 bytes", "split it", "MaxDropGigabytes"),
        limits=Limits(drop_bytes=20_000),
    ),
    "a file that is too large": Wrong(
        "a.csv",
        b"text\n" + b"a\n" * 10_000,
        "drop_too_large",
        ("larger than 20,000 bytes", "split it", "MaxDropGigabytes"),
        limits=Limits(drop_bytes=20_000),
    ),
    "text that is not UTF-8": Wrong(
        "a.csv",
        "text\na\nüber\n".encode("cp1252"),
        "invalid_utf8",
        ("Line 3, byte 1 (0xfc) is not UTF-8", "save the file as UTF-8"),
        3,
    ),
    "UTF-16": Wrong("a.csv", "text\na\n".encode("utf-16-le"), "not_utf8", ("UTF-16", "save it as UTF-8"), 1),
    "a long key": Wrong(
        "ü" * 449 + ".csv", b"text\na\n", "key_too_long", ("902 bytes", "900 is the maximum", "shorter names")
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("wrong", CASES.values(), ids=CASES)
def test_a_rejection_says_what_is_wrong_where_and_what_to_do(wrong: Wrong, tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, limits=wrong.limits)
    if wrong.recipe is not None:
        fake.objects.drop("recipe.yaml", wrong.recipe)
    drop(fake, wrong.name, wrong.data)

    run(fake)

    (rejected,) = fake.topics.published
    assert rejected.event == "rejected"
    problems = result_json(fake, "rejected.json")["problems"]
    assert problems["total"] == 1, problems
    (problem,) = problems["first"]
    assert problem["code"] == wrong.code
    assert (problem.get("line"), problem.get("column"), problem.get("key")) == (wrong.line, wrong.column, wrong.key)
    for words in wrong.words:
        assert words in problem["message"]
    assert problem["message"] in rejected.text
    assert fake.openai.files == fake.openai.batches == {}, "nothing is sent to OpenAI"
    assert fake.objects.keys("the-work") == [], "nothing is kept of it"
