"""Any accepted file: every row comes back with its own answer, and no blank row is sent."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.states import JobState
from tests.driving import drop, only_job, result, run
from tests.fakes import FakeContext, response_line

RECIPE = b'model: echo\nprompt: "{{ text }}"\nbad_rows: skip\nquoting: double\n'
TEXTS = st.text(st.sampled_from("ab ,;|\t\"\n\r'=ß\u2028\U0001f600\\{}%"), max_size=6)


@dataclass(frozen=True)
class Sheet:
    """Rows of an id and a text, as a program writes them."""

    kind: str
    delimiter: str
    line_end: str
    encoding: str
    rows: Sequence[tuple[str, str]]

    @property
    def name(self) -> str:
        return f"a.{self.kind}"

    def data(self) -> bytes:
        if self.kind == "jsonl":
            lines = [json.dumps({"id": label, "text": text}, ensure_ascii=False) for label, text in self.rows]
            return "".join(line + self.line_end for line in lines).encode(self.encoding)
        if self.kind == "json":
            return json.dumps([{"id": label, "text": text} for label, text in self.rows], indent=1).encode()
        out = io.StringIO()
        writer = csv.writer(out, delimiter=self.delimiter, lineterminator=self.line_end, quoting=csv.QUOTE_ALL)
        writer.writerows([("id", "text"), *self.rows])
        return out.getvalue().encode(self.encoding)

    def read(self, data: bytes) -> list[dict[str, Any]]:
        """Return the rows of the answers file, with a reader other than Dropbatch's."""
        text = data.decode(self.encoding)
        if self.kind == "json":
            return list(json.loads(text))
        if self.kind == "jsonl":
            return [json.loads(line) for line in text.removeprefix("\ufeff").split("\n") if line.strip()]
        return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=self.delimiter))


@st.composite
def sheets(draw: st.DrawFn) -> Sheet:
    kind = draw(st.sampled_from(["csv", "tsv", "jsonl", "json"]))
    label = st.sampled_from(["", "1", "x", " "])
    rows = draw(st.lists(st.tuples(label, TEXTS), min_size=1, max_size=9))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])) if kind != "json" else "utf-8"
    delimiter = "\t" if kind == "tsv" else draw(st.sampled_from(",;|\t"))
    return Sheet(kind, delimiter, draw(st.sampled_from(["\n", "\r\n"])), encoding, rows)


def echoed(request: dict[str, Any]) -> Any:
    asked = request["body"]["messages"][-1]["content"]
    message = {"role": "assistant", "content": asked, "refusal": None}
    return "output", response_line(request, 200, {"choices": [{"message": message, "finish_reason": "stop"}]})


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(sheets())
def test_every_row_is_answered_and_no_blank_row_is_sent(sheet: Sheet) -> None:
    with TemporaryDirectory() as folder:
        check(sheet, Path(folder))


def check(sheet: Sheet, folder: Path) -> None:
    fake = FakeContext(folder, limits=Limits(batch_requests=4))
    asked: list[str] = []

    def answer(request: dict[str, Any]) -> Any:
        asked.append(request["body"]["messages"][-1]["content"])
        return echoed(request)

    fake.openai.answer = answer
    fake.objects.drop("recipe.yaml", RECIPE + b"formulas: keep\n")
    drop(fake, sheet.name, sheet.data())
    run(fake)
    job = only_job(fake)
    if job.state is JobState.REJECTED:
        assert not asked, "nothing is paid of a drop that is rejected"
        return
    back = sheet.read(result(fake, f"a.answers.{sheet.kind}"))
    assert [(row["id"], row["text"]) for row in back] == list(sheet.rows), "none is lost, merged or changed"
    for (label, text), row in zip(sheet.rows, back, strict=True):
        if text.strip():
            assert (row["_status"], row["answer"]) == ("ok", text)
        else:
            code = "empty_prompt" if label.strip() else "blank_row"
            assert (row["_status"], row["_error"]) == ("skipped", code)
    assert sorted(asked) == sorted(text for _, text in sheet.rows if text.strip())
