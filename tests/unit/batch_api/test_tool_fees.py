"""Fees of tools: per call or session, and not halved in a batch.

Only models that are shut down soon have fees of their own, so this file names them.
"""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices.data_snapshot import get_snapshot

from dropbatch.answers.answer import Answer
from dropbatch.answers.cost import Cost
from dropbatch.answers.usage import Usage
from dropbatch.batch_api.endpoints import CHAT, RESPONSES
from dropbatch.batch_api.tool_fees import CONTAINER_FEES, TOOL_FEES, call_fee
from dropbatch.domain.outcomes import Outcome
from dropbatch.money.cost_meter import CostMeter
from tests.unit.money.test_cost_meter import paid

ONE = Usage(1_000, 0, 0, 0)


def with_calls(model: str, calls: dict[str, int], taken: Usage = ONE, endpoint: str = RESPONSES) -> Cost:
    bill = CostMeter(model, endpoint)
    answer = Answer(Outcome.OK, None, None, taken, tools=calls)
    bill.add([taken])
    bill.add_calls([answer])
    return bill.total()


@pytest.mark.parametrize(
    ("model", "calls", "fees"),
    [
        ("gpt-6-luna", {"web_search": 2}, "0.02"),
        ("gpt-6-luna", {"web_search_preview": 2}, "0.02"),
        ("gpt-4.1", {"web_search_preview": 2}, "0.05"),
        ("gpt-4o-mini", {"web_search_preview": 1}, "0.025"),
        ("gpt-4.1-2025-04-14", {"web_search": 1}, "0.01"),
        ("o3", {"web_search_preview": 1}, "0.01"),
        ("gpt-6-luna", {"file_search": 4}, "0.01"),
        ("gpt-6-luna", {"container_1g": 1, "container_64g": 1}, "1.95"),
        ("gpt-4.1-nano", {"file_search": 2}, "0.005"),
    ],
)
def test_calls_to_tools_cost_their_fee_whole(model: str, calls: dict[str, int], fees: str) -> None:
    found, tokens = with_calls(model, calls), paid(model, ONE)
    assert (found.fees_usd, found.tool_calls, found.unpriced_tool_calls) == (Decimal(fees), calls, 0)
    assert found.usd == tokens.usd + Decimal(fees)
    assert found.standard_usd == tokens.standard_usd + Decimal(fees), "batching saves nothing of it"


@pytest.mark.parametrize("kind", ["image_generation", "container", "other"])
def test_an_unknown_fee_is_counted(kind: str) -> None:
    found = with_calls("gpt-6-luna", {kind: 3, "web_search": 1})
    assert (found.fees_usd, found.unpriced_tool_calls) == (Decimal("0.01"), 3)


@pytest.mark.parametrize("model", ["my-own-model", "", "whisper-1"])
def test_the_fees_of_a_model_of_unknown_price_are_not_known(model: str) -> None:
    found = with_calls(model, {"web_search": 2, "container_1g": 1})
    assert (found.usd, found.fees_usd, found.unpriced_tool_calls, found.unpriced) == (0, 0, 3, 1)


def test_our_fees_are_those_of_the_price_list_where_it_has_any() -> None:
    (openai,) = [provider for provider in get_snapshot().providers if provider.id == "openai"]
    now = datetime.now(UTC)
    listed_fees = [
        (TOOL_FEES[kind] * 1_000, getattr(prices, part))
        for model in openai.models
        for prices in (model.get_prices(now), model.get_prices(now, {"processing": "batch"}))
        for kind, part in (("web_search", "web_searches_kcount"), ("file_search", "storage_searches_kcount"))
        if getattr(prices, part, None) is not None
    ]
    assert len(listed_fees) > 50
    assert all(ours == theirs for ours, theirs in listed_fees)
    assert {call_fee(f"container_{memory}", "o3") for memory in CONTAINER_FEES} == set(CONTAINER_FEES.values())


def test_a_search_that_is_charged_as_a_block_costs_its_tokens_too() -> None:
    block = paid("gpt-4.1-mini", Usage(8_000, 0, 0, 0))
    one = with_calls("gpt-4.1-mini", {"web_search": 1})
    assert one.usd == paid("gpt-4.1-mini", ONE).usd + Decimal("0.01") + block.usd
    two = with_calls("gpt-4o-mini-2024-07-18", {"web_search": 2})
    assert two.usd - two.fees_usd == paid("gpt-4o-mini", Usage(17_000, 0, 0, 0)).usd
    counted = with_calls("gpt-4.1-mini", {"web_search": 1}, Usage(8_300, 0, 0, 0))
    assert counted.usd == paid("gpt-4.1-mini", Usage(8_300, 0, 0, 0)).usd + Decimal("0.01"), "it is in the usage"
    for model, kind in (("gpt-4.1", "web_search"), ("gpt-4.1-mini", "web_search_preview"), ("o4-mini", "web_search")):
        found = with_calls(model, {kind: 1})
        assert found.usd - found.fees_usd == paid(model, ONE).usd


@pytest.mark.parametrize(("model", "fee"), [("gpt-4o-search-preview", "0.025"), ("gpt-5-search-api", "0.01")])
def test_a_search_model_searches_for_each_answer(model: str, fee: str) -> None:
    reported = with_calls(model, {"web_search": 1}, endpoint=CHAT)
    unreported = with_calls(model, {}, endpoint=CHAT)
    assert reported == unreported
    assert unreported.fees_usd == Decimal(fee)
    assert unreported.tool_calls.keys() <= {"web_search", "web_search_preview"}
    silent = CostMeter(model, CHAT)
    silent.add_without_usage([Answer(Outcome.OK, None, None, None)])
    assert silent.total().fees_usd == Decimal(fee)
