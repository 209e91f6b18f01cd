"""A column with known answers (`expect`): it is never sent, and the results say how many answers agree with it."""

import csv
import io
import json
from typing import Any

import pytest

from dropbatch.collection import finish_shard
from dropbatch.delivery import render_shard
from dropbatch.domain.states import JobState
from tests.driving import drop, jobs, last_message, only_job, result_json, run
from tests.fakes import FakeContext, answer_ok, response_line

RECIPE = """\
model: gpt-6-luna
prompt: "{{ text }}"
schema: {sentiment: [positive, negative]}
expect: label
"""


def answering(fake: FakeContext, **answers: Any) -> None:
    """Answer each request with the value for the word that it contains; positive for any other."""

    def answer(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        asked = json.dumps(request["body"]["messages"])
        found = next((value for word, value in answers.items() if word in asked), {"sentiment": "positive"})
        if found is None:
            return "error", response_line(request, 500, {"error": {"code": "server_error"}})
        message = {"role": "assistant", "content": json.dumps(found)}
        body = {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}
        return "output", response_line(request, 200, body)

    fake.openai.answer = answer


def sent(fake: FakeContext) -> str:
    return b"".join(fake.openai.contents[batch.input_file_id] for batch in fake.openai.batches.values()).decode()


ROWS = [
    ("good one", "positive"),
    ("nice one", " Positive "),
    ("bad one", "negative"),
    ("awful one", "positive"),
    ("odd one", ""),
    ("lost one", "negative"),
]


def a_file(kind: str) -> tuple[str, bytes]:
    if kind in ("csv", "tsv"):
        out = io.StringIO()
        delimiter = "," if kind == "csv" else "\t"
        csv.writer(out, lineterminator="\n", delimiter=delimiter).writerows([("text", "label"), *ROWS])
        return f"a.{kind}", out.getvalue().encode()
    objects = [{"text": text, "label": label or None} for text, label in ROWS]
    if kind == "jsonl":
        return "a.jsonl", b"".join(json.dumps(each).encode() + b"\n" for each in objects)
    return "a.json", json.dumps(objects).encode()


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json"])
def test_the_results_say_how_many_answers_are_as_expected(fake: FakeContext, kind: str) -> None:
    answering(fake, bad={"sentiment": "negative"}, awful={"sentiment": "negative"}, lost=None)
    fake.objects.drop("in/recipe.yaml", RECIPE.encode())
    name, data = a_file(kind)
    drop(fake, f"in/{name}", data)
    run(fake, ticks=200)
    found = result_json(fake, "summary.json")["agreement"]["sentiment"]
    assert (found["agreed"], found["compared"]) == (3, 4), "neither the empty one nor the one without an answer"
    assert found["confusion"] == [
        {"expected": "positive", "answered": "positive", "rows": 2},
        {"expected": "negative", "answered": "negative", "rows": 1},
        {"expected": "positive", "answered": "negative", "rows": 1},
    ]
    assert found["disagreements"] == [{"row": 4, "expected": "positive", "answered": "negative"}]
    assert "sentiment: 3 of 4 as expected (75 %)." in last_message(fake, "ended").text.splitlines()


@pytest.mark.parametrize(
    "prompt",
    [
        '"{{ row }}"',
        '"{{ row | json }} {{ text }}"',
        '"{% for name in row %}{{ name }}: {{ row[name] }}, {% endfor %}"',
        '"{{ row.values() | list | json }}{{ text }}"',
        '"{{ row.items() | list }}"',
        '"{{ text }}"\nsystem: "{{ row }}"',
    ],
)
def test_the_known_answers_are_never_sent(fake: FakeContext, prompt: str) -> None:
    fake.objects.drop("in/recipe.yaml", RECIPE.replace('"{{ text }}"', prompt).encode())
    drop(fake, "in/a.csv", b"text,label\nfirst,SECRET1\nsecond,SECRET2\n")
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED
    assert "first" in sent(fake)
    assert "SECRET" not in sent(fake)
    assert "label" not in sent(fake)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ('prompt: "{{ label }}: {{ text }}"', "the column 'label' has known answers (expect), which are never sent"),
        ("prompt: \"{{ text }} {{ row['label'] }}\"", "the column 'label' has known answers"),
        ('prompt: "{{ text }}"\nsystem: "{{ label | default(1) }}"', "the column 'label' has known answers"),
        (
            'prompt: "{{ text }}"\ncolumns: {finish: id}',
            "the answers have 2 columns (sentiment, finish); write which one",
        ),
    ],
)
def test_a_recipe_that_would_send_them_is_refused(fake: FakeContext, change: str, words: str) -> None:
    drop(fake, "in/recipe.yaml", RECIPE.replace('prompt: "{{ text }}"', change).encode())
    run(fake, ticks=3)
    assert words in last_message(fake, "recipe").text


def test_a_column_that_the_file_lacks_is_a_problem_with_the_recipe(fake: FakeContext) -> None:
    fake.objects.drop("in/recipe.yaml", RECIPE.encode())
    drop(fake, "in/a.csv", b"text,lable\nfirst,positive\n")
    run(fake)
    (problem,) = result_json(fake, "rejected.json")["problems"]["first"]
    assert "key expect: there is no column 'label' with known answers; did you mean lable?" in problem["message"]


