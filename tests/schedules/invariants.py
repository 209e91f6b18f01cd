"""What must hold however a drop fared: checked over the whole of the world when nothing moves any more.

`check` asserts it of worlds whose faults are over, `problems_of` lists what is broken in a life under faults that last.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import TYPE_CHECKING, Any

from dropbatch.domain.jobs import ENDED_JOBS, Batch, Job, JobState
from dropbatch.domain.outcomes import Outcome
from dropbatch.ledger import from_item
from dropbatch.ports import Notification
from dropbatch.telling import results_prefix
from tests.driving import jobs
from tests.fakes import INBOX, RESULTS, FakeOpenAI, FakeWorld, Fault

if TYPE_CHECKING:
    from tests.schedules.lives import Life

MAX_NOTIFICATIONS = 40
"""How many notifications of a job one audience gets at most, whatever happens."""

TWO_POLLS = 120

DAY = 86_400
MAX_JOB_SECONDS, GRACE_SECONDS = 28 * DAY, 2 * DAY
"""A job ends by its deadline, or in this time if that is later; and how much later its end may be seen."""

MONEY_TOLD = frozenset({"in_doubt", "not_collected"})
"""Codes of reasons that say that answers were paid for, or may have been, and are not delivered."""


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


def problems_of(life: "Life", healthy: "Life") -> list[str]:
    """What is broken in a life; `healthy` is the same without faults."""
    found = [*life.problems]
    found += _paid_once(life)
    found += _paid_is_delivered_or_told(life)
    found += _one_end_each(life)
    found += _all_ended(life)
    found += _neighbours_in_time(life, healthy)
    if life.fake.chains.stopped:
        found.append("a wait is a chain of messages, which Lambda ends")
    if any(life.folder.iterdir()):
        found.append("files are left in the scratch folder")
    most = max(_an_hour(healthy).values())
    if max(_an_hour(life).values(), default=0) > 2 * most:
        found.append(f"more invocations an hour than twice those of health ({max(_an_hour(life).values())} of {most})")
    return found


def _an_hour(life: "Life") -> Counter[int]:
    """How often functions were invoked, by hour."""
    counts: Counter[int] = Counter()
    for (_, hour), count in life.invocations.items():
        counts[hour] += count
    return counts


def _family(life: "Life") -> dict[str, str]:
    """Of each job, the first whose rows it asks again."""
    former = {job["id"]: job.get("retry_of") for job in life.jobs()}

    def first(job_id: str) -> str:
        while former.get(job_id):
            job_id = former[job_id] or ""
        return job_id

    return {job_id: first(job_id) for job_id in former}


def _paid_once(life: "Life") -> Iterator[str]:
    family = _family(life)
    counts: Counter[tuple[str, int]] = Counter()
    for (job_id, row), count in life.fake.openai.paid_answers().items():
        counts[family.get(job_id, job_id), row] += count
    if any(count > 1 for count in counts.values()):
        yield "good answers of a row are paid twice"
    if any(count > 1 for count in life.fake.openai.batches_by_key().values()):
        yield "more than one batch for a key"


def _paid_is_delivered_or_told(life: "Life") -> Iterator[str]:
    family = _family(life)
    delivered: set[tuple[str, int]] = set()
    told: set[str] = set()
    for job in life.jobs():
        first = family[job["id"]]
        delivered |= {(first, row) for row in _delivered(life, job)}
        summary = summary_of(life, job) or {}
        heard = [n.detail for _, _, n in life.told if n.detail.get("job_id") == job["id"] and n.event == "ended"]
        if any(map(_tells_money, [summary, *heard])):
            told.add(first)
        yield from _under_their_rows(life, job)
    ended = {family[job["id"]] for job in life.jobs() if job["state"] in ENDED_JOBS}
    for job_id, row in life.fake.openai.paid_answers():
        first = family.get(job_id, job_id)
        if first in ended and (first, row) not in delivered and first not in told:
            yield "an answer was paid for, and is neither delivered nor told"
            return


def _tells_money(detail: Mapping[str, Any]) -> bool:
    cost = detail.get("cost") or {}
    codes = {reason["code"] for reason in detail.get("reasons", [])}
    return bool(cost.get("uncollected_requests") or cost.get("unpriced_requests") or codes & MONEY_TOLD)


def _responses(life: "Life", job: Mapping[str, Any]) -> list[dict[str, Any]]:
    name = f"{job['drop']['key']}/{job['id']}/responses.jsonl"
    if name not in life.fake.objects.keys(RESULTS, name):
        return []
    return [json.loads(line) for line in life.fake.objects.content(RESULTS, name).split(b"\n") if line]


def _delivered(life: "Life", job: Mapping[str, Any]) -> list[int]:
    """The rows whose good answers stand in the job's results."""
    lines = enumerate(_responses(life, job), 1)
    return [row for row, line in lines if line["response"] and line["response"]["status_code"] == 200]


def _under_their_rows(life: "Life", job: Mapping[str, Any]) -> Iterator[str]:
    """Every answer says which row it is of."""
    key = job["drop"]["key"]
    data = life.fake.objects.content(INBOX, key)
    if key.endswith(".csv"):
        asked = data.decode().splitlines()[1:]
    else:
        asked = [json.loads(line)["body"]["messages"][0]["content"] for line in data.splitlines()]
    for row, line in enumerate(_responses(life, job), 1):
        body = (line["response"] or {}).get("body") or {}
        for choice in body.get("choices", []):
            if choice["message"]["content"] != f"answer to {asked[row - 1]}":
                yield "an answer stands under another row"
                return


