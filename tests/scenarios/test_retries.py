"""Retries over fakes: the rows that are sent again, how often and when, and those that never are."""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.errors import OpenAINotFoundError
from dropbatch.domain.states import JobState, OpenAIStatus
from dropbatch.messages import IntakeMessage
from dropbatch.polling.poll import poll
from dropbatch.polling.resend import DEAD_LETTERS_SECONDS
from dropbatch.ports import RemoteBatch
from tests.driving import RECIPE, drop, jobs, only_job, pass_time, result, result_json, rows, run, sent_rows, survive
from tests.fakes import INBOX, FakeContext, Killer, answer_ok, response_line


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", RECIPE)
    return fake


def outcomes(fake: FakeContext, job: Any = None) -> list[str]:
    found = csv.DictReader(io.StringIO(result(fake, "a.answers.csv", job).decode(), newline=""))
    return [row["_status"] + (":" + row["_error"] if row["_error"] else "") for row in found]


def failing(status: int, code: str, *numbers: int, times: int = 1000) -> Callable[[dict[str, Any]], Any]:
    """Return an answerer that fails these rows this number of times, and answers all others."""
    tries: Counter[int] = Counter()

    def answer(request: dict[str, Any]) -> Any:
        number = int(request["custom_id"])
        tries[number] += 1
        if number in numbers and tries[number] <= times:
            return "error", response_line(request, status, {"error": {"code": code, "message": "no"}})
        return answer_ok(request)

    return answer


@pytest.mark.slow
@pytest.mark.parametrize("status", [408, 409, 429, 500, 503, 0])
def test_temporarily_failed_rows_are_retried_alone(fake: FakeContext, status: int) -> None:
    fake.openai.answer = failing(status, "passing", 2, 3, times=1)
    drop(fake, "a.csv", rows(4))
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED
    assert sent_rows(fake) == [[1, 2, 3, 4], [2, 3]]
    assert set(fake.openai.batches_by_key().values()) == {1}


def test_progress_counts_a_row_once_however_often_it_is_tried(fake: FakeContext) -> None:
    fake.openai.answer = failing(500, "server_error", 2)
    drop(fake, "a.csv", rows(4))
    run(fake, ticks=2, step=1)
    assert len(sent_rows(fake)) == 1, "the second try is still to come"
    assert result_json(fake, "status.json")["requests"] == {"total": 4, "completed": 3, "failed": 0}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_rows_that_would_fail_again_are_not_retried(fake: FakeContext, status: int) -> None:
    fake.openai.answer = failing(status, "lasting", 2)
    drop(fake, "a.csv", rows(3))
    run(fake)
    assert outcomes(fake) == ["ok", "error:lasting", "ok"]
    assert sent_rows(fake) == [[1, 2, 3]]


@pytest.mark.slow
@pytest.mark.parametrize("attempts", [1, 2, 3, 5])
def test_a_row_is_tried_as_often_as_the_recipe_says(fake: FakeContext, attempts: int) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b"attempts: %d\n" % attempts)
    fake.openai.answer = failing(500, "server_error", 2)
    drop(fake, "a.csv", rows(3))
    run(fake, ticks=200)
    assert outcomes(fake) == ["ok", "error:server_error", "ok"]
    assert sent_rows(fake) == [[1, 2, 3], *[[2]] * (attempts - 1)]


def test_an_expired_try_does_not_count(fake: FakeContext) -> None:
    """Row 2 expires five times, then fails twice, and is answered at the third try that ran."""
    tries = Counter[int]()

    def answer(request: dict[str, Any]) -> Any:
        number = int(request["custom_id"])
        tries[number] += 1
        if number == 2 and tries[number] <= 5:
            error = {"code": "batch_expired", "message": "expired"}
            return "error", {"id": "x", "custom_id": "2", "response": None, "error": error}
        if number == 2 and tries[number] <= 7:
            return "error", response_line(request, 500, {})
        return answer_ok(request)

    fake.openai.answer = answer
    drop(fake, "a.csv", rows(3))
    run(fake, ticks=200)
    assert outcomes(fake) == ["ok"] * 3
    assert tries[2] == 8


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_truncated_and_refused_rows_are_never_retried(fake: FakeContext, finish: str) -> None:
    def answer(request: dict[str, Any]) -> Any:
        where, line = answer_ok(request)
        line["response"]["body"]["choices"][0]["finish_reason"] = finish
        return where, line

    fake.openai.answer = answer
    drop(fake, "a.csv", rows(2))
    run(fake)
    assert sent_rows(fake) == [[1, 2]]


