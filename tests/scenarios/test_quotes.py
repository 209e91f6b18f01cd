"""The quote of a job: where people and programs see it, and what later jobs learn from it."""

import json
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.quotes import Quote, UsageHistory
from dropbatch.domain.states import OpenAIStatus
from dropbatch.jobs.usage_history import remember_usage
from dropbatch.storage.repository import from_item
from tests.both_ways import both_ways
from tests.driving import batches, deliver, drop, jobs, last_message, only_event, only_job, result_json, rows, run
from tests.fakes import FakeContext, answer_ok, response_line

RECIPE = b"""\
model: gpt-6-luna
prompt: "{{ text }}"
schema: {sentiment: [positive, negative]}
parameters: {reasoning_effort: none}
"""


def answering(tokens: int) -> Any:
    """Return an answerer of answers that have this number of tokens, to prompts of 40 tokens."""

    def answer(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        where, line = answer_ok(request)
        usage = {"prompt_tokens": 40, "completion_tokens": tokens, "total_tokens": 40 + tokens}
        line["response"]["body"]["usage"] = usage
        return where, line

    return answer


def quote_of(fake: FakeContext, number: int = -1) -> Quote:
    quote = jobs(fake)[number].quote
    assert quote is not None
    return quote


def histories(fake: FakeContext) -> list[UsageHistory]:
    items = [json.loads(text) for text in fake.table.texts()]
    return [from_item(item, UsageHistory) for item in items if item["pk"].startswith("usage#")]


def test_a_quote_is_there_before_anything_is_sent(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "a.csv", rows(20))
    fake.openai.ending = None
    run(fake, ticks=4)
    quote = quote_of(fake)
    assert (quote.rows, quote.requests, quote.basis) == (20, 20, "schema")
    assert quote.price is not None
    assert quote.standard_price is not None
    assert 0 < quote.price.low <= quote.price.likely <= quote.price.high
    assert quote.price.likely < quote.standard_price.likely
    shown = result_json(fake, "quote.json")
    assert shown["price"]["likely"] == float(round(quote.price.likely, 5))
    accepted = only_event(fake, "accepted")
    assert accepted.detail["quote"]["requests"] == 20
    text = last_message(fake, "accepted").text
    assert "It will cost under a cent." in text
    assert "20 requests with about" in text
    assert "estimated by the recipe's schema" in text
    assert not histories(fake)


def test_the_prices_of_batches_add_up_to_the_quote(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, limits=Limits(batch_requests=3))
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "a.csv", rows(10))
    run(fake)
    quote = quote_of(fake)
    assert quote.price is not None
    assert sum(batch.likely_usd or Decimal(0) for batch in batches(fake)) == quote.price.likely
    assert sum(batch.high_usd or Decimal(0) for batch in batches(fake)) == quote.price.high


def test_the_end_shows_the_quote_beside_what_was_paid(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.answer = answering(12)
    drop(fake, "a.csv", rows(20))
    run(fake)
    quote = quote_of(fake)
    assert quote.price is not None
    paid = sum(batch.usd or Decimal(0) for batch in batches(fake))
    summary = result_json(fake, "summary.json")
    assert summary["quote"]["paid_ratio"] == pytest.approx(float(paid / quote.price.likely), abs=0.001)
    assert only_event(fake, "ended").detail["quote"] == summary["quote"]
    own = {name: value for name, value in summary["quote"].items() if name != "paid_ratio"}
    assert result_json(fake, "status.json")["quote"] == own
    assert own.items() <= result_json(fake, "quote.json").items()


def test_the_second_job_of_a_recipe_is_quoted_by_the_first(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.answer = answering(50)
    drop(fake, "a.csv", rows(100))
    run(fake)
    paid = sum(batch.usd or Decimal(0) for batch in batches(fake))
    fake.objects.drop("recipe.yaml", RECIPE.replace(b'"{{ text }}"', b'"Another prompt: {{ text }}"'))
    drop(fake, "b.csv", rows(100))
    run(fake)
    quote = quote_of(fake)
    assert (quote.basis, quote.history_jobs) == ("history", 1)
    assert quote.output_tokens.likely == 5_000
    assert quote.price is not None
    assert quote.price.likely == pytest.approx(paid, rel=Decimal("0.1"))
    assert quote.price.likely <= quote.price.high
    assert "The estimate is based on 1 earlier job of the recipe." in last_message(fake, "accepted").text


def test_another_schema_has_no_history(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "a.csv", rows(10))
    run(fake)
    fake.objects.drop("recipe.yaml", RECIPE.replace(b"negative]", b"negative, neutral]"))
    drop(fake, "b.csv", rows(10))
    deliver(fake)
    assert quote_of(fake).basis == "schema"


def test_ready_requests_have_the_history_of_their_folder(fake: FakeContext) -> None:
    line = {"method": "POST", "url": "/v1/chat/completions"}
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "a"}], "reasoning_effort": "none"}
    data = b"".join(json.dumps({"custom_id": str(n), **line, "body": body}).encode() + b"\n" for n in range(1, 6))
    fake.openai.answer = answering(50)
    for number, key in enumerate(("raw/a.jsonl", "raw/b.jsonl", "other/c.jsonl")):
        drop(fake, key, data)
        run(fake)
        quote = quote_of(fake)
        assert quote.basis == ("history" if number == 1 else "typical")


