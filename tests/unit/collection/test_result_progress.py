"""The stored progress of a batch's results, of this release and of earlier ones."""

import json
from decimal import Decimal

from dropbatch.answers.usage import Usage
from dropbatch.collection.result_progress import ResultProgress, ResultTotals


def test_progress_is_the_same_after_it_was_stored() -> None:
    found = ResultProgress(over=False, results="r", written=ResultTotals(ok=3, usd=Decimal("0.1234567"), unpriced=1))
    found.tally.spend(Usage(10, 4, 5, 3, 2))
    assert ResultProgress.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_progress_of_an_earlier_release_is_read() -> None:
    members = ResultProgress(over=True, results="r").to_json()
    written = {"ok": 3, "micro_usd": 125, "unpriced": 1}
    found = ResultProgress.from_json(members | {"written": written})
    assert (found.written.ok, found.written.usd, found.written.unpriced) == (3, 0, 1)
