"""The quote of some work: tokens by estimate or by history, and their price."""

from dataclasses import replace
from decimal import Decimal

import pytest

from dropbatch.batch_api.endpoints import CHAT, EMBEDDINGS
from dropbatch.batch_api.token_estimates import ExpectedTokens
from dropbatch.domain.quotes import (
    HISTORY,
    IMAGE,
    LOW_CAP,
    NONE,
    SCHEMA,
    TYPICAL,
    JobUsage,
    Quote,
    Tokens,
    UsageHistory,
)
from dropbatch.money.prices import GivenPrices, Prices, prices_of
from dropbatch.money.quote import Histories, PricedWork, Terms, Work, quote_of

PAIR = CHAT, "m"
PRICES = prices_of("m", given=GivenPrices(Decimal(10), Decimal(100), Decimal(1), Decimal("12.5")))
"""Dollars for a million tokens of input, output, cached input and cache writes."""


def work(requests: int = 100, tokens: int = 100, output: Tokens | None = None, model: str = "m") -> Work:
    """Return requests that have this many tokens each."""
    said = output or Tokens(10, 20, 50)
    total = Tokens(said.low * requests, said.likely * requests, said.high * requests)
    return Work(
        CHAT, model, requests, ExpectedTokens(tokens * requests, Tokens(), total, SCHEMA, "f", uncapped=requests)
    )


def history(**jobs: JobUsage) -> UsageHistory:
    return UsageHistory(recipe="r", endpoint=CHAT, model="m", schema="f", jobs=jobs)


def usage(requests: int = 100, *, answers: int | None = None, read: int = 100, said: int = 20, at: int = 1) -> JobUsage:
    """Return the usage of a job whose requests were estimated at 100 tokens."""
    count = requests if answers is None else answers
    return JobUsage(at, requests, count, 100 * count, read * count, 0, 0, said * count)


def quoted(
    *works: Work,
    terms: Terms | None = None,
    own: UsageHistory | None = None,
    general: UsageHistory | None = None,
    prices: Prices | None = PRICES,
) -> tuple[Quote, list[PricedWork]]:
    histories = Histories({PAIR: own} if own else {}, {PAIR: general} if general else {})
    return quote_of(500, works, terms or Terms(), histories, lambda endpoint, model: prices)


def test_the_likely_price_is_that_of_the_estimate() -> None:
    quote, (priced,) = quoted(work())
    assert (quote.rows, quote.requests, quote.basis) == (500, 100, SCHEMA)
    assert (quote.input_tokens.likely, quote.output_tokens.likely) == (10_000, 2_000)
    assert quote.price is not None
    assert quote.price.likely == Decimal("0.1") + Decimal("0.2")
    assert priced.price == quote.price
    assert quote.price.low < quote.price.likely < quote.price.high < 4 * quote.price.likely
    assert quote.prices == "the recipe's prices"
    assert quote.standard_price is None


def test_the_listed_price_has_one_without_the_batch_api() -> None:
    quote, _ = quoted(work(), prices=prices_of("gpt-6-luna"))
    assert quote.price is not None
    assert quote.standard_price is not None
    assert quote.standard_price.likely == 2 * quote.price.likely


def test_a_model_that_searches_for_each_answer_is_quoted_with_its_fees() -> None:
    model = "gpt-5-search-api"
    prices = prices_of(model)
    assert prices is not None
    quote, _ = quoted(work(1_000, model=model), prices=prices)
    without, _ = quoted(work(1_000, model=model), prices=replace(prices, calls=None))
    for found, base in ((quote.price, without.price), (quote.standard_price, without.standard_price)):
        assert found is not None
        assert base is not None
        assert [found.low - base.low, found.likely - base.likely, found.high - base.high] == [10, 10, 10]


def test_prices_of_batches_add_up_to_the_price_of_the_job() -> None:
    quote, priced = quoted(work(7, 31), work(3, 1_001))
    assert quote.price is not None
    for end in ("low", "likely", "high"):
        assert getattr(quote.price, end) == sum(getattr(one.price, end) for one in priced)


def test_a_model_without_a_price_has_none_and_is_named() -> None:
    known = {"m": PRICES}
    works = [work(), work(model="another")]
    quote, (first, second) = quote_of(1, works, Terms(), Histories(), lambda _, model: known.get(model))
    assert (quote.price, quote.standard_price, quote.unpriced_models) == (None, None, ["another"])
    assert quote.input_tokens.likely == 20_000, "tokens are quoted all the same"
    assert first.price is not None
    assert second.price is None


def test_no_work_costs_nothing() -> None:
    quote, priced = quoted()
    assert quote.price is not None
    assert (quote.price.high, quote.basis, priced) == (0, NONE, [])


def test_history_says_what_a_row_comes_to() -> None:
    quote, _ = quoted(work(1_000), own=history(a=usage(400, read=150, said=33)))
    assert (quote.basis, quote.history_jobs) == (HISTORY, 1)
    assert quote.input_tokens.likely == 150_000
    assert quote.output_tokens.likely == 33_000
    assert quote.output_tokens.low < 33_000 < quote.output_tokens.high < 66_000


def test_history_of_few_rows_is_less_certain() -> None:
    highs = [quoted(work(1_000), own=history(a=usage(rows)))[0].output_tokens.high for rows in (4, 100, 10_000)]
    assert highs == sorted(highs, reverse=True)
    assert highs[0] > 1.5 * highs[2]


