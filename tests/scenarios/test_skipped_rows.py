"""Rows that are not sent: blank rows, and bad rows that the recipe skips. They keep their places and are reported."""

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.states import JobState
from tests.driving import (
    ALMOST_NOTHING,
    batches,
    drop,
    jobs,
    only_job,
    result,
    result_json,
    run,
    sent_rows,
)
from tests.fakes import RESULTS, FakeContext

RECIPE = b'model: gpt-6-luna\nprompt: "Label: {{ text }}"\n'
BAD_ROWS = b"id,text\n1,one\n2,tw\xff o\n3,three,extra\n"


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", RECIPE)
    return fake


def answers(fake: FakeContext, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(result(fake, name).decode("utf-8-sig"), newline="")))


def said(fake: FakeContext, event: str) -> str:
    return next(n.text for n in fake.topics.published if n.event == event)


BLANK = [
    ("a.csv", b"\xef\xbb\xbfid,text\r\n1,a\r\n,\r\n2,b\r\n"),
    ("a.csv", b'id,text\n1,a\n"",""\n2,b\n'),
    ("a.csv", b'id,text\n1,a\n"  ","\n"\n2,b\n'),
    ("a.csv", "id;text\n1;a\n \u3000;\u00a0\n2;b\n".encode()),
    ("a.tsv", b"id\ttext\n1\ta\n\t\n2\tb\n"),
    ("a.jsonl", b'{"id": 1, "text": "a"}\n{}\n{"id": 2, "text": "b"}\n'),
    ("a.jsonl", b'{"id": 1, "text": "a"}\n{"id": null, "text": " "}\n{"id": 2, "text": "b"}\n'),
    ("a.jsonl", b'{"id": 1, "text": "a"}\n{"id": null, "text": [], "more": {}}\n{"id": 2, "text": "b"}\n'),
]


def test_bad_and_blank_rows_are_reported_before_an_approval(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, max_job_usd=ALMOST_NOTHING)
    fake.objects.drop("recipe.yaml", RECIPE + b"bad_rows: skip\n")
    drop(fake, "a.csv", b"id,text\n1,a\n2\n3,c\n,\n")
    run(fake, ticks=2)
    assert only_job(fake).state is JobState.HELD
    assert "1 row was blank and skipped.\n1 bad row was skipped: 1 ragged_row.\n- Line 3 has 1 value" in said(
        fake, "held"
    )
    assert fake.topics.published[-1].detail["skipped"]["codes"] == {"ragged_row": 1, "blank_row": 1}


def test_a_file_of_which_nothing_is_sent_is_told_so(fake: FakeContext) -> None:
    drop(fake, "a.csv", b"id,text\n,\n , \n")
    run(fake)
    lines = said(fake, "accepted").splitlines()
    assert "Nothing is sent to OpenAI, so it costs nothing." in lines
    assert "Another message follows when all is done." in lines
    assert not [line for line in lines if "0 requests" in line or "24 hours" in line]


def test_a_bad_row_with_a_name_of_the_answers_does_not_get_it_twice(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b"bad_rows: skip\n")
    drop(fake, "a.jsonl", b'{"text": "a"}\n{"text": "b", "answer": 1}\n')
    run(fake)
    pairs = json.loads(result(fake, "a.answers.jsonl").splitlines()[1], object_pairs_hook=list)
    assert [name for name, _ in pairs] == ["_raw", "answer", "_status", "_error"]
    assert pairs[0][1] == '{"text": "b", "answer": 1}'
    assert result(fake, "a.failed.jsonl") == b'{"text": "b", "answer": 1}\n'


@pytest.mark.slow
@pytest.mark.parametrize(("name", "data"), BLANK)
def test_a_row_without_any_value_is_skipped_unpaid_and_kept_in_place(fake: FakeContext, name: str, data: bytes) -> None:
    drop(fake, name, data)
    run(fake)
    assert sent_rows(fake) == [[1, 3]]
    assert only_job(fake).state is JobState.SUCCEEDED
    written = result(fake, f"a.answers.{name.partition('.')[2]}")
    assert len(written.splitlines()) >= len(data.splitlines())
    found = [json.loads(line) for line in written.splitlines()] if name == "a.jsonl" else None
    if found is None:
        dialect = "\t" if name.endswith("tsv") else ";" if b";" in data else ","
        text = io.StringIO(written.decode("utf-8-sig"), newline="")
        found = list(csv.DictReader(text, delimiter=dialect))
    assert [(row["_status"], row["_error"] or None) for row in found] == [
        ("ok", None),
        ("skipped", "blank_row"),
        ("ok", None),
    ]
    assert "1 row was blank and skipped." in said(fake, "accepted").splitlines()
    assert "1 row was blank and skipped." in said(fake, "ended").splitlines()
    assert result_json(fake, "skipped.json")["codes"] == {"blank_row": 1}
    line = json.loads(result(fake, "responses.jsonl").splitlines()[1])
    assert line["error"]["message"] == "No column of this row has a value; it was not sent."
    assert not fake.objects.keys(RESULTS, f"{name}/{only_job(fake).id}/a.failed"), "there is nothing to correct"


