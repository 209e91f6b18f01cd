"""Faults of hours, weeks or for ever: a test for each way in which an invariant was once broken."""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.errors import OpenAINotFoundError, OpenAIOutcomeUnknownError, OpenAIRateLimitError
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import ENDED_JOBS, BatchState, JobState, OpenAIStatus
from dropbatch.messages import message_for
from dropbatch.polling.poll import poll
from tests.driving import (
    RECIPE,
    Functions,
    batches,
    deliver,
    drop,
    invoke,
    jobs,
    object_created,
    only_job,
    pass_time,
    result_json,
    rows,
    run,
)
from tests.fakes import INBOX, RESULTS, WORK, FakeContext, Fault, Faults, answer_ok, response_line
from tests.schedules.invariants import REPORTED_COST_CODES

HOUR, DAY = 3600, 86_400
MAX_DAYS = 30
"""Every job ends within this number of days, whatever others answer: 28, and two of grace."""

FEW = 4
"""The maximum number of notifications of a kind."""


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    return fresh(tmp_path)


def fresh(folder: Path, **more: Any) -> FakeContext:
    fake = FakeContext(folder, **more)
    fake.objects.drop("recipe.yaml", RECIPE)
    return fake


def break_down(fake: FakeContext, *faults: Fault) -> Faults:
    """Make these calls fail from now on, until `repair`."""
    fake.killer = broken = Faults(fake.clock, faults)
    fake.seconds_left = broken.seconds_left
    return broken


def repair(fake: FakeContext) -> None:
    assert isinstance(fake.killer, Faults)
    fake.killer.faults.clear()


def job_of(fake: FakeContext, key: str) -> Job:
    (found,) = [job for job in jobs(fake) if job.drop.key == key]
    return found


def paid_for(fake: FakeContext) -> dict[int, int]:
    """Return the number of good answers that were paid for, by row, for all jobs together."""
    counts: Counter[int] = Counter()
    for (_, row), count in fake.openai.paid_answers().items():
        counts[row] += count
    return dict(counts)


def outcomes(fake: FakeContext, job: Job | None = None) -> dict[str, int]:
    summary = result_json(fake, "summary.json", job)
    return {name: count for name, count in summary["rows"].items() if count and name != "total"}


def cost_is_reported(fake: FakeContext, job: Job | None = None) -> bool:
    summary = result_json(fake, "summary.json", job)
    codes = {reason["code"] for reason in summary["reasons"]}
    return bool(codes & REPORTED_COST_CODES or summary["cost"].get("uncollected_requests"))


def everything(fake: FakeContext) -> list[dict[str, Any]]:
    return [json.loads(text) for text in fake.table.texts()]


def end_batch(fake: FakeContext, batch_id: str) -> None:
    fake.openai._end(fake.openai.batches[batch_id], OpenAIStatus.COMPLETED)


def bad(request: dict[str, Any]) -> Any:
    return "error", response_line(request, 400, {"error": {"code": "nope", "message": ""}})


def days_until_ended(fake: FakeContext, *, step: float = HOUR) -> float:
    """Let days pass until every job has ended. Return their number; more than a month is an error."""
    start = fake.clock()
    while any(job.state not in ENDED_JOBS for job in jobs(fake)):
        assert fake.clock() < start + (MAX_DAYS + 1) * DAY, f"for ever {[str(job.state) for job in jobs(fake)]}"
        pass_time(fake, step, step=step)
    return (fake.clock() - start) / DAY


def test_a_child_whose_create_is_unknown_is_not_confused_with_its_parent(fake: FakeContext) -> None:
    """Both have the same file, which was not visible yet when the parent was validated."""
    fake.openai.refuse = lambda batch, _: (
        [("invalid_request", f"Cannot find file {batch.input_file_id}", None)] if batch.id == first(fake) else []
    )
    create, made = fake.openai.create, itertools.count(1)

    def lossy(*args: Any) -> Any:
        created = create(*args)
        if next(made) == 2:
            raise OpenAIOutcomeUnknownError("timeout")
        return created

    fake.openai.create = lossy  # type: ignore[method-assign]  # a fault of its second call
    drop(fake, "a.csv", rows(4))
    run(fake, ticks=300)
    assert paid_for(fake) == {1: 1, 2: 1, 3: 1, 4: 1}
    assert fake.openai.cancelled == []
    assert only_job(fake).state is JobState.SUCCEEDED


