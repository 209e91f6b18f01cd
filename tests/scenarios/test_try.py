"""The rows of `try` in a recipe: dropping the recipe answers them at once, and its message links a page of them."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dropbatch.answers.usage import Usage
from dropbatch.domain.errors import (
    OpenAIAuthError,
    OpenAIBillingError,
    OpenAIError,
    OpenAIOutcomeUnknownError,
    OpenAIPermissionError,
    OpenAIRateLimitError,
    OpenAIRequestError,
)
from dropbatch.domain.inbox import TriedRecipe
from dropbatch.domain.spending import month_of
from dropbatch.domain.states import JobState
from dropbatch.money.prices import prices_of
from dropbatch.ports import Notification
from dropbatch.reporting.page_style import SCRIPT, STYLE
from dropbatch.storage import trial_answers
from tests.driving import drop, jobs, last_message, result_json, run
from tests.fakes import RESULTS, FakeContext, Killer, answer_ok, response_line

RECIPE = """\
model: gpt-6-luna
prompt: "{{ text }}"
schema: {sentiment: [positive, negative]}
try:
  - {text: I love my toaster, expect: positive}
  - {text: The <b>kettle</b> leaks, expect: negative}
  - {text: It has a plug}
"""

PAGE = "in/recipe.yaml/try.html"


def check(fake: FakeContext, recipe: str = RECIPE, name: str = "in/recipe.yaml") -> Notification:
    """Drop a recipe, and return the message about it."""
    drop(fake, name, recipe.encode())
    run(fake, ticks=4, step=15)
    return last_message(fake, "recipe")


def asked(fake: FakeContext) -> list[str]:
    return [request["body"]["messages"][-1]["content"] for request in fake.openai.asked]


def page(fake: FakeContext) -> str:
    return fake.objects.content(RESULTS, PAGE).decode()


def month(fake: FakeContext) -> Any:
    return fake.context.repository.month_spending(month_of(fake.context.now()))


def test_the_message_says_how_many_are_as_expected_and_links_the_page(fake: FakeContext) -> None:
    message = check(fake)
    assert message.subject == "in/recipe.yaml: usable, 3 tried: 1 as expected, 1 not"
    lines = message.text.splitlines()
    assert "Rows of `try`: 3 tried: 1 as expected, 1 not." in lines
    assert "3 requests answered at once, paid under a cent, without the discount of a batch." in lines
    place = lines.index(f"Rows and answers: s3://{RESULTS}/{PAGE}")
    assert lines[place + 1].startswith("In the console: https://")
    assert lines[place + 1].endswith(f"prefix={PAGE}")
    assert message.detail["tried"] == {
        "rows": 3,
        "tried": 3,
        "as_expected": 1,
        "not_as_expected": 1,
        "asked": 3,
        "paid": message.detail["tried"]["paid"],
        "page": PAGE,
    }
    assert "kettle" not in message.text + json.dumps(message.detail), "no text of a row is in a message"
    assert "kettle" not in "".join(fake.table.texts()), "nor in the table"
    html = page(fake)
    assert "The &lt;b&gt;kettle&lt;/b&gt; leaks" in html
    assert "Content-Security-Policy" in html
    assert "10 input tokens" in html
    assert html.count('class="text bad"') == 1, "the expectation that is not met"
    assert '<td class="text bad" data-label="expected">negative</td>' in html


def test_the_requests_are_those_of_a_batch_at_the_standard_price(fake: FakeContext) -> None:
    check(fake)
    prices = prices_of("gpt-6-luna")
    assert prices is not None
    assert prices.standard is not None
    assert month(fake).spent == 3 * prices.standard.price(Usage(10, 0, 2, 0)), "as the fake counts their tokens"
    drop(fake, "in/a.csv", b"text\nI love my toaster\nIt has a plug\n")
    run(fake)
    (batch,) = fake.openai.batches.values()
    lines = [json.loads(line) for line in fake.openai.contents[batch.input_file_id].splitlines()]
    assert [line["body"] for line in lines] == [fake.openai.asked[0]["body"], fake.openai.asked[2]["body"]]


def test_what_is_paid_counts_in_the_month_and_its_totals(fake: FakeContext) -> None:
    check(fake)
    spending = month(fake)
    assert spending.spent == spending.standard > 0
    assert (spending.committed, spending.assumed, spending.unpriced) == (0, 0, 0)
    for kind, name in (("folder", "in"), ("recipe", "in/recipe.yaml"), ("model", "gpt-6-luna")):
        total = fake.context.repository.month_total(spending.month, kind, name)
        assert (total.requests, total.paid) == (3, spending.spent), kind


@pytest.mark.parametrize(
    "again",
    [
        RECIPE,
        RECIPE + "# a comment\n",
        RECIPE.replace("expect: negative", "expect: positive"),
        RECIPE + "notify: []\n",
        RECIPE.replace("  - {text: It has a plug}\n", ""),
    ],
)
def test_the_same_requests_are_not_asked_again(fake: FakeContext, again: str) -> None:
    check(fake)
    spent = month(fake).spent
    message = check(fake, again)
    assert len(asked(fake)) == 3
    assert month(fake).spent == spent
    if again != RECIPE:
        assert message.detail["tried"]["asked"] == 0
        assert message.detail["tried"]["tried"] == (2 if "plug" not in again else 3)


def test_changed_expectations_are_compared_with_the_answers_that_are_there(fake: FakeContext) -> None:
    check(fake)
    message = check(fake, RECIPE.replace("expect: negative", "expect: Positive"))
    assert message.subject == "in/recipe.yaml: usable, 3 tried: 2 as expected"


def test_a_changed_row_alone_is_asked(fake: FakeContext) -> None:
    check(fake)
    message = check(fake, RECIPE.replace("It has a plug", "It has no plug"))
    assert asked(fake)[3:] == ["It has no plug"]
    assert message.detail["tried"]["asked"] == 1
    check(fake)
    assert len(asked(fake)) == 4, "the first rows are still remembered"


def test_rows_with_the_same_request_are_asked_once(fake: FakeContext) -> None:
    message = check(fake, RECIPE.replace("It has a plug", "I love my toaster"))
    assert len(asked(fake)) == 2
    assert message.detail["tried"]["tried"] == 3


@pytest.mark.parametrize(
    ("error", "reason", "calls"),
    [
        (OpenAIAuthError("no_key"), "there is no API key, or OpenAI does not accept it", 1),
        (OpenAIPermissionError("insufficient_permissions"), "the API key may not ask this", 1),
        (OpenAIBillingError("insufficient_quota"), "OpenAI takes no work from the account", 1),
        (OpenAIRateLimitError("rate_limit_exceeded", 60), "OpenAI is busy", 1),
        (OpenAIOutcomeUnknownError("ReadTimeout"), "OpenAI did not answer in time", 3),
    ],
)
def test_a_call_that_fails_never_makes_the_recipe_fail(
    fake: FakeContext, error: OpenAIError, reason: str, calls: int
) -> None:
    made = []
    fake.openai.faults["ask"] = lambda *_: made.append(1) or error
    message = check(fake)
    assert message.status == "usable"
    assert message.subject == "in/recipe.yaml: usable, none tried"
    assert f"Not tried, because {reason}." in message.text.splitlines()
    assert len(made) == calls
    spending = month(fake)
    assert (spending.committed, spending.spent) == (0, 0)
    assert (spending.assumed > 0) is (calls == 3), "a lost answer may have been paid"
    del fake.openai.faults["ask"]
    check(fake, RECIPE + "# again\n")
    assert len(asked(fake)) == 3, "a row without an answer is asked with the next version"


def test_a_request_that_openai_refuses_has_an_answer_that_says_so(fake: FakeContext) -> None:
    fake.openai.faults["ask"] = OpenAIRequestError("context_length_exceeded", 400)
    message = check(fake)
    assert message.subject == "in/recipe.yaml: usable, 3 tried: 3 without a good answer"
    assert "context_length_exceeded" in page(fake)
    assert "$0.00000" in page(fake)
    assert (month(fake).spent, month(fake).assumed) == (0, 0)


def test_one_row_of_several_may_fail(fake: FakeContext) -> None:
    def answer(request: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        if "kettle" in json.dumps(request["body"]["messages"]):
            return "output", response_line(request, 200, {"choices": [], "usage": {}})
        return answer_ok(request)

    fake.openai.answer = answer
    message = check(fake)
    assert message.subject == "in/recipe.yaml: usable, 3 tried: 1 as expected, 1 without a good answer"


def test_an_embedding_is_cut_on_the_page_and_costs_what_the_list_says(fake: FakeContext) -> None:
    vector = {"object": "embedding", "index": 0, "embedding": [0.125] * 1_536}
    body = {"data": [vector], "usage": {"prompt_tokens": 1_000_000, "total_tokens": 1_000_000}}
    fake.openai.answer = lambda request: ("output", response_line(request, 200, body))
    recipe = 'endpoint: /v1/embeddings\nmodel: text-embedding-3-small\nprompt: "{{ text }}"\ntry: [{text: one}]\n'
    message = check(fake, recipe)
    assert message.subject == "in/recipe.yaml: usable, 1 tried"
    assert "…" in page(fake)
    assert len(page(fake)) - len(STYLE) - len(SCRIPT) < 6_000
    assert message.detail["tried"]["paid"] == 0.02


def test_the_oldest_of_many_large_responses_are_forgotten(fake: FakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_answers, "MAX_KEPT_BYTES", 1)
    for number in range(4):
        rows = "".join(f"  - {{text: row {number} {row}}}\n" for row in range(5))
        check(fake, RECIPE[: RECIPE.index("  - ")] + rows)
    assert len(asked(fake)) == 20
    check(fake, RECIPE[: RECIPE.index("  - ")] + "  - {text: row 2 0}\n  - {text: row 0 0}\n")
    assert asked(fake)[20:] == ["row 0 0"]


def test_the_months_limit_is_respected(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, max_month_usd=Decimal("0.0000001"))
    message = check(fake)
    assert asked(fake) == []
    assert "Not tried, because the monthly limit of the stack (`MaxMonthlyCost`) is reached." in message.text
    assert month(fake).committed == 0


@pytest.mark.parametrize(("limit", "calls"), [(Decimal(500), 0), (None, 3)])
def test_without_a_known_price_rows_are_tried_only_if_there_is_no_limit(
    tmp_path: Path, limit: Decimal | None, calls: int
) -> None:
    fake = FakeContext(tmp_path, max_month_usd=limit)
    message = check(fake, RECIPE.replace("gpt-6-luna", "my-own-model"))
    assert len(asked(fake)) == calls
    assert ("the price of its model is not known" in message.text) is (calls == 0)
    assert month(fake).unpriced == calls
    assert message.detail["tried"]["paid"] == (None if calls else 0)


def test_the_stack_may_forbid_it(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, tries_at_once=False)
    message = check(fake)
    assert asked(fake) == []
    assert "Not tried, because the stack's parameter `TryAtOnce` is disabled." in message.text.splitlines()


def test_what_is_not_reached_in_time_is_not_tried(tmp_path: Path) -> None:
    left = iter([300.0] * 6)
    fake = FakeContext(tmp_path, seconds_left=lambda: next(left, 60.0) if fake.openai.asked else 300.0)
    left = iter([60.0])
    message = check(fake)
    assert len(asked(fake)) == 1
    assert message.subject == "in/recipe.yaml: usable, 1 tried: 1 as expected; 2 not tried"
    assert "Not tried, because the time of the function was over." in message.text.splitlines()


def test_at_most_ten_requests_are_sent_for_a_version(fake: FakeContext) -> None:
    item = TriedRecipe("the-inbox", "in/recipe.yaml", version_id="v1", sent=9)
    fake.context.repository.add(item)
    message = check(fake)
    assert len(asked(fake)) == 1
    assert message.detail["tried"]["tried"] == 1
    assert "Not tried, because 10 requests were sent for this version of the recipe." in message.text.splitlines()
    check(fake, RECIPE + "# another version\n")
    assert len(asked(fake)) == 3


def test_a_file_that_the_recipe_names_changes_the_requests(fake: FakeContext) -> None:
    for text in (b"A {{ text }}", b"B {{ text }}", b"B {{ text }}"):
        drop(fake, "in/ask.md", text)
        drop(fake, "in/recipe.yaml", RECIPE.replace('"{{ text }}"', "file://ask.md").encode())
        run(fake, ticks=6, step=15)
    assert [text[0] for text in asked(fake)] == ["A"] * 3 + ["B"] * 3


@pytest.mark.parametrize("text", ["It has a plug", "{{ x }}", "{% if %}", "{text}"])
def test_texts_of_rows_are_no_templates(fake: FakeContext, text: str) -> None:
    check(fake, RECIPE.replace("It has a plug", f'"{text}"'))
    assert asked(fake)[2] == text


def test_rows_that_cannot_be_sent_are_not_tried_and_the_others_are(fake: FakeContext) -> None:
    message = check(fake, RECIPE.replace("It has a plug", '" "'))
    assert message.subject == "in/recipe.yaml: usable, 2 tried: 1 as expected, 1 not; 1 not tried"
    assert "It cannot be sent: Key prompt of the recipe: what is asked is empty" in page(fake)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            "try: [{texts: x}]",
            "Line 4 of in/recipe.yaml, key try[0]: the row has no 'text', which prompt uses;",
        ),
        ("try: [{text: x, expect: {sentimnt: y}}]", "key try[0].expect.sentimnt: the answers have no column"),
        ("try: {text: x}", "`try` must be a list of 1 to 10 rows"),
        ("try: []", "`try` must be a list of 1 to 10 rows"),
        ("try: [" + ", ".join(["{text: x}"] * 11) + "]", "`try` must be a list of 1 to 10 rows"),
        ("try: [{expect: positive}]", "`try[0]` must be a row"),
        ("try: [x]", "`try[0]` must be a row"),
    ],
)
def test_a_wrong_row_is_a_problem_with_its_place(fake: FakeContext, rows: str, words: str) -> None:
    message = check(fake, RECIPE[: RECIPE.index("try:")] + rows + "\n")
    assert message.status == "invalid"
    assert words in message.text
    assert asked(fake) == []


# What a changed `try` means for files


def test_a_change_of_try_alone_reads_no_rejected_file_again(fake: FakeContext) -> None:
    check(fake)
    drop(fake, "in/a.csv", b"texte\nfirst\n")
    run(fake)
    assert [job.state for job in jobs(fake)] == [JobState.REJECTED]
    message = check(fake, RECIPE.replace("It has a plug", "It has no plug") + "# more\n")
    run(fake)
    assert "is read again" not in message.text
    assert [job.state for job in jobs(fake)] == [JobState.REJECTED]
    check(fake, RECIPE.replace("{{ text }}", "{{ texte }}").replace("text:", "texte:"))
    run(fake)
    assert jobs(fake)[-1].state is JobState.SUCCEEDED


def test_a_change_of_try_alone_changes_no_retry(fake: FakeContext) -> None:
    fake.openai.answer = lambda request: (
        ("error", response_line(request, 400, {"error": {"code": "x"}}))
        if "bad" in request["body"]["messages"][-1]["content"]
        else answer_ok(request)
    )
    check(fake)
    drop(fake, "in/a.csv", b"text\ngood\nbad\n")
    run(fake)
    check(fake, RECIPE.replace("It has a plug", "It has no plug"))
    fake.openai.answer = answer_ok
    drop(fake, "in/a.csv.retry", b"")
    run(fake)
    assert len(result_json(fake, "summary.json", jobs(fake)[-1])["recipes"]) == 1


# Several processes, and what can die


def test_while_another_process_asks_the_message_waits(fake: FakeContext) -> None:
    item = TriedRecipe("the-inbox", "in/recipe.yaml", lease="other", lease_until=int(fake.clock()) + 45)
    fake.context.repository.add(item)
    drop(fake, "in/recipe.yaml", RECIPE.encode())
    run(fake, ticks=2, step=15)
    assert (asked(fake), fake.topics.people) == ([], [])
    run(fake, ticks=6, step=15)
    assert len(asked(fake)) == 3
    assert last_message(fake, "recipe").detail["tried"]["tried"] == 3


def test_a_process_that_is_killed_at_any_call_asks_and_pays_each_row_once(tmp_path: Path) -> None:
    calls = Killer()
    whole = FakeContext(tmp_path / "whole", killer=calls)
    check(whole)
    points = calls.all_points()
    assert len(points) > 10
    for point in points:
        fake = FakeContext(tmp_path / str(point), killer=Killer())
        assert fake.killer is not None
        fake.killer.points = {point}
        drop(fake, "in/recipe.yaml", RECIPE.encode())
        run(fake, ticks=12, step=30)
        message = last_message(fake, "recipe")
        assert message.detail["tried"]["tried"] == 3, point
        spending = month(fake)
        assert spending.committed == 0, point
        assert len(fake.openai.asked) <= 4, f"{point}: only the request on its way is asked again"
        assert spending.spent + spending.assumed >= month(whole).spent, point
