"""Quotes of all examples against what they come to, as docs/costs.md shows them."""

import pytest

from tools.capacity import quotes

WITHOUT_HISTORY, WITH_HISTORY = 0.25, 0.05


@pytest.mark.slow
def test_the_quote_of_each_example_is_near_what_it_comes_to() -> None:
    found = [outcome for folder in quotes.folders() for outcome in quotes.outcomes(folder)]
    assert len(found) >= 2 * 7
    for outcome in found:
        bound = WITHOUT_HISTORY if outcome.run == "first" else WITH_HISTORY
        assert abs(outcome.error) <= bound, outcome
        assert outcome.price.low <= outcome.price.likely <= outcome.price.high, outcome
        assert outcome.paid <= outcome.price.high, outcome
        assert outcome.price.high <= 10 * outcome.paid, f"{outcome} is absurd"
    assert {outcome.basis for outcome in found if outcome.run == "first"} == {"schema", "typical", "none"}
    page = quotes.PAGE.read_text()
    assert quotes.with_table(page, quotes.table(found)) == page, "run `make quotes`"
