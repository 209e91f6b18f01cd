"""The cost of several answers: the sum of the costs of each, part by part, and nothing for unknown prices."""

from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage as Tokens
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from dropbatch.answers.answer import Answer
from dropbatch.answers.cost import Cost
from dropbatch.answers.reader import read_answer
from dropbatch.answers.usage import NO_USAGE, Usage
from dropbatch.domain.outcomes import Outcome
from dropbatch.money.cost_meter import CostMeter

CHAT = "/v1/chat/completions"

LONG_CONTEXT = 272_000
"""A request with more input tokens has other rates, for the models that have any."""


@st.composite
def usage(draw: st.DrawFn) -> Usage:
    read = draw(st.integers(1, 10_000) | st.integers(LONG_CONTEXT - 2, LONG_CONTEXT + 2) | st.integers(1, 900_000))
    cached = draw(st.integers(0, read))
    return Usage(read, cached, draw(st.integers(0, 100_000)), 0, draw(st.integers(0, read - cached)))


def sums(cost: Cost) -> Cost:
    """Return a cost without the model, the tokens and the prices that it is for."""
    return cost._replace(model="", requests=0, usage=NO_USAGE, source="", notes=())


def paid(model: str, *usages: Usage) -> Cost:
    bill = CostMeter(model, CHAT)
    for each in usages:
        bill.add([each])
    return sums(bill.total())


def cost(usd: str, standard_usd: str, **counts: int) -> Cost:
    return Cost(Decimal(usd), Decimal(standard_usd), **counts)  # type: ignore[arg-type]


def listed(model: str, taken: Usage, *, discount: bool = True, **context: str) -> Decimal:
    """Return the price of one request in the list."""
    tokens = Tokens(
        input_tokens=taken.input_tokens,
        cache_read_tokens=taken.cached_tokens if discount else 0,
        cache_write_tokens=taken.cache_write_tokens,
        output_tokens=taken.output_tokens,
    )
    return calc_price(tokens, model_ref=model, provider_id="openai", price_context=context).total_price


ENDING = {
    # Only models with an end have prices of these kinds. The cost of their jobs must still be right.
    "no cached price in batches": ["gpt-4.1", "gpt-4o", "gpt-4o-mini", "o1", "o3", "o3-mini", "o4-mini"],
    "a snapshot": ["gpt-4.1-2025-04-14"],
    "another snapshot": ["gpt-4.1-mini-2025-04-14"],
    "a snapshot with a price of its own": ["gpt-4o-2024-05-13"],
    "no price for cache writes": ["gpt-5-mini"],
    "fine-tuned, with a batch price": ["ft:gpt-4o-mini-2024-07-18:org::id"],
    "fine-tuned, without one": ["ft:gpt-4o-2024-08-06:org::id"],
    "fine-tuned, without any": ["ft:gpt-4.1-mini-2025-04-14:org::id"],
    "other media": ["sora-2", "gpt-image-1.5", "chatgpt-image-latest"],
    "speech": ["gpt-audio", "gpt-4o-audio-preview"],
}
"""tests/infra/test_models_named.py allows these names here, once each."""

ALL_PARTS = [
    *("gpt-5.4", "gpt-6-luna", "gpt-5.6-luna"),
    *ENDING["no price for cache writes"],
    *ENDING["fine-tuned, with a batch price"],
]
"""Models with batch prices for all parts."""

NO_CACHED = [*ENDING["no cached price in batches"], *ENDING["another snapshot"]]
"""Models with batch prices, but without one for cached input."""


@pytest.mark.slow
@pytest.mark.parametrize("model", ALL_PARTS + NO_CACHED)
@settings(max_examples=25, deadline=None)
@given(usages=st.lists(usage(), min_size=1, max_size=6), at_once=st.booleans())
def test_a_bill_is_the_sum_of_its_requests_prices(model: str, usages: list[Usage], at_once: bool) -> None:
    bill = CostMeter(model, CHAT)
    for some in [usages] if at_once else [[each] for each in usages]:
        bill.add(some)
    cost, discount = bill.total(), model in ALL_PARTS
    assert cost.usd == sum(listed(model, u, discount=discount, processing="batch") for u in usages)
    assert cost.standard_usd == sum(listed(model, each) for each in usages)
    assert (cost.unpriced, cost.unread) == (0, 0)


def test_a_model_without_a_batch_price_costs_half() -> None:
    assert paid("text-embedding-3-small", Usage(1_000_000, 0, 0, 0)) == cost("0.01", "0.02")
    (tuned,) = ENDING["fine-tuned, without one"]
    assert paid(tuned, Usage(1_000_000, 0, 1_000_000, 0)) == cost("9.375", "18.75")


def priced_models() -> list[str]:
    (openai,) = [provider for provider in get_snapshot().providers if provider.id == "openai"]
    return [model.id for model in openai.models if model.is_match(model.id) and paid(model.id, Usage(1, 0, 1, 0)).usd]


MODELS = priced_models()
assert len(MODELS) > 50