@pytest.mark.parametrize("wanted", [True, False])
def test_an_invalid_answer_is_retried_if_the_recipe_says_so(fake: FakeContext, wanted: bool) -> None:
    recipe = RECIPE + b"schema:\n  sentiment: [positive, negative]\n" + b"retry_invalid: true\n" * wanted
    fake.objects.drop("recipe.yaml", recipe)
    spoilt = iter([True])

    def answer(request: dict[str, Any]) -> Any:
        where, line = answer_ok(request)
        if request["custom_id"] == "2" and next(spoilt, False):
            line["response"]["body"]["choices"][0]["message"]["content"] = "no JSON"
        return where, line

    fake.openai.answer = answer
    drop(fake, "a.csv", rows(2))
    run(fake)
    assert outcomes(fake) == (["ok", "ok"] if wanted else ["ok", "invalid_answer:not_json"])
    # The tokens of an invalid answer are paid, so they count.
    assert result_json(fake, "summary.json")["tokens"]["input"] == (30 if wanted else 20)


def test_an_invalid_row_is_removed_and_the_others_are_sent_again(fake: FakeContext) -> None:
    def refuse(_batch: RemoteBatch, requests: list[dict[str, Any]]) -> Any:
        return [
            ("invalid_value", "no such thing", line)
            for line, request in enumerate(requests, 1)
            if request["custom_id"] in ("2", "4")
        ]

    fake.openai.refuse = refuse
    drop(fake, "a.csv", rows(5))
    run(fake)
    assert outcomes(fake) == ["ok", "error:invalid_value", "ok", "error:invalid_value", "ok"]
    assert sent_rows(fake) == [[1, 2, 3, 4, 5], [1, 3, 5]]
    line = json.loads(result(fake, "responses.jsonl").splitlines()[1])
    assert line["error"]["message"] == "no such thing"


def test_a_failure_that_blames_no_row_is_final(fake: FakeContext) -> None:
    fake.openai.refuse = lambda _batch, _requests: [("something_new", "?", None)]
    drop(fake, "a.csv", rows(2))
    run(fake)
    assert outcomes(fake) == ["error:something_new"] * 2
    assert len(sent_rows(fake)) == 1


@pytest.mark.parametrize(
    ("code", "advice"),
    [("billing_hard_limit_reached", "billing"), ("model_not_found", "model"), ("insufficient_quota", "billing")],
)
def test_a_fault_of_the_account_stops_the_job_with_its_reason(tmp_path: Path, code: str, advice: str) -> None:
    """The first batch succeeds, the second is refused, and the third, which waits, is not sent."""
    fake = FakeContext(tmp_path, limits=Limits(batch_requests=2))
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.ending = None
    fake.token_limits = {"*": 60}  # two batches at a time
    seen: list[str] = []

    def refuse(batch: RemoteBatch, _requests: Any) -> Any:
        if batch.id not in seen:
            seen.append(batch.id)
        return [(code, "OpenAI's own words", None)] if seen.index(batch.id) > 0 else []

    fake.openai.refuse = refuse
    drop(fake, "a.csv", rows(6))
    run(fake, ticks=4)
    fake.openai.ending = OpenAIStatus.COMPLETED
    run(fake)
    assert outcomes(fake) == ["ok", "ok", *[f"error:{code}"] * 4]
    assert len(sent_rows(fake)) == 2, "the waiting batch was never sent"
    assert only_job(fake).state is JobState.PARTIAL
    assert advice in fake.topics.published[-1].text


def test_a_file_that_is_not_visible_yet_is_retried_and_then_uploaded_again(fake: FakeContext) -> None:
    first_file: list[str] = []

    def refuse(batch: RemoteBatch, _requests: Any) -> Any:
        first_file.append(batch.input_file_id)
        return [("invalid_request", "Cannot find file", None)] if batch.input_file_id == first_file[0] else []

    fake.openai.refuse = refuse
    began = fake.clock.now
    drop(fake, "a.csv", rows(2))
    run(fake, ticks=200, step=10)
    assert outcomes(fake) == ["ok", "ok"]
    files = [batch.input_file_id for batch in fake.openai.batches.values()]
    assert files[:5] == [files[0]] * 5
    assert files[5] != files[0]
    times = [batch.created_at - began for batch in fake.openai.batches.values()]
    waits = [later - earlier for earlier, later in pairwise(times[:5])]
    assert waits == sorted(waits)
    assert times[4] >= 30 + 60 + 120 + 300


