"""Quotes of all examples against what they come to, as docs/costs.md shows them."""

import json
from pathlib import Path

import pytest

from tools.capacity import quotes

WITHOUT_HISTORY, WITH_HISTORY = 0.25, 0.05


@pytest.mark.slow
def test_the_quote_of_each_example_is_near_what_it_comes_to() -> None:
    found = [outcome for folder in quotes.folders() for outcome in quotes.outcomes(folder)]
    assert len(found) >= 2 * 7
    for outcome in found:
        bound = WITHOUT_HISTORY if outcome.run == "first" else WITH_HISTORY
        assert abs(outcome.error) <= bound, outcome
        assert outcome.price.low <= outcome.price.likely <= outcome.price.high, outcome
        assert outcome.paid <= outcome.price.high, outcome
        assert outcome.price.high <= 10 * outcome.paid, f"{outcome} is absurd"
    assert {outcome.basis for outcome in found if outcome.run == "first"} == {"schema", "typical", "none"}
    page = quotes.PAGE.read_text()
    assert quotes.with_table(page, quotes.table(found)) == page, "run `make quotes`"


LONG = " ".join(f"Rule {number}: be brief about the point that is numbered so." for number in range(200))
SCHEMA = "schema: {topic: The topic in two words, grade: [good, bad]}\nparameters: {reasoning_effort: none}\n"
RECIPE = f'model: gpt-6-luna\nprompt: "{{{{ text }}}}"\n{SCHEMA}'


def raw(text: str) -> str:
    """Return ready requests whose prompts are long, each of its own."""
    body = {"model": "gpt-6-luna", "reasoning_effort": "none"}
    lines = []
    for number in range(30):
        messages = [{"role": "user", "content": f"{number} {text}"}]
        request = {"method": "POST", "url": "/v1/chat/completions", "body": {**body, "messages": messages}}
        lines.append(json.dumps({"custom_id": f"r{number}", **request}) + "\n")
    return "".join(lines)


ROWS = "text\n" + "".join(f"this is the text of row {number}\n" for number in range(50))
LONG_ROWS = "text\n" + "".join(f"{number} {LONG}\n" for number in range(30))

FOLDERS = {
    "a long constant beginning": {"recipe.yaml": f"{RECIPE}system: |\n  {LONG}\n", "a.csv": ROWS},
    "long rows": {"recipe.yaml": RECIPE, "a.csv": LONG_ROWS},
    "long rows that are written to the cache": {"recipe.yaml": f"{RECIPE}cache: off\n", "a.csv": LONG_ROWS},
    "long ready requests": {"a.jsonl": raw(LONG)},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLDERS)
def test_what_the_cache_does_is_in_the_quote(name: str, tmp_path: Path) -> None:
    for path, text in FOLDERS[name].items():
        (tmp_path / path).write_text(text)
    first, second = quotes.outcomes(tmp_path)
    assert abs(first.error) <= WITHOUT_HISTORY, first
    assert abs(second.error) <= WITH_HISTORY, second
    assert first.paid <= first.price.high, first
    assert second.paid <= second.price.high, second
