"""The facts of a recipe in messages, before anything is paid: when it is dropped, and with each file."""

from pathlib import Path
from typing import Any

import pytest

from dropbatch.domain.states import JobState
from tests.driving import (
    ALMOST_NOTHING,
    drop,
    jobs,
    run,
)
from tests.fakes import INBOX, FakeContext, answer_ok

FULL = b"""\
model: gpt-6-luna
prompt: "{{ text }} {{ row['Note (1-5)'] }}"
id: nr
schema:
  sentiment: [positive, negative]
  score: integer
  angry: boolean
  tags: {list: string}
  why: The main complaint in a few words
columns:
  finish: choices[0].finish_reason
prefix: ai_
limit: 10
when: "{{ text }}"
"""


def understood(fake: FakeContext) -> list[str]:
    return [line for line in fake.topics.people[-1].text.splitlines() if line.startswith("- ")]


def answering(request: dict[str, Any], content: str) -> Any:
    where, line = answer_ok(request)
    line["response"]["body"]["choices"][0]["message"]["content"] = content
    return where, line


def test_a_usable_recipe_says_model_columns_types_and_rows(fake: FakeContext) -> None:
    drop(fake, "shop/recipe.yaml", FULL)
    run(fake)
    assert fake.topics.people[-1].text.splitlines() == [
        "shop/recipe.yaml can be used: files dropped into its folder are answered by it.",
        "Please check that this is what you mean:",
        "- Model: gpt-6-luna, through /v1/chat/completions",
        "- Columns it uses: text, Note (1-5), nr",
        "- Columns it adds: ai_sentiment (positive, negative), ai_score (integer), ai_angry (boolean), ai_tags (list "
        "of string), ai_why (string: “The main complaint in a few words”), ai_finish (from the response), ai__status, "
        "ai__error",
        "- Rows it asks: the first 10 rows (limit), except those for which when is empty",
        "There is no file in its folder yet. Upload files into the folder `shop/`.",
    ]
    assert fake.topics.published[-1].detail["understood"] == {
        "model": "gpt-6-luna",
        "endpoint": "/v1/chat/completions",
        "uses": ["text", "Note (1-5)", "nr"],
        "uses_row": False,
        "adds": [
            {"column": "ai_sentiment", "type": "string", "values": ["positive", "negative"]},
            {"column": "ai_score", "type": "integer", "values": []},
            {"column": "ai_angry", "type": "boolean", "values": []},
            {"column": "ai_tags", "type": "list of string", "values": []},
            {"column": "ai_why", "type": "string", "values": []},
            {"column": "ai_finish", "type": "any", "values": []},
            {"column": "ai__status", "type": "string", "values": []},
            {"column": "ai__error", "type": "string", "values": []},
        ],
        "rows": "the first 10 rows (limit), except those for which when is empty",
    }


@pytest.mark.parametrize(
    ("recipe", "lines"),
    [
        (
            'model: "{{ model }}"\nprompt: "{{ row }}"\n',
            [
                "- Model: the model that each row names, through /v1/chat/completions",
                "- Columns it uses: model, the whole row",
                "- Columns it adds: answer (string), _status, _error",
                "- Rows it asks: all rows",
            ],
        ),
        (
            'endpoint: /v1/embeddings\nmodel: text-embedding-3-small\nprompt: "{{ text }}"\n',
            [
                "- Model: text-embedding-3-small, through /v1/embeddings",
                "- Columns it uses: text",
                "- Columns it adds: embedding (list of number), _status, _error",
                "- Rows it asks: all rows",
            ],
        ),
        (
            'endpoint: /v1/moderations\nmodel: omni-moderation-latest\nprompt: "{{ text }}"\n',
            [
                "- Model: omni-moderation-latest, through /v1/moderations",
                "- Columns it uses: text",
                "- Columns it adds: flagged (true, false), categories (list of string), _status, _error",
                "- Rows it asks: all rows",
            ],
        ),
        (
            'model: m\nprompt: "{{ text }}"\nschema:\n  type: object\n  properties:\n'
            "    a: {type: [string, 'null']}\n    b: {$ref: '#/$defs/t'}\n"
            "    c: {type: array, items: {$ref: '#/$defs/t'}}\n"
            "    d: {anyOf: [{type: integer}, {type: 'null'}]}\n  $defs: {t: {type: string, enum: [x, y]}}\n",
            [
                "- Model: m, through /v1/chat/completions",
                "- Columns it uses: text",
                "- Columns it adds: a (string or null), b (x, y), c (list of string), d (integer or null), _status, "
                "_error",
                "- Rows it asks: all rows",
            ],
        ),
    ],
)
def test_the_message_about_a_recipe_repeats_its_facts(fake: FakeContext, recipe: str, lines: list[str]) -> None:
    drop(fake, "recipe.yaml", recipe.encode())
    run(fake)
    assert understood(fake) == lines


def test_many_columns_are_counted(fake: FakeContext) -> None:
    schema = "".join(f"  c{number}: string\n" for number in range(30))
    drop(fake, "recipe.yaml", f'model: m\nprompt: "{{{{ text }}}}"\nschema:\n{schema}'.encode())
    run(fake)
    assert understood(fake)[2].endswith("c11 (string), 18 more, _status, _error")
    assert len(fake.topics.published[-1].detail["understood"]["adds"]) == 32