def test_rows_may_be_chosen_by_the_known_answers(fake: FakeContext) -> None:
    fake.objects.drop("in/recipe.yaml", RECIPE.encode() + b'when: "{{ label }}"\n')
    drop(fake, "in/a.csv", b"text,label\nfirst,positive\nsecond,\n")
    run(fake)
    found = result_json(fake, "summary.json")
    assert (found["rows"]["ok"], found["rows"]["skipped"]) == (1, 1)
    assert found["agreement"]["sentiment"]["compared"] == 1


def test_several_columns_of_several_types_are_compared(fake: FakeContext) -> None:
    recipe = """\
model: gpt-6-luna
prompt: "{{ text }}"
prefix: ai_
schema: {angry: boolean, stars: integer, tags: {list: string}, why: string}
expect: {angry: zornig, ai_stars: grade, tags: labels, why: reason}
"""
    answer = {"angry": True, "stars": 4, "tags": ["a", "b"], "why": "=1+1"}
    answering(fake, first=answer, second={**answer, "angry": False, "stars": 5, "why": "Else"})
    fake.objects.drop("in/recipe.yaml", recipe.encode())
    data = b'text,zornig,grade,labels,reason\nfirst,Ja,4.0,"[""a"",""b""]",=1+1\nsecond,1,4,"[""a""]",else\n'
    drop(fake, "in/a.csv", data)
    run(fake)
    found = result_json(fake, "summary.json")["agreement"]
    counts = {column: (each["agreed"], each["compared"]) for column, each in found.items()}
    assert counts == {"ai_angry": (1, 2), "ai_stars": (1, 2), "ai_tags": (1, 2), "ai_why": (1, 2)}


def test_duplicates_are_compared_each_with_its_own_known_answer(fake: FakeContext) -> None:
    fake.objects.drop("in/recipe.yaml", RECIPE.encode())
    drop(fake, "in/a.csv", b"text,label\nsame,positive\nsame,negative\nsame,positive\nsame,\n")
    run(fake)
    found = result_json(fake, "summary.json")
    assert found["rows"]["duplicates"] == 3
    agreement = found["agreement"]["sentiment"]
    assert (agreement["agreed"], agreement["compared"]) == (2, 3)
    assert [each["row"] for each in agreement["disagreements"]] == [2]


def test_a_retry_counts_kept_and_new_answers_once(fake: FakeContext) -> None:
    answering(fake, lost=None)
    fake.objects.drop("in/recipe.yaml", RECIPE.encode())
    drop(fake, "in/a.csv", a_file("csv")[1])
    run(fake, ticks=200)
    (first,) = jobs(fake)
    assert result_json(fake, "summary.json", first)["agreement"]["sentiment"]["compared"] == 4
    fake.openai.answer = answer_ok
    drop(fake, "in/a.csv.retry", b"")
    run(fake, ticks=200)
    again = result_json(fake, "summary.json", jobs(fake)[-1])["agreement"]["sentiment"]
    assert (again["agreed"], again["compared"]) == (3, 5)


def test_a_sample_names_disagreements_by_their_rows_in_the_file(fake: FakeContext) -> None:
    recipe = RECIPE + "limit: {rows: 3, sample: true, seed: 5}\n"
    fake.objects.drop("in/recipe.yaml", recipe.encode())
    drop(fake, "in/a.csv", b"text,label\n" + b"".join(b"row %d,negative\n" % number for number in range(1, 101)))
    run(fake)
    found = result_json(fake, "summary.json")["agreement"]["sentiment"]["disagreements"]
    asked = [int(json.loads(line)["body"]["messages"][-1]["content"].split()[1]) for line in sent(fake).splitlines()]
    assert [each["row"] for each in found] == sorted(asked)


def test_the_message_about_the_recipe_says_what_is_compared(fake: FakeContext) -> None:
    drop(fake, "in/recipe.yaml", RECIPE.encode())
    run(fake, ticks=3)
    message = last_message(fake, "recipe")
    assert "- Answers it compares with known ones, which are not sent: sentiment with label" in message.text
    assert message.detail["understood"]["compares"] == {"sentiment": "label"}


def test_texts_with_signs_of_a_csv_are_read_back_as_they_were_answered(fake: FakeContext) -> None:
    recipe = 'model: gpt-6-luna\nprompt: "{{ text }}"\nschema: {why: string}\nexpect: label\n'
    why = 'a "b", c\nd; =1'
    answering(fake, first={"why": why}, second={"why": "=1+1"}, third={"why": "'quoted'"})
    out = io.StringIO()
    rows = [("text", "label"), ("first", why), ("second", "=1+1"), ("third", "'quoted'")]
    csv.writer(out, lineterminator="\n").writerows(rows)
    fake.objects.drop("in/recipe.yaml", recipe.encode())
    drop(fake, "in/a.csv", out.getvalue().encode())
    run(fake)
    found = result_json(fake, "summary.json")["agreement"]["why"]
    assert (found["agreed"], found["compared"]) == (3, 3)


def test_a_shard_that_is_rendered_in_several_invocations_counts_each_row_once(
    fake: FakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render_shard, "CHUNK_ROWS", 2)
    calls = iter([True, False] * 100)
    monkeypatch.setattr(finish_shard, "in_time", lambda _: next(calls))
    fake.objects.drop("in/recipe.yaml", RECIPE.encode())
    drop(fake, "in/a.csv", b"text,label\n" + b"".join(b"row %d,negative\n" % number for number in range(1, 12)))
    run(fake)
    found = result_json(fake, "summary.json")["agreement"]["sentiment"]
    assert (found["agreed"], found["compared"]) == (0, 11)
    assert [each["row"] for each in found["disagreements"]] == list(range(1, 11))
