"""The cost of a poll: with ten thousand open batches, with ten among many of others, and with none.

Each run is a process that polls with the real clients, against servers of `loopback`. The first poll of ten thousand
batches writes their statuses to the table. The second is measured: every batch has moved on a little.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any
from urllib.request import Request, urlopen

import orjson

from benchmarks.loopback import environment, served
from benchmarks.runs import PAIRS, PAIRS_OF_THE_LARGEST, Ended, Runs, Spread, run

POLL = """
import sys, time, types
import poll_handler
context = types.SimpleNamespace(aws_request_id="1", get_remaining_time_in_millis=lambda: 300_000)
for _ in range(2):
    began = time.process_time()
    poll_handler.handler({}, context)
    took = time.process_time() - began
print(took)
"""

IDLE = """
import types
import poll_handler
poll_handler.handler({}, types.SimpleNamespace(aws_request_id="1", get_remaining_time_in_millis=lambda: 300_000))
"""

EAGER = """
import boto3, genai_prices, httpx2, jinja2, jmespath, jsonschema, msgspec, openai, orjson, ruamel.yaml
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.batch import BatchProcessor
from aws_lambda_powertools.utilities.parameters import SecretsProvider
for service in ("dynamodb", "s3", "secretsmanager", "sns", "sqs"):
    boto3.client(service)
openai.OpenAI(api_key="x")
Logger(), Metrics()
"""
"""A fixed reference: libraries that functions like these usually load, before the program knows what is due."""

FIGURES = {
    "poll_calls": ("calls", "≤ 105"),
    "poll_cpu_s": ("s of CPU", "≤ 1"),
    "poll_over_decoding": ("times", "≤ 4"),
    "poll_sparse_calls": ("calls", "≤ 20"),
    "idle_start_s": ("s", ""),
    "idle_start_ratio": ("ratio", "≤ 0.35"),
}
"""Seconds are those of the processor. The floor is to decode the answers of OpenAI and the table with orjson."""


def polling() -> dict[str, float | Spread]:
    calls, polls, decoding = _polled(PAIRS_OF_THE_LARGEST, batches=10_000, jobs=1_000, others=0)
    sparse, _, _ = _polled(1, batches=10, jobs=10, others=50_000)  # calls are counted, and the same each time
    return {
        "poll_calls": calls,
        "poll_cpu_s": Spread.of(polls),
        "poll_over_decoding": Spread.of([poll / floor for poll, floor in zip(polls, decoding, strict=True)]),
        "poll_sparse_calls": sparse,
    }


def _polled(pairs: int, batches: int, jobs: int, others: int) -> tuple[float, list[float], list[float]]:
    """Return the calls to OpenAI of one poll, and the seconds of each poll and of decoding the answers that it gets."""
    polls, decoding, calls = [], [], 0.0
    for _ in range(pairs):
        with served("aws", batches, jobs) as aws, served("openai", batches, others) as openai:
            polls.append(float(_run(POLL, environment(aws, openai)).output.split()[-1]))
            calls = int(urlopen(f"{openai}/calls").read()) / 2
            decoding.append(_decode([*_pages_of_openai(openai, batches), *_pages_of_table(aws)]))
    print(
        f"  {batches:>6,} open, {others:>6,} others: {calls:,.0f} calls, {median(polls):.2f} s of the processor,"
        f" {median(decoding):.2f} s to decode"
    )
    return calls, polls, decoding


def _pages_of_openai(openai: str, batches: int) -> Iterator[bytes]:
    after = ""
    for _ in range(-(-batches // 100)):
        page = urlopen(f"{openai}/v1/batches?limit=100{after}").read()
        yield page
        after = f"&after={orjson.loads(page)['data'][-1]['id']}"


def _pages_of_table(aws: str) -> Iterator[bytes]:
    """Yield the answers to the queries for open jobs and batches."""
    for kind in ("job", "batch"):
        query: dict[str, Any] = {"IndexName": "open", "ExpressionAttributeValues": {":kind": {"S": kind}}}
        while True:
            asked = Request(aws, orjson.dumps(query), {"x-amz-target": "DynamoDB_20120810.Query"})
            yield (page := urlopen(asked).read())
            last = orjson.loads(page).get("LastEvaluatedKey")
            if last is None:
                break
            query["ExclusiveStartKey"] = last


def _decode(pages: Sequence[bytes]) -> float:
    began = time.process_time()
    for page in pages:
        orjson.loads(page)
    return time.process_time() - began


def idle_start() -> dict[str, float | Spread]:
    idle, eager = Runs(), Runs()
    with served("aws", 0, 0) as aws:
        for _ in range(PAIRS):
            for program, runs in ((IDLE, idle), (EAGER, eager)):
                ended = _run(program, environment(aws))
                runs.add(ended.processor, ended.wall, 0)
    idle.show("an idle poll", 0)
    eager.show("everything eager", 0)
    return {"idle_start_s": Spread.of(idle.processor), "idle_start_ratio": idle.over(eager)}


def _run(program: str, settings: dict[str, str]) -> Ended:
    return run([sys.executable, "-c", program], settings)
