"""Faults that do not pass automatically: killed processes, lost events, topics that refuse, held drops."""

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from dropbatch.domain.states import ENDED_JOBS
from tests.e2e.conftest import PROCESS_DIED, Embedded, wait_for

PLAIN = b'model: gpt-6-luna\nprompt: "Say something about {{ text }}"\n'
ROWS = b"text\nhello\n"

TAKEN_OVER_SECONDS = 60
"""A lease of 40 seconds, which a dead process no longer renews, and the time to take the work over."""

HANGING_SECONDS = 120
"""The duration of a call in which a function is killed: longer than it takes to bring all three into theirs."""

STARTING = "starts-a-process"
"""The id of an empty message, which a function refuses once its process runs."""

CALLS = {
    "SUBMIT_FUNCTION": ("POST", "/v1/files"),
    "COLLECT_FUNCTION": ("GET", "/v1/files/*/content"),
    "POLL_FUNCTION": ("GET", "/v1/batches*"),
}
"""The call that each function makes in the middle of its step."""


def test_another_process_takes_over_a_killed_step_within_a_minute(
    healthy: Embedded, provoked: Callable[..., None]
) -> None:
    """All three functions are killed at once, each in the middle of a call to OpenAI about another job."""
    provoked(PROCESS_DIED, "Broken pipe", STARTING)
    healthy.drop("kill/recipe.yaml", PLAIN)
    before = healthy.control("GET", "/delays")
    jobs: dict[str, str] = {}

    def drop(name: str) -> str:
        version = healthy.drop(f"kill/{name}.csv", ROWS)
        jobs[version] = healthy.event(version, "accepted")["job_id"]
        return version

    try:
        began = time.monotonic()
        _slow_down(healthy, "COLLECT_FUNCTION")
        drop("collected")
        _hang(healthy, "COLLECT_FUNCTION")
        healthy.control("POST", "/delays", in_progress=600)
        polled = drop("polled")
        wait_for(lambda: (healthy.tick(), _created(healthy, jobs[polled]))[1], "nothing is there to poll for")
        _slow_down(healthy, "SUBMIT_FUNCTION")
        drop("submitted")
        _hang(healthy, "SUBMIT_FUNCTION")
        _slow_down(healthy, "POLL_FUNCTION")
        # Do not wait for its end: it is killed before.
        healthy.client("lambda").invoke(FunctionName=healthy.names["POLL_FUNCTION"], InvocationType="Event")
        _hang(healthy, "POLL_FUNCTION", tick=False)
        assert [_strikes(healthy, function) for function in CALLS] == [[1, 0]] * 3, "each is in its first call still"
        for function in CALLS:
            assert healthy.kill(function), f"no process of {function} was found"
        killed_at = time.monotonic()
        assert killed_at - began < HANGING_SECONDS, "a call ended before its function was killed"
    finally:
        healthy.control("POST", "/delays", **before)
    # The time to start processes does not count: seconds on an idle machine, half a minute on a busy one.
    deadline = killed_at + TAKEN_OVER_SECONDS + _seconds_to_start(healthy)

    def steps_taken_over() -> dict[str, bool]:
        return {
            "submit": _strikes(healthy, "SUBMIT_FUNCTION")[1] > 0,
            "collect": _strikes(healthy, "COLLECT_FUNCTION")[1] > 0,
            "poll": "ended" in _events(healthy, polled),  # only a poll sees that a batch has ended
        }

    while not all(steps_taken_over().values()):
        healthy.tick()
        healthy.listen()
        assert time.monotonic() < deadline, f"taken over were only {steps_taken_over()}"
    for version, job_id in jobs.items():
        ended = healthy.event(version)
        assert (ended["status"], ended["rows"]["ok"]) == ("succeeded", 1)
        assert len(_created(healthy, job_id)) == 1, "one batch, created once"


def _seconds_to_start(embedded: Embedded) -> float:
    """Return the time until new processes of all functions run."""
    begun = time.monotonic()
    functions = embedded.client("lambda")

    def is_started(function: str, event: dict[str, Any]) -> bool:
        answer = functions.invoke(FunctionName=embedded.names[function], Payload=json.dumps(event).encode())
        return "FunctionError" not in answer  # it went to a process that was killed a moment ago

    queues = {"SUBMIT_FUNCTION": "IntakeQueue", "COLLECT_FUNCTION": "CollectQueue"}
    events = {function: _empty_message(embedded.resource(queue)) for function, queue in queues.items()}
    for function, event in {"POLL_FUNCTION": {}, **events}.items():
        wait_for(partial(is_started, function, event), f"{function} does not start")
    return time.monotonic() - begun


def _empty_message(queue_url: str) -> dict[str, Any]:
    arn = f"arn:aws:sqs:eu-central-2:000000000000:{queue_url.rpartition('/')[2]}"
    record = {"messageId": STARTING, "receiptHandle": "none", "body": "{}", "attributes": {}}
    return {"Records": [{**record, "eventSource": "aws:sqs", "eventSourceARN": arn}]}


def _slow_down(embedded: Embedded, function: str) -> None:
    """Make the next such call take longer than the function will live, and count those that follow."""
    method, path = CALLS[function]
    embedded.control("POST", "/faults", kind="slow_call", method=method, path=path, seconds=HANGING_SECONDS, times=1)
    embedded.control("POST", "/faults", kind="slow_call", method=method, path=path, seconds=0)