def test_a_recipe_may_send_blank_rows(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b"blank_rows: ask\n")
    drop(fake, "a.csv", b"id,text\n1,a\n,\n")
    run(fake)
    assert sent_rows(fake) == [[1, 2]]
    assert "blank" not in said(fake, "ended")


def test_a_row_with_any_value_is_sent(fake: FakeContext) -> None:
    drop(fake, "a.csv", b"id,text\n1,\n,b\n0,\n")
    run(fake)
    assert sent_rows(fake) == [[1, 2, 3]]


def test_a_file_of_blank_rows_sends_nothing_and_ends(fake: FakeContext) -> None:
    drop(fake, "a.csv", b"id,text\n,\n,\n")
    run(fake)
    assert sent_rows(fake) == []
    assert only_job(fake).state is JobState.SUCCEEDED
    assert "2 rows were blank and skipped." in said(fake, "ended")


def test_a_limit_counts_blank_rows_as_before(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b"limit: 2\n")
    drop(fake, "a.csv", b"id,text\n,\n1,a\n2,b\n")
    run(fake)
    assert sent_rows(fake) == [[2]]


def test_a_blank_row_under_a_name_that_the_answers_add_rejects_the_drop_as_any_row_does(fake: FakeContext) -> None:
    drop(fake, "a.jsonl", b'{"text": "a"}\n{"answer": null}\n')
    run(fake)
    assert only_job(fake).state is JobState.REJECTED


@pytest.mark.slow
@pytest.mark.parametrize("plain", [True, False])
@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_all_rows_come_back_and_no_blank_row_is_sent(
    tmp_path_factory: pytest.TempPathFactory, plain: bool, data: st.DataObject
) -> None:
    """Chunks are read at once or row by row, in shards of any size."""
    value = st.sampled_from(["", "", " ", "\u00a0", "a", "0", '"q"', "x\ny"])
    rows = data.draw(st.lists(st.tuples(value, value, value), min_size=1, max_size=12))
    limits = Limits(batch_requests=data.draw(st.integers(1, 5)))
    fake = FakeContext(tmp_path_factory.mktemp("world"), limits=limits)
    fake.objects.drop("recipe.yaml", RECIPE if plain else RECIPE.replace(b"{{ text }}", b"{{ text | upper }}"))
    out = io.StringIO(newline="")
    csv.writer(out).writerows([("id", "text", "note"), *rows])
    drop(fake, "a.csv", out.getvalue().encode())
    run(fake, ticks=200)
    found = answers(fake, "a.answers.csv")
    assert [(row["id"], row["text"], row["note"]) for row in found] == rows
    full = [number for number, row in enumerate(rows, 1) if any(text.strip() for text in row)]
    assert sorted(row for batch in sent_rows(fake) for row in batch) == full
    assert [number for number, row in enumerate(found, 1) if row["_status"] == "ok"] == full


def test_bad_rows_are_reported_with_lines_codes_and_counts(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b"bad_rows: skip\n")
    drop(fake, "x.csv", BAD_ROWS)
    run(fake)
    for event in ("accepted", "ended"):
        lines = said(fake, event).splitlines()
        assert "2 bad rows were skipped: 1 invalid_utf8, 1 ragged_row." in lines
        assert any(line.startswith("- Line 3, byte 5 (0xff) is not UTF-8") for line in lines)
        assert any(line.startswith("- Line 4 has 3 values where the header has 2") for line in lines)
    ended = next(n for n in fake.topics.published if n.event == "ended")
    assert ended.subject == "x.csv: 1 of 1 answered, 2 bad rows skipped"
    assert "Every row is done" not in ended.text
    found = result_json(fake, "skipped.json")
    assert (found["rows"], found["codes"]) == (2, {"invalid_utf8": 1, "ragged_row": 1})
    assert [(problem["line"], problem["code"]) for problem in found["problems"]["first"]] == [
        (3, "invalid_utf8"),
        (4, "ragged_row"),
    ]
    reasons = result_json(fake, "summary.json")["reasons"]
    assert [(reason["outcome"], reason["code"], reason["rows"], reason["row"]) for reason in reasons] == [
        ("skipped", "invalid_utf8", 1, 2),
        ("skipped", "ragged_row", 1, 3),
    ]
    assert result(fake, "x.answers.csv").decode() == (
        f"id,text,answer,_status,_error\n1,one,{fake.openai.echoes()[1]},ok,\n"
        "2,tw\ufffd o,,skipped,invalid_utf8\n3,three,,skipped,ragged_row\n"
    )
    assert result(fake, "x.failed.csv") == b"id,text\n2,tw\xff o\n3,three,extra\n", "their bytes as they were"
    sentences = [json.loads(line)["error"] for line in result(fake, "responses.jsonl").splitlines()[1:]]
    assert all("cannot be asked" in sentence["message"] for sentence in sentences)