def test_a_job_counts_once_in_the_history_however_often_it_ends(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "xyzzy.csv", b"text\nplugh\n")
    run(fake)
    job = only_job(fake)
    before = histories(fake)
    for _ in range(3):
        remember_usage(fake.context, job, job.ended_at or 0)
    assert histories(fake) == before
    assert sorted((history.recipe, len(history.jobs)) for history in before) == [("", 1), ("recipe.yaml", 1)]
    assert "plugh" not in repr(before)


def test_a_job_ends_even_if_its_usage_cannot_be_kept(fake: FakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr("dropbatch.jobs.end_job.remember_usage", fail)
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "a.csv", rows(2))
    run(fake)
    assert str(only_job(fake).state) == "succeeded"


def test_a_retry_is_quoted_by_the_rows_that_it_sends(fake: FakeContext) -> None:
    def fail(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if int(request["custom_id"]) <= 3:
            return "error", response_line(request, 400, {"error": {"code": "lasting", "message": "m"}})
        return answer_ok(request)

    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.answer = fail
    drop(fake, "a.csv", rows(10))
    run(fake)
    fake.openai.answer = answer_ok
    fake.clock.sleep(60)
    drop(fake, "a.csv.retry", b"")
    run(fake)
    first, retry = quote_of(fake, 0), quote_of(fake, 1)
    assert (retry.rows, retry.requests) == (10, 3)
    assert retry.price is not None
    assert first.price is not None
    assert 0 < retry.price.likely < first.price.likely
    (batch,) = [batch for batch in batches(fake) if batch.job_id == jobs(fake)[1].id and batch.rows is not None]
    assert batch.likely_usd == retry.price.likely


def test_an_unknown_price_is_said_and_never_zero(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", b'model: nobody-knows-1\nprompt: "{{ text }}"\n')
    drop(fake, "a.csv", rows(2))
    deliver(fake)
    quote = quote_of(fake)
    assert (quote.price, quote.unpriced_models) == (None, ["nobody-knows-1"])
    assert quote.input_tokens.likely > 0
    assert [batch.likely_usd for batch in batches(fake)] == [None]
    run(fake)
    assert result_json(fake, "summary.json")["quote"]["paid_ratio"] is None
    text = last_message(fake, "accepted").text
    assert "Its price is not known, because the price list has none for nobody-knows-1." in text
    assert "input tokens" in text


def test_a_low_limit_for_a_model_that_reasons_is_a_warning(fake: FakeContext) -> None:
    recipe = RECIPE.replace(b"reasoning_effort: none", b"reasoning_effort: low, max_completion_tokens: 999")
    fake.objects.drop("recipe.yaml", recipe)
    drop(fake, "a.csv", rows(2))
    run(fake)
    (warning,) = only_event(fake, "accepted").detail["quote"]["warnings"]
    assert warning["code"] == "low_cap"
    assert f"- {warning['message']}" in last_message(fake, "accepted").text


def test_a_job_of_an_older_release_ends_without_a_quote(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.ending = None
    drop(fake, "a.csv", rows(2))
    deliver(fake)

    def forget(job: Any) -> bool:
        job.quote = None
        return True

    fake.context.repository.update(only_job(fake), forget)
    fake.openai.ending = OpenAIStatus.COMPLETED
    run(fake)
    assert str(only_job(fake).state) == "succeeded"
    assert "quote" not in result_json(fake, "summary.json")
    assert "quote" not in result_json(fake, "status.json")
    assert not histories(fake)


MEDIA = b"""\
endpoint: /v1/chat/completions
body:
  model: gpt-6-luna
  messages:
    - role: user
      content:
        - {type: text, text: "{{ text }}"}
        - {type: image_url, image_url: {url: "https://a.example/{{ text }}"}}
"""


@pytest.mark.parametrize("recipe", [RECIPE, MEDIA], ids=["text", "image"])
def test_the_quote_is_the_same_without_the_fast_paths(recipe: bytes) -> None:
    def quote() -> Quote:
        with tempfile.TemporaryDirectory() as scratch:
            fake = FakeContext(Path(scratch))
            fake.objects.drop("recipe.yaml", recipe)
            drop(fake, "a.csv", rows(300))
            deliver(fake)
            return quote_of(fake)

    with_them, without = both_ways(quote)
    assert with_them == without


def test_the_quote_is_the_same_if_building_takes_several_invocations(fake: FakeContext, tmp_path: Path) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    data = b"text\n" + b"".join(b"%d %s\n" % (number, b"x" * 2_000) for number in range(400))
    drop(fake, "a.csv", data)
    deliver(fake)
    slow = FakeContext(tmp_path / "slow")
    slow.objects.drop("recipe.yaml", RECIPE)
    slow.seconds_left = lambda: 5.0
    drop(slow, "a.csv", data)
    for _ in range(3):
        deliver(slow)
    assert only_job(slow).progress is not None
    slow.seconds_left = lambda: 300.0
    run(slow)
    assert quote_of(slow) == quote_of(fake)
