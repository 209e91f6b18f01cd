"""Invariants of every drop, checked over all fakes when nothing moves any more.

`check` asserts them after faults are over. `problems_of` lists the broken ones in a life under lasting faults.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import ObjectNotFoundError
from dropbatch.domain.jobs import Job
from dropbatch.domain.outcomes import Outcome
from dropbatch.domain.spending import MonthSpending, MonthTotal
from dropbatch.domain.states import ENDED_JOBS, BatchState, JobState
from dropbatch.polling.index_pages import MAX_LISTED
from dropbatch.ports import Audience, Notification
from dropbatch.recipes.key_values import MAX_TRIED_ROWS
from dropbatch.reporting.event_members import GAVE_UP_REASONS, results_prefix
from dropbatch.storage.repository import Repository, from_item
from tests.driving import batches, jobs
from tests.fakes import INBOX, RESULTS, FakeContext, FakeOpenAI, Fault
from tests.fakes.faults import is_everything

if TYPE_CHECKING:
    from tests.schedules.lives import Life

MAX_NOTIFICATIONS = 40
"""The maximum number of notifications of a job to one audience, whatever happens."""

TWO_POLLS = 120

OF_THE_ACCOUNT = frozenset({"key", "billing"})
"""Errors about the key or the account, whichever call gets them."""


class Seen(Protocol):
    """Fakes, and what a test has observed of them."""

    @property
    def fake(self) -> FakeContext: ...

    notified: list[tuple[float, Audience, Notification]]

    def jobs(self) -> list[dict[str, Any]]:
        """Return the jobs as the table has them."""
        ...

    def lasting_faults(self) -> list[Fault]:
        """Return the faults that last for ever."""
        ...


DAY = 86_400
MAX_JOB_SECONDS, GRACE_SECONDS = 28 * DAY, 2 * DAY + DAY // 4
"""A job ends by its deadline or within this time, whichever is later, plus a grace if its ending fails too."""

REPORTED_COST_CODES = frozenset({"in_doubt", "not_collected"})
"""Codes of reasons for answers that were paid for, or may have been, but are not delivered."""


def check(fake: FakeContext) -> None:
    """Assert all invariants for every job."""
    by_job: dict[str, list[Notification]] = {}
    for notification in fake.topics.published:
        by_job.setdefault(notification.detail.get("job_id", ""), []).append(notification)
    for job in jobs(fake):
        check_job(fake, job, by_job.get(job.id, []))
    check_paid_once(fake.openai)
    check_leases(fake)
    check_files_deleted(fake)
    check_money(fake)
    check_pages(fake)


def check_pages(fake: FakeContext) -> None:
    """Assert that the index page of all folders has every job with a notification, in its final state."""
    notified = {notification.detail.get("job_id") for notification in fake.topics.published}
    told = {job.id: str(job.state) for job in jobs(fake) if job.id in notified}
    if not told:
        return
    listed = json.loads(fake.objects.content(RESULTS, "index.json"))["jobs"]
    assert [job["job_id"] for job in listed] == sorted(told, reverse=True)[:MAX_LISTED]
    assert all(job["state"] == told[job["job_id"]] for job in listed)


def check_money(fake: FakeContext) -> None:
    """Assert that what each batch has cost is counted once: for its job, for its month, and in each of the totals."""
    repository = Repository(fake.table)
    everything = Decimal(0)
    for job in jobs(fake):
        own = repository.batches(job.id)
        assert all(batch.is_settled for batch in own if batch.state is BatchState.COLLECTED)
        paid = sum((batch.paid for batch in own), Decimal(0))
        spending = repository.job_spending(job.id)
        assert (spending.spent, spending.committed) == (paid, Decimal(0)), f"the money of {job.drop.key}"
        everything += paid
    of_months = [item for item in map(json.loads, fake.table.texts()) if item["pk"].startswith("month#")]
    months = [from_item(item, MonthSpending) for item in of_months if item["sk"] == "spending"]
    assert sum(month.spent for month in months) == everything
    assert not any(month.committed for month in months)
    totals = [from_item(item, MonthTotal) for item in of_months if item["sk"] != "spending"]
    for kind in ("folder", "model"):
        assert sum(total.paid for total in totals if total.kind == kind) == everything, f"the totals by {kind}"


def check_paid_once(openai: FakeOpenAI) -> None:
    counts = openai.batches_by_key()
    assert all(count == 1 for count in counts.values()), f"more than one batch for a key: {counts}"


def check_files_deleted(fake: FakeContext) -> None:
    """Assert that no file of a collected batch is left. An upload that no item records may be left."""
    for batch in batches(fake):
        if batch.state is BatchState.COLLECTED:
            left = {batch.file_id, batch.output_file_id, batch.error_file_id} & fake.openai.files.keys()
            assert not left, f"{batch.key} left {left} at OpenAI"


def check_leases(fake: FakeContext) -> None:
    items = [json.loads(text) for text in fake.table.texts()]
    for item in items:
        assert "open" not in item, f"{item['pk']} {item['sk']} is still open"
        # The lease of the poller expires, and the next poll takes it over, if there was one.
        assert item.get("lease") is None or item["pk"] == "poller", f"{item['pk']} {item['sk']} holds a lease"
        if item["sk"].startswith("batch#"):
            from_item(item, Batch)


def check_job(fake: FakeContext, job: Job, notified: list[Notification]) -> None:
    assert job.state in ENDED_JOBS, f"{job.drop.key} is {job.state}"
    kinds = {notification.event for notification in notified}
    if job.state is JobState.REJECTED:
        assert kinds & {"rejected", "duplicate"} or superseded(fake, job), f"no notification about {job.drop.key}"
        return
    assert "ended" in kinds, f"no notification of the end of {job.drop.key}"
    assert {n.status for n in notified if n.event == "ended"} == {str(job.state)}, "one final state"
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


def superseded(fake: FakeContext, job: Job) -> bool:
    return job.drop.size == 0


def check_csv(fake: FakeContext, job: Job, data: bytes, rows: dict[str, Any]) -> None:
    stem = job.drop.name.removesuffix(".csv")
    answers = fake.objects.content(RESULTS, results_prefix(job) + f"{stem}.answers.csv")
    before, after = data.split(b"\n"), answers.split(b"\n")
    assert len(before) == len(after), "none lost, none twice"
    assert all(new.startswith(old) for old, new in zip(before, after, strict=True)), "bytes and order kept"
    found = csv.DictReader(io.StringIO(answers.decode(), newline=""))
    if job.mirror and rows["ok"] and job.state is not JobState.CANCELLED:
        assert fake.objects.content(RESULTS, job.mirror) == answers, "the answers are mirrored"
    counted = Counter(row["_status"] for row in found)
    assert counted == {name: count for name, count in rows.items() if count and name not in ("total", "duplicates")}


def problems_of(life: "Life", healthy: "Life") -> list[str]:
    """Return the broken invariants of a life. `healthy` is the same life without faults."""
    found = [*life.problems]
    found += problems_of_jobs(life, life.jobs())
    found += _all_ended(life)
    found += _neighbours_in_time(life, healthy)
    if len(life.openai.asked) > MAX_TRIED_ROWS:
        found.append("more requests for a version of a recipe than are promised")
    if life.fake.chains.stopped:
        found.append("a wait is a chain of messages, which Lambda ends")
    if any(life.folder.iterdir()):
        found.append("files are left in the scratch folder")
    most, busiest = (max(_invocations_by_hour(its).values(), default=0) for its in (healthy, life))
    if busiest > 2 * most:
        found.append("more invocations an hour than twice those of health")
    return list(dict.fromkeys(found))


def problems_of_jobs(seen: Seen, jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the broken invariants of these jobs, of their payments and of their notifications."""
    return [
        *_paid_once(seen),
        *_paid_is_delivered_or_reported(seen, jobs),
        *_one_end_each(seen, jobs),
        *_newest_is_mirrored(seen, jobs),
    ]