def test_two_bad_batches_in_a_row_hold_the_rest_until_its_owner_decides(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, limits=Limits(batch_requests=2))
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.token_limits = {"*": 50}  # one batch at a time
    fake.openai.answer = failing(400, "lasting", *range(1, 5))
    drop(fake, "a.csv", rows(10))
    run(fake, ticks=10)
    job = only_job(fake)
    assert (job.state, str(job.held_reason)) == (JobState.HELD, "too_few_answers")
    assert len(sent_rows(fake)) == 2
    held = next(n for n in fake.topics.published if n.event == "held")
    assert "less than half" in held.text
    fake.clock.sleep(60)
    drop(fake, "a.csv.retry", b"")
    run(fake)
    assert outcomes(fake) == ["error:lasting"] * 4 + ["ok"] * 6
    assert fake.topics.events().count("held") == 1


def test_a_retry_sends_the_failed_rows_and_delivers_one_whole_file(fake: FakeContext) -> None:
    fake.openai.answer = failing(400, "lasting", 2, 4)
    drop(fake, "a.csv", rows(5))
    run(fake)
    former = only_job(fake)
    fake.clock.sleep(60)
    fake.openai.answer = answer_ok
    drop(fake, "a.csv.retry/", b"")
    run(fake)
    assert sent_rows(fake) == [[1, 2, 3, 4, 5], [2, 4]]
    (job,) = [job for job in jobs(fake) if job.id != former.id]
    assert job.state is JobState.SUCCEEDED
    assert outcomes(fake, job) == ["ok"] * 5
    assert len(result(fake, "responses.jsonl", job).splitlines()) == 5
    assert result_json(fake, "summary.json", job)["tokens"]["input"] == 20, "only what was asked now is counted"
    assert json.loads(fake.objects.content("the-results", "a.csv/latest.json"))["job_id"] == job.id
    assert outcomes(fake, former) == ["ok", "error:lasting", "ok", "error:lasting", "ok"]


def test_a_retry_of_a_retry_sends_the_rows_that_still_failed(fake: FakeContext) -> None:
    fake.openai.answer = failing(400, "lasting", 2, 4)
    drop(fake, "a.csv", rows(5))
    run(fake)
    for number in (4, 99):
        fake.clock.sleep(60)
        fake.openai.answer = failing(400, "lasting", number)
        drop(fake, "a.csv.retry", b"")
        run(fake)
    assert sent_rows(fake) == [[1, 2, 3, 4, 5], [2, 4], [4]]
    assert outcomes(fake, jobs(fake)[-1]) == ["ok"] * 5


def test_a_retry_with_nothing_to_send_is_answered(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows(2))
    run(fake)
    fake.clock.sleep(60)
    drop(fake, "a.csv.retry", b"")
    run(fake)
    assert fake.topics.events() == ["accepted", "ended", "marker"]
    assert "Every row of a.csv that could be asked is done" in fake.topics.published[-1].text
    assert len(sent_rows(fake)) == 1


def test_a_batch_that_is_gone_after_its_window_is_sent_again(fake: FakeContext) -> None:
    fake.openai.ending = None
    drop(fake, "a.csv", rows(2))
    run(fake, ticks=2)
    retrieve, (gone,) = fake.openai.retrieve, fake.openai.batches

    def lost(batch_id: str) -> Any:
        if batch_id == gone:
            raise OpenAINotFoundError("no_batch", 404)
        return retrieve(batch_id)

    fake.openai.retrieve = lost  # type: ignore[method-assign]  # the fake's own, for this test
    fake.openai.ending = OpenAIStatus.COMPLETED
    run(fake, ticks=20, step=3600)
    assert len(sent_rows(fake)) == 1, "within its window it may still be running"
    run(fake, ticks=20, step=3600)
    assert outcomes(fake) == ["ok", "ok"]


def test_a_batch_that_is_gone_because_the_key_changed_is_held_and_not_sent_again(fake: FakeContext) -> None:
    fake.openai.ending = None
    drop(fake, "a.csv", rows(2))
    run(fake, ticks=2)
    fake.openai.projects = {"sk-another": "another"}
    fake.openai.key = "sk-another"
    run(fake, ticks=60, step=3600)
    assert str(only_job(fake).held_reason) == "openai_key_changed"
    assert len(sent_rows(fake)) == 1
    fake.openai.key, fake.openai.ending = "sk-fake", OpenAIStatus.COMPLETED
    run(fake)
    assert outcomes(fake) == ["ok", "ok"]


