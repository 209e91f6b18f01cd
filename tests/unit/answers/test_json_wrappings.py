"""Wrappings around the whole of JSON are removed; any other text around it stays."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.answers.json_wrappings import unwrap_json


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


GOOD = '{"mood": "good"}'


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{GOOD}\n```",
        f"```\n{GOOD}\n```",
        f"  ```JSON\r\n{GOOD}\r\n```\n",
        f"~~~json\n{GOOD}\n~~~",
        f"\ufeff{GOOD}",
        f"````json5\n{GOOD}\n````",
        f"```json {GOOD}```",
        f"```{GOOD}```",
        f"<think>The user wants {{}} and ```json.</think>\n{GOOD}",
        f"<THINK>\n\n</THINK>{GOOD}",
        f"<thinking>a</thinking><think>b</think>{GOOD}",
        f"<reasoning>a</reasoning>\n```json\n{GOOD}\n```",
        f"[THINK]a[/THINK]{GOOD}",
        f"Its first tag was in the prompt.\n</think>\n\n{GOOD}",
        f"<think>a</think><answer>{GOOD}</answer>",
        f"<answer>\n```json\n{GOOD}\n```\n</answer>",
        f"\ufeff```json\n{GOOD}\n```",
        f"<think>\u0130stanbul</think>{GOOD}",
    ],
)
def test_wrappings_around_the_whole_json_are_removed(text: str) -> None:
    assert unwrap_json(text) == GOOD


@pytest.mark.parametrize(
    "text",
    [
        f"Here it is:\n```json\n{GOOD}\n```",
        f"```json\n{GOOD}\n```\nLet me know!",
        f"```json\n{GOOD}",
        f"``{GOOD}``",
        f"<think>a{GOOD}",
        f"{GOOD} Let me know!",
        f"<answer>{GOOD}",
        f"Well: <answer>{GOOD}</answer>",
        f"```json\n{GOOD}\n```\n```json\n{GOOD}\n```",
        "```",
        "``````",
        "",
        "prose",
    ],
)
def test_prose_and_incomplete_wrappings_stay(text: str) -> None:
    found = unwrap_json(text)
    assert not is_json(found or text)


def test_a_text_within_the_json_is_not_a_wrapping() -> None:
    text = json.dumps({"html": "<think>a</think>", "code": "```json\n{}\n```"})
    assert unwrap_json(text) is None
    assert unwrap_json(f"```json\n{text}\n```") == text
    assert unwrap_json(f"<think>x</think>{text}") == text


@pytest.mark.slow
@given(st.dictionaries(st.text(max_size=9), st.text(max_size=30) | st.integers(), max_size=4), st.data())
def test_any_wrapping_of_any_json_is_removed(value: dict[str, object], data: st.DataObject) -> None:
    text = json.dumps(value, indent=data.draw(st.sampled_from([None, 1])), ensure_ascii=False)
    wrapped = text
    for _ in range(data.draw(st.integers(1, 3))):
        form = data.draw(st.sampled_from(["````json\n{}\n````", "<think>why</think>{}", "<answer>{}</answer>"]))
        wrapped = form.replace("{}", wrapped, 1)
    found = unwrap_json(wrapped)
    assert found is not None
    assert json.loads(found) == value


@given(st.text(alphabet='`~<>/thinkanswer[]{}" \n', max_size=40))
def test_no_text_raises(text: str) -> None:
    found = unwrap_json(text)
    assert found is None or (found and found in text)
