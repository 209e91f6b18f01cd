"""Sums of money: the known part of them, and the unknown part."""

import json
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from dropbatch.answers.cost import Cost
from dropbatch.answers.duplicates import Duplicates
from dropbatch.answers.tally import MAX_COUNTED_MODELS, Tally
from dropbatch.answers.usage import Usage
from dropbatch.domain.outcomes import Outcome
from dropbatch.ports import RemoteUsage
from dropbatch.reporting.costs import cost_before, cost_members, cost_sentence


def cost(usd: float = 0, standard_usd: float = 0, *counts: Any, **named: Any) -> Cost:
    """Return a cost whose sums are written as numbers."""
    unpriced, unread, fees, *calls = (*counts, *(0, 0, 0)[len(counts) :])
    sums = {"fees_usd": Decimal(str(fees))} | named
    return Cost(Decimal(str(usd)), Decimal(str(standard_usd)))._replace(
        **{
            "unpriced": unpriced,
            "unread": unread,
            **dict(zip(("tool_calls", "unpriced_tool_calls"), calls, strict=False)),
        }
        | sums
    )


def tally(*costs: Cost) -> Tally:
    """Return the sum of batches with these costs."""
    whole = Tally()
    for cost in costs:
        part = Tally()
        part.pay(cost)
        whole.merge(part)
    return whole


def test_a_model_of_unknown_price_leaves_the_known_part() -> None:
    found = tally(cost(1.5, 3.0), cost(0.0, 0.0, unpriced=7), cost(0.25, 0.5, unread=2))
    expected = {
        "currency": "USD",
        "paid": 1.75,
        "synchronous": 3.5,
        "saved": 1.75,
        "fees": 0.0,
        "unpriced_requests": 7,
        "uncollected_requests": 2,
        "unpriced_tool_calls": 0,
    }
    assert cost_members(found).items() >= expected.items()
    words = "Paid about $1.75, and saved $1.75 by batching. The synchronous API costs about $3.50. "
    assert cost_sentence(found).startswith(words)
    assert "The price of 7 requests is not known" in cost_sentence(found)
    assert "The answers of 2 requests could not be collected" in cost_sentence(found)


def test_a_cost_that_is_known_in_full_is_one_sentence() -> None:
    assert cost_sentence(tally(cost(1.5, 3.0))) == (
        "Paid about $1.50, and saved $1.50 by batching. The synchronous API costs about $3.00."
    )
    assert cost_sentence(Tally()) == "Nothing was paid."
    assert cost_members(Tally())["paid"] == 0.0


@pytest.mark.parametrize(
    ("paid", "standard", "words"),
    [
        (0.003, 0.006, "Paid under a cent, and saved under a cent by batching."),
        (0.003, 0.0099, "Paid under a cent, and saved under a cent by batching."),
        (0.005, 0.01, "Paid under a cent, and saved 1 cent by batching. The synchronous API costs about 1 cent."),
        (0.006, 0.003, "Paid under a cent, which is under a cent more than without batching."),
    ],
)
def test_sums_under_a_cent_have_no_difference_of_a_cent(paid: float, standard: float, words: str) -> None:
    assert cost_sentence(tally(cost(paid, standard))) == words


@pytest.mark.parametrize("cost", [cost(0.0, 0.0, unpriced=1), cost(0.0, 0.0, unread=1)])
def test_an_unknown_cost_is_not_zero(cost: Cost) -> None:
    assert (cost_members(tally(cost))["paid"], cost_members(tally(cost))["saved"]) == (None, None)
    assert cost_sentence(tally(cost)).startswith("The cost is not known. The ")
    assert "1 request " in cost_sentence(tally(cost))
    assert "$" not in cost_sentence(tally(cost))


def test_batching_that_costs_more_is_no_saving() -> None:
    assert cost_sentence(tally(cost(1.0, 0.5))) == "Paid about $1.00, which is 50 cents more than without batching."


