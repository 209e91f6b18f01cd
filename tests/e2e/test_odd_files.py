"""Files as programs write them, and answers as models and servers give them, through the deployed stack.

All are dropped at once, each with its recipe into a folder of its own. Each test checks the result of one.
"""

import base64
import csv
import gzip
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from local.openai_emulator.faults import PROMPT
from tests.e2e.conftest import Embedded

GIVEN = json.loads(Path("tests/scenarios/odd_answers.json").read_text())
"""Answers by name: a row that contains @@name@@ gets the one of that name."""

ECHO = b'model: echo-1\nprompt: "{{ text }}"\n'
"""A recipe with a model that answers with the question."""

LABELS = b"schema:\n  label: [fault, praise]\n  stars: integer\n"
CHAT = b'model: gpt-6-luna\nprompt: "Label: {{ text }}"\n'
RESPONSES = b'endpoint: /v1/responses\nmodel: gpt-5.4\nprompt: "{{ text }}"\n'
LINE = '{"custom_id": %s, "method": "POST", "url": "%s", "body": %s}\n'


@dataclass(frozen=True)
class Answered:
    """The result of a drop: rows by outcome, and columns of its answers file from the first row on."""

    rows: dict[str, int]
    columns: dict[str, list[Any]] = field(default_factory=dict)
    says: Sequence[str] = ()  # in the message for people
    begins: bytes = b""  # the answers file


@dataclass(frozen=True)
class Refused:
    """Texts in the problems of a rejected drop."""

    says: Sequence[str]


@dataclass(frozen=True)
class Case:
    """A file to drop, its recipe, and the expected result."""

    name: str
    recipe: bytes
    file: str
    data: bytes
    right: Answered | Refused

    @property
    def folder(self) -> str:
        """Return the folder of the drop, without the folders of its name."""
        return f"odd/{self.name}/{self.file}".rpartition("/")[0]


def given(*names: str) -> bytes:
    """Return a csv whose rows get these answers."""
    return b"id,text\n" + b"".join(f"{name},@@{name}@@\n".encode() for name in names)


def echoed(*texts: str, **more: Any) -> Answered:
    return Answered({"ok": len(texts)}, {"answer": list(texts)}, **more)


def raw(*lines: tuple[str, str, Any]) -> bytes:
    return "".join(LINE % (custom_id, url, json.dumps(body)) for custom_id, url, body in lines).encode()


def unmarked_table() -> bytes:
    """Return a table whose texts are bytes, as old programs wrote them."""
    out = io.BytesIO()
    pq.write_table(pa.table({"id": [1, 2], "text": pa.array([b"one", "zwölf".encode()], pa.binary())}), out)
    return out.getvalue()


ASKED = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Say a"}]}
CHAT_URL = "/v1/chat/completions"

