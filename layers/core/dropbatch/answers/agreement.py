"""The agreement of answers with known ones: counts, pairs of expected and given answers, and the first differences."""

from collections.abc import Mapping
from typing import Any, TypedDict

MAX_PAIRS = 400
"""How many different pairs of a column are counted one by one; further ones count as OTHER."""

MAX_DISAGREEMENTS = 10

MAX_CHARACTERS = 200
"""How much of an expected or a given answer is kept."""

BETWEEN = "\0"
"""The separator of the two answers of a pair."""

OTHER = f"…{BETWEEN}…"
"""The pair that stands for all that are not counted one by one."""


class Disagreement(TypedDict):
    """A row whose answer is another one than expected."""

    row: int
    expected: str
    answered: str


class ColumnAgreement(TypedDict):
    """The agreement of one column. `pairs` counts rows by `<expected>` + BETWEEN + `<answered>`."""

    agreed: int
    compared: int
    pairs: dict[str, int]
    disagreements: list[Disagreement]


Agreement = dict[str, ColumnAgreement]
"""The agreement by the column of the answers."""


def compare(agreement: Agreement, column: str, row: int, expected: str, answered: str) -> None:
    """Count a row's answer. Both texts are canonical: equal ones are the same answer."""
    found = agreement.get(column) or agreement.setdefault(column, _nothing())
    found["compared"] += 1
    if expected == answered:
        found["agreed"] += 1
    elif len(found["disagreements"]) < MAX_DISAGREEMENTS:
        found["disagreements"].append(
            {"row": row, "expected": expected[:MAX_CHARACTERS], "answered": answered[:MAX_CHARACTERS]}
        )
    _count(found["pairs"], expected[:MAX_CHARACTERS] + BETWEEN + answered[:MAX_CHARACTERS], 1)


def merge(agreement: Agreement, other: Agreement) -> None:
    """Add the rows of another agreement."""
    for column, theirs in other.items():
        found = agreement.setdefault(column, _nothing())
        found["agreed"] += theirs["agreed"]
        found["compared"] += theirs["compared"]
        for pair, count in theirs["pairs"].items():
            _count(found["pairs"], pair, count)
        both = [*found["disagreements"], *theirs["disagreements"]]
        found["disagreements"] = sorted(both, key=lambda each: each["row"])[:MAX_DISAGREEMENTS]


def to_members(agreement: Agreement) -> dict[str, Any]:
    """Return the agreement as a program reads it: each column with its pairs, the commonest first."""
    return {
        column: {
            "agreed": found["agreed"],
            "compared": found["compared"],
            "confusion": [
                dict(zip(("expected", "answered"), pair.split(BETWEEN, 1), strict=True)) | {"rows": count}
                for pair, count in sorted(found["pairs"].items(), key=lambda item: (-item[1], item[0]))
            ],
            "disagreements": found["disagreements"],
        }
        for column, found in agreement.items()
    }


def from_json(members: Mapping[str, Any]) -> Agreement:
    """Return the agreement of JSON members, those of earlier releases too, which have none."""
    found: Agreement = dict(members)
    return found


def _nothing() -> ColumnAgreement:
    return {"agreed": 0, "compared": 0, "pairs": {}, "disagreements": []}


def _count(pairs: dict[str, int], pair: str, count: int) -> None:
    if pair not in pairs and len(pairs) >= MAX_PAIRS:
        pair = OTHER
    pairs[pair] = pairs.get(pair, 0) + count