def test_the_accepted_message_repeats_the_recipe_in_one_line(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", b'model: gpt-6-luna\nprompt: "{{ text }}"\nschema:\n  good: [yes, no]\nid: nr\n')
    drop(fake, "a.csv", b"nr,text\n1,a\n")
    run(fake)
    accepted = next(told for told in fake.topics.people if told.event == "accepted")
    assert accepted.text.splitlines()[1] == (
        "gpt-6-luna is asked about text; the answers add good (yes, no), _status, _error."
    )


def test_a_label_that_is_sent_too_is_named(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", b'model: gpt-6-luna\nprompt: "{{ nr }}: {{ text }}"\nid: nr\n')
    drop(fake, "a.csv", b"nr,text\n1,a\n")
    run(fake)
    accepted = next(told for told in fake.topics.people if told.event == "accepted")
    assert "gpt-6-luna is asked about nr, text; " in accepted.text


def test_the_hold_message_repeats_the_recipe_in_one_line(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, max_job_usd=ALMOST_NOTHING)
    fake.objects.drop("recipe.yaml", b'model: gpt-6-luna\nprompt: "{{ text }}"\n')
    drop(fake, "a.csv", b"text\na\nb\n")
    run(fake, ticks=2)
    assert fake.topics.people[-1].text.splitlines()[1] == (
        "gpt-6-luna is asked about text; the answers add answer (string), _status, _error."
    )


def test_a_slip_is_refused_with_the_line_to_write_and_its_correction_rereads_the_file(fake: FakeContext) -> None:
    recipe = 'model: gpt-6-luna\nprompt: "{{ text }}"\nschema:\n  score: int\n  mood: good/bad\nbudget: 5\n'
    drop(fake, "recipe.yaml", recipe.encode())
    drop(fake, "a.csv", b"text\na\n")
    run(fake)
    (rejected,) = fake.topics.people
    assert rejected.subject == "a.csv: rejected, 3 problems"
    assert rejected.text.splitlines()[1:4] == [
        "- Line 6 of recipe.yaml, key budget: there is no such key; did you mean budget_usd?",
        "- Line 4 of recipe.yaml, key schema.score: “int” is not a type, and would describe a text; write `score: "
        "integer`.",
        "- Line 5 of recipe.yaml, key schema.mood: “good/bad” would describe a text; write `mood: [good, bad]` to "
        'allow these values alone, or `mood: "In the form good/bad"` if it is a description.',
    ]
    assert not fake.openai.batches
    fake.openai.answer = lambda request: answering(request, '{"score": 3, "mood": "good"}')
    fake.clock.sleep(60)
    recipe = (
        recipe.replace("score: int", "score: integer").replace("good/bad", "[good, bad]").replace("budget: 5\n", "")
    )
    drop(fake, "recipe.yaml", recipe.encode())
    run(fake)
    assert [job.state for job in jobs(fake)] == [JobState.REJECTED, JobState.SUCCEEDED]
    told = next(told for told in fake.topics.people if told.event == "recipe")
    assert told.subject == "recipe.yaml: usable, 1 file is read again"


def test_problems_of_all_stages_are_in_one_message(fake: FakeContext) -> None:
    """The problems are a missing file, keys, a schema, the columns, and the form of the drop."""
    recipe = b'model: gpt-6-luna\nsystem: file://system.md\nprompt: "{{ lable }}"\nlimt: 3\nid: ID\nschema:\n  a: int\n'
    drop(fake, "recipe.yaml", recipe)
    drop(fake, "a.csv", "label,nr\ngrün,1\n".encode("cp1252"))
    run(fake)
    (rejected,) = fake.topics.people
    assert rejected.subject == "a.csv: rejected, 6 problems"
    codes = [group["code"] for group in rejected.detail["problems"]["groups"]]
    assert codes == ["unknown_key", "wrong_value", "missing_file", "undefined_name", "undefined_name", "invalid_utf8"]
    assert rejected.text.splitlines()[-6:-1] == [
        "Upload the missing files that the recipe names; the file is then read again automatically.",
        "Correct the recipe and upload it; the file is then read again automatically: aws s3 cp recipe.yaml "
        f"s3://{INBOX}/recipe.yaml",
        "  or, in the S3 console, upload it into the bucket itself, into no folder",
        f"Correct the file, then: aws s3 cp a.csv s3://{INBOX}/a.csv",
        "  or, in the S3 console, upload it into the bucket itself, into no folder",
    ]
    assert fake.topics.events() == ["rejected", "recipe"]


def test_the_rejection_of_an_unreadable_file_has_the_problems_of_its_recipe_too(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", b'model: gpt-6-luna\nprompt: "{{ text }}"\nlimt: 3\n')
    drop(fake, "a.csv", b"Report\n\nid,text\n1,one\n2,two\n")
    run(fake)
    codes = [group["code"] for group in fake.topics.people[-1].detail["problems"]["groups"]]
    assert codes == ["unknown_key", "title_above_header"]
