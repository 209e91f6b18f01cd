"""The rows under `try` of a recipe on the deployed stack: they are answered when the recipe is dropped."""

import json
import re
import time
from decimal import Decimal
from typing import Any

from dropbatch.domain.spending import month_of
from dropbatch.reporting.phrases import dollars
from dropbatch.storage.item_keys import month_total_key
from tests.e2e.conftest import Embedded, wait_for

RECIPE = """\
model: gpt-6-luna
prompt: "{{ text }}"
schema: {sentiment: [positive, negative]}
try:
  - {text: "this is good <b>", expect: positive}
  - {text: "this is bad", expect: %s}
  - {text: "this has a plug"}
"""


def said(embedded: Embedded, version: str) -> tuple[dict[str, Any], str]:
    """Return the event about a version of the recipe, and the text of the message for people."""
    event = embedded.event(version, "recipe")

    def message() -> str:
        embedded.read_mail()
        texts = [each["Message"] for each in embedded.read if "tried/recipe.yaml: usable" in each["Subject"]]
        return texts[-1] if texts else ""

    return event, wait_for(message, "no message about the recipe came")


def requests(embedded: Embedded) -> int:
    return int(_total(embedded)["requests"]["N"])


def paid(embedded: Embedded) -> float:
    return dollars(Decimal(_total(embedded)["paid"]["S"]))


def _total(embedded: Embedded) -> dict[str, Any]:
    """Return what the recipe has cost this month, as the table has it."""
    key = month_total_key(month_of(int(time.time())), "recipe", "tried/recipe.yaml")
    found = embedded.client("dynamodb").get_item(
        TableName=embedded.names["TABLE"], Key={"pk": {"S": key.pk}, "sk": {"S": key.sk}}, ConsistentRead=True
    )
    return dict(found["Item"])


def test_a_recipe_answers_its_rows_at_once_and_its_message_links_their_page(healthy: Embedded) -> None:
    s3, results = healthy.client("s3"), healthy.names["RESULTS_BUCKET"]

    event, text = said(healthy, healthy.drop("tried/recipe.yaml", (RECIPE % "positive").encode()))

    tried = event["tried"]
    assert (tried["rows"], tried["tried"], tried["asked"]) == (3, 3, 3)
    assert (tried["as_expected"], tried["not_as_expected"]) == (1, 1)
    assert tried["paid"] > 0
    assert f"s3://{results}/{tried['page']}" in text
    assert "plug" not in text + json.dumps(event), "no text of a row is in a message"
    found = s3.get_object(Bucket=results, Key=tried["page"])
    html = found["Body"].read().decode()
    assert found["ContentType"] == "text/html; charset=utf-8"
    assert "this is good &lt;b&gt;" in html
    assert re.findall(r"<h2>Row \d(?:: ([^<]*))?</h2>", html) == ["as expected", "not as expected", ""]
    assert (requests(healthy), paid(healthy)) == (3, tried["paid"]), "they count in the month's budget"

    event, _ = said(healthy, healthy.drop("tried/recipe.yaml", (RECIPE % "negative").encode()))

    tried = event["tried"]
    assert (tried["tried"], tried["asked"], tried["paid"]) == (3, 0, 0), "only an expectation has changed"
    assert (tried["as_expected"], tried["not_as_expected"]) == (2, 0)
    assert requests(healthy) == 3