def test_a_paid_batch_that_ends_without_its_answers_is_counted() -> None:
    found = Tally()
    found.pay(cost(0.0, 0.0, unread=50_000))
    assert cost_members(found)["uncollected_requests"] == 50_000


def test_a_tally_is_the_same_after_it_was_stored() -> None:
    found = tally(cost(1.5, 3.0, 4, 5, 0.02, {"web_search": 2, "container": 1}, 1))
    found.spend(Usage(10, 4, 5, 3, 2))
    found.count(7, Outcome.REFUSED, "refusal")
    assert Tally.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_tally_of_an_earlier_release_can_be_read() -> None:
    members = Tally().to_json() | {"outcomes": {"ok": 3, "error": 1}}
    del members["unpriced"], members["unread"]
    del members["fees_usd"], members["tool_calls"], members["unpriced_tool_calls"]
    known = Tally.from_json(members | {"usd": 1.5, "standard_usd": 3.0})
    assert (known.paid, known.saved, known.unpriced, known.unread) == (1.5, 1.5, 0, 0)
    unknown = Tally.from_json(members | {"usd": None, "standard_usd": None})
    assert (unknown.paid, unknown.saved, unknown.unpriced, unknown.unread) == (None, None, 4, 0)
    known.merge(unknown)
    assert (known.paid, known.unpriced) == (1.5, 4)


def test_retried_rows_are_not_paid_twice() -> None:
    found = Tally()
    found.carry_over(tally(cost(1.5, 3.0, 4, 5)))
    assert (found.paid, found.unpriced, found.unread) == (0.0, 0, 0)


def test_fees_are_part_of_the_sum_and_named() -> None:
    found = tally(
        cost(0.5, 0.9, 0, 0, 0.1, {"web_search": 10}), cost(0.25, 0.3, 0, 0, 0.03, {"web_search": 1, "container_1g": 1})
    )
    assert cost_sentence(found) == (
        "Paid about 75 cents, and saved 45 cents by batching. The synchronous API costs about $1.20. "
        "Of it 13 cents went to the fees of 12 tool calls, which batching does not halve."
    )
    assert cost_members(found)["fees"] == 0.13
    assert found.tool_calls == {"web_search": 11, "container_1g": 1}


def test_fees_that_are_not_known_are_named() -> None:
    found = tally(cost(0.5, 0.9, 0, 0, 0.01, {"web_search": 1, "container": 2}, 2))
    assert "Of it 1 cent went to the fees of 1 tool call, which" in cost_sentence(found)
    assert cost_sentence(found).endswith(" The sum is without the fees of 2 tool calls, whose price is not known.")
    assert cost_members(found)["unpriced_tool_calls"] == 2
    only = tally(cost(0, 0, 0, 0, 0, {"container": 1}, 1))
    assert cost_sentence(only).startswith("The cost is not known. The sum is without the fees of 1 tool call, ")
    assert (cost_members(only)["paid"], only.saved) == (None, None)


def test_retried_rows_pay_no_fee_twice() -> None:
    found = Tally()
    found.carry_over(tally(cost(1.5, 3.0, 0, 0, 0.5, {"web_search": 50}, 1)))
    assert (found.fees_usd, found.tool_calls, found.unpriced_tool_calls) == (0.0, {}, 0)


def test_a_tally_adds_up_the_cost_of_each_model() -> None:
    one = cost(1.5, 3.0)._replace(model="a", requests=2, usage=Usage(10, 4, 5, 3, 2), source="list", notes=("x",))
    other = cost(0.25, 0.5)._replace(model="b", requests=1, usage=Usage(1, 0, 1, 0), unpriced=1)
    found = tally(one, other, one)
    assert found.tokens == {"input": 21, "cached": 8, "output": 11, "reasoning": 6, "cache_write": 4}
    assert (found.models["a"].requests, found.models["a"].usd, found.models["a"].notes) == (4, 3, ["x"])
    assert (found.models["b"].unpriced, found.models["b"].tokens["input"]) == (1, 1)
    assert Tally.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_models_are_counted_up_to_a_bound() -> None:
    found = tally(*(cost(1, 2)._replace(model=f"m{number}", requests=1) for number in range(MAX_COUNTED_MODELS + 5)))
    assert len(found.models) == MAX_COUNTED_MODELS + 1
    assert (found.models["other"].requests, found.usd) == (5, MAX_COUNTED_MODELS + 5)


