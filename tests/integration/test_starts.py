"""The modules that a new process of a function loads for its first event: not the libraries that the event needs not.

The openai SDK takes half a second, and those of recipes and rows a quarter of it.
"""

import json
import subprocess
import sys

import pytest

from benchmarks.loopback import environment, served

RUN = """
import importlib, json, logging, sys, types
logging.basicConfig(level=logging.INFO, stream=sys.stdout)  # as Lambda's runtime does, for all libraries
context = types.SimpleNamespace(aws_request_id="1", get_remaining_time_in_millis=lambda: 300_000)
answer = importlib.import_module(sys.argv[1]).handler(json.loads(sys.argv[2]), context)
assert not (answer or {}).get("batchItemFailures"), answer
print(*sys.modules)
"""

NEVER = frozenset({"boto3", "aws_lambda_powertools.utilities.parameters"})
"""Packages that no function loads: botocore makes the clients."""

LIBRARIES = frozenset({"genai_prices", "httpx2", "jsonschema", "openai", "pydantic"})
RECIPES = frozenset({"jinja2", "orjson", "ruamel.yaml", "dropbatch.recipes", "dropbatch.formats"})
USE_CASES = {
    "poll": "dropbatch.polling.poll",
    "take_in": "dropbatch.intake.intake",
    "submit": "dropbatch.submission.submit",
    "collect": "dropbatch.collection.collect",
}


def loaded(function: str, event: object, batches: int = 0) -> tuple[list[str], frozenset[str]]:
    """Return the log lines and the loaded modules of a process that handles one event. OpenAI has these batches."""
    with served("aws", batches, batches) as aws, served("openai", batches, 0) as openai:
        command = [sys.executable, "-c", RUN, f"{function}_handler", json.dumps(event)]
        settings = environment(aws, openai)
        settings["PYTHONPATH"] += f":functions/{function}"
        ran = subprocess.run(command, env=settings, capture_output=True, text=True, check=True)
    *logged, modules = ran.stdout.splitlines()
    assert not any("could not" in line for line in logged), logged
    assert all(line.startswith("{") for line in logged), "a library logs its requests"
    return logged, frozenset(modules.split())


def message(queue: str, body: object) -> object:
    """Return an event of a queue with one message."""
    record = {
        "messageId": "1",
        "receiptHandle": "1",
        "body": json.dumps(body),
        "attributes": {"ApproximateReceiveCount": "1"},
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:us-east-1:0:{queue}",
    }
    return {"Records": [record]}


def test_an_idle_poll_loads_no_more_than_it_needs() -> None:
    logged, modules = loaded("poll", {})
    assert any('"polled"' in line for line in logged)
    assert USE_CASES["poll"] in modules
    others = {module for name, module in USE_CASES.items() if name != "poll"}
    assert (NEVER | LIBRARIES | RECIPES | others | {"asyncio", "dropbatch.delivery.assemble_job"}).isdisjoint(modules)


def test_a_poll_with_an_open_batch_loads_openai_and_nothing_of_recipes() -> None:
    _, modules = loaded("poll", {}, batches=1)
    assert "openai" in modules
    assert (NEVER | {"genai_prices", "jinja2", "jsonschema", "ruamel.yaml", "dropbatch.recipes"}).isdisjoint(modules)


@pytest.mark.parametrize(
    ("function", "queue", "use_case"),
    [("submit", "DISPATCH_QUEUE_URL", "submit"), ("collect", "COLLECT_QUEUE_URL", "collect")],
)
def test_a_message_about_a_batch_that_is_gone_loads_only_its_use_case(function: str, queue: str, use_case: str) -> None:
    _, modules = loaded(function, message(queue, {"v": 1, "job_id": "gone", "batch": "batch#00000#0#0"}))
    others = {module for name, module in USE_CASES.items() if name not in (use_case, "submit")}
    assert USE_CASES[use_case] in modules
    assert (NEVER | LIBRARIES | others).isdisjoint(modules)


def test_a_message_about_a_file_of_no_interest_loads_no_library_of_prices_and_answers() -> None:
    body = {"v": 1, "bucket": "bucket", "key": "reviews/", "version_id": "1", "rerun_version": ""}
    _, modules = loaded("submit", message("INTAKE_QUEUE_URL", body))
    assert USE_CASES["take_in"] in modules
    assert (NEVER | LIBRARIES).isdisjoint(modules)