def first(fake: FakeContext) -> str:
    return next(iter(fake.openai.batches))


@pytest.mark.parametrize("when", ["submitted", "ended"])
def test_a_key_that_is_revoked_permanently_ends_the_job(fake: FakeContext, when: str) -> None:
    fake.openai.ending = None
    drop(fake, "a.csv", rows(4))
    pass_time(fake, 120)
    if when == "ended":
        fake.openai.ending = OpenAIStatus.COMPLETED
        invoke(fake, lambda: poll(fake.context))
    fake.openai.key_valid = False
    assert days_until_ended(fake) <= MAX_DAYS
    assert fake.collect.depth() <= 1
    assert cost_is_reported(fake)
    assert fake.topics.events().count("held") <= FEW
    assert fake.topics.events()[-1] == "ended"


def test_answers_that_openai_no_longer_has_end_the_job_and_their_cost_is_reported(fake: FakeContext) -> None:
    faults = break_down(fake, Fault("openai.streaming", "gone"))
    drop(fake, "a.csv", rows(4))
    pass_time(fake, HOUR)
    asked = faults.made["openai.streaming"]
    pass_time(fake, HOUR)
    assert faults.made["openai.streaming"] - asked <= max(12, asked), "no more often than it was at first"
    assert days_until_ended(fake, step=600) <= 3
    assert cost_is_reported(fake)
    assert paid_for(fake) == {1: 1, 2: 1, 3: 1, 4: 1}, "they are not sent again"


def test_a_key_that_may_list_but_not_upload_holds_the_job_once(fake: FakeContext) -> None:
    break_down(fake, Fault("openai.upload", "permission"))
    drop(fake, "a.csv", rows(4))
    pass_time(fake, DAY, step=300)
    job = only_job(fake)
    assert job.state is JobState.HELD
    assert fake.topics.events().count("held") == 1
    assert job.deadline_at <= job.created_at + 28 * DAY
    assert days_until_ended(fake) <= MAX_DAYS
    assert fake.topics.events().count("held") <= FEW
    assert fake.topics.events()[-1] == "ended"


def test_a_job_continues_when_its_key_gets_its_right_back(fake: FakeContext) -> None:
    break_down(fake, Fault("openai.upload", "permission"))
    drop(fake, "a.csv", rows(4))
    pass_time(fake, 3 * HOUR)
    repair(fake)
    pass_time(fake, 3 * HOUR)
    assert only_job(fake).state is JobState.SUCCEEDED


def test_a_job_that_ends_while_sns_is_unavailable_is_notified_later(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows(4))
    deliver(fake)
    break_down(fake, Fault("topics.publish", "kms"))
    pass_time(fake, 3 * HOUR)
    assert only_job(fake).state is JobState.SUCCEEDED
    summary = result_json(fake, "summary.json")
    assert (summary["status"], summary["rows"]["ok"]) == ("succeeded", 4)
    repair(fake)
    pass_time(fake, DAY, step=300)
    assert only_job(fake).state is JobState.SUCCEEDED
    assert result_json(fake, "summary.json") == summary
    assert [(n.event, n.status) for n in fake.topics.published if n.event == "ended"] == [("ended", "succeeded")]


def test_a_drop_that_comes_while_sns_is_unavailable_is_answered_and_notified_later(tmp_path: Path) -> None:
    fake = fresh(tmp_path, limits=Limits(batch_requests=1))
    break_down(fake, Fault("topics.publish", "kms"))
    drop(fake, "a.csv", rows(120))
    pass_time(fake, 4 * HOUR)
    assert only_job(fake).state is JobState.SUCCEEDED
    repair(fake)
    pass_time(fake, DAY, step=300)
    assert Counter(fake.topics.events()) == {"accepted": 1, "ended": 1}
    assert list(fake.table.open_items("batch")) == []


