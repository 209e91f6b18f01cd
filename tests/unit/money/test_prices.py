"""Prices of single requests, against OpenAI's own pages, and the rules by model, server and recipe."""

import csv
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dropbatch.answers.usage import Media, Usage, read_usage
from dropbatch.batch_api.billing import RESIDENCY_HOSTS
from dropbatch.money import prices
from dropbatch.money.cost_meter import CostMeter
from dropbatch.money.price_list import find_model
from dropbatch.money.prices import GIVEN, Prices, prices_of, tokens_by_kind
from dropbatch.recipes.money_values import GivenPrices

CHAT = "/v1/chat/completions"
MILLION = 1_000_000
LONG = 272_000
"""A request with more input tokens has the prices of long prompts."""


def page() -> list[dict[str, str]]:
    """Return OpenAI's prices, which were written down from its pages."""
    lines = Path(__file__).with_name("openai_prices.csv").read_text().splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


USAGES = (
    Usage(1_000, 0, 500, 0),
    Usage(8_192, 4_096, 1, 0),
    Usage(LONG, 100_000, 12_345, 12_000, 50_000),
    Usage(LONG + 1, 100_000, 12_345, 0, 50_000),
    Usage(900_000, 0, 0, 0, 900_000),
)
"""Plain, cached, written; the last request with short and the first with long prices; and all of it written."""

CASES = [(row, usage) for row in page() for usage in USAGES]


def expected(row: Mapping[str, str], usage: Usage, way: str) -> Decimal:
    """Return the price of a usage by the page: `way` is the beginning of its columns' names.

    Where the page has no price for cached input or cache writes, they cost what other input costs; where it has no long
    prices, the short ones hold.
    """
    long = f"{way}long_"
    prefix = long if usage.input_tokens > LONG and row[f"{long}input"] != "-" else way
    whole = row[f"{prefix}input"]
    cached, write = (row[f"{prefix}{kind}"].replace("-", "") or whole for kind in ("cached", "write"))
    plain = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
    parts = (
        (plain, whole),
        (usage.cached_tokens, cached),
        (usage.cache_write_tokens, write),
        (usage.output_tokens, row[f"{prefix}output"]),
    )
    return sum((count * Decimal(price) for count, price in parts), Decimal(0)) / MILLION


def of(model: str, base_url: str = "", given: GivenPrices | None = None) -> Prices:
    found = prices_of(model, base_url=base_url, given=given)
    assert found is not None
    return found


def test_there_are_a_hundred_usages_and_all_current_models() -> None:
    assert len(CASES) >= 100
    assert {row["model"] for row, _ in CASES} >= {"gpt-6-luna", "gpt-6.1-terra", "text-embedding-3-large"}


@pytest.mark.parametrize(("row", "usage"), CASES, ids=lambda each: each["model"] if isinstance(each, dict) else "")
def test_our_price_is_that_of_openais_page(row: dict[str, str], usage: Usage) -> None:
    prices = of(row["model"])
    assert prices.standard is not None
    assert prices.batch.price(usage) == expected(row, usage, "batch_")
    assert prices.standard.price(usage) == expected(row, usage, "")
    bill = CostMeter(row["model"], CHAT)
    bill.add([usage])
    assert (bill.total().usd, bill.total().standard_usd) == (prices.batch.price(usage), prices.standard.price(usage))


def test_a_meter_prices_many_requests_as_one_by_one() -> None:
    for row in page():
        bill = CostMeter(row["model"], CHAT)
        bill.add(USAGES)
        assert bill.total().usd == sum(expected(row, usage, "batch_") for usage in USAGES)


@pytest.mark.parametrize("name", ["my-own-model", "", "gpt-7", "ft:my-own:org::id"])
def test_a_model_that_nobody_prices_has_no_price(name: str) -> None:
    assert prices_of(name) is None


def test_a_snapshot_and_a_fine_tuned_model_cost_what_their_base_costs() -> None:
    plain, usage = of("gpt-6-luna"), Usage(5_000, 1_000, 100, 0, 2_000)
    assert of("gpt-6-luna-2031-12-01").notes == (), "the list's own entry matches it"
    for name in ("ft:gpt-6-luna:org::id", "ft:gpt-6-luna-2026-09-22:org:name:id"):
        tuned = of(name)
        assert tuned.batch.price(usage) == plain.batch.price(usage)
        assert tuned.notes[0].startswith("priced as gpt-6-luna")
    assert plain.notes == ()


