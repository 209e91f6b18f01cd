"""The path of a file as data in templates: its name, its folder, and folders such as `dt=2026-11-27`; over fakes."""

import gzip
import json

import pytest

from dropbatch.domain.jobs import Job
from dropbatch.domain.states import JobState
from tests.driving import deliver, drop, jobs, only_job, result_json, run
from tests.fakes import FakeContext, answer_ok, response_line

KEY = "lake/reviews/dt=2026-11-27/region=North%20East/part-0001.jsonl"
RECIPE = b"""\
model: gpt-6-luna
system: "{{ file.region }}"
prompt: "{{ file.dt }} {{ file.name }}: {{ text }}"
"""


def lines(*texts: str) -> bytes:
    return b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts)


def sent(fake: FakeContext) -> list[list[str]]:
    """Return the texts of all messages that were sent, request by request."""
    files = [fake.openai.contents[batch.input_file_id] for batch in fake.openai.batches.values()]
    bodies = [json.loads(line)["body"] for file in files for line in file.splitlines()]
    return [[message["content"] for message in body["messages"]] for body in bodies]


def problems(fake: FakeContext, job: Job | None = None) -> list[str]:
    listed = result_json(fake, "rejected.json", job)["problems"]
    assert listed["total"] == len(listed["first"])
    return [problem["message"] for problem in listed["first"]]


def test_prompts_contain_folders_names_and_values(fake: FakeContext) -> None:
    fake.objects.drop("lake/recipe.yaml", RECIPE)
    drop(fake, KEY, lines("good", "bad"))
    run(fake)
    assert sent(fake) == [
        ["North East", "2026-11-27 part-0001.jsonl: good"],
        ["North East", "2026-11-27 part-0001.jsonl: bad"],
    ]


def test_file_variables_work_in_every_template(fake: FakeContext) -> None:
    recipe = b"""\
body:
  model: "gpt-{{ file.tier }}"
  messages:
    - {role: system, content: "{{ file.key }} {{ file['tier'] }} {{ file.folder }}"}
    - role: user
      content: "{% if file.tier == '6-luna' %}{{ file.stem | upper }}{% endif %} {{ text }} {{ file.x | default('-') }}"
when: "{{ file.tier == '6-luna' and text != 'b' }}"
"""
    fake.objects.drop("recipe.yaml", recipe)
    drop(fake, "a/tier=6-luna/b.csv.gz", gzip.compress(b"text\na\nb\n"))
    run(fake)
    assert sent(fake) == [["a/tier=6-luna/b.csv.gz 6-luna a/tier=6-luna", "B a -"]]
    assert result_json(fake, "summary.json")["rows"]["skipped"] == 1
    (batch,) = fake.openai.batches.values()
    assert json.loads(fake.openai.contents[batch.input_file_id].split(b"\n")[0])["body"]["model"] == "gpt-6-luna"


@pytest.mark.parametrize(("columns", "more"), [(b"text,b", ""), (b"text,files", " or the column files")])
def test_file_without_a_member_is_a_problem_that_names_its_members(
    fake: FakeContext, columns: bytes, more: str
) -> None:
    fake.objects.drop("lake/recipe.yaml", b'model: gpt-6-luna\nprompt: "{{ file }}: {{ text }}"\n')
    drop(fake, "lake/a.csv", columns + b"\na,b\n")
    run(fake)
    assert problems(fake) == [
        "Line 2 of lake/recipe.yaml, key prompt: there is no column 'file'; did you mean {{ file.name }}, the name of "
        f"the dropped file{more}?"
    ]


@pytest.mark.parametrize(
    ("key", "data"), [("lake/a.csv", b"text\n" + b"a\n" * 300), ("lake/a.jsonl", lines(*"a" * 300))]
)
def test_a_folder_that_the_path_lacks_is_one_problem(fake: FakeContext, key: str, data: bytes) -> None:
    fake.objects.drop("lake/recipe.yaml", RECIPE.replace(b"{{ file.region }}", b"You label reviews."))
    drop(fake, key, data)
    run(fake)
    assert problems(fake) == [
        "Line 3 of lake/recipe.yaml, key prompt: there is no file.dt: no folder of the file's path is named dt=…; "
        "there are file.name, file.stem, file.folder, file.key."
    ]
    assert not fake.openai.files


def test_a_folder_of_nearly_the_same_name_is_suggested(fake: FakeContext) -> None:
    fake.objects.drop("lake/recipe.yaml", b"model: gpt-6-luna\nprompt: '{{ file.date }} {{ text }}'\n")
    drop(fake, "lake/date_=1/a.csv", b"text\na\n")
    run(fake)
    (problem,) = problems(fake)
    assert problem.endswith("no folder of the file's path is named date=…; did you mean {{ file.date_ }}?")


