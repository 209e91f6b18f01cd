"""A Parquet drop from its upload to its results, over fakes."""

import io
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.collection import result_writer
from dropbatch.delivery import render_shard as rendering
from dropbatch.delivery.parquet_results import column_schemas
from dropbatch.domain.states import JobState
from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.parser import parse_recipe
from tests.driving import drop, jobs, only_job, result, result_json, run
from tests.fakes import RESULTS, WORK, FakeContext, answer_ok, response_line
from tests.unit.formats.parquet.tables import example_table, packed, same, unpacked

RECIPE = b"""\
model: gpt-6-luna
prompt: "Text: {{ text }}"
"""  # some of the texts are null

COUNT = 50
TABLE = packed(example_table(COUNT), row_group_size=20, compression="zstd")

SCORING = b"""\
model: gpt-6-luna
prompt: "{{ text }} {{ who.name if who }} {{ at }} {{ tags | json }}"
schema:
  score: integer
  sure: number
  good: boolean
  labels: {list: string}
  notes: {type: object, properties: {a: {type: string}}}
"""


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    return FakeContext(tmp_path, limits=Limits(batch_requests=7))  # several shards


def table(fake: FakeContext, name: str) -> Any:
    return pq.read_table(io.BytesIO(result(fake, name)))


def saying(values: Any) -> Any:
    """Return an answerer that answers with this JSON, or with the result of this function."""

    def answer(request: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        said = values(request) if callable(values) else values
        if said is None:
            return None
        body = {"choices": [{"index": 0, "finish_reason": "stop", "message": {"content": json.dumps(said)}}]}
        return "output", response_line(request, 200, body)

    return answer


def test_a_table_is_answered_with_columns_beside_its_own(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "a/t.parquet", TABLE)
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED
    found = table(fake, "t.answers.parquet")
    assert found.column_names[-3:] == ["answer", "_status", "_error"]
    assert same(found.select(range(found.num_columns - 3)), unpacked(TABLE))
    said = fake.openai.echoes()
    assert found.column("answer").to_pylist() == [said[n] for n in range(1, COUNT + 1)]
    assert found.column("_status").to_pylist() == ["ok"] * COUNT
    assert found.column("_error").to_pylist() == [None] * COUNT
    names = {key.rpartition("/")[2] for key in fake.objects.keys(RESULTS)}
    assert "t.failed.parquet" not in names
    assert len(result(fake, "responses.jsonl").splitlines()) == COUNT
    assert result_json(fake, "summary.json")["rows"]["ok"] == COUNT


@pytest.mark.slow
def test_a_table_read_in_many_invocations_gives_the_same_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def done(fake: FakeContext) -> dict[str, Any]:
        fake.objects.drop("recipe.yaml", RECIPE + b"attempts: 1\n")
        fake.openai.answer = lambda request: None if int(request["custom_id"]) % 5 == 0 else answer_ok(request)
        drop(fake, "t.parquet", TABLE)
        run(fake, ticks=200, step=600)
        return {name: table(fake, name) for name in ("t.answers.parquet", "t.failed.parquet")}

    expected = done(FakeContext(tmp_path, limits=Limits(batch_requests=7)))
    for module in (result_writer, rendering):
        monkeypatch.setattr(module, "CHUNK_ROWS", 2)
    for seed in range(3):
        dice = random.Random(seed)
        fake = FakeContext(tmp_path, limits=Limits(batch_requests=7))
        fake.seconds_left = lambda dice=dice: dice.choice([300.0, 5.0])  # type: ignore[misc]  # a clock for each run
        found = done(fake)
        assert all(same(found[name], expected[name]) for name in expected)
        pieces = [key for key in fake.objects.keys(WORK) if "/pieces/" in key and "/answers." in key]
        assert len(pieces) > only_job(fake).shards


@pytest.mark.slow
def test_templates_get_typed_values_and_columns_have_the_types_of_the_schema(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", SCORING)
    fake.openai.answer = saying({"score": 7, "sure": 1, "good": True, "labels": ["a", "b"], "notes": {"a": "x"}})
    drop(fake, "t.parquet", TABLE)
    run(fake)
    requests = [json.loads(line) for file in fake.openai.contents.values() for line in file.splitlines()]
    prompts = {r["custom_id"]: r["body"]["messages"][-1]["content"] for r in requests if "body" in r}
    assert prompts["2"] == 'row 1 “é” n1 1970-01-01T00:00:01.000000007Z ["t0"]'
    found = table(fake, "t.answers.parquet").slice(0, 1)
    assert found.column("labels")[0].as_py() == ["a", "b"]
    added = {name: found.schema.field(name).type for name in ("score", "sure", "good", "notes")}
    assert added == {"score": pa.int64(), "sure": pa.float64(), "good": pa.bool_(), "notes": pa.string()}
    wanted = {"score": 7, "sure": 1.0, "good": True, "notes": '{"a":"x"}'}
    assert {name: found.column(name)[0].as_py() for name in wanted} == wanted


@pytest.mark.slow
def test_the_failed_file_of_a_table_is_a_table_that_can_be_dropped_again(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b"attempts: 1\n")
    missing = {"1", "20", "21", "50"}
    fake.openai.answer = lambda request: None if request["custom_id"] in missing else answer_ok(request)
    drop(fake, "t.parquet", TABLE)
    run(fake, step=600)
    failed = result(fake, "t.failed.parquet")
    assert same(unpacked(failed), unpacked(TABLE).take(pa.array([0, 19, 20, 49])))
    statuses = table(fake, "t.answers.parquet").column("_status").to_pylist()
    assert [n for n, status in enumerate(statuses, 1) if status != "ok"] == [1, 20, 21, 50]
    fake.openai.answer = answer_ok
    drop(fake, "t.failed.parquet", failed)
    run(fake)
    assert jobs(fake)[-1].rows == 4


@pytest.mark.slow
def test_only_the_failed_rows_are_retried_and_the_table_is_complete(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b"attempts: 1\n")
    fake.openai.answer = lambda request: None if request["custom_id"] == "9" else answer_ok(request)
    drop(fake, "t.parquet", TABLE)
    run(fake, step=600)
    fake.openai.answer = answer_ok
    drop(fake, "t.parquet.retry", b"")
    run(fake)
    again = jobs(fake)[-1]
    assert again.state is JobState.SUCCEEDED
    found = pq.read_table(io.BytesIO(result(fake, "t.answers.parquet", again)))
    said = fake.openai.echoes()
    assert found.column("answer").to_pylist() == [said[n] for n in range(1, COUNT + 1)]


def test_only_the_first_rows_are_answered_if_the_recipe_limits_them(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b"limit: 23\n")
    drop(fake, "t.parquet", TABLE)
    run(fake)
    found = table(fake, "t.answers.parquet")
    assert same(found.select(range(found.num_columns - 3)), unpacked(TABLE).slice(0, 23))


@pytest.mark.slow
def test_rows_that_are_skipped_stay_in_the_table(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b'when: "{{ kind }}"\n')
    drop(fake, "t.parquet", TABLE)
    run(fake)
    statuses = table(fake, "t.answers.parquet").column("_status").to_pylist()
    assert statuses == ["skipped" if n % 3 == 2 else "ok" for n in range(COUNT)]


def test_a_row_of_nulls_is_blank(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    columns = {"text": ["a", None, " ", "b"], "n": [1.0, None, float("nan"), None], "tags": [["x"], None, [], None]}
    whole = pa.table(columns)
    drop(fake, "t.parquet", packed(whole))
    run(fake)
    found = table(fake, "t.answers.parquet")
    assert found.column("_status").to_pylist() == ["ok", "skipped", "skipped", "ok"]
    assert found.column("_error").to_pylist() == [None, "blank_row", "blank_row", None]
    assert found.num_rows == 4
    assert not [key for key in fake.objects.keys(RESULTS) if "failed" in key]


def test_a_bad_row_of_a_table_is_skipped_and_in_its_failed_file(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", b'model: m\nprompt: "{{ 1 / n }}"\nbad_rows: skip\n')
    drop(fake, "t.parquet", packed(pa.table({"n": [1, 0, 2]})))
    run(fake)
    assert table(fake, "t.answers.parquet").column("_error").to_pylist() == [None, "template_failed", None]
    assert table(fake, "t.failed.parquet").column("n").to_pylist() == [0]
    assert result_json(fake, "skipped.json")["problems"]["first"][0]["message"].startswith("Row 2, ")


@pytest.mark.slow
def test_failed_rows_of_a_table_are_retried_with_a_recipe_of_other_types(fake: FakeContext) -> None:
    """The column has the values of both recipes, as texts if no type fits both."""
    fake.objects.drop("recipe.yaml", RECIPE + b"schema: {score: integer}\n")
    fake.openai.answer = lambda request: (
        saying({"score": 7})(request)
        if request["custom_id"] != "9"
        else ("error", response_line(request, 400, {"error": {"code": "invalid_value"}}))
    )
    drop(fake, "t.parquet", TABLE)
    run(fake, step=600)
    fake.objects.drop("recipe.yaml", RECIPE + b"schema: {score: string}\n")
    fake.openai.answer = saying({"score": "high"})
    drop(fake, "t.parquet.retry", b"")
    run(fake)
    again = jobs(fake)[-1]
    assert again.state is JobState.SUCCEEDED
    found = pq.read_table(io.BytesIO(result(fake, "t.answers.parquet", again))).column("score").to_pylist()
    assert found == ["high" if n == 9 else "7" for n in range(1, COUNT + 1)]
    assert [recipe["rows"] for recipe in result_json(fake, "summary.json", again)["recipes"]] == [49, 1]


def test_a_bad_row_is_named_by_its_number(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", b'model: m\nprompt: "{{ who.name }}"\n')
    drop(fake, "t.parquet", packed(pa.table({"who": pa.array([{"name": "a"}, {"name": "b"}]), "n": [1, 2]})))
    drop(fake, "u.parquet", packed(pa.table({"who": pa.array([["a"], ["b"]])})))
    run(fake)
    states = {job.drop.key: job.state for job in jobs(fake)}
    assert states == {"t.parquet": JobState.SUCCEEDED, "u.parquet": JobState.REJECTED}
    [rejected] = [job for job in jobs(fake) if job.state is JobState.REJECTED]
    problems = result_json(fake, "rejected.json", rejected)["problems"]["first"]
    assert [problem["line"] for problem in problems] == [1, 2]
    assert problems[1]["message"].startswith("Row 2, key prompt of the recipe: ")


@pytest.mark.slow
def test_a_value_that_is_not_of_its_column_s_type_makes_the_column_text(fake: FakeContext) -> None:
    fake.objects.drop(
        "recipe.yaml", b'model: text-embedding-3-small\nendpoint: /v1/embeddings\nprompt: "Text: {{ text }}"\n'
    )

    def embeddings(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        vectors = [[0.5, 0.25]] if request["custom_id"] != "30" else [[0.5, 0.25], [1.5, 2.5]]
        data = [{"index": place, "embedding": vector} for place, vector in enumerate(vectors)]
        return "output", response_line(request, 200, {"data": data, "usage": {"prompt_tokens": 3}})

    fake.openai.answer = embeddings
    drop(fake, "t.parquet", TABLE)
    run(fake)
    column = table(fake, "t.answers.parquet").column("embedding")
    assert column.type == pa.string()
    assert json.loads(column[0].as_py()) == [0.5, 0.25]
    assert json.loads(column[29].as_py()) == [[0.5, 0.25], [1.5, 2.5]]


@pytest.mark.slow
@pytest.mark.parametrize("odd", [None, "30"])
def test_a_table_is_assembled_in_several_invocations(tmp_path: Path, odd: str | None) -> None:
    def answered(seconds_left: Callable[[], float]) -> tuple[bytes, bytes]:
        fake = FakeContext(tmp_path, limits=Limits(batch_requests=7))
        recipe = b'model: m\nprompt: "Text: {{ text }}"\nattempts: 1\nschema: {score: integer}\ndedupe: false\n'
        fake.objects.drop("recipe.yaml", recipe)  # rows with the same text have different answers

        def scores(request: dict[str, Any]) -> dict[str, Any] | None:
            number = int(request["custom_id"])
            return None if number % 9 == 0 else {"score": 2**70 if request["custom_id"] == odd else number}

        fake.openai.answer = saying(scores)
        drop(fake, "t.parquet", TABLE)
        fake.seconds_left = seconds_left
        run(fake, step=600, ticks=200)
        return result(fake, "t.answers.parquet"), result(fake, "t.failed.parquet")

    dice = random.Random(3)
    whole = answered(lambda: 300.0)
    assert answered(lambda: dice.choice([300.0, 300.0, 300.0, 40.0])) == whole
    assert answered(lambda: dice.choice([300.0, 40.0])) == whole
    scores = unpacked(whole[0]).column("score")
    assert scores.type == (pa.string() if odd else pa.int64())
    assert [int(score) if score is not None else None for score in scores.to_pylist()] == [
        None if n % 9 == 0 else 2**70 if odd == str(n) else n for n in range(1, COUNT + 1)
    ]


@pytest.mark.slow
def test_embeddings_are_lists_of_numbers(fake: FakeContext) -> None:
    fake.objects.drop(
        "recipe.yaml", b'model: text-embedding-3-small\nendpoint: /v1/embeddings\nprompt: "Text: {{ text }}"\n'
    )
    vector = [0.1, -1e-9]
    fake.openai.answer = lambda request: (
        "output",
        response_line(request, 200, {"data": [{"index": 0, "embedding": vector}], "usage": {"prompt_tokens": 3}}),
    )
    drop(fake, "t.parquet", TABLE)
    run(fake)
    column = table(fake, "t.answers.parquet").column("embedding")
    assert pa.types.is_list(column.type)
    assert column.to_pylist() == [vector] * COUNT


@pytest.mark.slow
def test_a_table_that_was_replaced_meanwhile_is_answered_as_it_was(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.ending = None
    drop(fake, "t.parquet", TABLE)
    run(fake, ticks=2)
    fake.objects.drop("t.parquet", packed(example_table(3)))
    fake.openai.ending = next(iter(fake.openai.batches.values())).status.COMPLETED
    run(fake)
    assert table(fake, "t.answers.parquet").num_rows == COUNT


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (TABLE[:-10], "corrupt_parquet"),
        (packed(example_table(0)), "empty_file"),
        (packed(pa.table({"text": ["a"], "answer": ["b"]})), "column_exists"),
        (packed(pa.table({"tekst": ["a"]})), "undefined_name"),
    ],
)
def test_a_wrong_table_is_rejected_in_one_sentence(fake: FakeContext, data: bytes, code: str) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "t.parquet", data)
    run(fake)
    [problem] = result_json(fake, "rejected.json")["problems"]["first"]
    assert problem["code"] == code
    assert fake.openai.batches == {}


def test_without_its_library_a_table_is_rejected_with_the_way_to_enable_it(
    fake: FakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("dropbatch.formats.parquet")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "t.parquet", TABLE)
    run(fake)
    [problem] = result_json(fake, "rejected.json")["problems"]["first"]
    assert problem["code"] == "parquet_disabled"
    assert "`make deploy PARQUET=enabled`" in problem["message"]


def test_the_same_table_while_its_job_is_open_is_not_billed_again(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.ending = None
    drop(fake, "t.parquet", TABLE)
    run(fake, ticks=2)
    drop(fake, "t.parquet", TABLE)
    run(fake, ticks=2)
    assert "duplicate" in fake.topics.events()


@pytest.mark.parametrize(
    ("recipe", "schemas"),
    [
        (b"prompt: '{{ a }}'", {"p_answer": {"type": "string"}, "p_x": None, "p__status": None, "p__error": None}),
        (
            b"prompt: '{{ a }}'\nendpoint: /v1/moderations",
            {
                "p_flagged": {"type": "boolean"},
                "p_categories": {"type": "array", "items": {"type": "string"}},
                "p_x": None,
                "p__status": None,
                "p__error": None,
            },
        ),
    ],
)
def test_columns_follow_from_the_recipe(recipe: bytes, schemas: dict[str, Any]) -> None:
    text = b"model: m\nprefix: p_\ncolumns: {x: choices}\n" + recipe
    assert column_schemas(compile_recipe(parse_recipe(text, "recipe.yaml"), {})) == schemas


def test_known_answers_of_a_table_are_compared_and_never_sent(fake: FakeContext) -> None:
    rows = {"text": ["good", "bad", "odd"], "label": [True, False, None], "stars": [4, 5, 3]}
    recipe = (
        b"model: gpt-6-luna\nprompt: '{{ row }}'\nschema: {good: boolean, grade: number}\n"
        b"expect: {good: label, grade: stars}\n"
    )
    fake.openai.answer = saying({"good": True, "grade": 4.0})
    fake.objects.drop("recipe.yaml", recipe)
    drop(fake, "a.parquet", packed(pa.table(rows)))
    run(fake)
    agreement = result_json(fake, "summary.json")["agreement"]
    assert {name: (each["agreed"], each["compared"]) for name, each in agreement.items()} == {
        "good": (1, 2),
        "grade": (1, 3),
    }
    sent = b"".join(fake.openai.contents.values())
    assert b"odd" in sent
    assert b"label" not in sent
    assert b"stars" not in sent


def test_a_table_without_a_recipe_is_rejected_with_a_draft(fake: FakeContext) -> None:
    rows = {"id": [1, 2], "text": ["It works well", "It does not"], "at": [1.5, 2.5]}
    drop(fake, "a.parquet", packed(pa.table(rows)))
    run(fake)
    recipe = result(fake, "recipe.yaml")
    assert b'prompt: "{{ text }}"' in recipe
    drop(fake, "recipe.yaml", recipe)
    run(fake)
    assert jobs(fake)[-1].state is JobState.SUCCEEDED
