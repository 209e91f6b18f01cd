"""What must hold however a drop fared: checked over the whole of the world when nothing moves any more."""

import csv
import io
import json
from collections import Counter
from typing import Any

from dropbatch.domain.jobs import ENDED_JOBS, Batch, Job, JobState
from dropbatch.domain.outcomes import Outcome
from dropbatch.ledger import from_item
from dropbatch.ports import Notification
from dropbatch.telling import results_prefix
from tests.driving import jobs
from tests.fakes import INBOX, RESULTS, FakeOpenAI, FakeWorld


def check(fake: FakeWorld) -> None:
    """All of it, for every job."""
    told: dict[str, list[Notification]] = {}
    for notification in fake.topics.published:
        told.setdefault(notification.detail.get("job_id", ""), []).append(notification)
    for job in jobs(fake):
        check_job(fake, job, told.get(job.id, []))
    check_paid_once(fake.openai)
    check_leases(fake)


def check_paid_once(openai: FakeOpenAI) -> None:
    counts = openai.batches_by_key()
    assert all(count == 1 for count in counts.values()), f"more than one batch for a key: {counts}"


def check_leases(fake: FakeWorld) -> None:
    items = [json.loads(line) for line in fake.table.everything().splitlines()]
    for item in items:
        assert "open" not in item, f"{item['pk']} {item['sk']} is still open"
        assert item.get("lease") is None, f"{item['pk']} {item['sk']} holds a lease"
        if item["sk"].startswith("batch#"):
            from_item(item, Batch)


def check_job(fake: FakeWorld, job: Job, told: list[Notification]) -> None:
    assert job.state in ENDED_JOBS, f"{job.drop.key} is {job.state}"
    kinds = {notification.event for notification in told}
    if job.state is JobState.REJECTED:
        assert kinds & {"rejected", "duplicate"} or superseded(fake, job), f"nobody was told about {job.drop.key}"
        return
    assert "ended" in kinds, f"nobody was told of the end of {job.drop.key}"
    assert {n.status for n in told if n.event == "ended"} == {str(job.state)}, "one final state"
    summary = json.loads(fake.objects.content(RESULTS, results_prefix(job) + "summary.json"))
    rows = summary["rows"]
    assert rows["total"] == job.rows == sum(rows[str(outcome)] for outcome in Outcome)
    data = b"".join(fake.objects.blocks(INBOX, job.drop.key, job.drop.version_id))
    responses = [
        json.loads(line)
        for line in fake.objects.content(RESULTS, results_prefix(job) + "responses.jsonl").split(b"\n")
        if line
    ]
    assert len(responses) == job.rows
    if job.drop.key.endswith(".csv"):
        check_csv(fake, job, data, rows)
    else:
        sent = [json.loads(line)["custom_id"] for line in data.split(b"\n") if line]
        assert [response["custom_id"] for response in responses] == sent, "in order, none lost, none twice"


def superseded(fake: FakeWorld, job: Job) -> bool:
    return job.drop.size == 0


def check_csv(fake: FakeWorld, job: Job, data: bytes, rows: dict[str, Any]) -> None:
    stem = job.drop.name.removesuffix(".csv")
    answers = fake.objects.content(RESULTS, results_prefix(job) + f"{stem}.answers.csv")
    before, after = data.split(b"\n"), answers.split(b"\n")
    assert len(before) == len(after), "none lost, none twice"
    assert all(new.startswith(old) for old, new in zip(before, after, strict=True)), "bytes and order kept"
    found = csv.DictReader(io.StringIO(answers.decode(), newline=""))
    counted = Counter(row["_status"] for row in found)
    assert counted == {name: count for name, count in rows.items() if count and name != "total"}