def test_a_drop_that_dropbatch_gives_up_frees_the_limit_of_its_model(tmp_path: Path) -> None:
    fake = fresh(tmp_path, limits=Limits(batch_requests=10))
    break_down(fake, Fault("objects.put", "denied"))
    drop(fake, "a.csv", rows(40))
    pass_time(fake, 2 * DAY, step=300)
    assert job_of(fake, "a.csv").state in ENDED_JOBS
    repair(fake)
    pass_time(fake, 120)
    assert list(fake.table.open_items("batch")) == []
    fake.token_limits = {"*": 900}
    fake.clock.sleep(60 * DAY)
    drop(fake, "b.csv", rows(20))
    pass_time(fake, 2 * HOUR)
    assert job_of(fake, "b.csv").state is JobState.SUCCEEDED


def test_an_answer_whose_line_is_not_strict_json_is_found_and_paid_once(fake: FakeContext) -> None:
    def answer(request: dict[str, Any]) -> Any:
        where, line = answer_ok(request)
        if request["custom_id"] == "2":
            logprob = {"token": "ok", "logprob": float("-inf")}
            line["response"]["body"]["choices"][0]["logprobs"] = {"content": [logprob]}
        return where, line

    fake.openai.answer = answer
    drop(fake, "a.csv", rows(3))
    run(fake, ticks=300)
    files = [fake.openai.contents[b.output_file_id] for b in fake.openai.batches.values() if b.output_file_id]
    assert sum(len(file.splitlines()) for file in files) == 3, "no row is asked twice"
    assert outcomes(fake) == {"ok": 3}


def test_a_retry_that_resumed_a_job_has_no_effect_when_delivered_again(tmp_path: Path) -> None:
    fake = fresh(tmp_path, limits=Limits(batch_requests=2))
    fake.openai.answer = bad
    fake.token_limits = {"*": 60}  # not all rows are sent at once
    drop(fake, "a.csv", rows(12))
    pass_time(fake, HOUR)
    assert only_job(fake).state is JobState.HELD
    fake.openai.answer = lambda request: bad(request) if request["custom_id"] == "7" else answer_ok(request)
    version = drop(fake, "a.csv.retry", b"")
    pass_time(fake, 2 * HOUR)
    assert only_job(fake).state in ENDED_JOBS
    made = len(fake.openai.batches)
    fake.intake.send(object_created(fake, "a.csv.retry", version, 0))
    pass_time(fake, HOUR)
    assert only_job(fake).state in ENDED_JOBS
    assert len(fake.openai.batches) == made


def test_an_unreadable_item_does_not_stop_others(fake: FakeContext) -> None:
    """After a rollback, a newer release has written a state that this one does not know."""
    drop(fake, "good.csv", rows(3))
    deliver(fake)
    where = {"bucket": INBOX, "key": "x.csv", "version_id": "1", "modified": 1}
    job = {"pk": "job#x", "sk": "job", "v": 2, "rev": 1, "id": "x", "open": "job", "since": "000000000001"}
    fake.table.insert({**job, "state": "of_the_future", "drop": where, "created_at": 1})
    batch = {"pk": "job#x", "sk": "batch#000000#000#0", "v": 2, "rev": 1, "open": "batch", "since": "000000000001"}
    fake.table.insert({**batch, "state": "of_the_future", "job_id": "x"})
    pass_time(fake, 1200)
    assert fake.topics.events() == ["accepted", "ended"]


def test_a_held_job_takes_no_place_from_others(tmp_path: Path) -> None:
    fake = fresh(tmp_path, limits=Limits(batch_requests=1))
    fake.openai.answer, fake.openai.ending = bad, None
    create = fake.openai.create

    def busy(*args: Any) -> Any:
        if len(fake.openai.batches) >= 2:
            raise OpenAIRateLimitError("rate_limit_exceeded", 600)
        return create(*args)

    fake.openai.create = busy  # type: ignore[method-assign]  # for the time until the job is held
    drop(fake, "a.csv", rows(150))
    pass_time(fake, 300)
    for batch_id in list(fake.openai.batches):
        end_batch(fake, batch_id)
    pass_time(fake, 900)
    assert job_of(fake, "a.csv").state is JobState.HELD
    fake.openai.create = create  # type: ignore[method-assign]  # as it was
    fake.openai.answer, fake.openai.ending = answer_ok, OpenAIStatus.COMPLETED
    drop(fake, "b.csv", rows(130))
    pass_time(fake, 12 * HOUR, step=300)
    assert outcomes(fake, job_of(fake, "b.csv")) == {"ok": 130}


