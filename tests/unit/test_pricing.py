"""What answers cost together: as much as each by itself."""

from decimal import Decimal

import pytest
from genai_prices import Usage as Tokens
from genai_prices import calc_price
from hypothesis import given, settings
from hypothesis import strategies as st

from dropbatch.answers import Usage
from dropbatch.pricing import Bill

USAGES = st.lists(
    st.tuples(st.integers(1, 400_000), st.integers(0, 400_000), st.integers(1, 100_000)).map(
        lambda counts: Usage(counts[0], min(counts[0], counts[1]), counts[2], 0)
    ),
    min_size=1,
    max_size=6,
)


def listed(model: str, usage: Usage) -> tuple[Decimal, Decimal]:
    """One request's price, by the list: the batch price, which is half the standard one where there is none."""
    tokens = Tokens(
        input_tokens=usage.input_tokens, cache_read_tokens=usage.cached_tokens, output_tokens=usage.output_tokens
    )
    standard = calc_price(tokens, model_ref=model, provider_id="openai").total_price
    context = {"processing": "batch"}
    batch = calc_price(tokens, model_ref=model, provider_id="openai", price_context=context).total_price
    return (batch if batch < standard else standard / 2), standard


@pytest.mark.parametrize("model", ["gpt-5-mini", "gpt-4o-mini", "text-embedding-3-small", "gpt-5.4", "o3"])
@settings(max_examples=25, deadline=None)
@given(usages=USAGES)
def test_a_bill_is_the_sum_of_its_requests_prices(model: str, usages: list[Usage]) -> None:
    bill = Bill(model)
    for usage in usages:
        bill.add([usage])
    one_by_one = [listed(model, usage) for usage in usages]
    found = bill.total()
    assert found is not None
    assert found[0] == pytest.approx(float(sum(batch for batch, _ in one_by_one)))
    assert found[1] == pytest.approx(float(sum(standard for _, standard in one_by_one)))


def test_an_unknown_model_has_no_price_but_for_nothing() -> None:
    bill = Bill("my-own-model")
    assert bill.total() == (0.0, 0.0)
    bill.add([Usage(1, 0, 1, 0)])
    assert bill.total() is None


def test_more_cached_tokens_than_there_are_cost_no_less_than_nothing() -> None:
    bill = Bill("gpt-5-mini")
    bill.add([Usage(10, 20, 0, 0)])
    found = bill.total()
    assert found is not None
    assert found[0] > 0