def test_the_dearest_job_of_the_history_bounds_the_high_price() -> None:
    quote, _ = quoted(work(1_000), own=history(a=usage(10_000, said=20), b=usage(100, said=90, at=2)))
    assert quote.output_tokens.likely < 25_000
    assert quote.output_tokens.high >= 90_000


def test_the_limit_of_the_recipe_caps_what_its_history_says() -> None:
    capped = work(100)
    capped.expected.caps, capped.expected.uncapped = 1_500, 0
    quote, _ = quoted(capped, own=history(a=usage(said=20)))
    assert (quote.output_tokens.likely, quote.output_tokens.high) == (1_500, 1_650)
    capped.expected.uncapped = 1
    quote, _ = quoted(capped, own=history(a=usage(said=20)))
    assert quote.output_tokens.likely == 2_000


def test_rows_that_were_tried_again_count_as_often_as_they_were_paid() -> None:
    quote, _ = quoted(work(100), own=history(a=usage(100, answers=130)))
    assert quote.output_tokens.likely == 2_600
    assert quote.input_tokens.likely == 13_000


def test_a_job_that_was_cancelled_counts_by_its_answers() -> None:
    quote, _ = quoted(work(100), own=history(a=usage(100, answers=10)))
    assert quote.output_tokens.likely == 2_000


def test_other_recipes_of_the_model_correct_the_input_alone() -> None:
    quote, _ = quoted(work(), general=history(a=usage(1_000, read=150, said=500)))
    assert quote.input_tokens.likely == 15_000
    assert quote.output_tokens.likely == 2_000
    assert quote.basis == SCHEMA


@pytest.mark.parametrize(("read", "likely"), [(20, 5_000), (900, 20_000)])
def test_a_correction_by_other_recipes_is_bounded(read: int, likely: int) -> None:
    quote, _ = quoted(work(), general=history(a=usage(1_000, read=read)))
    assert quote.input_tokens.likely == likely


def test_few_tokens_of_other_recipes_correct_nothing() -> None:
    quote, _ = quoted(work(), general=history(a=usage(99, read=150)))
    assert quote.input_tokens.likely == 10_000


def test_retries_of_invalid_answers_raise_the_high_price_alone() -> None:
    plain, _ = quoted(work())
    retried, _ = quoted(work(), terms=Terms(retries_invalid=True))
    assert plain.price is not None
    assert retried.price is not None
    assert plain.price.likely == retried.price.likely
    assert plain.price.high < retried.price.high


def test_each_request_but_the_first_reads_the_constant_beginning_from_the_cache() -> None:
    quote, _ = quoted(work(tokens=2_000), terms=Terms(cached_prefix=1_500))
    assert quote.cached_tokens == 99 * 1_500
    assert quote.price is not None
    plain, _ = quoted(work(tokens=2_000))
    assert plain.price is not None
    assert quote.cache_saves == plain.price.likely - quote.price.likely > 0
    assert quote.price.high > plain.price.high, "at worst each request writes the beginning, and reads nothing"


def test_history_tells_how_much_the_cache_gives() -> None:
    found = JobUsage(1, 100, 100, 10_000, 10_000, 5_000, 1_000, 2_000)
    quote, _ = quoted(work(), own=history(a=found))
    assert quote.cached_tokens == 5_000
    assert quote.price is not None
    assert quote.price.likely == Decimal("0.04") + Decimal("0.005") + Decimal("0.0125") + Decimal("0.2")


@pytest.mark.parametrize(("tokens", "factor"), [(1_023, Decimal(1)), (1_024, Decimal("1.25"))])
def test_long_prompts_that_are_written_to_the_cache_cost_more(tokens: int, factor: Decimal) -> None:
    quote, _ = quoted(work(tokens=tokens, output=Tokens()), terms=Terms(writes_rows=lambda _: True))
    assert quote.price is not None
    assert quote.price.likely == tokens * 100 * factor / 100_000


def test_tokens_that_do_not_divide_by_the_requests_are_priced_all_the_same() -> None:
    expected = ExpectedTokens(1_001, Tokens(), Tokens(0, 7, 7), SCHEMA, "f")
    quote, _ = quoted(Work(CHAT, "m", 1_000, expected))
    assert quote.price is not None
    assert quote.price.likely == Decimal("0.01001") + Decimal("0.0007")


def test_the_basis_is_the_least_certain_one_and_warnings_are_listed_once() -> None:
    first, second = work(), work()
    second.expected.basis = TYPICAL
    first.expected.notes = {IMAGE}
    second.expected.notes = {IMAGE, LOW_CAP}
    quote, _ = quoted(first, second)
    assert quote.basis == TYPICAL
    assert quote.warnings == [IMAGE, LOW_CAP]


def test_work_without_output_has_none_by_history_either() -> None:
    embedding = Work(EMBEDDINGS, "m", 10, ExpectedTokens(100, Tokens(), Tokens(), NONE, "f"))
    own = UsageHistory(recipe="r", endpoint=EMBEDDINGS, model="m", jobs={"a": JobUsage(1, 10, 10, 100, 120, 0, 0, 0)})
    quote, _ = quote_of(10, [embedding], Terms(), Histories({(EMBEDDINGS, "m"): own}), lambda *_: PRICES)
    assert (quote.basis, quote.output_tokens, quote.input_tokens.likely) == (NONE, Tokens(), 120)


def test_the_parts_of_a_quote_are_its_pairs_of_endpoint_and_model() -> None:
    quote, _ = quoted(work(10), work(20), *(work(1, model=f"m{number}") for number in range(20)))
    assert [(part.model, part.requests) for part in quote.parts[:2]] == [("m", 30), ("m0", 1)]
    assert len(quote.parts) == 10