def _hang(embedded: Embedded, function: str, *, tick: bool = True) -> None:
    """Wait until the function is in that call."""

    def is_there() -> bool:
        if tick:
            embedded.tick()
        return _strikes(embedded, function)[0] == 1

    wait_for(is_there, f"{function} made no such call")


def _strikes(embedded: Embedded, function: str) -> list[int]:
    """Return how often the two faults of a function's call have applied."""
    listed = embedded.control("GET", "/faults")["data"]
    return [fault["strikes"] for fault in listed if (fault["method"], fault["path"]) == CALLS[function]]


def _created(embedded: Embedded, job_id: str) -> list[str]:
    """Return the keys of all batches that were ever created for a job."""
    keys = [batch["metadata"]["dropbatch"] for batch in embedded.control("GET", "/batches")["data"]]
    return [key for key in keys if key.startswith(f"{job_id}/")]


def test_a_drop_whose_event_is_lost_is_found_by_the_sweep(healthy: Embedded, provoked: Callable[..., None]) -> None:
    """The sweep looks for old enough files, and is due rarely: the test changes both dates."""
    provoked("drops were found whose event was lost")
    healthy.drop("lost/recipe.yaml", PLAIN)
    with healthy.no_events():
        version = healthy.drop("lost/rows.csv", ROWS, seconds_ago=45 * 60)
    healthy.tick()  # the first one only records its time

    def is_found() -> bool:
        # Repeatedly, because a poll that ran meanwhile may have written the old item.
        healthy.client("dynamodb").update_item(
            TableName=healthy.names["TABLE"],
            Key={"pk": {"S": "sweep"}, "sk": {"S": "sweep"}},
            UpdateExpression="SET due_at = :now",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues={":now": {"N": "1"}},
        )
        healthy.tick()
        healthy.listen()
        return bool(_events(healthy, version))

    wait_for(is_found, "the sweep did not find the drop")
    assert healthy.event(version)["status"] == "succeeded"
    assert _events(healthy, version).count("ended") == 1, "found again, it gets no new job"


def test_a_job_ends_while_topics_are_unavailable_and_notifies_afterwards(
    healthy: Embedded, provoked: Callable[..., None]
) -> None:
    provoked("a notification could not be published")
    healthy.drop("untold/recipe.yaml", PLAIN)
    before = healthy.control("GET", "/delays")
    topics = [healthy.names["EVENTS_TOPIC_ARN"], healthy.names["NOTIFICATIONS_TOPIC_ARN"]]
    sns = healthy.client("sns")
    policies = {arn: sns.get_topic_attributes(TopicArn=arn)["Attributes"]["Policy"] for arn in topics}
    try:
        healthy.control("POST", "/delays", in_progress=600)
        version = healthy.drop("untold/rows.csv", ROWS)
        accepted = healthy.event(version, "accepted")
        for arn in topics:
            denied = {"Effect": "Deny", "Principal": "*", "Action": "sns:Publish", "Resource": arn}
            _set_policy(healthy, arn, json.dumps({"Version": "2012-10-17", "Statement": [denied]}))
        healthy.control("POST", "/delays", **before)

        def is_final() -> bool:
            healthy.tick()
            return healthy.job(accepted["job_id"])["state"]["S"] in {str(state) for state in ENDED_JOBS}

        wait_for(is_final, "the job waits until topics are available")
        summary = healthy.results(accepted)["summary.json"]
        healthy.tick()
        healthy.listen()
        assert "ended" not in _events(healthy, version)
    finally:
        healthy.control("POST", "/delays", **before)
        for arn, policy in policies.items():
            _set_policy(healthy, arn, policy)
    ended = healthy.event(version)
    assert ended["status"] == json.loads(summary)["status"] == "succeeded"
    assert healthy.results(ended)["summary.json"] == summary, "it is written once"
    healthy.tick()
    healthy.listen()
    assert _events(healthy, version) == ["accepted", "ended"]


def _set_policy(embedded: Embedded, topic: str, policy: str) -> None:
    embedded.client("sns").set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)


def test_a_job_that_ends_well_leaves_nothing_in_the_work_bucket(healthy: Embedded) -> None:
    """Rows and answers are deleted; how the job ended is kept elsewhere. A job that ended long ago needs no wait."""
    healthy.drop("clean/recipe.yaml", PLAIN)
    good = [event for event in healthy.heard if event["event"] == "ended" and event["status"] == "succeeded"]
    ended = good[0] if good else healthy.answer("clean/rows.csv", ROWS)
    assert ended["status"] == "succeeded"

    def is_empty() -> bool:
        healthy.tick()
        listed = healthy.client("s3").list_objects_v2(
            Bucket=healthy.names["WORK_BUCKET"], Prefix=f"jobs/{ended['job_id']}/"
        )
        return listed["KeyCount"] == 0

    wait_for(is_empty, "its work objects are still there")


def _events(embedded: Embedded, version: str) -> list[str]:
    """Return the kinds of events about a version that came so far."""
    return [event["event"] for event in embedded.heard if event["drop"]["version_id"] == version]
