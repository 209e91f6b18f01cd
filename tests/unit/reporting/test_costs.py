"""The cost of a job without results, and the words for sums."""

from decimal import Decimal
from pathlib import Path

import pytest

from dropbatch.domain.batches import Batch
from dropbatch.domain.states import BatchState
from dropbatch.reporting.costs import cost_given_up
from dropbatch.reporting.end_notices import results_given_up
from dropbatch.reporting.phrases import money_limit
from tests.driving import drop as dropped
from tests.driving import only_job, run
from tests.fakes import FakeContext


def test_a_job_without_results_reports_what_its_collected_batches_cost(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", b'model: gpt-6-luna\nprompt: "{{ text }}"\n')
    dropped(fake, "a.csv", b"text\na\n")
    run(fake)
    job = only_job(fake)
    for number, (state, usd) in enumerate(((BatchState.COLLECTED, Decimal("1.25")), (BatchState.ENDED, None)), 1):
        batch = Batch(job.id, 0, number, "/v1/chat/completions", "gpt-6-luna", 10, 1, 0, state=state, usd=usd)
        batch.openai_id, batch.unpriced = f"b{number}", 3 if usd else 0
        fake.context.repository.add(batch)
    cost = cost_given_up(fake.context, job)
    assert cost["paid"] == 1.25
    assert (cost["unpriced_requests"], cost["uncollected_requests"], cost["saved"]) == (3, 10, None)
    text = results_given_up(fake.context, job).text
    assert "Paid about $1.25 for the answers that came. OpenAI may have charged for 10 requests; no sum" in text


@pytest.mark.parametrize(
    ("usd", "words"),
    [
        ("0", "nothing"),
        ("0.0000001", "$0.0000001"),
        ("0.01", "1 cent"),
        ("0.5", "50 cents"),
        ("1.0", "$1"),
        ("2.5", "$2.50"),
        ("1000", "$1,000"),
    ],
)
def test_a_limit_is_said_as_somebody_wrote_it(usd: str, words: str) -> None:
    assert money_limit(Decimal(usd)) == words