@pytest.mark.parametrize("host", sorted(RESIDENCY_HOSTS))
def test_regional_hosts_take_a_tenth_more_for_newer_models(host: str) -> None:
    usage, url = Usage(LONG + 1, 1_000, 100, 0, 5_000), f"https://{host}/v1"
    for model in ("gpt-5.4", "gpt-5.4-mini", "gpt-5.6-sol", "gpt-6-luna", "gpt-6.1-sol", "ft:gpt-6-luna:org::id"):
        plain, regional = of(model), of(model, url)
        assert plain.standard is not None
        assert regional.standard is not None
        assert regional.batch.price(usage) == plain.batch.price(usage) * Decimal("1.1")
        assert regional.standard.price(usage) == plain.standard.price(usage) * Decimal("1.1")
        assert "10 % more, because the server's region alone processes it" in regional.notes
    for model in ("gpt-5.2", "gpt-5.1", "text-embedding-3-small"):
        assert of(model, url).batch.price(usage) == of(model).batch.price(usage)


@pytest.mark.parametrize(
    "url", ["", "https://api.openai.com/v1", "http://127.0.0.1:4580/v1", "http://localhost/v1", "http://[::1]:1/v1"]
)
def test_openai_and_an_emulator_have_openais_prices(url: str) -> None:
    assert of("gpt-6-luna", url).batch.price(Usage(MILLION, 0, 0, 0)) == Decimal("0.1")


def test_a_known_server_has_its_own_providers_prices() -> None:
    prices = of("mistral-large-latest", "https://api.mistral.ai/v1")
    assert prices.standard is not None
    assert prices.batch.price(Usage(1_000, 0, 100, 0)) > 0
    assert prices.fee("web_search", "mistral-large-latest") is None, "OpenAI's fees are OpenAI's"
    assert prices_of("gpt-6-luna", base_url="https://api.mistral.ai/v1") is None


def test_another_provider_without_a_batch_price_is_not_halved() -> None:
    prices, usage = of("llama-3.1-8b-instant", "https://api.groq.com/openai/v1"), Usage(1_000, 0, 100, 0)
    assert prices.standard is not None
    assert prices.batch.price(usage) == prices.standard.price(usage) > 0
    assert "the standard price, because the list has no batch price" in prices.notes


@pytest.mark.parametrize(
    "url",
    [
        "https://llm.example.com/v1",
        "https://api.openai.com.example.com/v1",
        "https://api.mistral.ai.example.com/v1",
        "https://x@example.com/api.openai.com",
        "https://my.openai.azure.com/openai/v1",
        "http://10.0.0.5:8000/v1",
    ],
)
def test_another_server_never_has_openais_prices(url: str) -> None:
    assert prices_of("gpt-6-luna", base_url=url) is None


def test_half_the_standard_price_is_said() -> None:
    small = of("text-embedding-3-small")
    assert small.notes == ("half the standard price, because the list has no batch price",)
    assert of("gpt-6-luna").notes == ()


def test_the_recipes_prices_win_over_the_list() -> None:
    given = GivenPrices(Decimal(1), Decimal(10), Decimal("0.1"), Decimal(2))
    for model in ("gpt-6-luna", "my-own-model"):
        prices = of(model, given=given)
        assert (prices.source, prices.standard) == (GIVEN, None)
        assert prices.batch.price(Usage(4 * MILLION, MILLION, MILLION, 0, MILLION)) == Decimal("14.1")
    short = of("my-own-model", given=GivenPrices(Decimal(1), Decimal(10)))
    assert short.batch.price(Usage(3 * MILLION, MILLION, 0, 0, MILLION)) == Decimal("3.25")


def test_the_saving_is_not_known_with_the_recipes_prices() -> None:
    bill = CostMeter("my-own-model", CHAT, given=GivenPrices(Decimal(1), Decimal(10)))
    bill.add([Usage(MILLION, 0, 0, 0), Usage(MILLION, 0, 0, 0)])
    cost = bill.total()
    assert (cost.usd, cost.standard_usd, cost.without_standard, cost.unpriced) == (2, 2, 2, 0)