def test_a_download_that_breaks_off_each_time_progresses_each_time(fake: FakeContext) -> None:
    """A download may be too large for the time or the disk of one invocation: the downloaded part is kept."""
    fake.openai.breaks_after = 300
    drop(fake, "a.csv", rows(4))
    pass_time(fake, 2 * DAY, step=300)
    assert only_job(fake).state is JobState.SUCCEEDED
    assert paid_for(fake) == {1: 1, 2: 1, 3: 1, 4: 1}


@pytest.mark.parametrize(("call", "hours"), [("retrieve", 0), ("cancel", 37)])
def test_a_batch_about_which_openai_refuses_a_call_does_not_stop_others(
    fake: FakeContext, call: str, hours: int
) -> None:
    fake.openai.ending = None
    drop(fake, "old.csv", rows(2))
    pass_time(fake, 120)
    fake.clock.sleep(hours * HOUR)
    break_down(fake, Fault(f"openai.{call}", "refused", only=0))
    invoke(fake, lambda: poll(fake.context))
    drop(fake, "new.csv", b"text\nx\n")
    pass_time(fake, 120)
    end_batch(fake, list(fake.openai.batches)[-1])
    pass_time(fake, 300)
    assert job_of(fake, "new.csv").state is JobState.SUCCEEDED


def test_an_account_without_quota_holds_the_job_at_once_and_counts_no_creates(tmp_path: Path) -> None:
    fake = fresh(tmp_path, limits=Limits(batch_requests=1))
    break_down(fake, Fault("openai.create", "billing"))
    drop(fake, "a.csv", rows(60))
    pass_time(fake, 900)
    assert only_job(fake).state is JobState.HELD
    assert fake.topics.events() == ["accepted", "held"]
    pass_time(fake, DAY, step=300)
    assert fake.topics.events() == ["accepted", "held"]
    repair(fake)
    pass_time(fake, 3 * HOUR)
    assert only_job(fake).state is JobState.SUCCEEDED
    creates = fake.table.get("creates", "creates") or {"count": 0}
    assert creates["count"] <= 60, "only what was created counts"


def test_a_job_ends_before_its_objects_expire_and_delivers_paid_answers(tmp_path: Path) -> None:
    """The job is held repeatedly; objects in the work bucket expire after 30 days."""
    fake = fresh(tmp_path, limits=Limits(batch_requests=2))
    fake.token_limits = {"*": 45}
    good = ("1", "2", "13", "14")
    fake.openai.answer = lambda request: answer_ok(request) if request["custom_id"] in good else bad(request)
    drop(fake, "a.csv", rows(20))
    start = fake.clock()
    for day in range(45):
        if day in (11, 22, 33) and only_job(fake).state is JobState.HELD:
            drop(fake, "a.csv.retry", b"")
        pass_time(fake, DAY, step=900)
        for key in fake.objects.keys(WORK):
            if fake.objects.head(WORK, key).modified < fake.clock() - 30 * DAY:
                fake.objects.remove(WORK, key)
        if only_job(fake).state in ENDED_JOBS:
            break
    assert fake.clock() - start <= MAX_DAYS * DAY
    responses = fake.objects.content(RESULTS, f"a.csv/{only_job(fake).id}/responses.jsonl").splitlines()
    delivered = {row for row, line in enumerate(responses, 1) if (json.loads(line)["response"] or {}).get("body")}
    assert set(paid_for(fake)) <= delivered