CASES = [
    # Files of programs
    Case(
        "sep-line",
        ECHO,
        "a.csv",
        b"sep=;\nid;text\n1;The kettle leaks\n2;It works, mostly\n",
        echoed("The kettle leaks", "It works, mostly", begins=b"sep=;\nid;text;answer"),
    ),
    Case("utf-16", ECHO, "a.csv", "\ufeffid,text\n1,größer\n2,ünder\n".encode("utf-16-le"), echoed("größer", "ünder")),
    Case("utf-16-be", ECHO, "a.txt", "\ufeffgrößer\nünder\n".encode("utf-16-be"), echoed("größer", "ünder")),
    Case("utf-16-bare", ECHO, "a.csv", "id,text\n1,one\n2,two\n".encode("utf-16-le"), Refused(["UTF-16"])),
    Case("nul", ECHO, "a.csv", b"id,text\n1,The kettle\0 leaks\n2,fine\n", echoed("The kettle\0 leaks", "fine")),
    Case("nan", ECHO, "a.jsonl", b'{"text": "ok", "score": NaN}\n{"text": "x", "score": 1}\n', Refused(["null"])),
    Case("array", ECHO, "a.jsonl", b'[{"id": 1, "text": "ok"},\n {"id": 2, "text": "fine"}]\n', echoed("ok", "fine")),
    Case("array-json", ECHO, "a.json", b'[{"id": 1, "text": "ok"},{"id": 2, "text": "fine"}]', echoed("ok", "fine")),
    Case("pretty", ECHO, "a.jsonl", b'{\n  "text": "ok"\n}\n{\n  "text": "fine"\n}\n', echoed("ok", "fine")),
    Case("commas", ECHO, "a.jsonl", b'{"text": "ok"},\n{"text": "fine"},\n', echoed("ok", "fine")),
    Case(
        "mark-jsonl",
        ECHO,
        "a.jsonl",
        b'\xef\xbb\xbf{"text": "ok"}\r\n\r\n  \r\n{"text": "fine"}\r\n',
        echoed("ok", "fine"),
    ),
    Case("trailing", ECHO, "a.csv", b"id,text\n1,The kettle leaks,\n2,Works,\n", echoed("The kettle leaks", "Works")),
    Case("mac", ECHO, "a.csv", b"id,text\r1,one\r2,two\r", echoed("one", "two")),
    Case(
        "lone-quotes",
        ECHO,
        "a.tsv",
        b'id\ttext\n1\t"Where are you going?\n2\tHome."\n3\t5" pipe\n',
        echoed('"Where are you going?', 'Home."', '5" pipe'),
    ),
    Case(
        "quoting-none",
        ECHO + b"quoting: none\n",
        "a.csv",
        b'id,text\n1,"hi\n2,ho"\n',
        echoed('"hi', 'ho"'),
    ),
    Case(
        "escape",
        ECHO + b'escape: "\\\\"\n',
        "a.csv",
        b'id,text\n1,"say \\"hi\\", now"\n',
        echoed('say "hi", now'),
    ),
    Case("header", ECHO + b"header: 3\n", "a.csv", b"Report\n\nid,text\n1,one\n", echoed("one", begins=b"Report\n")),
    Case(
        "pipe", ECHO, "a.csv", b"id|text|note\n1|The kettle, blue|x\n2|Works|y\n", echoed("The kettle, blue", "Works")
    ),
    Case("gbk", ECHO, "a.csv", "id,text\n1,你好，世界\n2,水和冰水\n".encode("gbk"), Refused(["encoding: gb"])),
    Case(
        "gbk-named",
        ECHO + b"encoding: gbk\n",
        "a.csv",
        "id,text\n1,你好，世界\n2,水和冰水\n".encode("gbk"),
        Answered({"ok": 2}),
    ),
    Case("unmarked", ECHO, "a.parquet", unmarked_table(), Answered({"ok": 2})),
    Case("txt", ECHO, "a.txt", b'\xef\xbb\xbfone\r\n\r\n  two  \r\nthr"ee\r\n', echoed("one", "  two  ", 'thr"ee')),
    Case(
        "jinja",
        ECHO,
        "a.csv",
        b'id,text\n1,{{ 7*7 }} {% raw %}\n2,"{# x #} {{ row }}"\n',
        echoed("{{ 7*7 }} {% raw %}", "{# x #} {{ row }}"),
    ),
    Case("quotes", ECHO, "a.csv", b'id,text\n1,say "hi" now\n2,"back\\"slash"\n', Refused(["Line 3", "double quote"])),
    Case("redrop", ECHO, "a.answers.csv", b"id,text,answer,_status,_error\n1,x,y,ok,\n", Refused(["prefix"])),
    Case(
        "odd-values",
        CHAT.replace(b"text }}", b"text }} {{ n }}"),
        "a.jsonl",
        b'{"n": 12345678901234567890123, "text": "big"}\n{"n": -0.0, "text": "pair \\ud83d\\ude00 \\u2028"}\n',
        Answered({"ok": 2}),
    ),
    Case("glued", ECHO, "a.jsonl", b'{"text": "ok"}{"text": "fine"}', echoed("ok", "fine")),
    Case("members", ECHO, "a.csv.gz", gzip.compress(b"text\none\n") + gzip.compress(b"two\n"), Answered({"ok": 2})),
    Case(
        "pdf",
        b"endpoint: /v1/responses\nbody:\n  model: gpt-6-luna\n  input:\n    - role: user\n      content:\n"
        b'        - {type: input_file, filename: a.pdf, file_data: "{{ file }}"}\n'
        b'        - {type: input_text, text: "Summarise it"}\n',
        "a.jsonl",
        b'{"file": "data:application/pdf;base64,%s"}\n' % base64.b64encode(bytes(range(256)) * 4096),
        Answered({"ok": 1}),
    ),
    *(
        Case(f"name-{number}", ECHO, name, b"text\nhello\n", echoed("hello"))
        for number, name in enumerate(
            (
                "my file (1) + copy.csv",
                "100%2Bpure.csv",
                "ünï/cödé-名前😀.csv",
                "UPPER.CSV",
                "a'quote\"&<x>.csv",
                "back\\slash.csv",
                "semi;colon,comma=eq.csv",
            )
        )
    ),
    # Files that are not drops
    Case("capital-recipe", ECHO, "Recipe.yaml", ECHO, Refused(["recipe.yaml"])),
    Case("notepad-recipe", ECHO, "recipe.yaml.txt", ECHO, Refused(["recipe.yaml"])),
    Case("copied-recipe", ECHO, "recipe (1).yaml", ECHO, Refused(["recipe.yaml"])),
    # Slips in files and recipes
    Case(
        "blank-rows",
        ECHO,
        "a.csv",
        b"\xef\xbb\xbfid,text,note\r\n1,a,x\r\n2,b,y\r\n,,\r\n,,\r\n,,\r\n",
        Answered({"ok": 2, "skipped": 3}, {"_error": ["", "", *["blank_row"] * 3]}, says=["3 rows were blank"]),
    ),
    Case(
        "placeholder",
        b'model: echo-1\nprompt: "Label this: {text}"\n',
        "a.csv",
        b"id,text\n1,a\n",
        Refused(["{{ text }}"]),
    ),
    Case(
        "empty-embedding",
        b'endpoint: /v1/embeddings\nmodel: text-embedding-3-small\nprompt: "{{ text }}"\n',
        "a.csv",
        b"id,text\n1,a\n2,\n3,   \n",
        Refused(["Line 3", "Line 4"]),
    ),
    Case(
        "self",
        b'model: echo-1\nprompt: "Self: {{ self | trim }} Manager: {{ manager }}"\n',
        "a.csv",
        b"id,self,manager\n1,I did well,She did\n",
        echoed("Self: I did well Manager: She did"),
    ),
    Case(
        "none",
        b'model: echo-1\nprompt: "{{ none }} {{ true }} {{ range | upper }} {{ loop }}"\n',
        "a.csv",
        b"none,true,range,loop\na,b,c,d\n",
        echoed("a b C d"),
    ),
    Case(
        "when-number",
        ECHO + b'when: "{{ score > 3 }}"\n',
        "a.csv",
        b"id,text,score\n1,one,5\n",
        Refused(["score", "int"]),
    ),
    Case(
        "when-int",
        ECHO + b'when: "{{ score | int > 3 }}"\n',
        "a.csv",
        b"id,text,score\n1,one,5\n2,two,1\n3,three,\n",
        Answered({"ok": 1, "skipped": 2}, {"_error": ["", "when", "when"]}),
    ),
    Case(
        "bad-rows",
        ECHO + b"bad_rows: skip\n",
        "a.csv",
        b"id,text\n1,one\n2,tw\xff o\n3,three,extra\n",
        Answered(
            {"ok": 1, "skipped": 2},
            {"_error": ["", "invalid_utf8", "ragged_row"]},
            says=["2 bad rows", "Line 3", "Line 4"],
        ),
    ),
    Case(
        "max-tokens",
        b'model: gpt-5.4\nprompt: "{{ text }}"\nparameters: {max_tokens: 50}\n',
        "a.csv",
        b"text\na\n",
        Refused(["max_completion_tokens"]),
    ),
    Case(
        "effort",
        b'model: gpt-6-luna\nprompt: "{{ text }}"\nparameters: {reasoning_effort: minimal}\n',
        "a.csv",
        b"text\na\n",
        Refused(["none, low"]),
    ),
    Case(
        "schema-required",
        CHAT + b"schema: {type: object, properties: {label: {type: string}, note: {anyOf: [{type: string}, "
        b'{type: "null"}]}}, required: [label]}\n',
        "a.csv",
        b"text\na\n",
        Answered({"ok": 1}),
    ),
    Case(
        "schema-wrapped",
        CHAT + b"schema: {name: review, strict: true, schema: {type: object, properties: {label: {type: "
        b"string}}, required: [label], additionalProperties: false}}\n",
        "a.csv",
        b"text\na\n",
        Answered({"ok": 1}),
    ),
    Case(
        "schema-map",
        CHAT + b"schema: {type: object, properties: {m: {type: object, additionalProperties: {type: string}}}}\n",
        "a.csv",
        b"text\na\n",
        Refused(["schema.properties.m"]),
    ),
    Case(
        "schema-defs",
        CHAT + b'schema: {type: object, properties: {s: {$ref: "#/$defs/S"}}, $defs: {S: {type: object, properties: '
        b'{a: {type: string, default: x}, next: {anyOf: [{$ref: "#/$defs/S"}, {type: "null"}]}}}}}\n',
        "a.csv",
        b"text\na\n",
        Answered({"ok": 1}),
    ),
    Case(
        "several",
        CHAT + b"parameters: {n: 3}\ncolumns: {finish: 'choices[*].finish_reason'}\n",
        "a.csv",
        b"text\na\n",
        Answered({"ok": 1}, {"finish": ['["stop","stop","stop"]']}),
    ),
    Case(
        "tools",
        CHAT + b"parameters:\n  reasoning_effort: none\n  tools: [{type: function, function: {name: label, parameters: "
        b"{type: object, properties: {label: {type: string}}, required: [label], additionalProperties: false}}}]\n"
        b"  tool_choice: {type: function, function: {name: label}}\n"
        b"columns: {args: 'choices[0].message.tool_calls[0].function.arguments'}\n",
        "a.csv",
        b"text\na\n",
        Answered({"ok": 1}),
    ),
    Case(
        "moderation",
        b"endpoint: /v1/moderations\nbody:\n  model: omni-moderation-latest\n  input:\n"
        b'    - {type: text, text: "{{ text }}"}\n    - {type: image_url, image_url: {url: "{{ image }}"}}\n',
        "a.csv",
        b"text,image\nhello,https://example.com/a.png\n",
        Answered({"ok": 1}),
    ),
    # Ready requests
    Case(
        "raw-ids",
        b"",
        "a.jsonl",
        raw(('"a"', CHAT_URL, ASKED), ('"a"', CHAT_URL, ASKED), ("7", CHAT_URL, ASKED)),
        Refused(["Line 2", "Line 3", "quotes"]),
    ),
    Case("raw-url", b"", "a.jsonl", raw(('"a"', "/chat/completions", ASKED)), Refused(["/v1/chat/completions"])),
    Case(
        "raw-silent",
        b"",
        "a.jsonl",
        raw(('"a"', CHAT_URL, {**ASKED, "messages": []}), ('"b"', CHAT_URL, {"model": "m"})),
        Refused(["Line 1", "Line 2", "messages"]),
    ),
    Case(
        "raw-videos", b"", "a.jsonl", raw(('"a"', "/v1/videos", {"model": "m", "prompt": "x"})), Refused(["2026-09-24"])
    ),
    Case(
        "anthropic",
        b"",
        "a.jsonl",
        b'{"custom_id":"r-1","params":{"model":"m","messages":[]}}\n',
        Refused(["custom_id, method"]),
    ),
    # Answers of models and servers
    Case(
        "answers",
        CHAT + LABELS,
        "a.csv",
        given(
            "plainjson",
            "fenced",
            "think",
            "listcontent",
            "prose",
            "trunc",
            "refusal",
            "filter400",
            "float5",
            "nullcontent",
        ),
        Answered(
            {"ok": 5, "invalid_answer": 2, "truncated": 1, "refused": 2},
            {
                "label": ["fault"] * 4 + [""] * 4 + ["fault", ""],
                "_status": ["ok"] * 4 + ["invalid_answer", "truncated", "refused", "refused", "ok", "invalid_answer"],
            },
        ),
    ),
    Case(
        "phased",
        RESPONSES + LABELS,
        "a.csv",
        given("phased", "twoparts", "websearch", "code"),
        Answered({"ok": 4}, {"label": ["fault"] * 4}),
    ),
    Case(
        "phased-text",
        RESPONSES,
        "a.csv",
        given("phased", "twoparts"),
        Answered({"ok": 2}, {"answer": ['{"label": "fault", "stars": 2}'] * 2}),
    ),
    Case(
        "fees",
        RESPONSES.replace(b"gpt-5.4", b"gpt-5.4"),
        "a.csv",
        b"id,text\n1,@@websearch@@\n2,again @@websearch@@\n",
        Answered({"ok": 2}, says=["2 cents"]),
    ),
    Case(
        "truncated",
        CHAT,
        "a.csv",
        b"id,text\n1,@@trunc@@\n2,more @@trunc@@\n",
        Answered({"truncated": 2}, says=["max_completion_tokens", ".retry"]),
    ),
    Case("formula", CHAT, "a.csv", given("formula"), Answered({"ok": 1}, {"answer": ['\'=HYPERLINK("http://x","y")']})),
    Case(
        "formula-kept",
        CHAT + b"formulas: keep\n",
        "a.csv",
        given("formula"),
        Answered({"ok": 1}, {"answer": ['=HYPERLINK("http://x","y")']}),
    ),
    Case(
        "vectors",
        b'endpoint: /v1/embeddings\nbody: {model: text-embedding-3-small, input: "{{ texts | json }}"}\n',
        "a.jsonl",
        b'{"texts": ["a", "b"]}\n{"texts": ["c"]}\n',
        Answered({"ok": 2}),
    ),
    Case("quota", CHAT, "a.csv", b"id,text\n1,quota row\n2,fine\n", Answered({"ok": 1, "error": 1}, says=["billing"])),
]


