"""Rows with the same request are asked once, and each has the answer."""

import csv
import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.jobs import Job
from tests.both_ways import both_ways
from tests.driving import drop, only_job, result, result_json, run
from tests.fakes import RESULTS, FakeContext, answer_ok, response_line

RECIPE = b"""\
model: gpt-6-luna
prompt: "{{ text }}"
schema: {mood: [good, bad], why: reason}
"""


def csv_of(texts: list[str]) -> bytes:
    return "".join(f"{text}\n" for text in ["text", *texts]).encode()


def text_of(request: dict[str, Any]) -> str:
    found: str = request["body"]["messages"][-1]["content"]
    return found


def by_text(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Answer by the text alone: some texts have a good answer, others fail in different ways."""
    text = text_of(request)
    where, line = answer_ok(request)
    body = line["response"]["body"]
    body["choices"][0]["message"]["content"] = json.dumps({"mood": "bad" if "b" in text else "good", "why": text})
    if "t" in text:
        body["choices"][0]["finish_reason"] = "length"
    elif "e" in text:
        return "error", response_line(request, 400, {"error": {"code": "lasting", "message": "no"}})
    return where, line


def answered(fake: FakeContext, name: str = "a.answers.csv", job: Job | None = None) -> list[tuple[str, str, str]]:
    found = csv.DictReader(io.StringIO(result(fake, name, job).decode(), newline=""))
    return [(row["text"], row["why"], row["_status"]) for row in found]


def start(folder: Path, recipe: bytes = RECIPE, **limits: int) -> FakeContext:
    fake = FakeContext(folder, limits=Limits(**limits))
    fake.objects.drop("recipe.yaml", recipe)
    return fake


def outputs(fake: FakeContext, key: str) -> dict[str, Any]:
    """Return everything that a user sees of an ended job, but what only the requests say."""
    job = only_job(fake)
    summary = result_json(fake, "summary.json")
    found: dict[str, Any] = {name: summary[name] for name in ("status", "rows", "categories", "reasons")}
    found["rows"].pop("duplicates", None)
    prefix = f"{key}/{job.id}/"
    names = [name.removeprefix(prefix) for name in fake.objects.keys(RESULTS, prefix)]
    for name in names:
        if ".answers." in name or ".failed." in name:
            found[name] = result(fake, name)
    lines = [json.loads(line) for line in result(fake, "responses.jsonl").splitlines()]
    found["responses"] = [{**line, "id": None} for line in lines]
    return found


@pytest.mark.slow
@given(
    st.lists(st.sampled_from(["a", "b", "ab", "t", "e", "be", "", "a "]), min_size=1, max_size=40),
    st.sampled_from(["a.csv", "a.jsonl", "a.json"]),
    st.integers(1, 6),
    st.sampled_from([b"", b"id: text\n", b"limit: 7\n", b"limit: {rows: 7, sample: true, seed: 1}\n", b"when: '{{ text }}'\n"]),
)
def test_the_results_are_those_of_asking_each_row(texts: list[str], key: str, requests: int, more: bytes) -> None:
    data = csv_of([f'"{text}"' for text in texts])
    if key != "a.csv":
        lines = [json.dumps({"text": text}) for text in texts]
        data = ("\n".join(lines) if key == "a.jsonl" else f"[{','.join(lines)}]").encode()

    def taken(dedupe: bytes) -> tuple[dict[str, Any], list[bytes]]:
        with TemporaryDirectory() as folder:
            recipe = RECIPE + more + dedupe + (b"" if b"when" in more else b"bad_rows: skip\n")
            fake = start(Path(folder), recipe, batch_requests=requests)
            fake.openai.answer = by_text
            drop(fake, key, data)
            assert run(fake)
            bodies = [
                json.dumps(json.loads(line)["body"])
                for file in fake.openai.files.values()
                for line in file.splitlines()
                if b'"method"' in line
            ]
            return outputs(fake, key), [body.encode() for body in bodies]

    each, sent_each = taken(b"dedupe: false\n")
    (once, sent), strictly = both_ways(lambda: taken(b"dedupe: true\n"))
    assert once == each
    assert len(sent) == len(set(sent)) == len(set(sent_each))
    assert strictly == (once, sent)