@pytest.mark.parametrize(("queue", "seconds"), [("dispatch", 225), ("collect", 270)])
def test_a_message_that_only_waits_in_a_queue_is_not_given_up(tmp_path: Path, queue: str, seconds: float) -> None:
    """Three functions take minutes for each batch, like uploads at a megabyte a second."""
    fake = fresh(tmp_path, limits=Limits(batch_requests=1))
    works = {"intake": (2, 1.0), "dispatch": (3, 1.0), "collect": (3, 1.0), queue: (3, seconds)}
    functions = [Functions(fake, name, *work) for name, work in works.items()]
    drop(fake, "a.csv", rows(110))
    start = fake.clock()
    while not any(job.state in ENDED_JOBS for job in jobs(fake)):
        assert fake.clock() < start + 2 * DAY, Counter(str(batch.state) for batch in batches(fake))
        for function in functions:
            function.step()
        if (fake.clock() - start) % 60 == 0:
            invoke(fake, lambda: poll(fake.context))
        fake.clock.sleep(15)
    assert outcomes(fake) == {"ok": 110}
    assert paid_for(fake) == dict.fromkeys(range(1, 111), 1)


def test_a_search_of_openais_list_over_several_invocations_ends(fake: FakeContext) -> None:
    """The account has hundreds of newer batches, and one page of the list takes the whole time of a function."""
    create, newest = fake.openai.create, fake.openai.newest

    def lossy(*args: Any) -> Any:
        created = create(*args)
        if args[2]["dropbatch"].endswith("/0") and len(fake.openai.batches) == 1:
            for number in range(10):
                create(args[0], args[1], {"dropbatch": f"other/{number}"})
            raise OpenAIOutcomeUnknownError("timeout")
        return created

    def slow(after: str | None = None) -> Iterator[Any]:
        for page in newest(after):
            fake.clock.sleep(140)
            yield page

    fake.openai.create = lossy  # type: ignore[method-assign]  # a fault of its first call
    fake.openai.newest = slow  # type: ignore[method-assign]  # slower than it is
    break_down(fake)
    drop(fake, "a.csv", rows(4))
    pass_time(fake, DAY, step=300)
    mine = [batch for batch in fake.openai.batches.values() if not batch.metadata["dropbatch"].startswith("other")]
    assert len(mine) == 1
    assert outcomes(fake) == {"ok": 4}


def test_a_forbidden_call_about_one_batch_affects_only_that_batch(fake: FakeContext) -> None:
    fake.openai.ending = None
    for key, data in (("a.csv", rows(2)), ("b.csv", b"text\nx\n"), ("c.csv", b"text\ny\n")):
        drop(fake, key, data)
        pass_time(fake, 60)
    break_down(fake, Fault("openai.retrieve", "permission", only=0), Fault("openai.newest", "500"))
    invoke(fake, lambda: poll(fake.context))
    for batch_id in list(fake.openai.batches)[1:]:
        end_batch(fake, batch_id)
    pass_time(fake, DAY)
    assert {job_of(fake, key).state for key in ("b.csv", "c.csv")} == {JobState.SUCCEEDED}
    assert Counter((n.event, n.detail["drop"]["key"]) for n in fake.topics.published)["held", "a.csv"] <= 1
    assert not any(n.event == "held" and n.detail["drop"]["key"] != "a.csv" for n in fake.topics.published)
    assert days_until_ended(fake) <= MAX_DAYS


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_batch_about_which_openai_never_answers_ends_and_its_cost_is_reported(
    fake: FakeContext, cancelled: bool
) -> None:
    fake.openai.ending = None
    drop(fake, "a.csv", rows(2))
    pass_time(fake, 120)
    break_down(fake, Fault("openai.retrieve", "500"), Fault("openai.cancel", "500"), Fault("openai.newest", "500"))
    if cancelled:
        drop(fake, "a.csv.cancel", b"")
    assert days_until_ended(fake) <= MAX_DAYS
    assert cost_is_reported(fake)
    assert fake.topics.events()[-1] == "ended"


def failing_at_the_report(folder: Path, seconds: float) -> tuple[FakeContext, Callable[[], None]]:
    """Return fakes whose job fails at its report for this time, and the function that repairs them."""
    fake = fresh(folder)
    put = fake.objects.put

    def failing(bucket: str, key: str, *more: Any) -> None:
        if key.endswith("report.html"):
            raise RuntimeError("503")
        put(bucket, key, *more)

    fake.objects.put = failing  # type: ignore[method-assign]  # a fault about one key
    drop(fake, "a.csv", rows(4))
    start = fake.clock()
    while fake.clock() < start + seconds and (not jobs(fake) or only_job(fake).state not in ENDED_JOBS):
        pass_time(fake, HOUR, step=HOUR)

    def repair_report() -> None:
        fake.objects.put = put  # type: ignore[method-assign]  # as it was

    return fake, repair_report