@pytest.fixture(scope="module")
def versions(embedded: Embedded) -> Iterator[dict[str, str]]:
    """Drop all cases. Return their versions by name."""
    embedded.control("DELETE", "/faults")
    message = {"role": "assistant", "content": PROMPT, "refusal": None}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    echo = {"object": "chat.completion", "model": "echo-1", "usage": usage}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    embedded.control("POST", "/faults", kind="answer_rows", model="echo-1", body={**echo, "choices": [choice]})
    for name, answer in GIVEN.items():
        embedded.control("POST", "/faults", kind="answer_rows", contains=f"@@{name}@@", **answer)
    embedded.control(
        "POST",
        "/faults",
        kind="fail_rows",
        contains="quota row",
        status=429,
        code="insufficient_quota",
        message="Quota.",
    )
    dropped = {}
    for case in CASES:
        if case.recipe:
            # The price list does not have the model that answers with the question, so its jobs would be held.
            prices = b"\nprices: {input: 0.05, output: 0.25}\n" if b"model: echo-1" in case.recipe else b""
            embedded.drop(f"odd/{case.name}/recipe.yaml", case.recipe + prices)
        dropped[case.name] = embedded.drop(f"odd/{case.name}/{case.file}", case.data)
    yield dropped
    embedded.control("DELETE", "/faults")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_odd_file_is_answered_or_rejected(case: Case, embedded: Embedded, versions: dict[str, str]) -> None:
    event = embedded.event(versions[case.name])
    results = embedded.results(event)
    match case.right:
        case Refused(says):
            assert event["event"] == "rejected", event
            problems = json.loads(results["rejected.json"])["problems"]["first"]
            problems_text = "\n".join(problem["message"] for problem in problems)
            assert all(text in problems_text for text in says), problems_text
        case Answered() as right:
            assert event["event"] == "ended", event
            counted = {name: count for name, count in event["rows"].items() if count and name != "total"}
            assert counted == right.rows, json.dumps(event)
            (name,) = [name for name in results if ".answers." in name]
            assert results[name].startswith(right.begins)
            rows = records(name, results[name], case.data) if right.columns else []
            assert {column: [row[column] for row in rows] for column in right.columns} == right.columns
            message = "\n".join(mail["Message"] for mail in embedded.mail(case.folder))
            assert all(text in message for text in right.says), message


def records(name: str, data: bytes, dropped: bytes) -> list[dict[str, Any]]:
    """Return the rows of an answers file."""
    encoding = "utf-16" if dropped.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    text = data.decode(encoding)
    if name.endswith(".json"):
        return list(json.loads(text))
    if name.endswith(".jsonl"):
        decoder, rows, at = json.JSONDecoder(), [], 0
        text = text.strip().removeprefix("[").removesuffix("]")
        while at < len(text):
            if text[at] in " \r\n,":
                at += 1
                continue
            row, at = decoder.raw_decode(text, at)
            rows.append(row)
        return rows
    text = text.removeprefix("sep=;\n").removeprefix("Report\n\n")
    unquoted = b'"Where' in dropped or b'"hi\n' in dropped
    delimiter = next(sign for sign in "\t|;," if sign in text.split("\n")[0])
    escape = "\\" if b"\\" in dropped else None
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter=delimiter, escapechar=escape, restkey="rest",
        quoting=csv.QUOTE_NONE if unquoted else csv.QUOTE_MINIMAL,
    )  # fmt: skip
    return list(reader)