def summary_of(life: "Life", job: Mapping[str, Any]) -> dict[str, Any] | None:
    name = f"{job['drop']['key']}/{job['id']}/summary.json"
    if name not in life.fake.objects.keys(RESULTS, name):
        return None
    found: dict[str, Any] = json.loads(life.fake.objects.content(RESULTS, name))
    return found


def _one_end_each(life: "Life") -> Iterator[str]:
    """One final state, one summary, and notifications that agree with them and are few."""
    no_results = any(fault.call.startswith("objects.") and fault.lasts == inf for fault in life.schedule.faults)
    heard: dict[str, list[tuple[str, str, str]]] = {}
    for _, audience, told in life.told:
        heard.setdefault(told.detail.get("job_id", ""), []).append((audience, told.event, told.status))
    for job in life.jobs():
        mine, state = heard.get(job["id"], []), job["state"]
        name = f"{job['drop']['key']}/{job['id']}/summary.json"
        if len(set(life.versions(RESULTS, name))) > 1:
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
            yield f"a {state} job was told of as {sorted(finals)}"
        for audience in ("programs", "people"):
            count = sum(its == audience for its, _, _ in mine)
            if count > MAX_NOTIFICATIONS:
                yield "a job's audience hears of it too often"
            if not any(its == audience and event in ("ended", "rejected", "duplicate") for its, event, _ in mine):
                yield f"nobody of the {audience} was told of a job's end"
        summary = summary_of(life, job)
        if state != "rejected" and not no_results:
            if summary is None or summary["status"] != state:
                yield f"the summary of a {state} job says {summary and summary['status']}"
            elif "ok" in summary["rows"]:
                if summary["rows"]["total"] != sum(n for name, n in summary["rows"].items() if name != "total"):
                    yield "the outcomes do not add up"
                if len(_responses(life, job)) != job["rows"]:
                    yield "rows are missing from the results"


def _all_ended(life: "Life") -> Iterator[str]:
    known = {job["drop"]["key"] for job in life.jobs()}
    for key in life.dropped:
        if key not in known and not _hits(life, ("objects.head", "dead_letters."), lambda fault: fault.lasts == inf):
            yield "a drop has no job"
    for job in life.jobs():
        if any(job["id"] in hit or job["drop"]["key"] in hit for hit in _table_hits(life)):
            continue  # its items cannot be read, or written
        if job["state"] not in ENDED_JOBS:
            yield f"a job is {job['state']} for ever{' though it was asked to cancel' * job['cancel_requested']}"
            continue
        latest = max(job["created_at"] + MAX_JOB_SECONDS, job["deadline_at"]) + GRACE_SECONDS
        if life.ended[job["id"]] > latest and life.clock() - life.start < life.last_day:
            yield "a job ended too late"
    for item in life.items():
        if not any(item["pk"] in hit for hit in _table_hits(life)) and item["sk"].startswith(("job", "batch", "shard")):
            if "open" in item:
                yield f"an item is open in the end: {item['sk'].partition('#')[0]} {item.get('state')}"
            if item.get("lease"):
                yield f"an item holds a lease in the end: {item['sk'].partition('#')[0]} {item.get('state')}"


def _table_hits(life: "Life") -> Iterable[str]:
    """The items about which the table fails for ever."""
    for fault, hits in life.faults.hit.items():
        if fault.call.startswith("table.") and fault.lasts == inf:
            yield from hits


def _hits(life: "Life", calls: tuple[str, ...], chosen: Any) -> bool:
    return any(fault.call.startswith(calls) and chosen(fault) for fault in life.faults.hit)


def _neighbours_in_time(life: "Life", healthy: "Life") -> Iterator[str]:
    """A fault about one thing delays what is not that thing by two polls at most."""
    if life.schedule.kills or any(fault.seconds for fault in life.schedule.faults):
        return
    for key in ("beside/beside.csv", "late/late.csv", "last/last.csv"):
        if key not in life.dropped or key not in healthy.dropped or _is_concerned(life, key):
            continue
        took, takes = life.took(key), healthy.took(key)
        if took > takes + TWO_POLLS:
            yield f"{key.partition('/')[0]} was delayed by what did not concern it"


def _is_concerned(life: "Life", key: str) -> bool:
    """Whether a fault was about this drop, or about everything while it was under way."""
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
        if fault.only is None or any(_is_everything(fault.call, hit) or any(it in hit for it in its) for hit in hits):
            return True
    return False


def _is_everything(call: str, hit: str) -> bool:
    """Whether what failed belongs to no one job."""
    if call.startswith("table."):
        return not hit.startswith(("job#", "limit#", "drop#"))
    return call.endswith((".depth", ".hide", ".key_version", ".newest"))


def faults_text(faults: Iterable[Fault]) -> str:
    return " and ".join(
        f"{f.call} {f.error or 'slow'}{' after its effect' * f.after}"
        f"{'' if f.only is None else f' about the {f.only}th'}"
        f" from {f.begins / 3600:g} h {'for ever' if f.lasts == inf else f'for {f.lasts / 3600:g} h'}"
        for f in faults
    )
