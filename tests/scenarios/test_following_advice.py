"""Files as programs write them: each is read, or rejected with advice that works.

A case drops a file. If it is rejected, the test follows the sentence, without other knowledge, and the file must then
be answered with all its rows.
"""

import csv
import io
import json
import re
import shlex
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.states import JobState
from dropbatch.formats.compression import Compression, compress, decompress
from dropbatch.reporting.event_members import results_prefix
from tests.driving import drop, jobs, result, result_json, run
from tests.fakes import INBOX, RESULTS, FakeContext, answer_ok

RECIPE = 'model: gpt-6-luna\nprompt: "{{ text }}"\n'

TEXTS = ["The kettle leaks", "It works, mostly", "Fine"]


def sent(fake: FakeContext) -> list[str]:
    """Return the prompts of all rows, whatever their batches."""
    files = [fake.openai.contents[batch.input_file_id] for batch in fake.openai.batches.values()]
    lines = [json.loads(line) for file in files for line in file.split(b"\n") if line]
    asked = {int(line["custom_id"]): line["body"]["messages"][-1]["content"] for line in lines}
    return [asked[row] for row in sorted(asked)]


def drop_and_run(tmp_path: Path, name: str, data: bytes, recipe: str | None = RECIPE, **limits: int) -> FakeContext:
    fake = FakeContext(tmp_path, limits=Limits(**limits))
    if recipe is not None:
        fake.objects.drop("recipe.yaml", recipe.encode())
    drop(fake, name, data)
    run(fake)
    return fake


# Files that are read unchanged


@dataclass(frozen=True, slots=True)
class Read:
    """A file that is read, and the start of its answers file if the first answer is “A”, as text in its encoding."""

    name: str
    data: bytes
    answers: str
    texts: tuple[str, ...] = ("one", "two")
    encoding: str = "utf-8"
    recipe: str = ""