def test_the_failed_file_of_bad_rows_can_be_corrected_and_dropped_as_the_message_says(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b"bad_rows: skip\n")
    drop(fake, "x.csv", BAD_ROWS)
    run(fake)
    assert "then: aws s3 cp x.failed.csv s3://the-inbox/x.failed.csv" in said(fake, "ended")
    corrected = result(fake, "x.failed.csv").replace(b"\xff", b"").replace(b",extra", b"")
    fake.clock.sleep(60)
    drop(fake, "x.failed.csv", corrected)
    run(fake)
    assert [job.state for job in jobs(fake)] == [JobState.SUCCEEDED] * 2
    assert result_json(fake, "summary.json", jobs(fake)[1])["rows"]["ok"] == 2


@pytest.mark.parametrize(
    ("recipe", "data", "code"),
    [
        (b'model: m\nprompt: "{{ 1 / n }}"\n', b'{"n": 1}\n{"n": 0}\n', "template_failed"),
        (b'model: m\nprompt: "{{ n }}"\n', b'{"n": 1}\n{"m": 0}\n', "undefined_name"),
        (b'model: "{{ n }}"\nprompt: "{{ n }}"\n', b'{"n": "m"}\n{"n": "a b"}\n', "invalid_model"),
        (b'model: m\nprompt: "{{ n }}"\n', b'{"n": 1}\n{"n": 1\n', "not_json"),
    ],
)
def test_every_kind_of_bad_row_has_its_own_code(fake: FakeContext, recipe: bytes, data: bytes, code: str) -> None:
    fake.objects.drop("recipe.yaml", recipe + b"bad_rows: skip\n")
    drop(fake, "a.jsonl", data)
    run(fake)
    assert [json.loads(line)["_error"] for line in result(fake, "a.answers.jsonl").splitlines()] == [None, code]
    assert result(fake, "a.failed.jsonl") == data.splitlines(keepends=True)[1]
    assert result_json(fake, "skipped.json")["codes"] == {code: 1}


def test_a_row_that_is_too_long_for_a_batch_is_skipped_with_its_code(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, limits=Limits(line_bytes=400))
    fake.objects.drop("recipe.yaml", RECIPE.replace(b"Label", b"x" * 100) + b"bad_rows: skip\n")
    drop(fake, "a.csv", b"text\na\n" + b"b" * 300 + b"\n")
    run(fake)
    assert [row["_error"] for row in answers(fake, "a.answers.csv")] == ["", "line_too_long"]


def test_rows_that_the_recipe_leaves_out_are_in_responses_but_not_in_the_message(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b"when: \"{{ id == '1' }}\"\n")
    drop(fake, "a.csv", b"id,text\n1,a\n2,b\n")
    run(fake)
    line = json.loads(result(fake, "responses.jsonl").splitlines()[1])
    assert line["error"]["message"] == "The recipe skips this row; it was not sent."
    assert "Every row is done." in said(fake, "ended")
    assert result_json(fake, "summary.json")["reasons"] == []
    assert not fake.objects.keys(RESULTS, f"a.csv/{only_job(fake).id}/skipped.json")


@pytest.mark.slow
def test_skipped_rows_are_counted_over_all_invocations(tmp_path: Path) -> None:
    data = b"id,text\n" + b"".join(
        b"%d,\xff\n" % n if n % 5 == 0 else b",\n" if n % 7 == 0 else b"%d,a\n" % n for n in range(200)
    )
    found = []
    for seconds in (300.0, 10.0):
        fake = FakeContext(tmp_path, limits=Limits(batch_requests=40))
        fake.objects.drop("recipe.yaml", RECIPE + b"bad_rows: skip\n")
        fake.seconds_left = lambda seconds=seconds: seconds  # type: ignore[misc]  # a clock for each run
        drop(fake, "a.csv", data)
        run(fake, ticks=20)
        fake.seconds_left = lambda: 300.0
        run(fake, ticks=200)
        found.append((result_json(fake, "skipped.json"), result(fake, "a.answers.csv"), result(fake, "a.failed.csv")))
        assert sum(batch.requests for batch in batches(fake)) == 160 - 23
    assert found[0] == found[1]
    assert found[0][0]["codes"] == {"invalid_utf8": 40, "blank_row": 23}
