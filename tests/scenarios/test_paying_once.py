"""One batch for each key and one outcome for each row, however often and wherever the process is killed."""

from itertools import pairwise
from pathlib import Path

import pytest

from dropbatch.collection.collect import collect
from dropbatch.domain.errors import OpenAIOutcomeUnknownError
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import JobState
from dropbatch.intake.intake import take_in
from dropbatch.messages import BatchMessage, IntakeMessage
from dropbatch.polling.poll import poll
from dropbatch.submission.submit import submit
from tests.driving import RECIPE, drop, jobs, only_job, result, result_json, run
from tests.fakes import FakeContext, Killer
from tests.whole_run import WholeRun

DATA = b"id,text\n1,a\n2,b\n3,c\n"


def prepared(folder: Path) -> FakeContext:
    fake = FakeContext(folder, killer=Killer())
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "a.csv", DATA)
    return fake


def check(fake: FakeContext) -> None:
    assert only_job(fake).state is JobState.SUCCEEDED
    assert set(fake.openai.batches_by_key().values()) == {1}
    said = fake.openai.echoes()
    assert result(fake, "a.answers.csv").decode() == (
        f"id,text,answer,_status,_error\n1,a,{said[1]},ok,\n2,b,{said[2]},ok,\n3,c,{said[3]},ok,\n"
    )
    assert set(fake.openai.paid_answers().values()) == {1}
    assert result_json(fake, "summary.json")["rows"]["ok"] == 3
    assert {"accepted", "ended"} <= set(fake.topics.events())


@pytest.mark.slow
def test_a_kill_at_any_call_of_a_port_loses_nothing_and_pays_once(tmp_path: Path) -> None:
    whole = WholeRun(prepared(tmp_path))
    check(whole.fake)
    for point in whole.killer.all_points():
        fake = whole.killed({point}, ticks=120)
        try:
            check(fake)
        except AssertionError as error:
            raise AssertionError(f"killed at {whole.killer.calls[point // 2]}, point {point}") from error


@pytest.mark.parametrize("took_effect", [True, False])
def test_a_create_whose_answer_is_lost_is_searched_before_another(tmp_path: Path, took_effect: bool) -> None:
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", RECIPE)
    create = fake.openai.create
    calls: list[str] = []

    def lossy(file_id: str, endpoint: str, metadata: dict[str, str]) -> object:
        calls.append(file_id)
        if len(calls) > 1:
            return create(file_id, endpoint, metadata)
        if took_effect:
            create(file_id, endpoint, metadata)
        raise OpenAIOutcomeUnknownError("timeout")

    fake.openai.create = lossy  # type: ignore[method-assign, assignment]  # a fault of this one call
    drop(fake, "a.csv", DATA)
    run(fake)
    check(fake)
    assert len(calls) == (1 if took_effect else 2)


def test_a_create_that_stays_in_doubt_is_tried_less_and_less_often(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", RECIPE)
    create = fake.openai.create
    times: list[float] = []

    def lost(file_id: str, endpoint: str, metadata: dict[str, str]) -> object:
        times.append(fake.clock())
        if len(times) > 8:
            return create(file_id, endpoint, metadata)
        raise OpenAIOutcomeUnknownError("timeout")

    fake.openai.create = lost  # type: ignore[method-assign, assignment]  # a fault of this one call
    drop(fake, "a.csv", DATA)
    run(fake, ticks=600)
    check(fake)
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert waits == sorted(waits)
    assert waits[0] < 15 * 60
    assert 60 * 60 <= waits[-1] < 65 * 60


def test_a_list_that_lags_does_not_lead_to_a_second_batch(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.list_lag = 500
    create = fake.openai.create

    def lost(file_id: str, endpoint: str, metadata: dict[str, str]) -> object:
        create(file_id, endpoint, metadata)
        raise OpenAIOutcomeUnknownError("timeout")

    fake.openai.create = lost  # type: ignore[method-assign, assignment]  # a fault of every such call
    drop(fake, "a.csv", DATA)
    run(fake)
    check(fake)


@pytest.mark.slow
def test_a_concurrent_process_between_any_two_calls_changes_nothing(tmp_path: Path) -> None:
    """Of two submitters, two pollers or two collectors, the second does all its work during one call of the first."""
    whole = WholeRun(prepared(tmp_path))
    for point in range(len(whole.killer.calls)):
        fake = whole.before(point)
        assert fake.killer is not None

        def intrude(fake: FakeContext = fake) -> None:
            for job in jobs(fake):
                again(fake, job)

        fake.killer.intrusions[point] = intrude
        run(fake, ticks=120)
        try:
            check(fake)
        except AssertionError as error:
            raise AssertionError(f"intruded before {whole.killer.calls[point]}, call {point}") from error


def again(fake: FakeContext, job: Job) -> None:
    """Do the work of every message and tick about the job at once."""
    drop = job.drop
    take_in(fake.context, IntakeMessage(drop.bucket, drop.key, drop.version_id))
    poll(fake.context)
    submit(fake.context, BatchMessage(job.id, "batch#000000#000#0"))
    poll(fake.context)
    collect(fake.context, BatchMessage(job.id, "batch#000000#000#0"))
    collect(fake.context, BatchMessage(job.id))