def dearest(model: str) -> Decimal:
    """Return the highest price of a token: with a long context, without the Batch API."""
    return max(listed(model, Usage(10**9, 0, 0, 0, 10**9)), listed(model, Usage(10**9, 0, 10**9, 0))) / 10**9


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=10, deadline=None)
@given(taken=usage(), part=st.sampled_from(["input_tokens", "output_tokens"]))
def test_one_more_token_costs_the_price_of_a_token(model: str, taken: Usage, part: str) -> None:
    """Except at the start of a long context, which has higher rates for all of its tokens."""
    if taken.input_tokens == LONG_CONTEXT:
        taken = taken._replace(input_tokens=LONG_CONTEXT + 1)
    more = taken._replace(**{part: getattr(taken, part) + 1})
    for before, after in zip(paid(model, taken)[:2], paid(model, more)[:2], strict=True):
        assert before <= after <= before + dearest(model)


def test_cached_input_without_a_batch_price_costs_as_much_as_other_input() -> None:
    first, *_, reasoning, _, _ = ENDING["no cached price in batches"]
    assert paid(first, Usage(1_000_000, 1_000_000, 0, 0)) == cost("1", "0.5")
    assert paid(first, Usage(1_000_000, 1_000_000, 1, 0)).usd == Decimal("1.000004")
    assert paid(reasoning, Usage(1_000_000, 900_000, 10_000, 0)).usd == Decimal("1.04")


def test_cache_writes_have_their_own_price() -> None:
    assert paid("gpt-6-luna", Usage(200_000, 0, 0, 0, 100_000)).usd == Decimal("0.01125")
    for model in ("gpt-5.4", *ENDING["no price for cache writes"]):
        assert paid(model, Usage(200_000, 0, 0, 0, 100_000)) == paid(model, Usage(200_000, 0, 0, 0))


@pytest.mark.parametrize(
    "model",
    [
        *("my-own-model", "", "gpt-4o-mini-deployment", "whisper-1", "gpt-image-2", "gpt-5-image"),
        *(*ENDING["other media"], "ft:my-own-model:org::id"),
    ],
)
def test_a_cost_without_a_price_of_each_token_is_unknown(model: str) -> None:
    bill = CostMeter(model, CHAT)
    assert sums(bill.total()) == Cost()
    bill.add([Usage(1, 0, 1, 0), Usage(2, 0, 1, 0)])
    assert sums(bill.total()) == Cost(unpriced=2)


def test_a_snapshot_costs_as_much_as_its_model() -> None:
    taken = Usage(1_000, 100, 10, 0)
    first, second, *_ = ENDING["no cached price in batches"]
    for snapshot, model in (*((each, first) for each in ENDING["a snapshot"]), ("gpt-6-luna-2031-12-01", "gpt-6-luna")):
        assert paid(snapshot, taken) == paid(model, taken)
    for snapshot in ENDING["a snapshot with a price of its own"]:
        assert paid(snapshot, taken).usd > paid(second, taken).usd


def test_more_cached_tokens_than_input_tokens_never_give_a_negative_cost() -> None:
    for model in ("gpt-6-luna", *ENDING["no price for cache writes"]):
        assert paid(model, Usage(10, 20, 0, 0, 30)).usd > 0


def answer(body: Any, status: int = 200) -> Answer:
    line = b'{"custom_id":"1","response":{"status_code":%d,"body":%b}}' % (status, body)
    return read_answer(line, None, CHAT)


def test_an_answer_without_usage_has_an_unknown_cost() -> None:
    bill = CostMeter("gpt-6-luna", CHAT)
    good = answer(b'{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}')
    cut = answer(b'{"choices":[{"message":{"content":"a"},"finish_reason":"length"}]}')
    assert (good.outcome, cut.outcome) == (Outcome.OK, Outcome.TRUNCATED)
    refused, spoilt = answer(b'{"error":{"code":"e"}}', 400), read_answer(b'{"response":{"bo', None, CHAT)
    counted = good._replace(usage=Usage(1, 0, 1, 0))
    bill.add_without_usage([good, cut, refused, spoilt, counted])
    assert sums(bill.total()) == Cost(unpriced=2, unread=1)


def test_a_usage_without_tokens_has_an_unknown_cost() -> None:
    bill = CostMeter("gpt-6-luna", CHAT)
    bill.add([Usage(0, 0, 0, 0), *[Usage(200_000, 0, 0, 0)] * 5])
    assert sums(bill.total()) == cost("0.05", "0.1", unpriced=1)


@pytest.mark.parametrize("model", ["omni-moderation-latest", ""])
def test_moderations_are_free(model: str) -> None:
    bill = CostMeter(model, "/v1/moderations")
    bill.add_without_usage([Answer(Outcome.OK, None, None, None)])
    bill.add([Usage(0, 0, 0, 0)])
    bill.add_unread(3)
    assert sums(bill.total()) == Cost()


def test_unreadable_lines_are_counted_as_unread() -> None:
    bill = CostMeter("gpt-6-luna", CHAT)
    bill.add_unread(2)
    bill.add_unread(1)
    assert sums(bill.total()) == Cost(unread=3)


def test_a_request_that_was_declined_costs_nothing() -> None:
    declined = answer(b'{"error":{"code":"content_filter"}}', 400)
    assert declined.outcome is Outcome.REFUSED
    bill = CostMeter("gpt-6-luna", CHAT)
    bill.add_without_usage([declined])
    assert sums(bill.total()) == Cost()
    filtered = answer(b'{"choices":[{"message":{"content":"a"},"finish_reason":"content_filter"}]}')
    bill.add_without_usage([filtered])
    assert sums(bill.total()) == Cost(unpriced=1), "a model answered this one"