def _invocations_by_hour(life: "Life") -> Counter[int]:
    """Return the number of invocations of functions, by hour."""
    counts: Counter[int] = Counter()
    for (_, hour), count in life.invocations.items():
        counts[hour] += count
    return counts


def _family(seen: Seen) -> dict[str, str]:
    """Return, for each job, the first job of its chain of retries."""
    former = {job["id"]: job.get("retry_of") for job in seen.jobs()}

    def first(job_id: str) -> str:
        while former.get(job_id):
            job_id = former[job_id] or ""
        return job_id

    return {job_id: first(job_id) for job_id in former}


def _paid_once(seen: Seen) -> Iterator[str]:
    family = _family(seen)
    counts: Counter[tuple[str, int]] = Counter()
    for (job_id, row), count in seen.fake.openai.paid_answers().items():
        counts[family.get(job_id, job_id), row] += count
    if any(count > 1 for count in counts.values()):
        yield "good answers of a row are paid twice"
    if any(count > 1 for count in seen.fake.openai.batches_by_key().values()):
        yield "more than one batch for a key"


def _paid_is_delivered_or_reported(seen: Seen, jobs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    family = _family(seen)
    delivered: set[tuple[str, int]] = set()
    ends = [notification for _, _, notification in seen.notified if notification.event == "ended"]
    reported = {family[end.detail["job_id"]] for end in ends if _reports_cost(end.detail)}
    for job in jobs:
        first = family[job["id"]]
        delivered |= {(first, row) for row in _delivered(seen, job)}
        if _reports_cost(summary_of(seen, job) or {}):
            reported.add(first)
        yield from _under_their_rows(seen, job)
    ended = {family[job["id"]] for job in jobs if job["state"] in ENDED_JOBS}
    for job_id, row in seen.fake.openai.paid_answers():
        first = family.get(job_id, job_id)
        if first in ended and (first, row) not in delivered and first not in reported:
            yield "an answer was paid for, and is neither delivered nor reported"
            return


def _newest_is_mirrored(seen: Seen, jobs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Check that every run reported as mirrored is in the mirror, and the newest of several runs."""
    ends: dict[str, list[tuple[tuple[int, int], Mapping[str, str]]]] = {}
    for job in jobs:
        objects = (summary_of(seen, job) or {}).get("objects")
        if job.get("mirror") and job["state"] in ("succeeded", "partial") and objects is not None:
            ends.setdefault(job["mirror"], []).append(((job["drop"]["modified"], job["requested_at"]), objects))
    for key, runs in ends.items():
        if any("mirror" not in objects for _, objects in runs):
            continue  # S3 refused writes there until the run's time was over, which was reported
        newest = max(runs, key=lambda run: run[0])[1]
        content = seen.fake.objects.content
        if content(RESULTS, key) != content(RESULTS, newest["answers"]):
            yield "a mirror does not hold the newest run"


def _reports_cost(detail: Mapping[str, Any]) -> bool:
    cost = detail.get("cost") or {}
    codes = {reason["code"] for reason in detail.get("reasons", [])}
    without_results = detail.get("reasons") == GAVE_UP_REASONS and cost.get("paid")
    unknown = cost.get("uncollected_requests") or cost.get("unpriced_requests")
    return bool(unknown or without_results or codes & REPORTED_COST_CODES)


def _result(seen: Seen, job: Mapping[str, Any], name: str) -> bytes | None:
    try:
        return seen.fake.objects.content(RESULTS, f"{job['drop']['key']}/{job['id']}/{name}")
    except ObjectNotFoundError:
        return None


def summary_of(seen: Seen, job: Mapping[str, Any]) -> dict[str, Any] | None:
    data = _result(seen, job, "summary.json")
    return json.loads(data) if data is not None else None


def _responses(seen: Seen, job: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (_result(seen, job, "responses.jsonl") or b"").split(b"\n") if line]


def _delivered(seen: Seen, job: Mapping[str, Any]) -> list[int]:
    """Return the rows whose good answers are in the results of the job."""
    lines = enumerate(_responses(seen, job), 1)
    return [row for row, line in lines if line["response"] and line["response"]["status_code"] == 200]


def _under_their_rows(seen: Seen, job: Mapping[str, Any]) -> Iterator[str]:
    """Check that every answer is under the row of its request."""
    echoes = seen.fake.openai.echoes(job["id"])
    if job.get("retry_of"):
        echoes = seen.fake.openai.echoes(job["retry_of"]) | echoes
    for row, line in enumerate(_responses(seen, job), 1):
        for choice in ((line["response"] or {}).get("body") or {}).get("choices", []):
            if choice["message"]["content"] != echoes[row]:
                yield "an answer is under another row"
                return


def _one_end_each(seen: Seen, jobs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Check that a job has one final state and one summary, and few notifications that agree with them."""
    no_results = any(fault.call.startswith("objects.") for fault in seen.lasting_faults())
    received: dict[str, list[tuple[str, str, str]]] = {}
    for _, to, each in seen.notified:
        received.setdefault(each.detail.get("job_id", ""), []).append((to, each.event, each.status))
    for job in jobs:
        mine, state = received.get(job["id"], []), job["state"]
        if len(set(_versions(seen, job, "summary.json"))) > 1:
            yield "a summary was written over"
        if state not in ENDED_JOBS:
            continue
        events = {event for _, event, _ in mine}
        finals = {(event, status) for _, event, status in mine if event in ("ended", "rejected", "duplicate")}
        if (
            len(finals) > 1
            or (state == "rejected" and events & {"accepted", "ended"})
            or (state != "rejected" and finals and finals != {("ended", state)})
        ):
            yield f"a {state} job was reported as {sorted(finals)}"
        for audience in (Audience.PROGRAMS, Audience.PEOPLE):
            count = sum(to == audience for to, _, _ in mine)
            if count > MAX_NOTIFICATIONS:
                yield "an audience gets too many notifications of a job"
            if not any(to == audience and event in ("ended", "rejected", "duplicate") for to, event, _ in mine):
                yield f"{audience} got no notification of a job's end"
        if state != "rejected" and not no_results:
            yield from _check_summary(seen, job)


def _check_summary(seen: Seen, job: Mapping[str, Any]) -> Iterator[str]:
    summary = summary_of(seen, job)
    if summary is None or summary["status"] != job["state"]:
        yield f"the summary of a {job['state']} job says {summary and summary['status']}"
    elif "ok" in summary["rows"]:
        if summary["rows"]["total"] != sum(n for name, n in summary["rows"].items() if name != "total"):
            yield "the outcomes do not add up"
        if len(_responses(seen, job)) != job.get("rows", 0):
            yield "rows are missing from the results"


def _versions(seen: Seen, job: Mapping[str, Any], name: str) -> list[bytes]:
    """Return the content of the versions of a result, the oldest first."""
    found = seen.fake.objects._objects.get((RESULTS, f"{job['drop']['key']}/{job['id']}/{name}"), [])
    return [version.data for version in found if not version.is_marker]


def _all_ended(life: "Life") -> Iterator[str]:
    known = {job["drop"]["key"] for job in life.jobs()}
    for key in life.dropped:
        if key not in known and not _hits(life, ("objects.head", "objects.names", "dead_letters.")):
            yield "a drop has no job"
    for job in life.jobs():
        if any(job["id"] in hit or job["drop"]["key"] in hit for hit in _table_hits(life)):
            continue  # its items cannot be read, or written
        if job["state"] not in ENDED_JOBS:
            is_cancelled = job.get("cancel_requested", False)
            yield f"a job is {job['state']} for ever{' though its cancellation was requested' * is_cancelled}"
            continue
        latest = max(job["created_at"] + MAX_JOB_SECONDS, job.get("deadline_at", 0)) + GRACE_SECONDS
        if life.ended[job["id"]] > latest and life.clock() - life.start < life.last_day:
            yield "a job ended too late"
    for item in life.items():
        if not any(item["pk"] in hit for hit in _table_hits(life)) and item["sk"].startswith(("job", "batch", "shard")):
            if "open" in item and not _is_only_unclean(life, item):
                yield f"an item is open in the end: {item['sk'].partition('#')[0]} {item.get('state')}"
            if item.get("lease"):
                yield f"an item holds a lease in the end: {item['sk'].partition('#')[0]} {item.get('state')}"


def _is_only_unclean(life: "Life", item: Mapping[str, Any]) -> bool:
    """Return whether only files of an ended job remain, which cannot be deleted; its item expires."""
    kept = item["open"] == "outbox" and not item.get("outbox") and item.get("expires_at")
    return bool(kept) and any(fault.call == "objects.delete_all" for fault in life.lasting_faults())


def _table_hits(life: "Life") -> Iterable[str]:
    """Yield the items about which the table fails for ever."""
    for fault, hits in life.faults.hit.items():
        if fault.call.startswith("table.") and fault.lasts == inf:
            yield from hits


def _hits(life: "Life", calls: tuple[str, ...]) -> bool:
    """Return whether one of these calls failed for ever."""
    return any(fault.call.startswith(calls) and fault.lasts == inf for fault in life.faults.hit)


def _neighbours_in_time(life: "Life", healthy: "Life") -> Iterator[str]:
    """Check that a fault about one object delays others by two polls at most."""
    if life.schedule.kills or any(fault.seconds for fault in life.schedule.faults):
        return
    for key in ("beside/beside.csv", "late/late.csv", "last/last.csv"):
        if key not in life.dropped or key not in healthy.dropped or _is_concerned(life, key):
            continue
        took, takes = life.took(key), healthy.took(key)
        if took > takes + TWO_POLLS:
            yield f"{key.partition('/')[0]} was delayed by what did not concern it"


def _is_concerned(life: "Life", key: str) -> bool:
    """Return whether a fault was about this drop, or about everything while it was open."""
    ids = [job["id"] for job in life.jobs() if job["drop"]["key"] == key]
    begun, ended = life.dropped[key], max((life.ended.get(job_id, inf) for job_id in ids), default=inf)
    its = {key, f"gpt-{key.partition('/')[0]}", *ids}
    for batch in life.fake.openai.batches.values():
        if batch.metadata["dropbatch"].split("/")[0] in ids:
            its |= {batch.id, batch.input_file_id, batch.output_file_id or batch.id, batch.error_file_id or batch.id}
    for fault, hits in life.faults.hit.items():
        began, stopped = life.start + fault.begins, life.start + fault.ends
        if began > ended or stopped < begun:
            continue
        concerns = any(is_everything(fault.call, hit) or any(it in hit for it in its) for hit in hits)
        if fault.only is None or fault.error in OF_THE_ACCOUNT or concerns:
            return True
    return False


def faults_text(faults: Iterable[Fault]) -> str:
    return " and ".join(
        f"{f.call} {f.error or 'slow'}{' after its effect' * f.after}"
        f"{'' if f.only is None else f' about the {f.only}th'}"
        f" from {f.begins / 3600:g} h {'for ever' if f.lasts == inf else f'for {f.lasts / 3600:g} h'}"
        for f in faults
    )