def test_a_poll_with_an_outdated_job_neither_ends_it_again_nor_notifies(tmp_path: Path) -> None:
    """The poll is about to give up the results, with items that it read minutes ago; meanwhile they are assembled."""
    ends, _ = failing_at_the_report(tmp_path, MAX_DAYS * DAY)
    lasts = ends.clock() - only_job(ends).created_at
    fake, repair_report = failing_at_the_report(tmp_path, lasts - HOUR)
    stale = everything(fake)
    repair_report()
    fake.clock.sleep(HOUR)
    fake.collect.send(message_for(only_job(fake)))
    deliver(fake)
    state = only_job(fake).state
    assert state is JobState.SUCCEEDED
    open_items = fake.table.open_items
    fake.table.open_items = lambda kind: iter([item for item in stale if item.get("open") == kind])  # type: ignore[method-assign]  # as it was
    invoke(fake, lambda: poll(fake.context))
    fake.table.open_items = open_items  # type: ignore[method-assign]  # as it is
    pass_time(fake, HOUR)
    assert only_job(fake).state is state
    assert result_json(fake, "summary.json")["status"] == "succeeded"
    assert {n.status for n in fake.topics.published if n.event == "ended"} == {"succeeded"}


def test_a_job_that_is_accepted_late_is_not_reported_as_rejected(tmp_path: Path) -> None:
    """The poll is about to give up the drop, with items that it read minutes ago; meanwhile the drop is accepted."""
    fake = fresh(tmp_path)
    break_down(fake, Fault("objects.writing", "broken"), Fault("objects.put_new", "broken"))
    drop(fake, "a.csv", rows(4))
    message = fake.intake.messages[0].body
    start = fake.clock()
    while fake.clock() < start + 2 * DAY and not any(job.state in ENDED_JOBS for job in jobs(fake)):
        pass_time(fake, HOUR, step=600)
    fresh_fake = fresh(tmp_path)
    break_down(fresh_fake, Fault("objects.writing", "broken"), Fault("objects.put_new", "broken"))
    drop(fresh_fake, "a.csv", rows(4))
    pass_time(fresh_fake, fake.clock() - start - HOUR, step=600)
    stale = everything(fresh_fake)
    repair(fresh_fake)
    fresh_fake.clock.sleep(HOUR)
    fresh_fake.intake.send(message)
    deliver(fresh_fake)
    open_items = fresh_fake.table.open_items
    fresh_fake.table.open_items = lambda kind: iter([item for item in stale if item.get("open") == kind])  # type: ignore[method-assign]  # as it was
    invoke(fresh_fake, lambda: poll(fresh_fake.context))
    fresh_fake.table.open_items = open_items  # type: ignore[method-assign]  # as it is
    pass_time(fresh_fake, HOUR)
    events = Counter(fresh_fake.topics.events())
    assert events in ({"accepted": 1, "ended": 1}, {"rejected": 1})


def test_an_ended_job_has_no_open_batch_however_it_ends(tmp_path: Path) -> None:
    fake = fresh(tmp_path, limits=Limits(batch_requests=1))
    fake.openai.ending = None
    drop(fake, "a.csv", rows(30))
    pass_time(fake, 300)
    drop(fake, "a.csv.cancel", b"")
    assert days_until_ended(fake, step=600) < 3
    pass_time(fake, 120)
    assert list(fake.table.open_items("batch")) == []
    assert {batch.state for batch in batches(fake)} <= {BatchState.COLLECTED, BatchState.ABANDONED}


def test_a_file_that_is_missing_at_the_create_is_uploaded_again(fake: FakeContext) -> None:
    create, tries = fake.openai.create, itertools.count()

    def gone(*args: Any) -> Any:
        if next(tries) == 0:
            raise OpenAINotFoundError("no_file", 404)
        return create(*args)

    fake.openai.create = gone  # type: ignore[method-assign]  # a fault of its first call
    drop(fake, "a.csv", rows(2))
    pass_time(fake, 2 * HOUR)
    assert only_job(fake).state is JobState.SUCCEEDED
