"""The difference of two runs of a file: what changed, from what to what, and what could not be compared."""

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dropbatch.client import Run, Stack, WrongUseError, diffs
from dropbatch.client.diffs import compare, runs_to_compare
from dropbatch.client.results import AnswerColumns
from tests.driving import rows
from tests.fakes import FakeContext, response_line
from tests.stacks import fake_stack

RECIPE = b"""\
model: gpt-6-luna
prompt: "{{ text }}"
schema:
  mood: [good, bad]
  reason: why
"""


def says(*moods: str) -> Any:
    """Return an answerer with a mood for each row."""

    def answer(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        asked = request["body"]["response_format"]["json_schema"]["schema"]["properties"]
        values = {"mood": moods[int(request["custom_id"]) - 1], "reason": "because", "score": 1}
        content = json.dumps({name: values[name] for name in asked})
        message = {"role": "assistant", "content": content}
        body = {
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
        }
        return "output", response_line(request, 200, body)

    return answer


@pytest.fixture
def stack(fake: FakeContext) -> Stack:
    return fake_stack(fake)


def run(fake: FakeContext, stack: Stack, folder: Path, recipe: bytes, *moods: str, data: bytes = rows(3)) -> Run:
    fake.openai.answer = says(*moods)
    (folder / "recipe.yaml").write_bytes(recipe)
    (folder / "a.csv").write_bytes(data)
    return stack.wait(stack.put(folder / "a.csv", recipe=folder / "recipe.yaml"))


def test_the_changes_of_each_column_are_counted(fake: FakeContext, stack: Stack, tmp_path: Path) -> None:
    run(fake, stack, tmp_path, RECIPE, "good", "good", "bad")
    run(fake, stack, tmp_path, RECIPE + b"  score: integer\n", "good", "bad", "good", "bad", data=rows(4))
    run(fake, stack, tmp_path, RECIPE.replace(b"  reason: why\n", b""), "bad", "bad", "good")

    before, after = runs_to_compare(stack, "a/a.csv", "1")
    result = compare(stack, before, after)

    assert (before.number, after.number) == (1, 3)
    assert (result.rows, result.changed, result.unmatched) == (3, 3, 0)
    assert result.columns["mood"].moves == {("good", "bad"): 2, ("bad", "good"): 1}
    assert result.gone_columns == ["reason"]
    assert [(one.row, one.before, one.after) for one in result.examples] == [
        (1, "good", "bad"),
        (2, "good", "bad"),
        (3, "bad", "good"),
    ]
    members = result.to_json()
    assert members["before"]["tokens"]["input"] == members["after"]["tokens"]["input"] == 30
    assert members["after"]["paid_usd"] > 0


def test_other_rows_are_not_compared(fake: FakeContext, stack: Stack, tmp_path: Path) -> None:
    run(fake, stack, tmp_path, RECIPE, "good", "good", "good")
    run(fake, stack, tmp_path, RECIPE, "good", "good", "good", data=b"text\nrow 1\nanother\n")

    result = compare(stack, *runs_to_compare(stack, "a/a.csv", None))

    assert (result.rows, result.changed, result.unmatched) == (1, 0, 2)


def test_a_file_with_one_run_has_nothing_to_compare(fake: FakeContext, stack: Stack, tmp_path: Path) -> None:
    with pytest.raises(WrongUseError, match="no run with answers"):
        runs_to_compare(stack, "a/a.csv", None)
    run(fake, stack, tmp_path, RECIPE, "good", "good", "good")
    with pytest.raises(WrongUseError, match="only one run"):
        runs_to_compare(stack, "a/a.csv", None)


def test_memory_does_not_grow_with_the_rows(monkeypatch: pytest.MonkeyPatch, stack: Stack) -> None:
    found = AnswerColumns(("mood", "reason"), "_status", "_error", frozenset({"mood"}))
    monkeypatch.setattr(diffs, "answer_columns", lambda *_: found)

    def many(_: Stack, run: Run) -> Iterator[dict[str, Any]]:
        for number in range(200_000):
            mood = "good" if (number + int(run.job_id)) % 3 else "bad"
            yield {"text": f"row {number}", "mood": mood, "reason": f"{run.job_id} {number}", "_status": "ok"}

    monkeypatch.setattr(Stack, "results", many)
    tracemalloc.start()
    result = compare(stack, Run("a", "0", "a/0/", "succeeded"), Run("a", "1", "a/1/", "succeeded"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert result.rows == 200_000
    assert result.columns["reason"].changed == 200_000
    assert sum(result.columns["mood"].moves.values()) == result.columns["mood"].changed > 100_000
    assert len(result.examples) == diffs.MAX_EXAMPLES
    assert peak < 1_000_000
