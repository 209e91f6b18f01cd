"""The report of a job, over fakes: what rows and answers it shows, and that no shard or interruption changes it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dropbatch.answers.cross_tables import CrossTables
from dropbatch.answers.tally import Tally
from dropbatch.batch_api.limits import Limits
from dropbatch.delivery import render_shard
from dropbatch.delivery.report_rows import EACH_BLOCK, FLUSH_ROWS, MAX_ROWS, WHOLE_BLOCKS
from tests.driving import drop, only_job, result, run
from tests.fakes import FakeContext
from tests.fakes.answers import response_line

RECIPE = b"""\
model: gpt-6-luna
prompt: "{{ text }}"
schema: {mood: [good, bad], score: integer, tags: {list: string}, why: a reason}
"""


def answer(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    row = int(request["custom_id"])
    if row % 10 == 0:
        return "error", response_line(request, 400, {"error": {"code": "invalid_value", "message": "no"}})
    value = {"mood": "good" if row % 3 else "bad", "score": row % 7, "tags": ["a"] * (row % 2), "why": f"why, {row}"}
    message = {"role": "assistant", "content": json.dumps(value)}
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
    body = {"choices": [{"index": 0, "finish_reason": "stop", "message": message}], "usage": usage}
    return "output", response_line(request, 200, body)


def table(count: int) -> bytes:
    lines = [f'{row},{"north" if row % 2 else "south"},"row, {row}"' for row in range(1, count + 1)]
    return "\n".join(["id,region,text", *lines]).encode() + b"\n"


def made(fake: FakeContext, name: str, data: bytes) -> str:
    fake.openai.answer = answer
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, name, data)
    run(fake)
    return result(fake, "report.html").decode()


def jsonl(count: int) -> bytes:
    rows = [{"id": row, "region": "north" if row % 2 else "south", "text": f"row {row}"} for row in range(1, count + 1)]
    return "\n".join(map(json.dumps, rows)).encode()


@pytest.mark.parametrize(
    ("name", "data"), [("a.csv", table(60)), ("a.jsonl", jsonl(60)), ("a.tsv", table(60).replace(b",", b"\t"))]
)
def test_it_shows_the_answers_whatever_the_format(fake: FakeContext, name: str, data: bytes) -> None:
    if name == "a.tsv":
        data = "\n".join(
            ["id\tregion\ttext", *(f"{row}\t{'north' if row % 2 else 'south'}\trow {row}" for row in range(1, 61))]
        ).encode()
    page = made(fake, name, data)
    assert "54 of 60 rows answered — partial" in page
    assert "<h3>score</h3>" in page
    assert "lowest 0, mean " in page
    assert "caption>mood by region: rows, and their share of the line</caption" in page
    counts = [
        re.sub(r"<.*?>", " ", line).split()
        for line in re.findall(r"<tr><th scope=\"row\">(?:north|south).*?</tr>", page, re.DOTALL)
    ]
    assert counts == [["north", "20", "67", "%", "10", "33", "%"], ["south", "16", "67", "%", "8", "33", "%"]]
    assert '<td class="text" data-label="why">why, 7</td>' in page
    assert '<td class="text" data-label="region">south</td>' in page
    assert '<td class="code" data-label="outcome">error (invalid_value)</td>' in page
    assert "For example" in page
    assert "mood: [good, bad]" in page, "the recipe as it was"


def test_only_the_first_rows_are_shown_and_long_cells_are_cut(fake: FakeContext) -> None:
    page = made(fake, "a.csv", table(MAX_ROWS + 50).replace(b'row, 1"', b"x" * 5_000 + b'"'))
    assert f"The first {MAX_ROWS} of {MAX_ROWS + 50} rows, with their answers" in page
    assert page.partition('id="rows"')[2].count('data-label="row"') == MAX_ROWS
    assert "x" * 159 + "…" in page
    assert "x" * 161 not in page


def test_shards_and_interruptions_change_nothing(tmp_path: Path) -> None:
    data, pages = table(90), []
    for name, limits in (("one", Limits()), ("many", Limits(batch_requests=20)), ("late", Limits())):
        (tmp_path / name).mkdir()
        fake = FakeContext(tmp_path / name, limits=limits)
        if name == "late":
            fake.seconds_left = iter_seconds()
        page = made(fake, "a.csv", data)
        begin, end = page.index("<h2>The answers</h2>"), page.index("<h2>Time</h2>")
        pages.append(page[begin:end])
    assert pages[0] == pages[1] == pages[2]


def iter_seconds() -> Any:
    """Return a clock of invocations whose time is over every few looks at it."""
    looks = iter(range(10**9))
    return lambda: 300.0 if next(looks) % 7 else 50.0


def test_of_a_large_shard_a_part_is_counted_and_the_report_says_of_how_many(
    fake: FakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[CrossTables] = []
    stats = render_shard._Progress.stats
    monkeypatch.setattr(
        render_shard._Progress, "stats", lambda own, tally: (kept.append(tally.cross_tables), stats(own, tally))[1]
    )
    monkeypatch.setattr("dropbatch.delivery.report_rows.FLUSH_ROWS", 128)
    blocks = WHOLE_BLOCKS + 2 * EACH_BLOCK
    page = made(fake, "a.csv", table(128 * blocks))
    counted = WHOLE_BLOCKS + len([block for block in range(WHOLE_BLOCKS, blocks) if block % EACH_BLOCK == 0])
    rows = sum(kept_tables.rows for kept_tables in kept)
    assert rows == pytest.approx(128 * counted * 0.9, abs=2)
    assert f"Counted in {rows:,} of " in page
    assert FLUSH_ROWS > 128


def test_ready_requests_have_rows_without_answers(fake: FakeContext) -> None:
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "hello"}]}
    lines = [
        {"custom_id": f"c{row}", "method": "POST", "url": "/v1/chat/completions", "body": body} for row in range(3)
    ]
    drop(fake, "a.jsonl", "\n".join(map(json.dumps, lines)).encode())
    run(fake)
    page = result(fake, "report.html").decode()
    assert '<td class="text" data-label="custom_id">c1</td>' in page
    assert only_job(fake).rows == 3


def test_a_shard_of_an_older_release_has_its_rows_as_before(fake: FakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    stats = render_shard._Progress.stats

    def older(own: Any, tally: Tally) -> dict[str, Any]:
        members = stats(own, tally)
        del members["shown"]
        members["tally"] = {
            name: value for name, value in tally.to_json().items() if name not in ("distributions", "cross_tables")
        }
        return members

    monkeypatch.setattr(render_shard._Progress, "stats", older)
    page = made(fake, "a.csv", table(20))
    assert "<th>as dropped (id, region, text)</th><th>answer (mood, score, tags, why)</th>" in page
    assert "<th>as dropped (id, region, text)</th><th>outcome</th>" in page
    assert "The first rows" not in page
