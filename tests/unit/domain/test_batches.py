"""Facts that follow from a batch's item."""

from decimal import Decimal

import pytest

from dropbatch.domain.batches import Batch


@pytest.mark.parametrize(
    ("members", "paid"),
    [
        ({}, "0"),
        ({"micro_usd": 1_234_567}, "1.234567"),  # of a release up to 0.2.0
        ({"usd": Decimal("0.1234567")}, "0.1234567"),
        ({"usd": Decimal(0), "micro_usd": 7}, "0"),
    ],
)
def test_the_cost_of_a_batch_is_read_from_items_of_any_release(members: dict[str, object], paid: str) -> None:
    batch = Batch("j", 0, 0, "/v1/chat/completions", "gpt-6-luna", 1, 1, 0, **members)  # type: ignore[arg-type]
    assert batch.paid == Decimal(paid)
