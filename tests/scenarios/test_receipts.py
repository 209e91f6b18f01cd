"""Receipts: each token of each try is on them, of whatever became of its batch, and what is shown adds up."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dropbatch.domain.states import JobState, OpenAIStatus
from tests.driving import drop, jobs, last_message, only_job, pass_time, result, result_json, run
from tests.driving import rows as rows_of
from tests.fakes import FakeContext
from tests.fakes.answers import answer_ok, response_line

RECIPE = b'model: gpt-6-luna\nprompt: "{{ text }}"\n'
INPUT, CACHED, WRITTEN, OUTPUT, REASONING = 100_000, 20_000, 30_000, 10_000, 4_000
PRICE = Decimal("0.05") * 50_000 + Decimal("0.005") * 20_000 + Decimal("0.0625") * 30_000 + Decimal("0.25") * 10_000
"""Of one answer of gpt-6-luna in millionths of a dollar: half of the synchronous price."""

Answerer = Callable[[dict[str, Any]], Any]


def usage(request: dict[str, Any]) -> Any:
    """Answer a row, and report a large usage."""
    where, line = answer_ok(request)
    line["response"]["body"]["usage"] = {
        "prompt_tokens": INPUT,
        "completion_tokens": OUTPUT,
        "prompt_tokens_details": {"cached_tokens": CACHED, "cache_write_tokens": WRITTEN},
        "completion_tokens_details": {"reasoning_tokens": REASONING},
    }
    return where, line


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    made = FakeContext(tmp_path)
    made.openai.answer = usage
    made.objects.drop("recipe.yaml", RECIPE)
    return made


def cost_of(fake: FakeContext) -> dict[str, Any]:
    cost: dict[str, Any] = result_json(fake, "summary.json")["cost"]
    return cost


def check(fake: FakeContext, answers: int) -> dict[str, Any]:
    """Check that a receipt is that of this number of answers; return it."""
    cost = cost_of(fake)
    assert cost["tokens"] == {
        "input": answers * INPUT,
        "cached": answers * CACHED,
        "cache_write": answers * WRITTEN,
        "output": answers * OUTPUT,
        "reasoning": answers * REASONING,
    }
    assert Decimal(str(cost["paid"])) == round(answers * PRICE / 1_000_000, 5)
    assert Decimal(str(cost["synchronous"])) == round(2 * answers * PRICE / 1_000_000, 5)
    assert Decimal(str(cost["saved"])) == Decimal(str(cost["synchronous"])) - Decimal(str(cost["paid"]))
    assert [(line["model"], line["requests"], line["paid"]) for line in cost["by_model"]] == [
        ("gpt-6-luna", answers, cost["paid"])
    ]
    assert cost["prices"][0].startswith("genai-prices ")
    assert "reported_by_openai" not in cost
    assert not fake.observer.total("UsageDifferences")
    return cost


def test_a_receipt_names_tokens_prices_and_sums(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows_of(3))
    run(fake)
    check(fake, 3)
    text = last_message(fake, "ended").text
    assert "Paid about 2 cents, and saved 2 cents by batching. The synchronous API costs about 4 cents." in text
    tokens = "300,000 input (of it 60,000 cached, 90,000 written to the cache), 30,000 output (of it 12,000 reasoning)"
    assert f"Tokens: {tokens}." in text
    page = result(fake, "report.html").decode()
    assert "<td>the synchronous API</td>" in page
    assert "Cost by model" in page
    assert "Prices: genai-prices " in page


def test_every_try_is_on_the_receipt(fake: FakeContext) -> None:
    """Row 2 fails once after it was billed: its model wrote no JSON that fits the schema."""
    recipe = RECIPE + b"schema: {mood: [good, bad]}\nretry_invalid: true\n"
    fake.objects.drop("recipe.yaml", recipe)
    asked: list[str] = []

    def answer(request: dict[str, Any]) -> Any:
        where, line = usage(request)
        asked.append(request["custom_id"])
        is_bad = request["custom_id"] == "2" and asked.count("2") == 1
        line["response"]["body"]["choices"][0]["message"]["content"] = "no" if is_bad else '{"mood": "good"}'
        return where, line

    fake.openai.answer = answer
    drop(fake, "a.csv", rows_of(3))
    run(fake)
    assert result_json(fake, "summary.json")["rows"]["ok"] == 3
    check(fake, 4)


@pytest.mark.parametrize("status", [OpenAIStatus.EXPIRED, OpenAIStatus.CANCELLED, OpenAIStatus.FAILED])
def test_answers_of_a_batch_that_ended_early_are_on_the_receipt(fake: FakeContext, status: OpenAIStatus) -> None:
    """The first batch answers row 1 and bills it, then ends without the others. They are sent again."""
    code = f"batch_{status}"

    def partly(request: dict[str, Any]) -> Any:
        if request["custom_id"] == "1":
            return usage(request)
        not_run = {"custom_id": request["custom_id"], "response": None, "error": {"code": code, "message": "no"}}
        return "error", not_run

    fake.openai.answer, fake.openai.ending = partly, status
    drop(fake, "a.csv", rows_of(3))
    run(fake, ticks=2)
    first = next(iter(fake.openai.batches.values()))
    assert first.status is status
    fake.openai.answer, fake.openai.ending = usage, OpenAIStatus.COMPLETED
    run(fake, ticks=200)
    counts = result_json(fake, "summary.json")["rows"]
    assert len(fake.openai.batches) == (2 if counts["ok"] == 3 else 1)
    check(fake, counts["ok"])
    assert counts["ok"] >= 1


def test_a_cancelled_job_pays_for_the_answers_that_came(fake: FakeContext) -> None:
    fake.openai.ending = None
    drop(fake, "a.csv", rows_of(3))
    run(fake, ticks=3)

    def partly(request: dict[str, Any]) -> Any:
        return usage(request) if request["custom_id"] == "1" else None

    fake.openai.answer = partly
    drop(fake, "a.csv.cancel", b"\n")
    run(fake, ticks=100)
    assert only_job(fake).state is JobState.CANCELLED
    check(fake, 1)


def test_models_that_a_job_names_are_shown_and_the_others_together(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE.replace(b"gpt-6-luna", b'"{{ model }}"'))
    models = ["gpt-6-luna", "gpt-6-sol", *(f"ft:gpt-6-luna:org:m{number}:id" for number in range(12))]
    drop(fake, "a.csv", b"model,text\n" + "".join(f"{model},a\n" for model in models).encode())
    run(fake, ticks=100)
    cost = cost_of(fake)
    assert cost["by_model"][0]["model"] == "gpt-6-sol", "the dearest first"
    assert {line["model"] for line in cost["by_model"]} == {*only_job(fake).models, "other"}
    assert sum(line["requests"] for line in cost["by_model"]) == len(models)
    for name in ("paid", "synchronous"):
        shown = [Decimal(str(line[name])) for line in cost["by_model"]]
        assert sum(shown) == Decimal(str(cost[name])), "what is shown adds up"
    tuned = next(line for line in cost["by_model"] if line["model"].startswith("ft:"))
    assert tuned["notes"] == ["priced as gpt-6-luna"]
    text = last_message(fake, "ended").text
    assert "By model: gpt-6-sol about 14 cents for 1 request; gpt-6-luna about 1 cent for 1 request; ft:" in text
    assert "; and 6 more." in text


def test_the_recipes_prices_win_and_the_saving_is_unknown(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b'prices: {input: 1, output: "10.5"}\n')
    drop(fake, "a.csv", rows_of(2))
    run(fake)
    cost = cost_of(fake)
    expected = 2 * (Decimal("0.07") + Decimal("0.0375") + Decimal("0.105"))
    assert (Decimal(str(cost["paid"])), cost["synchronous"], cost["saved"]) == (expected, None, None)
    assert cost["prices"] == ["the recipe's prices"]
    text = last_message(fake, "ended").text
    words = "Paid about 42 cents; what batching saved is not known, because only the recipe gives prices."
    assert words in text
    assert '<td>saved by batching</td><td class="n">not known</td>' in result(fake, "report.html").decode()


def test_an_unknown_model_has_no_price_and_the_receipt_says_so(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE.replace(b"gpt-6-luna", b"my-own"))
    drop(fake, "a.csv", rows_of(2))
    run(fake)
    cost = cost_of(fake)
    assert (cost["paid"], cost["synchronous"], cost["saved"], cost["unpriced_requests"]) == (None, None, None, 2)
    (line,) = cost["by_model"]
    assert (line["paid"], line["prices"], line["tokens"]["input"]) == (None, None, 2 * INPUT)
    ended = last_message(fake, "ended")
    assert "This month: nothing, without 2 requests of unknown price." in ended.text
    assert ended.detail["cost"]["month"]["unpriced_requests"] == 2


def test_another_server_has_no_price_of_openais(fake: FakeContext) -> None:
    fake.openai_base_url = "https://llm.example.com/v1"
    drop(fake, "a.csv", rows_of(2))
    run(fake)
    assert (cost_of(fake)["paid"], cost_of(fake)["unpriced_requests"]) == (None, 2)


def test_a_regional_host_takes_a_tenth_more(fake: FakeContext) -> None:
    fake.openai_base_url = "https://us.api.openai.com/v1"
    drop(fake, "a.csv", rows_of(2))
    run(fake)
    cost = cost_of(fake)
    assert Decimal(str(cost["paid"])) == round(2 * PRICE / 1_000_000 * Decimal("1.1"), 5)
    more = "10 % more, because the server's region alone processes it"
    assert cost["by_model"][0]["notes"] == [more]
    assert f"; gpt-6-luna is {more}." in last_message(fake, "ended").text


@pytest.mark.parametrize("kind", ["input", "cached", "output"])
def test_other_tokens_of_the_batch_stand_beside_those_of_its_answers(fake: FakeContext, kind: str) -> None:
    retrieve = fake.openai.retrieve

    def wrong(batch_id: str) -> Any:
        batch = retrieve(batch_id)
        if batch.usage is None:
            return batch
        return replace(batch, usage=replace(batch.usage, **{kind: getattr(batch.usage, kind) + 7}))

    fake.openai.retrieve = wrong  # type: ignore[method-assign]  # OpenAI's count of this batch
    drop(fake, "a.csv", rows_of(2))
    run(fake)
    cost = cost_of(fake)
    found = cost["reported_by_openai"]
    assert found["batches"] == 1
    assert found["tokens"][kind] == found["answers"][kind] + 7
    assert found["answers"]["input"] == 2 * INPUT
    assert fake.observer.total("UsageDifferences") == 1
    assert "OpenAI reports other tokens for 1 batch than the answers have: " in last_message(fake, "ended").text
    assert cost["tokens"]["output"] == 2 * OUTPUT, "the answers count"


def test_a_server_that_reports_no_usage_of_a_batch_differs_in_nothing(fake: FakeContext) -> None:
    fake.openai.reports_usage = False
    drop(fake, "a.csv", rows_of(2))
    run(fake)
    check(fake, 2)


def test_a_retry_adds_the_cost_of_its_former_jobs(fake: FakeContext) -> None:
    failing = {"2", "3"}

    def answer(request: dict[str, Any]) -> Any:
        if request["custom_id"] in failing:
            return "error", response_line(request, 400, {"error": {"code": "invalid_value", "message": "no"}})
        return usage(request)

    fake.openai.answer = answer
    drop(fake, "a.csv", rows_of(3))
    run(fake, ticks=100)
    receipts = [check(fake, 1)]
    assert "before" not in receipts[0]
    for row in ("2", "3"):
        failing.discard(row)
        drop(fake, "a.csv.retry", b"\n")
        run(fake, ticks=100)
        newest = max(jobs(fake), key=lambda job: job.run)
        receipts.append(result_json(fake, "summary.json", newest)["cost"])
        assert Decimal(str(receipts[-1]["paid"])) == round(PRICE / 1_000_000, 5)
    once, whole = Decimal(str(receipts[0]["paid"])), receipts[2]["before"]
    assert (receipts[1]["before"]["jobs"], Decimal(str(receipts[1]["before"]["paid"]))) == (1, once)
    assert (whole["jobs"], Decimal(str(whole["paid"]))) == (2, 2 * once)
    for name in ("synchronous", "saved"):
        assert Decimal(str(whole[name])) == 2 * Decimal(str(receipts[0][name]))
    assert whole["tokens"]["input"] == 2 * INPUT
    words = "Together with the 2 jobs before it, whose failed rows it retries, the file cost about 2 cents."
    assert words in last_message(fake, "ended").text


def test_a_run_that_ends_in_another_month_says_that_its_cost_counts_before(fake: FakeContext) -> None:
    fake.clock.now = datetime(2026, 6, 30, 23, 50, tzinfo=UTC).timestamp()
    fake.openai.ending = None
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "a.csv", b"text\na\n")
    pass_time(fake, 3600)
    fake.openai.ending = OpenAIStatus.COMPLETED
    run(fake)
    ended = last_message(fake, "ended")
    assert "This month: nothing, without batches that were sent in an earlier one." in ended.text
    programs = [each for each in fake.topics.published if each.event == "ended"][-1]
    assert programs.detail["cost"]["month"]["name"] == "2026-07"