def test_sums_of_money_are_exact() -> None:
    found = tally(*[cost(0.1, 0.3)] * 10)
    assert (found.usd, found.standard_usd) == (1, 3)
    assert cost_members(found)["saved"] == 2.0


def test_a_sum_is_shown_to_a_thousandth_of_a_cent_and_never_as_zero() -> None:
    for usd, shown in ((0.123456, 0.12346), (0.000004, 0.00001), (0.00000001, 0.00001), (0, 0.0)):
        assert cost_members(tally(cost(usd, usd)))["paid"] == shown


@pytest.mark.parametrize(
    ("name", "differs"), [("input", True), ("cached", True), ("output", True), ("reasoning", False)]
)
def test_a_batchs_own_usage_is_compared_with_its_answers(name: str, differs: bool) -> None:
    found = Tally()
    found.spend(Usage(10, 4, 5, 3, 2))
    same = RemoteUsage(10, 4, 5, 3)
    assert not found.compare_usage(same)
    assert not found.compare_usage(None)
    assert found.compare_usage(replace(same, **{name: 1})) is differs
    whole = Tally()
    whole.merge(found)
    whole.merge(found)
    assert whole.differences.batches == 2 * differs
    assert Tally.from_json(json.loads(json.dumps(whole.to_json()))) == whole


def test_the_cost_before_a_retry_adds_up_a_chain_of_any_release() -> None:
    old = {"summary": {"cost": {"paid": 1.5, "saved": 1.25, "unpriced_requests": 2}, "tokens": {"input": 10}}}
    first = cost_before(old)
    assert (first["jobs"], first["paid"], first["synchronous"], first["saved"]) == (1, 1.5, 2.75, 1.25)
    second = cost_before({"summary": {"cost": {"paid": 0.1, "synchronous": 0.3, "saved": 0.2, "before": first}}})
    assert (second["jobs"], second["paid"], second["synchronous"], second["saved"]) == (2, 1.6, 3.05, 1.45)
    assert (second["unpriced_requests"], second["tokens"]) == (2, {"input": 10})
    unknown = cost_before(None)
    assert (unknown["jobs"], unknown["paid"], unknown["saved"]) == (1, None, None)
    assert cost_before({"summary": {"cost": {"paid": None, "before": first}}})["paid"] == 1.5


def duplicates(rows: int, usd: str, unpriced: int = 0) -> Tally:
    found = Tally()
    found.duplicates = Duplicates(rows, Counter(input=rows), Decimal(usd), unpriced, Counter({"999": 1}))
    return found


def test_duplicates_add_up_and_are_stored_as_json() -> None:
    whole = duplicates(3, "0.1")
    whole.merge(duplicates(2, "0.2", unpriced=1))
    assert Tally.from_json(json.loads(json.dumps(whole.to_json()))) == whole
    assert whole.duplicates == Duplicates(5, Counter(input=5), Decimal("0.3"), 1, Counter({"999": 2}))
    assert whole.duplicates.saved == Decimal("0.3"), "the known part"


def test_a_tally_of_an_earlier_release_has_no_duplicates() -> None:
    members = Tally().to_json()
    del members["duplicates"]
    assert Tally.from_json(members) == Tally()


def test_of_duplicates_without_a_known_price_it_is_unknown_what_they_saved() -> None:
    assert duplicates(2, "0", unpriced=2).duplicates.saved is None
    assert Duplicates().saved == 0