READ = {
    "Excel's sep line": Read("a.csv", b"sep=;\nid;text\n1;one\n2;two\n", "sep=;\nid;text;+\n1;one;A\n2;two;A\n"),
    "quoted, with a mark and CRLF": Read(
        "a.csv",
        b'\xef\xbb\xbf"sep=|"\r\nid|text\r\n1|one\r\n2|two\r\n',
        '\ufeff"sep=|"\r\nid|text|+\r\n1|one|A\r\n2|two|A\r\n',
    ),
    "sep=tab": Read("a.csv", b"sep=\t\nid\ttext\n1\tone\n2\ttwo\n", "sep=\t\nid\ttext\t+\n1\tone\tA\n2\ttwo\tA\n"),
    "sep= in capitals, and any sign": Read("a.csv", b"SEP=^\nid^text\n1^one\n2^two\n", "SEP=^\nid^text^+\n1^one^A\n"),
    "pipes": Read("a.csv", b"id|text\n1|one\n2|two\n", "id|text|+\n1|one|A\n2|two|A\n"),
    "a header that misleads": Read(
        "a.csv", b"id;text;a, b, c, d\n1;one;x\n2;two;y\n", "id;text;a, b, c, d;+\n1;one;x;A\n2;two;y;A\n"
    ),
    "commas in values of a tab file": Read(
        "a.csv", b"id\ttext\n1\tone\n2\ttwo\n", "id\ttext\t+\n1\tone\tA\n2\ttwo\tA\n"
    ),
    "a single column": Read("a.csv", b"text\none\ntwo\n", "text,+\none,A\ntwo,A\n"),
    "a delimiter after each row": Read("a.csv", b"id,text\n1,one,\n2,two,\n", "id,text,,+\n1,one,,A\n2,two,,A\n"),
    "three of them": Read("a.csv", b"text;n\none;1;;;\ntwo;2;;;\n", "text;n;;;;+\none;1;;;;A\ntwo;2;;;;A\n"),
    "and in a tsv": Read("a.tsv", b"id\ttext\n1\tone\t\n2\ttwo\t\n", "id\ttext\t\t+\n1\tone\t\tA\n2\ttwo\t\tA\n"),
    "lone quotes in a tsv": Read(
        "a.tsv", b'id\ttext\n1\t"one\n2\ttwo"\n', 'id\ttext\t+\n1\t"one\tA\n2\ttwo"\tA\n', ('"one', 'two"')
    ),
    "an inch in a tsv": Read("a.tsv", b'id\ttext\n1\t"a" b\n2\t"5\n', 'id\ttext\t+\n1\t"a" b\tA\n', ('"a" b', '"5')),
    "no quoting": Read(
        "a.csv",
        b'id,text\n1,"one\n2,two"\n',
        'id,text,+\n1,"one,A\n2,two",A\n',
        ('"one', 'two"'),
        recipe="quoting: none\n",
    ),
    "an escape": Read(
        "a.csv",
        b'id,text\n1,"say \\"hi\\", please"\n2,"a\\\\b"\n',
        'id,text,+\n1,"say \\"hi\\", please",A\n2,"a\\\\b",A\n',
        ('say "hi", please', "a\\b"),
        recipe='escape: "\\\\"\n',
    ),
    "an escape without quoting": Read(
        "a.tsv",
        b'id\ttext\n1\t"one\\\ttab\\\nand line\n2\ttwo\n',
        'id\ttext\t+\n1\t"one\\\ttab\\\nand line\tA\n2\ttwo\tA\n',
        ('"one\ttab\nand line', "two"),
        recipe='quoting: none\nescape: "\\\\"\n',
    ),
    "a title": Read(
        "a.csv",
        b"Report; of 2026\n\nid,text\n1,one\n2,two\n",
        "Report; of 2026\n\nid,text,+\n1,one,A\n2,two,A\n",
        recipe="header: 3\n",
    ),
    "UTF-16": Read(
        "a.csv",
        "\ufeffid,text\r\n1,one\r\n2,zwölf\r\n".encode("utf-16-le"),
        "\ufeffid,text,+\r\n1,one,A\r\n2,zwölf,A\r\n",
        ("one", "zwölf"),
        "utf-16-le",
    ),
    "Excel's Unicode text": Read(
        "a.txt",
        "\ufeffone\r\n😀, two\r\n".encode("utf-16-be"),
        '\ufefftext,+\r\none,A\r\n"😀, two",A\r\n',
        ("one", "😀, two"),
        "utf-16-be",
    ),
    "UTF-16 though the recipe says else": Read(
        "a.tsv",
        "\ufeffid\ttext\n1\tone\n2\ttwo\n".encode("utf-16-le"),
        "\ufeffid\ttext\t+\n1\tone\tA\n2\ttwo\tA\n",
        encoding="utf-16-le",
        recipe="encoding: windows-1252\n",
    ),
    "JSON Lines in UTF-16": Read(
        "a.jsonl",
        '\ufeff{"text":"one"}\n{"text":"two"}\n'.encode("utf-16-le"),
        '\ufeff{"text":"one",A}\n{"text":"two",A}\n',
        encoding="utf-16-le",
    ),
    "CR in a csv": Read(
        "a.csv", b'id,text\r1,one\r2,"two\r\n"\r', 'id,text,+\r1,one,A\r2,"two\r\n",A\r', ("one", "two\n\r")
    ),
    "CR in a tsv": Read("a.tsv", b"id\ttext\r1\tone\r2\ttwo", "id\ttext\t+\r1\tone\tA\r2\ttwo\tA"),
    "CR in a text": Read("a.txt", b"one\rtwo\r", "text,+\rone,A\rtwo,A\r"),
    "CR in JSON Lines": Read("a.jsonl", b'{"text":"one"}\r{"text":"two"}\r', '{"text":"one",A}\r{"text":"two",A}\r'),
    "CR in UTF-16": Read(
        "a.tsv",
        "\ufeffid\ttext\r1\tone\r2\ttwo\r".encode("utf-16-be"),
        "\ufeffid\ttext\t+\r1\tone\tA\r2\ttwo\tA\r",
        encoding="utf-16-be",
    ),
    "an array": Read("a.json", b'[{"text":"one"},{"text":"two"}]', '[{"text":"one",A},{"text":"two",A}]\n'),
    "an array over lines": Read(
        "a.json", b'[\n  {"text": "one"},\n  {"text": "two"}\n]\n', '[\n  {"text": "one",A},\n  {"text": "two",A}\n]\n'
    ),
    "an array called jsonl": Read(
        "a.jsonl",
        b'\xef\xbb\xbf[{"text":"one"},\r\n{"text":"two"}]',
        '\ufeff[{"text":"one",A},\r\n{"text":"two",A}]\r\n',
    ),
    "an array with CRLF": Read(
        "a.json",
        b'[\r\n{"text":"one"},\r\n{"text":"two"}\r\n]\r\n',
        '[\r\n{"text":"one",A},\r\n{"text":"two",A}\r\n]\r\n',
    ),
    "objects over CRLF lines": Read(
        "a.json",
        b'{\r\n"text":"one"}\r\n{\r\n"text":"two"}\r\n',
        '{\r\n"text":"one",A}\r\n{\r\n"text":"two",A}\r\n',
    ),
    "an array of one": Read("a.json", b' [ { "text" : "one" } ] ', ' [ { "text" : "one" ,A}]\n', ("one",)),
    "an array in UTF-16": Read(
        "a.json",
        '\ufeff[{"text":"one"},{"text":"zwölf"}]'.encode("utf-16-le"),
        '\ufeff[{"text":"one",A},{"text":"zwölf",A}]\n',
        ("one", "zwölf"),
        "utf-16-le",
    ),
    "objects over lines": Read(
        "a.jsonl", b'{\n "text": "one"\n}\n{\n "text": "two"\n}\n', '{\n "text": "one"\n,A}\n{\n "text": "two"\n,A}\n'
    ),
    "commas between lines": Read(
        "a.jsonl", b'{"text": "one"},\n{"text": "two"},\n', '{"text": "one",A},\n{"text": "two",A}\n'
    ),
    "objects on one line": Read("a.json", b'{"text":"one"} {"text":"two"}', '{"text":"one",A} {"text":"two",A}\n'),
    "objects a line, called json": Read(
        "a.json", b'{"text":"one"}\n{"text":"two"}\n', '{"text":"one",A}\n{"text":"two",A}\n'
    ),
    "one object": Read("a.json", b'{"text":"one"}', '{"text":"one",A}', ("one",)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", READ.values(), ids=READ)
def test_files_of_programs_are_read_and_come_back_unchanged(case: Read, tmp_path: Path) -> None:
    fake = drop_and_run(tmp_path, case.name, case.data, RECIPE + case.recipe)
    [job] = jobs(fake)
    assert job.state is JobState.SUCCEEDED, result_json(fake, "rejected.json", job)
    assert sent(fake) == list(case.texts)
    stem, _, extension = case.name.rpartition(".")
    written = result(fake, f"{stem}.answers.{'csv' if extension == 'txt' else extension}", job).decode(case.encoding)
    said = [fake.openai.echoes()[row] for row in range(1, len(case.texts) + 1)]
    expected = case.answers
    if "json" in extension:
        for text in said:
            expected = expected.replace(",A}", f',"answer":"{text}","_status":"ok","_error":null}}', 1)
    else:
        sign = re.findall(r"text.*?(.)\+", expected)[0]
        expected = expected.replace("+", sign.join(["answer", "_status", "_error"]))
        for text in said:
            expected = expected.replace(f"{sign}A", f"{sign}{text}{sign}ok{sign}", 1)
    assert written.startswith(expected) if expected.count(said[-1]) == 0 else written == expected


@pytest.mark.slow
@pytest.mark.parametrize("data", [b'[{"text":"%d"},\n {"text":"b"}, {"text":"c"} ]' % n for n in range(3)])
@pytest.mark.parametrize("packing", [Compression.NONE, Compression.GZIP])
def test_an_array_of_many_shards_comes_back_as_one_array(data: bytes, packing: Compression, tmp_path: Path) -> None:
    rows = [{"text": f"row {n}", "more": {"a": [n, "]}"]}} for n in range(40)]
    data = json.dumps(rows, indent=2).encode()
    fake = FakeContext(tmp_path, limits=Limits(batch_requests=7))
    fake.objects.drop("recipe.yaml", RECIPE.encode() + b"attempts: 1\n")
    fake.openai.answer = lambda request: None if int(request["custom_id"]) % 9 < 2 else answer_ok(request)
    drop(fake, f"a.json{packing}", compress(data, packing))
    run(fake, step=600)
    read = {
        name: json.loads(b"".join(decompress([result(fake, f"a.{name}.json{packing}")], packing)))
        for name in ("answers", "failed")
    }
    assert [{"text": row["text"], "more": row["more"]} for row in read["answers"]] == rows
    failed = [row for row in range(1, 41) if row % 9 < 2]
    assert [row["_status"] for row in read["answers"]] == ["missing" if n in failed else "ok" for n in range(1, 41)]
    assert read["failed"] == [rows[n - 1] for n in failed]


# Files that are rejected with advice


def in_recipe(message: str, data: bytes) -> tuple[bytes, str]:
    """Follow a sentence that has a line of the recipe."""
    lines = re.findall(r"`((?:delimiter|quoting|escape|header|encoding): [^`]+)`", message)
    assert lines, message
    return data, "".join({line.partition(":")[0]: line + "\n" for line in reversed(lines)}.values())


def other_line(message: str, data: bytes) -> tuple[bytes, str]:
    """Follow a sentence that has two lines of the recipe, with the second one."""
    lines = re.findall(r"`((?:delimiter|quoting): [^`]+)`", message)
    assert len(lines) == 2, message
    return data, lines[1] + "\n"


def by_editing(said: str, old: bytes, new: bytes) -> Callable[[str, bytes], tuple[bytes, str]]:
    """Follow a sentence that changes the file."""

    def follow(message: str, data: bytes) -> tuple[bytes, str]:
        assert said in message
        assert old in data
        return data.replace(old, new), ""

    return follow


def as_utf_8(codec: str) -> Callable[[str, bytes], tuple[bytes, str]]:
    def follow(message: str, data: bytes) -> tuple[bytes, str]:
        assert re.search("save (it|the file) as UTF-8", message)
        return data.decode(codec).encode(), ""

    return follow


@dataclass(frozen=True, slots=True)
class Refused:
    """A rejected file, the function that follows the sentence, and the prompts that are sent then."""

    name: str
    data: bytes
    code: str
    follow: Callable[[str, bytes], tuple[bytes, str]]
    texts: tuple[str, ...] = ("one", "two")
    recipe: str = ""
    line: int | None = None


CHINESE = "id,text\n1,你好，世界\n2,水壶漏水\n"
JAPANESE = "id,text\n1,このやかんは水漏れします\n2,配送は早かった\n"
KOREAN = "id,text\n1,주전자에서 물이 샙니다\n2,배송은 빠르고 품질도 좋습니다\n"
RUSSIAN = "id,text\n1,Чайник протекает, но доставка была быстрой\n".replace(", ", " ") + "2,Хороший товар\n"
GERMAN = "id,text\n1,Die Lieferung kam zu spät und die Größe passt nicht\n2,Schöne Qualität für den Preis\n"
POLISH = "id,text\n1,Bardzo dobra jakość i szybka wysyłka\n2,Żółta łódź polecam każdemu\n"


def texts_of(table: str) -> tuple[str, ...]:
    return tuple(row["text"] for row in csv.DictReader(io.StringIO(table)))


def encoded(table: str, codec: str, follow: Any = in_recipe) -> Refused:
    return Refused("a.csv", table.encode(codec), "invalid_utf8", follow, texts_of(table))


TWO = b"id,text\n1,one\n2,two\n"

REFUSED = {
    "two delimiters": Refused("a.csv", b"id,n;text\n1,2;one\n1,2;two\n", "delimiter_in_doubt", other_line),
    "and the other of two": Refused(
        "a.csv", b"text,n;id\none,2;1\ntwo,2;1\n", "delimiter_in_doubt", in_recipe, ("one", "two")
    ),
    "an unknown delimiter": Refused("a.csv", b"id:text\n1:one\n2:two\n", "delimiter_in_doubt", in_recipe),
    "a control character": Refused("a.csv", b"id\x1ftext\n1\x1fone\n2\x1ftwo\n", "delimiter_in_doubt", in_recipe),
    "commas in a tsv": Refused("a.tsv", b"id,text\n1,one\n2,two\n", "delimiter_in_doubt", in_recipe),
    "an unknown delimiter, and ragged rows": Refused(
        "a.csv",
        b"id^text, and more\n1^one, x, y\n2^two\n",
        "ragged_row",
        lambda message, data: (
            (data.replace(b"text, and more", b"text").replace(b", x, y", b""), 'delimiter: "^"\n')
            if "as in `delimiter:" in message
            else (data, "")
        ),
    ),
    "a row that ends in a comma": Refused(
        "a.csv",
        TWO + b"3,three,\n",
        "ragged_row",
        by_editing("remove it", b"three,", b"three"),
        ("one", "two", "three"),
    ),
    "a row that does not": Refused(
        "a.csv",
        b"id,text\n1,one,\n2,two,\n" + b"3,x,\n" * 100 + b"4,last\n",
        "ragged_row",
        by_editing("add it", b"last", b"last,"),
        ("one", "two", *["x"] * 100, "last"),
    ),
    "a value with a comma": Refused(
        "a.csv",
        TWO + b"3,well, three\n",
        "ragged_row",
        by_editing("put values that hold a comma into double quotes", b"well, three", b'"well, three"'),
        ("one", "two", "well, three"),
    ),
    "a title": Refused("a.csv", b"Report\n\nid,text\n1,one\n2,two\n", "title_above_header", in_recipe),
    "a title over semicolons": Refused("a.csv", b"Report\nid;text\n1;one\n2;two\n", "title_above_header", in_recipe),
    "a title of three lines": Refused(
        "a.csv", b"Report\r\nof today\r\n\r\nid,text\r\n1,one\r\n2,two\r\n", "title_above_header", in_recipe
    ),
    "a title as wide as the rows": Refused(
        "a.csv", b"Report,\nid,text\n1,one\n2,two\n", "title_above_header", in_recipe
    ),
    "a title in a tsv": Refused("a.tsv", b"Report\nid\ttext\n1\tone\n2\ttwo\n", "title_above_header", in_recipe),
    "a header that is not there": Refused(
        "a.csv",
        TWO,
        "no_header",
        lambda message, data: (data, "") if "correct it" in message else (b"", ""),
        recipe="header: 9\n",
    ),
    "merged rows": Refused("a.csv", b'id,text\n1,"one\n2,two"\n', "merged_rows", in_recipe, ('"one', 'two"')),
    "merged rows that are one": Refused(
        "a.csv", b'id,text\n1,"one\n2,two"\n', "merged_rows", other_line, ("one\n2,two",)
    ),
    "merged rows further down": Refused(
        "a.tsv",
        b"id\ttext\n" + b"1\tx\n" * 20_000 + b'1\t"one\n2\ttwo"\n',
        "merged_rows",
        in_recipe,
        (*["x"] * 20_000, '"one', 'two"'),
    ),
    "a quote that never closes": Refused(
        "a.csv", b'id,text\n1,"one\n2,two\n', "unclosed_quote", in_recipe, ('"one', "two")
    ),
    "text after a quote": Refused(
        "a.csv", b'id,text\n1,"one" x\n2,two\n', "bad_quoting", in_recipe, ('"one" x', "two")
    ),
    "backslashes": Refused("a.csv", b'id,text\n1,"a \\"b\\" c"\n2,two\n', "bad_quoting", in_recipe, ('a "b" c', "two")),
    "backslashes and commas": Refused(
        "a.csv", b'id,text\n1,"say \\"hi\\", please"\n2,two\n', "bad_quoting", in_recipe, ('say "hi", please', "two")
    ),
    "a comma without quoting": Refused(
        "a.csv",
        b"id,text\n1,one\n2,a,b\n",
        "ragged_row",
        by_editing("replace it", b"a,b", b"a;b"),
        ("one", "a;b"),
        "quoting: none\n",
    ),
    "Chinese": encoded(CHINESE, "gbk"),
    "Chinese of 18030": encoded(CHINESE, "gb18030"),
    "Chinese, traditional": encoded("id,text\n1,這個水壺漏水，送貨很快\n2,品質也不錯\n", "big5"),
    "Japanese": encoded(JAPANESE, "cp932"),
    "Japanese of Unix": encoded(JAPANESE, "euc-jp"),
    "Korean": encoded(KOREAN, "cp949"),
    "Russian": encoded(RUSSIAN, "cp1251"),
    "Russian of Unix": encoded(RUSSIAN, "koi8-r"),
    "German": encoded(GERMAN, "cp1252"),
    "Polish": encoded(POLISH, "cp1250"),
    "German saved again as UTF-8": encoded(GERMAN, "cp1252", as_utf_8("cp1252")),
    "a header in GBK": Refused("a.csv", "text,名称\none,水壶漏水\ntwo,你好\n".encode("gbk"), "invalid_utf8", in_recipe),
    "a text in GBK": Refused(
        "a.txt", "你好，世界\n水壶漏水\n".encode("gbk"), "invalid_utf8", in_recipe, ("你好，世界", "水壶漏水")
    ),
    "JSON Lines in GBK": Refused(
        "a.jsonl", '{"text": "水壶漏水"}\n'.encode("gbk"), "invalid_utf8", as_utf_8("gbk"), ("水壶漏水",)
    ),
    "an array in GBK": Refused(
        "a.json",
        '[{"text": "水壶漏水"},\n {"text": "你好，世界"}]\n'.encode("gbk"),
        "invalid_utf8",
        lambda message, data: (
            (data.decode("gbk").encode(), "")
            if re.search(r"Line \d holds a byte \(0x..\) that is not UTF-8; the file seems to be gbk", message)
            else (data, "")
        ),
        ("水壶漏水", "你好，世界"),
    ),
    "half a character in an array": Refused(
        "a.json",
        b"\xff\xfe" + '[{"text":"one"},\n{"text":"two'.encode("utf-16-le") + b"\x3d\xd8" + '"}]'.encode("utf-16-le"),
        "invalid_utf8",
        by_editing("Line 2 holds half of a character (a surrogate without its pair); remove it", b"\x3d\xd8", b""),
    ),
    "UTF-16 without a mark": Refused("a.csv", TWO.decode().encode("utf-16-le"), "not_utf8", as_utf_8("utf-16-le")),
    "UTF-32": Refused("a.csv", TWO.decode().encode("utf-32"), "not_utf8", as_utf_8("utf-32")),
    "NaN": Refused(
        "a.jsonl", b'{"text":"one","n":NaN}\n', "not_json", by_editing("write null", b"NaN", b"null"), ("one",)
    ),
    "NaN in an object over lines": Refused(
        "a.json",
        b'{\n  "text": "one",\n  "n": NaN\n}\n{\n  "text": "two"\n}\n',
        "not_json",
        by_editing("Line 3 holds NaN or Infinity, which JSON does not have; write null", b"NaN", b"null"),
    ),
    "minus Infinity in an array": Refused(
        "a.json",
        b'[{"text":"one"},\n{"text":"two","n":-Infinity}]',
        "not_json",
        by_editing("Line 2 holds NaN or Infinity, which JSON does not have; write null", b"-Infinity", b"null"),
    ),
    "an object in an array that is none": Refused(
        "a.json",
        b'[{"text":"one"},\n {"text":"two",}]',
        "not_json",
        by_editing("Line 2 holds an object that is not JSON", b'"two",', b'"two"'),
    ),
    "an array of texts": Refused(
        "a.json",
        b'["one"]',
        "not_an_object",
        by_editing("write each row as one", b'"one"', b'{"text":"one"}'),
        ("one",),
    ),
    "an array that does not end": Refused(
        "a.json", b'[{"text":"one"},{"text":"two"}\n', "not_json", by_editing("write ] after", b"\n", b"]\n")
    ),
    "something after an array": Refused(
        "a.json", b'[{"text":"one"}\n]\n[]', "not_json", by_editing("remove what follows", b"\n[]", b""), ("one",)
    ),
    "an object that does not end": Refused(
        "a.json", b'[{"text":"one"},{"text":"two"', "not_json", by_editing("close its braces", b'"two"', b'"two"}]')
    ),
    "half a character": Refused(
        "a.csv",
        b"\xff\xfe" + "text\none\n".encode("utf-16-le") + b"\x3d\xd8" + "two\n".encode("utf-16-le"),
        "invalid_utf8",
        by_editing("Line 3 holds half of a character (a surrogate without its pair); remove it", b"\x3d\xd8", b""),
    ),
    "a text of other line ends further down": Refused(
        "a.txt",
        (b"o" * 9_999 + b"\r") * 110 + b"b\nc\r",
        "mixed_line_ends",
        lambda message, data: (data.replace(b"\r", b"\n"), "") if "end all in LF" in message else (data, ""),
        (*["o" * 9_999] * 110, "b", "c"),
    ),
    "a carriage return": Refused(
        "a.csv",
        TWO + b"3,x\ry\n",
        "lone_carriage_return",
        by_editing("quote the value", b"x\ry", b'"x\ry"'),
        ("one", "two", "x\ry"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_the_advice_of_a_rejection_works(case: Refused, tmp_path: Path, tally: Counter[str]) -> None:
    fake = drop_and_run(tmp_path, case.name, case.data, RECIPE + case.recipe)
    [job] = jobs(fake)
    assert job.state is JobState.REJECTED
    problems = {
        problem["code"]: problem for problem in reversed(result_json(fake, "rejected.json", job)["problems"]["first"])
    }
    data, keys = case.follow(problems[case.code]["message"], case.data)
    recipe = RECIPE + (keys if case.recipe.startswith("header") else case.recipe + keys)
    fake = drop_and_run(tmp_path, case.name, data, recipe)
    [job] = jobs(fake)
    assert job.state is JobState.SUCCEEDED, result_json(fake, "rejected.json", job)
    assert sent(fake) == list(case.texts)
    tally["refusals' advice"] += 1


GOOD = {
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "x"}]},
}


@pytest.mark.parametrize(
    ("says", "written"),
    [
        ("as `jq -c '.[]'` does", lambda requests: json.dumps(requests, indent=1)),
        ("as `jq -c .` does", lambda requests: "\n".join(json.dumps(each, indent=1) for each in requests)),
        ("without commas between them", lambda requests: ",\n".join(map(json.dumps, requests))),
    ],
)
def test_requests_that_are_not_lines_get_the_advice_to_be_lines(
    says: str, written: Callable[[list[Any]], str], tmp_path: Path
) -> None:
    requests = [{"custom_id": f"{n}", **GOOD} for n in range(2)]
    fake = drop_and_run(tmp_path, "a.json", written(requests).encode(), None)
    [problem] = result_json(fake, "rejected.json")["problems"]["first"]
    assert problem["code"] == "raw_not_in_lines"
    assert f"each on a line of its own, {says}, and drop the .jsonl" in problem["message"]
    fake = drop_and_run(tmp_path, "a.jsonl", b"".join(json.dumps(each).encode() + b"\n" for each in requests), None)
    assert jobs(fake)[0].state is JobState.SUCCEEDED


def test_a_number_as_custom_id_gets_the_advice_to_be_quoted(tmp_path: Path) -> None:
    fake = drop_and_run(tmp_path, "a.jsonl", json.dumps({"custom_id": 7, **GOOD}).encode(), None)
    [problem] = result_json(fake, "rejected.json")["problems"]["first"]
    assert problem["code"] == "invalid_custom_id"
    assert "put it in quotes" in problem["message"]
    fake = drop_and_run(tmp_path, "a.jsonl", json.dumps({"custom_id": "7", **GOOD}).encode(), None)
    assert jobs(fake)[0].state is JobState.SUCCEEDED


# Recipes under wrong names

YAML = b'# mine\nmodel: gpt-6-luna\nprompt: "{{ text }}"\nparameters:\n  max_completion_tokens: 5\n'


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content"),
    [
        *(
            (name, YAML)
            for name in (
                "Recipe.yaml",
                "RECIPE.YML",
                "recipe.yaml.txt",
                "recipe (1).yaml",
                "recipe.yaml (1)",
                "recipe.yaml(2)",
                "recipe - Copy.yaml",
                "recipe - Kopie.yml",
                "recipe.txt",
                "rezept.yaml",
                "mine.TXT",
                "recipe.yaml.bak",
                "recipe.yaml~",
                "it's a recipe.yaml",
                "recipe.yml.gz",
            )
        ),
        ("recipe.json", b'{"model": "gpt-6-luna", "prompt": "{{ text }}"}'),
        ("notes.txt", b"\xef\xbb\xbfendpoint: /v1/responses\r\nbody:\r\n  model: m\r\n  input: hello\r\n"),
        ("unicode.txt", YAML.decode().encode("utf-16")),
    ],
)
@pytest.mark.parametrize("has_recipe", [True, False])
def test_a_file_that_looks_like_a_recipe_is_never_answered(
    name: str, content: bytes, has_recipe: bool, tmp_path: Path
) -> None:
    key = f"my work/{name}"
    fake = drop_and_run(tmp_path, key, content, RECIPE if has_recipe else None)
    [job] = jobs(fake)
    assert job.state is JobState.REJECTED
    [problem] = result_json(fake, "rejected.json", job)["problems"]["first"]
    assert problem["code"] == "looks_like_recipe"
    assert "name it recipe.yaml" in problem["message"]
    assert not fake.openai.batches
    command = re.findall(r"`aws s3 mv (.+)`", problem["message"])[0]
    source, target = shlex.split(command)
    assert source == f"s3://{INBOX}/{key}"
    renamed = target.removeprefix(f"s3://{INBOX}/")
    assert renamed == "my work/recipe.yaml"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("recipe.csv", b"text\nmodel: x\n"),
        ("recipes.json", b'[{"text": "Apple pie"}]'),
        ("recipe.json", b'{"text": "Apple pie", "model": "a", "prompt": "b"}'),
        ("recipe.txt", b"Apple pie\nprompt: cook it\nmodel: none\n"),
        ("chat.txt", b"system: hello\nuser: prompt\n"),
        ("models.txt", b"model: T\nmodel: A\n"),
        ("yaml.txt", b"prompt\n"),
        ("my.yaml.csv", b"text\nx\n"),
    ],
)
def test_data_that_only_sounds_like_a_recipe_is_answered(name: str, content: bytes, tmp_path: Path) -> None:
    fake = drop_and_run(tmp_path, name, content)
    assert jobs(fake)[0].state is JobState.SUCCEEDED


def test_the_advised_name_makes_the_recipe_work(tmp_path: Path) -> None:
    fake = drop_and_run(tmp_path, "recipe.yaml", YAML, None)
    assert fake.topics.events() == ["recipe"]
    drop(fake, "a.csv", TWO)
    run(fake)
    assert jobs(fake)[0].state is JobState.SUCCEEDED
    assert fake.objects.keys(RESULTS, results_prefix(jobs(fake)[0]))
