"""A receipt against the accounts of the emulator, which counts all tokens while it runs the rows."""

from decimal import Decimal
from typing import Any

import httpx2

from dropbatch.answers.usage import Usage
from dropbatch.money.prices import prices_of
from local.openai_emulator.faults import FailRows, MissingRows, SpoilAnswers
from tests.driving import drop, ended, last_message, only_job, result_json, run
from tests.integration.test_odd_answers import Served, served

__all__ = ["served"]  # the fixture

LONG_SYSTEM = "You label reviews. " * 300
RECIPE = f"""\
model: "{{{{ model }}}}"
system: {LONG_SYSTEM}
prompt: "Say {{{{ text }}}}"
schema:
  sentiment: [positive, negative]
parameters: {{reasoning_effort: low}}
retry_invalid: true
"""
MODELS = ("gpt-6-luna", "gpt-5.6-terra", "gpt-5.5")
ROWS = 30


def accounts(served: Served) -> dict[str, Any]:
    assert served.server is not None
    found = httpx2.get(served.server.control_url + "/accounts").json()["data"]
    return {account["model"]: account for account in found}


def answered(served: Served) -> dict[str, Any]:
    """Drop rows for all models, run until the job ends, and return its summary."""
    assert served.server is not None
    served.objects.drop("recipe.yaml", RECIPE.encode())
    lines = [f"{MODELS[number % len(MODELS)]},row {number}" for number in range(ROWS)]
    drop(served, "a.csv", "\n".join(["model,text", *lines, ""]).encode())
    for _ in range(200):
        run(served, ticks=1)
        served.server.advance(60)
        if ended(only_job(served)):
            break
    run(served)
    return result_json(served, "summary.json")


def check(served: Served, summary: dict[str, Any]) -> None:
    """Check that each model's tokens are the emulator's to the token, and its cost follows from them."""
    lines = {line["model"]: line for line in summary["cost"]["by_model"]}
    kept = accounts(served)
    assert lines.keys() == kept.keys() == set(MODELS)
    for model, account in kept.items():
        assert lines[model]["tokens"] == {kind: count for kind, count in account["tokens"].items() if count}
        tokens = account["tokens"]
        prices = prices_of(model)
        assert prices is not None
        whole = Usage(
            tokens["input"], tokens["cached"], tokens["output"], tokens["reasoning"], tokens["cache_write"]
        )  # no prompt is long, so that the price of the sum is the sum of the prices
        paid = prices.batch.rates[0]
        written = whole.input_tokens - whole.cached_tokens - whole.cache_write_tokens
        usd = (
            written * paid["input"]
            + whole.cached_tokens * paid["cached"]
            + whole.cache_write_tokens * paid["cache_write"]
            + whole.output_tokens * paid["output"]
        ) / 1_000_000
        assert abs(Decimal(str(lines[model]["paid"])) - usd) <= Decimal("0.000005")
    assert "reported_by_openai" not in summary["cost"]


def test_a_receipt_equals_the_emulators_accounts_to_the_token(served: Served) -> None:
    summary = answered(served)
    check(served, summary)
    assert summary["rows"]["ok"] == ROWS
    kinds = accounts(served)["gpt-6-luna"]["tokens"]
    assert kinds["cached"] > kinds["cache_write"] > 1_024, "one write of the constant beginning, then reads"
    assert accounts(served)["gpt-5.5"]["tokens"]["cache_write"] == 0, "a model before GPT-5.6"


def test_a_receipt_has_the_tokens_of_failed_and_repeated_tries(served: Served) -> None:
    """Spoilt answers are billed and retried. Failed rows are not billed, and are retried."""
    assert served.server is not None
    served.server.faults.add(
        SpoilAnswers(kind="spoil_answers", how="not_json", every=3, each=1),
        FailRows(kind="fail_rows", shape="http", status=500, code="server_error", every=4, each=1),
    )
    summary = answered(served)
    assert summary["rows"]["ok"] == ROWS
    check(served, summary)
    assert sum(account["requests"] for account in accounts(served).values()) > ROWS


def test_lost_lines_are_a_difference_that_the_receipt_shows(served: Served) -> None:
    assert served.server is not None
    served.server.faults.add(MissingRows(kind="missing_rows", every=5, times=1))
    summary = answered(served)
    found = summary["cost"]["reported_by_openai"]
    assert found["batches"] == 1
    assert found["tokens"]["input"] > found["answers"]["input"]
    total = sum(account["tokens"]["input"] for account in accounts(served).values())
    lost = found["tokens"]["input"] - found["answers"]["input"]
    assert summary["cost"]["tokens"]["input"] == total - lost
    assert served.observer.total("UsageDifferences") == 1
    assert "OpenAI reports other tokens for 1 batch than the answers have: " in last_message(served, "ended").text
