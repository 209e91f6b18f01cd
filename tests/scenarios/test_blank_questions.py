"""Recipes, rows and ready requests that ask nothing are refused before anything is sent."""

import json

import pytest

from dropbatch.domain.states import JobState
from tests.driving import drop, only_job, result, result_json, run
from tests.fakes import FakeContext


def rejected(fake: FakeContext, recipe: bytes, name: str, data: bytes) -> list[dict[str, object]]:
    fake.objects.drop("recipe.yaml", recipe)
    drop(fake, name, data)
    run(fake)
    assert only_job(fake).state is JobState.REJECTED
    assert not fake.openai.batches
    problems: list[dict[str, object]] = result_json(fake, "rejected.json")["problems"]["first"]
    return problems


def test_a_recipe_without_a_column_names_those_of_the_drop(fake: FakeContext) -> None:
    recipe = b"model: m\nprompt: 'Label this review: {txt}'\n"
    [problem] = rejected(fake, recipe, "a.csv", b"id,text\n1,good\n2,bad\n")
    assert (problem["code"], problem["key"]) == ("no_column", "prompt")
    assert "did you mean {{ text }}?" in str(problem["message"])


def test_a_recipe_without_a_column_is_refused_for_rows_of_json(fake: FakeContext) -> None:
    [problem] = rejected(fake, b"model: m\nprompt: 'Label {text}'\n", "a.jsonl", b'{"text": "good"}\n')
    assert problem["code"] == "no_column"
    assert "write {{ text }}" in str(problem["message"])


@pytest.mark.parametrize(
    ("name", "data"), [("a.csv", b"text,title\na,b\n"), ("a.jsonl", b'{"text": "a", "title": "b"}\n' * 3)]
)
@pytest.mark.parametrize("bad_rows", ["reject", "skip"])
def test_a_placeholder_of_a_column_rejects_the_drop_once(
    fake: FakeContext, name: str, data: bytes, bad_rows: str
) -> None:
    recipe = b"model: m\nprompt: '{title}: {{ text }}'\nbad_rows: " + bad_rows.encode() + b"\n"
    [problem] = rejected(fake, recipe, name, data)
    assert (problem["code"], problem["key"], problem["line"]) == ("placeholder", "prompt", 2)


QUESTION = b"model: m\nprompt: '{{ text }}'\n"


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", ["chat/completions", "embeddings", "responses", "moderations"])
def test_a_row_without_a_question_rejects_the_drop_with_its_line(fake: FakeContext, endpoint: str) -> None:
    recipe = QUESTION + f"endpoint: /v1/{endpoint}\n".encode()
    rows = b"".join(b"%d,text %d\n" % (n, n) for n in range(500))
    [problem] = rejected(fake, recipe, "a.csv", b"id,text\n" + rows + b"500,\n" + rows)
    assert (problem["code"], problem["key"], problem["line"]) == ("empty_prompt", "prompt", 502)
    assert 'leave such rows out with when: "{{ text }}"' in str(problem["message"])


def test_the_line_that_is_advised_leaves_the_row_out(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", QUESTION + b'when: "{{ text }}"\n')
    drop(fake, "a.csv", b"id,text\n1,a\n2,\n3,\xc2\xa0\n4,b\n")
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED
    rows = result(fake, "a.answers.csv").decode().splitlines()
    assert [row.split(",")[-2] for row in rows[1:]] == ["ok", "skipped", "skipped", "ok"]


def test_bad_rows_skips_rows_without_a_question(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", QUESTION + b"bad_rows: skip\n")
    drop(fake, "a.csv", b"id,text\n1,a\n2,\n3,b\n")
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED
    rows = result(fake, "a.answers.csv").decode().splitlines()
    assert [row.split(",")[-2] for row in rows[1:]] == ["ok", "skipped", "ok"]
    [batch] = fake.openai.batches.values()
    assert batch.total == 2


def test_a_ready_line_without_messages_rejects_the_drop_with_its_line(fake: FakeContext) -> None:
    def line(n: int, content: object) -> bytes:
        body = {"model": "m", "messages": [{"role": "user", "content": content}]}
        request = {"custom_id": f"{n}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        return json.dumps(request).encode() + b"\n"

    lines = [line(n, "" if n == 300 else f"text {n}") for n in range(600)]
    drop(fake, "a.jsonl", b"".join(lines))
    run(fake)
    assert only_job(fake).state is JobState.REJECTED
    [problem] = result_json(fake, "rejected.json")["problems"]["first"]
    assert (problem["code"], problem["key"], problem["line"]) == ("empty_input", "body.messages", 301)