def test_the_list_names_its_version_and_date() -> None:
    name, _, day = of("gpt-6-luna").source.partition(", checked ")
    assert name.startswith("genai-prices ")
    assert day >= "2026-10-14"


def test_speech_has_its_own_price_or_none() -> None:
    model = "gpt-audio-mini"
    bill = CostMeter(model, CHAT)
    taken = Usage(3 * MILLION, 0, 2 * MILLION, 0, 0, Media(input_audio=MILLION, output_audio=MILLION))
    bill.add([taken, Usage(MILLION, 0, 0, 0)])
    cost = bill.total()
    # Text: $0.60 in, $2.40 out; speech: $10 in, $20 out (https://developers.openai.com/api/docs/models/gpt-audio-mini).
    assert (cost.standard_usd, cost.usd, cost.unpriced) == (Decimal("34.2"), Decimal("17.1"), 0)
    lacking = CostMeter("gpt-6-luna", CHAT)
    lacking.add([taken, Usage(MILLION, 0, 0, 0)])
    assert (lacking.total().usd, lacking.total().unpriced) == (Decimal("0.1"), 1)


def test_pictures_of_a_model_that_makes_them_need_details() -> None:
    bill = CostMeter("gpt-image-2", "/v1/images/generations")
    details = {"text_tokens": 100, "image_tokens": 300}
    told = read_usage({"input_tokens": 400, "input_tokens_details": details, "output_tokens": 1_000})
    silent = read_usage({"input_tokens": 400, "output_tokens": 1_000})
    assert told is not None
    assert silent is not None
    bill.add([told, silent])
    # Batch: text $2.50, pictures $4 in and $15 out for a million tokens.
    assert (bill.total().usd, bill.total().unpriced) == (Decimal("0.01645"), 1)


def test_pictures_that_a_model_sees_are_input() -> None:
    usage = Usage(1_000, 200, 10, 0, 0, Media(input_image=500))
    assert of("gpt-6-luna").covers(usage)
    for cached in (0, 200, 900, 1_000):
        seen = usage._replace(cached_tokens=cached)
        assert of("gpt-6-luna").batch.price(seen) == of("gpt-6-luna").batch.price(seen._replace(media=None))


@settings(deadline=None)
@given(st.tuples(*[st.integers(0, 1_000)] * 11))
def test_each_token_is_priced_once(counts: tuple[int, ...]) -> None:
    usage = Usage(*counts[:5], Media(*counts[5:]))
    kinds = tokens_by_kind(usage)
    assert min(kinds.values()) >= 0
    written = sum(count for kind, count in kinds.items() if kind.startswith("output"))
    assert (sum(kinds.values()) - written, written) == (usage.input_tokens, usage.output_tokens)


@pytest.mark.parametrize(
    ("model", "discount"), [("gpt-4.1", False), ("o3", False), ("gpt-4o", False), ("gpt-5.2", True)]
)
def test_a_cached_batch_price_of_the_list_counts_only_where_openai_has_one(
    model: str, discount: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Releases of the list had such prices for older models."""
    found = find_model(model)
    assert found is not None
    batch = copy(found.batch)
    batch.__dict__["cache_read_mtok"] = Decimal("0.001")
    monkeypatch.setattr(prices, "find_model", lambda _model, _base_url: replace(found, batch=batch))
    prices._listed_prices.cache_clear()
    try:
        cached = of(model).batch.price(Usage(MILLION, MILLION, 0, 0))
    finally:
        prices._listed_prices.cache_clear()
    assert cached == (Decimal("0.001") if discount else Decimal(str(found.batch.input_mtok)))


def test_a_request_that_is_answered_at_once_has_the_standard_price() -> None:
    found = prices_of("gpt-6-luna")
    assert found is not None
    assert found.at_once is not None
    assert found.at_once.batch == found.standard
    assert found.at_once.batch != found.batch
    given = prices_of("gpt-6-luna", given=GivenPrices(Decimal(1), Decimal(2)))
    assert given is not None
    assert given.at_once is None, "the recipe says what a batch costs, and nothing else"
    usage = Usage(1_000_000, 0, 0, 0)
    at_once, batch = (CostMeter("gpt-6-luna", "/v1/chat/completions", at_once=at_once) for at_once in (True, False))
    for meter in (at_once, batch):
        meter.add([usage])
    assert at_once.total().usd == at_once.total().standard_usd == batch.total().standard_usd > batch.total().usd