def test_a_batch_that_never_ends_is_collected_with_the_answers_it_has(fake: FakeContext) -> None:
    fake.openai.ending = None
    fake.openai.cancel = lambda _batch_id: None  # type: ignore[method-assign]  # it has no effect
    drop(fake, "a.csv", rows(2))
    run(fake, ticks=60, step=3600)
    assert outcomes(fake) == ["expired:never_ended"] * 2
    assert len(sent_rows(fake)) == 1, "it may be running still"


def test_a_cancel_of_a_batch_that_is_gone_ends_the_job(fake: FakeContext) -> None:
    fake.openai.ending = None
    drop(fake, "a.csv", rows(2))
    run(fake, ticks=2)
    fake.openai.batches.clear()
    drop(fake, "a.csv.cancel", b"")
    run(fake)
    assert only_job(fake).state is JobState.CANCELLED


def test_rows_that_wait_past_the_deadline_expire(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, limits=Limits(batch_requests=2))
    fake.objects.drop("recipe.yaml", RECIPE + b"deadline: 5 h\n")
    fake.token_limits = {"*": 50}
    fake.openai.ending = None
    drop(fake, "a.csv", rows(4))
    run(fake, ticks=7, step=3600)
    fake.openai.ending = OpenAIStatus.COMPLETED
    run(fake)
    assert outcomes(fake) == ["ok", "ok", "expired:deadline", "expired:deadline"]


def test_a_drop_whose_event_was_lost_is_found_and_accepted_once(fake: FakeContext) -> None:
    fake.objects.drop("before/a.csv", rows(1))
    fake.clock.sleep(3700)
    run(fake, ticks=1)
    fake.clock.sleep(10)
    fake.objects.drop("a.csv", rows(2))  # no event
    fake.objects.drop("notes.md", b"no drop")
    for _ in range(60):
        run(fake, ticks=1)
        fake.clock.sleep(3600)
    assert [job.drop.key for job in jobs(fake)] == ["a.csv"], "what was there before the stack is nobody's drop"
    assert fake.topics.events().count("ended") == 1


