"""The agreement of answers with known ones: its counts, and its bounds."""

import json

from dropbatch.answers.agreement import BETWEEN, MAX_DISAGREEMENTS, MAX_PAIRS, OTHER, Agreement, compare, to_members
from dropbatch.answers.tally import Tally


def test_pairs_and_disagreements_are_bounded_but_counts_are_not() -> None:
    found: Agreement = {}
    for row in range(1, 2 * MAX_PAIRS + 1):
        compare(found, "a", row, f"expected {row}", "given" * 1_000)
    column = found["a"]
    assert (column["agreed"], column["compared"]) == (0, 2 * MAX_PAIRS)
    assert len(column["pairs"]) == MAX_PAIRS + 1
    assert column["pairs"][OTHER] == MAX_PAIRS
    assert [each["row"] for each in column["disagreements"]] == list(range(1, MAX_DISAGREEMENTS + 1))
    assert len(json.dumps(found)) < 200_000


def test_tallies_are_merged_and_stored_with_the_first_disagreements() -> None:
    whole = Tally()
    for rows in ((21, 22), (1, 2), (11, 12)):
        part = Tally()
        for row in rows:
            compare(part.agreement, "a", row, "yes", "no" if row % 2 else "yes")
        whole.merge(Tally.from_json(json.loads(json.dumps(part.to_json()))))
    column = whole.agreement["a"]
    assert (column["agreed"], column["compared"]) == (3, 6)
    assert column["pairs"] == {f"yes{BETWEEN}no": 3, f"yes{BETWEEN}yes": 3}
    assert [each["row"] for each in column["disagreements"]] == [1, 11, 21]
    assert to_members(whole.agreement)["a"]["confusion"] == [
        {"expected": "yes", "answered": "no", "rows": 3},
        {"expected": "yes", "answered": "yes", "rows": 3},
    ]


def test_a_tally_of_an_earlier_release_has_no_agreement() -> None:
    members = Tally().to_json()
    del members["agreement"]
    assert Tally.from_json(members).agreement == {}
