"""Limits of money on the deployed stack: a quote, a hold, an approval, and a receipt that the emulator confirms."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.e2e.conftest import Embedded

MODEL = "gpt-5.6-sol"
"""A model that no other end-to-end test uses, so that the emulator's account of it is that of these tests."""

INSTRUCTIONS = "Say whether the customer is happy, in one word, and why you think so. " * 90
"""More than the 1,024 tokens from which OpenAI caches a beginning."""

SCHEMA = "schema: {mood: [happy, unhappy, neutral]}\n"


def rows(count: int, text: str = "review") -> bytes:
    return b"text\n" + b"".join(f"{text} {number}\n".encode() for number in range(1, count + 1))


def account(embedded: Embedded) -> Counter[str]:
    """Return the tokens by kind that the emulator has counted for the model."""
    found: Counter[str] = Counter()
    for each in embedded.control("GET", "/accounts")["data"]:
        if each["model"] == MODEL:
            found.update(each["tokens"])
            found["requests"] += each["requests"]
    return found


def summary(embedded: Embedded, event: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(embedded.results(event)["summary.json"])
    return found


def test_a_job_held_by_price_is_approved_and_its_receipt_is_that_of_the_emulator(healthy: Embedded) -> None:
    before = account(healthy)
    recipe = f"model: {MODEL}\nsystem: {INSTRUCTIONS}\nprompt: 'Review: {{{{ text }}}}'\n{SCHEMA}budget_usd: 0.001\n"
    healthy.drop("money/recipe.yaml", recipe.encode())
    version = healthy.drop("money/reviews.csv", rows(60))
    held = healthy.event(version, "held")
    assert held["held_reason"] == "cost"
    assert held["money"]["asked"] == held["quote"]["price"]["likely"] > held["money"]["limit"] == 0.001
    results = healthy.results(held)
    assert json.loads(results["quote.json"])["price"] == held["quote"]["price"]
    assert b"<dt>Likely cost</dt>" in results["approval.html"]
    for _ in range(3):
        healthy.tick()
    assert healthy.openai_batches(held["job_id"]) == []
    assert account(healthy) == before

    healthy.drop("money/reviews.csv.approve", b"")
    ended = healthy.event(version)
    assert (ended["status"], ended["job_id"], ended["rows"]["ok"]) == ("succeeded", held["job_id"], 60)
    receipt = summary(healthy, ended)
    used = account(healthy) - before
    assert used.pop("requests") == 60
    assert used["cache_write"] > 0
    assert used["cached"] > used["cache_write"]
    tokens = Counter({kind: count for kind, count in receipt["tokens"].items() if count})
    assert tokens == Counter({kind: count for kind, count in used.items() if count}), "to the token"
    assert 0 < receipt["cost"]["paid"] <= held["quote"]["price"]["high"]
    assert receipt["quote"]["price"] == held["quote"]["price"]


def test_a_canary_stops_a_bad_recipe_after_fifty_rows(healthy: Embedded, provoked: Callable[..., None]) -> None:
    provoked("job held")
    recipe = f"model: {MODEL}\nprompt: 'Bad recipe: {{{{ text }}}}'\n{SCHEMA}canary: {{rows: 50, min_ok: 0.9}}\n"
    healthy.drop("canary/recipe.yaml", recipe.encode())
    healthy.control("POST", "/faults", kind="fail_rows", every=5, status=400, code="lasting", model=MODEL)
    before = account(healthy)["requests"]
    version = healthy.drop("canary/reviews.csv", rows(300))
    held = healthy.event(version, "held")
    assert held["held_reason"] == "canary"
    assert account(healthy)["requests"] - before == 50
    results = healthy.results(held)
    assert "40 of 50 rows have a good answer" in results["canary.html"].decode()
    shown = results["reviews.canary.csv"].decode().splitlines()
    assert len(shown) == 51
    assert shown[1].startswith("review 1,")

    healthy.control("DELETE", "/faults")
    healthy.drop("canary/reviews.csv.approve", b"")
    ended = healthy.event(version)
    assert (ended["status"], ended["rows"]["ok"], ended["rows"]["error"]) == ("partial", 290, 10)
    assert account(healthy)["requests"] - before == 300, "no row of the canary is sent again"