@pytest.mark.slow
@pytest.mark.parametrize("step", ["take_in", "submit", "collect"])
def test_a_step_that_dies_each_time_ends_with_a_notification(
    fake: FakeContext, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function that runs out of memory dies each time without a message."""
    from tests import driving
    from tests.fakes import Killed

    def dies(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr(driving, step, dies)
    drop(fake, "a.csv", rows(2))
    if step == "take_in":
        # The job's item was written.
        monkeypatch.undo()
        monkeypatch.setattr("dropbatch.intake.intake.build_job", dies)
    run(fake, ticks=300)
    run(fake, ticks=800, step=3600)
    told = fake.topics.published[-1]
    assert told.event == ("rejected" if step == "take_in" else "ended")
    job = only_job(fake)
    assert (job.ended_at or 0) - job.created_at <= 29 * 86_400 + 3600
    if step == "take_in":
        assert result_json(fake, "rejected.json")["problems"]["first"][0]["code"] == "kills_function"
    if step == "submit":
        assert outcomes(fake) == ["expired:deadline"] * 2
    if step == "collect":
        assert told.status == "failed"


def test_a_drop_whose_message_died_before_it_had_a_job_is_read_again(fake: FakeContext) -> None:
    """Its function died at once each time: without memory, a permission, or a working deployment."""
    version = fake.objects.drop("a.csv", rows(2))
    message = IntakeMessage(INBOX, "a.csv", version).to_json()
    dead = fake.dead_letters["intake"]
    dead.put({"not": "ours"})
    dead.put(message)
    dead.put(message)
    run(fake, ticks=10)
    assert fake.topics.events() == ["accepted", "ended"]
    assert dead.left == 1, "what is none of ours stays for a person to look at"
    assert fake.observer.total("DeadLetters") >= 3


@pytest.mark.slow
def test_a_drop_that_cannot_be_read_for_a_day_is_reported_once(fake: FakeContext) -> None:
    """Alarms report a fault of this length, but the owner of the drop gets a message too."""
    head = fake.objects.head

    def away(bucket: str, key: str, version_id: str | None = None) -> Any:
        if key == "a.csv":
            raise RuntimeError("InternalError")
        return head(bucket, key, version_id)

    fake.objects.head = away  # type: ignore[method-assign]  # a fault that lasts
    drop(fake, "a.csv", rows(2))
    run(fake, ticks=60 * 23)
    assert fake.topics.events() == []
    assert fake.observer.total("StepsFailed") < 40, "each time later"
    run(fake, ticks=120)
    assert fake.topics.events() == ["rejected"]
    assert result_json(fake, "rejected.json")["problems"]["first"][0]["code"] == "gave_up"
    fake.objects.head = head  # type: ignore[method-assign]  # it is over
    fake.clock.sleep(2 * 86_400)
    run(fake, ticks=30, step=3600)
    assert fake.topics.events() == ["rejected"], "the sweep leaves it alone"
    drop(fake, "a.csv", rows(2))
    run(fake)
    assert fake.topics.events()[-1] == "ended"


def test_a_dead_message_of_a_drop_that_has_a_job_changes_nothing(fake: FakeContext) -> None:
    version = drop(fake, "a.csv", rows(2))
    run(fake)
    fake.dead_letters["intake"].put(IntakeMessage(INBOX, "a.csv", version).to_json())
    pass_time(fake, DEAD_LETTERS_SECONDS)
    assert fake.topics.events() == ["accepted", "ended"]
    assert fake.dead_letters["intake"].left == 0


@pytest.mark.slow
def test_a_drop_whose_message_died_is_answered_wherever_the_poller_is_killed(tmp_path: Path) -> None:
    def answered(*points: int) -> Killer:
        fake = FakeContext(tmp_path, killer=Killer())
        assert fake.killer is not None
        fake.killer.points = set(points)
        fake.objects.drop("recipe.yaml", RECIPE)
        message = IntakeMessage(INBOX, "a.csv", fake.objects.drop("a.csv", rows(2))).to_json()
        fake.dead_letters["intake"].put(message)
        fake.killer.invoked()
        survive(partial(poll, fake.context))
        fake.clock.sleep(301)  # a received letter is visible again
        run(fake, ticks=20)
        assert "ended" in fake.topics.events(), [fake.killer.calls[point // 2] for point in points]
        assert only_job(fake).state is JobState.SUCCEEDED
        return fake.killer

    points = answered().all_points()
    assert len(points) > 40
    for point in points:
        answered(point)


def test_a_dead_message_of_an_older_version_has_no_effect(fake: FakeContext) -> None:
    """Its job has ended long ago. A `.retry` acts on the newest version."""
    fake.openai.answer = failing(400, "lasting", 1)
    older = drop(fake, "a.csv", rows(1))
    run(fake)
    fake.clock.sleep(60)
    drop(fake, "a.csv", rows(2))
    run(fake)
    before = [job.id for job in jobs(fake)]
    fake.dead_letters["intake"].put(IntakeMessage(INBOX, "a.csv", older).to_json())
    pass_time(fake, DEAD_LETTERS_SECONDS)
    assert fake.topics.events() == ["accepted", "ended"] * 2
    assert [job.id for job in jobs(fake)] == before
    assert fake.dead_letters["intake"].left == 0


def test_a_deleted_version_is_not_used_for_the_live_one(fake: FakeContext) -> None:
    fake.openai.answer = failing(400, "lasting", 2)
    drop(fake, "a.csv", rows(2))
    run(fake)
    fake.dead_letters["intake"].put(IntakeMessage(INBOX, "a.csv", "unseen").to_json())
    run(fake, ticks=3)
    assert fake.topics.events() == ["accepted", "ended"]
    fake.clock.sleep(60)
    fake.openai.answer = answer_ok
    drop(fake, "a.csv.retry", b"")
    run(fake)
    assert sent_rows(fake) == [[1, 2], [2]]


def test_a_recipe_that_may_not_be_read_is_reported(fake: FakeContext) -> None:
    fake.objects.forbidden = {"b/recipe.yaml"}
    drop(fake, "b/recipe.yaml", RECIPE)
    run(fake, ticks=1)
    (told,) = fake.topics.published
    assert told.event == "recipe"
    assert "KMS key" in told.text


@pytest.mark.parametrize("key", ["a.csv", "recipe.yaml"])
def test_a_drop_that_may_not_be_read_is_rejected_at_once(fake: FakeContext, key: str) -> None:
    """It may be encrypted with a KMS key that the function may not use."""
    fake.objects.forbidden = {key}
    drop(fake, "a.csv", rows(2))
    run(fake, ticks=3)
    assert fake.topics.events() == ["rejected"]
    assert "KMS key" in fake.topics.published[0].text