@pytest.mark.parametrize("data", [b"text\na\n", lines("a")])
def test_a_column_that_is_a_folder_is_suggested_as_one(fake: FakeContext, data: bytes) -> None:
    fake.objects.drop("lake/recipe.yaml", b"model: gpt-6-luna\nprompt: '{{ dt }} {{ text }}'\n")
    drop(fake, f"lake/dt=2026-11-27/a.{'csv' if data.startswith(b'text') else 'jsonl'}", data)
    run(fake)
    (problem,) = problems(fake)
    assert problem.endswith("did you mean {{ file.dt }}, which the file's path has?")


def test_a_column_named_file_comes_first(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", b"model: gpt-6-luna\nprompt: '{{ file }} {{ row[\"file\"] }}'\n")
    drop(fake, "a.csv", b"file\nits own\n")
    run(fake)
    assert sent(fake) == [["its own its own"]]


def test_a_member_of_a_column_named_file_comes_first_row_by_row(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", b"model: gpt-6-luna\nprompt: '{{ file.name }} {{ text }}'\n")
    rows = [{"text": "a"}, {"text": "b", "file": {"name": "own"}}, {"text": "c"}]
    drop(fake, "x/a.jsonl", b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    run(fake)
    assert sent(fake) == [["a.jsonl a"], ["own b"], ["a.jsonl c"]]


def test_rows_whose_own_file_has_the_name_need_no_folder(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", b"model: gpt-6-luna\nprompt: '{{ file.url }}'\n")
    drop(fake, "a.jsonl", b'{"file": {"url": "u"}}\n')
    run(fake)
    assert sent(fake) == [["u"]]


def test_a_text_in_a_column_named_file_has_no_name_and_that_is_said(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", b"model: gpt-6-luna\nprompt: '{{ file.name }} {{ text }}'\n")
    drop(fake, "a.csv", b"text,file\na,b\n")
    run(fake)
    assert problems(fake) == [
        "Line 2, key prompt of the recipe: the row has its own column 'file', so file.name means a part of its value, "
        "which has none; rename the column to use the dropped file."
    ]


def test_a_recipe_that_uses_no_column_is_refused_because_all_requests_would_be_the_same(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", b"model: gpt-6-luna\nprompt: 'What is {{ file.name }}?'\n")
    drop(fake, "a.csv", b"text\na\n")
    drop(fake, "a.jsonl", lines("a", "b"))
    run(fake)
    for job in jobs(fake):
        (problem,) = problems(fake, job)
        assert "no column of the rows is used" in problem


def test_a_recipe_is_usable_before_any_file_shows_its_folders(fake: FakeContext) -> None:
    drop(fake, "lake/recipe.yaml", RECIPE)
    run(fake)
    (message,) = fake.topics.people
    assert message.subject.endswith("usable")


def test_a_number_of_the_path_is_a_text_and_that_is_said(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", b"model: gpt-6-luna\nprompt: '{% if file.n > 3 %}{{ text }}{% endif %}'\n")
    drop(fake, "n=12/a.csv", b"text\na\n")
    run(fake)
    (problem,) = problems(fake)
    assert "file.n is a text; write {{ file.n | int > 3 }}, or | float for decimals." in problem


def test_the_same_content_under_another_path_is_a_job_of_its_own(fake: FakeContext) -> None:
    fake.objects.drop("lake/recipe.yaml", RECIPE.replace(b"{{ file.region }}", b"You label reviews."))
    drop(fake, "lake/dt=1/a.jsonl", lines("a"))
    drop(fake, "lake/dt=2/a.jsonl", lines("a"))
    run(fake)
    assert [job.state for job in jobs(fake)] == [JobState.SUCCEEDED, JobState.SUCCEEDED]
    assert sorted(messages[1] for messages in sent(fake)) == ["1 a.jsonl: a", "2 a.jsonl: a"]


def test_a_retry_uses_the_path_of_the_drop(fake: FakeContext) -> None:
    def answer(request: dict) -> tuple[str, dict]:  # type: ignore[type-arg]  # as OpenAI has them
        if len(fake.openai.batches) < 2:
            return "error", response_line(request, 400, {"error": {"code": "invalid_value", "message": "no"}})
        return answer_ok(request)

    fake.openai.answer = answer
    fake.objects.drop("lake/recipe.yaml", RECIPE)
    drop(fake, KEY, lines("a"))
    run(fake)
    assert only_job(fake).state is JobState.FAILED
    fake.objects.drop("lake/recipe.yaml", RECIPE.replace(b"{{ file.name }}", b"{{ file.stem }}"))
    drop(fake, KEY + ".retry", b"")
    deliver(fake)
    run(fake)
    assert sent(fake)[-1] == ["North East", "2026-11-27 part-0001: a"]
    assert jobs(fake)[-1].state is JobState.SUCCEEDED


def test_a_null_of_hive_is_empty(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", b"model: gpt-6-luna\nprompt: '[{{ file.dt }}] {{ text }}'\n")
    drop(fake, "dt=__HIVE_DEFAULT_PARTITION__/a.csv", b"text\na\n")
    run(fake)
    assert sent(fake) == [["[] a"]]
