"""The words and the members of a quote."""

import json
from decimal import Decimal

import pytest

from dropbatch.domain.quotes import HISTORY, IMAGE, LOW_CAP, NONE, SCHEMA, TYPICAL, Dollars, Quote, Tokens
from dropbatch.reporting.quote_lines import paid_ratio, quote_lines, quote_members, quoted, quoted_sentence


def usd(low: str, likely: str, high: str) -> Dollars:
    return Dollars(Decimal(low), Decimal(likely), Decimal(high))


def quote(price: Dollars | None = None, *, basis: str = SCHEMA) -> Quote:
    """Return a quote of a thousand requests."""
    found = price or usd("0.9", "1.2", "2.1")
    read, said = Tokens(90_000, 100_000, 200_000), Tokens(10_000, 20_000, 50_000)
    return Quote(
        1_200, 1_000, read, said, found, usd("1.8", "2.4", "4.2"), basis=basis, prices="list 1, checked 2026-11-01"
    )


def test_the_price_comes_first_then_the_work() -> None:
    price, work = quote_lines(quote())
    assert price == "It will cost about $1.20 (at most $2.10; $2.40 without the Batch API)."
    assert work == (
        "That is 1,000 requests with about 100,000 input tokens and 20,000 output tokens (10,000 to 50,000). The "
        "length of the answers is estimated by the recipe's schema."
    )


@pytest.mark.parametrize(
    ("basis", "said"),
    [
        (HISTORY, "The estimate is based on 3 earlier jobs of the recipe."),
        (TYPICAL, "Nothing says how long the answers are, so typical ones are assumed; the first run may differ much."),
        (NONE, "(10,000 to 50,000)."),
    ],
)
def test_the_basis_of_the_estimate_is_named(basis: str, said: str) -> None:
    found = quote(basis=basis)
    found.history_jobs = 3
    assert quote_lines(found)[1].endswith(said)


def test_a_job_of_an_older_release_has_no_line() -> None:
    assert quote_lines(None) == []
    assert quoted(None) == {}
    assert quoted_sentence(None, Decimal(1)) == []


def test_small_sums_are_said_once() -> None:
    assert quote_lines(quote(usd("0.001", "0.002", "0.0099")))[0] == "It will cost under a cent."
    assert quoted_sentence(quote(usd("0.001", "0.002", "0.0099")), Decimal("0.002")) == []


def test_free_work_and_no_work_cost_nothing() -> None:
    assert quote_lines(quote(usd("0", "0", "0")))[0] == "It costs nothing: its model is free."
    empty = Quote(3, 0, Tokens(), Tokens(), Dollars())
    assert quote_lines(empty) == ["Nothing is sent to OpenAI, so it costs nothing."]


def test_an_unknown_price_is_said() -> None:
    found = quote()
    found.price, found.unpriced_models = None, ["a", "b"]
    assert quote_lines(found)[0] == "Its price is not known, because the price list has none for a, b."
    assert quote_members(found)["price"] is None
    assert quote_members(found)["input_tokens"]["likely"] == 100_000


def test_without_a_standard_price_there_is_no_word_of_it() -> None:
    found = quote()
    found.standard_price = None
    assert quote_lines(found)[0] == "It will cost about $1.20 (at most $2.10)."


@pytest.mark.parametrize(("saves", "said"), [("0.009", False), ("0.01", True), ("0.3", True)])
def test_what_the_cache_saves_is_said_from_a_cent_on(saves: str, said: bool) -> None:
    found = quote()
    found.cache_saves = Decimal(saves)
    assert ("OpenAI's cache saves" in quote_lines(found)[0]) is said


def test_warnings_have_a_line_each_and_a_code() -> None:
    found = quote()
    found.warnings = [IMAGE, LOW_CAP, "unknown-code"]
    assert len(quote_lines(found)) == 4
    assert [warning["code"] for warning in quote_members(found)["warnings"]] == found.warnings


def test_json_has_five_decimals_at_most() -> None:
    members = quote_members(quote(usd("0.000012", "0.123456789", "7")))
    assert members["price"] == {"low": 0.00001, "likely": 0.12346, "high": 7.0}
    json.dumps(members)


def test_the_ratio_needs_a_quote_and_a_payment() -> None:
    assert paid_ratio(quote(), Decimal("1.5")) == 1.25
    assert paid_ratio(quote(), None) is None
    assert paid_ratio(quote(usd("0", "0", "0")), Decimal(1)) is None
    assert quoted_sentence(quote(), Decimal(1)) == ["It was quoted at about $1.20, at most $2.10."]
