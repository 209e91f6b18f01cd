"""The time line of a job: its rounds, where they lie, and what it waited for."""

from dropbatch.domain.batches import Batch, FollowUp
from dropbatch.domain.drops import Drop
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import BatchState
from dropbatch.reporting.phrases import duration
from dropbatch.reporting.timeline import MAX_ROUNDS, rounds, time_line

HOUR = 3_600


def batch(attempt: str, begin: int, end: int, requests: int = 10, again: int = 0) -> Batch:
    found = Batch("j", 0, 0, "/v1/responses", "m", requests, 100, begin, attempt=attempt, state=BatchState.COLLECTED)
    found.openai_id, found.submitted_at, found.ended_at = "batch_1", begin, end
    found.follow_ups = [FollowUp(again, 1)] if again else []
    return found


def job() -> Job:
    return Job("j", Drop("the-inbox", "a.csv", "1", 0), 1_000, rows=30)


def test_batches_of_one_try_are_one_round() -> None:
    found = rounds(
        [batch("0", 10, 20, again=3), batch("0-1", 5, 30), batch("0.1", 40, 50, 3), batch("0-0.2-1.1", 60, 70)]
    )
    assert [(each.number, each.began, each.ended, each.batches, each.requests, each.again) for each in found] == [
        (1, 5, 30, 2, 20, 3),
        (2, 40, 50, 1, 3, 0),
        (4, 60, 70, 1, 10, 0),
    ]


def test_a_batch_that_never_was_at_openai_has_no_place() -> None:
    waiting = batch("0", 1, 2)
    waiting.openai_id = None
    assert rounds([waiting]) == []
    assert time_line(job(), [], 5_000) == []


def test_many_rounds_are_bounded() -> None:
    assert len(rounds(batch(f"0.{number}", 1, 2) for number in range(100))) == MAX_ROUNDS


def test_spans_fill_the_time_from_the_drop_to_the_end() -> None:
    found = rounds(
        [batch("0", 1_000 + HOUR, 1_000 + 3 * HOUR, again=2), batch("0.1", 1_000 + 3 * HOUR, 1_000 + 4 * HOUR)]
    )
    held = job()
    held.holds, held.hold_ends = {"approval": 1_000, "key": 2_000}, {"approval": 1_000 + HOUR}
    spans = {span.name: span for span in time_line(held, found, 1_000 + 4 * HOUR)}
    assert (spans["First try"].left, spans["First try"].width, spans["First try"].lasted) == (25, 50, "2 h")
    assert spans["First try"].what == "10 requests in 1 batch; 2 sent again"
    assert spans["Try 2"].left == 75
    assert (spans["Held"].what, spans["Held"].is_hold, spans["Held"].width) == ("approval", True, 25)
    assert all(0 <= span.left < 100 and span.left + span.width <= 100.01 for span in spans.values())


def test_a_duration_has_at_most_two_units() -> None:
    said = [duration(seconds) for seconds in (0, 59, 60, 3_570, 3_600, 11_520, 86_399, 2 * 86_400 + 4 * 3_600)]
    assert said == ["0 s", "59 s", "1 min", "1 h", "1 h", "3 h 12 min", "1 d", "2 d 4 h"]
