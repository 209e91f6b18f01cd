"""The cost of a poll: with ten thousand open batches, with ten among many of others, and with none.

Each run is a process that polls with the real clients, against servers of `loopback`. The first poll of ten thousand
batches writes their statuses to the table. The second is measured: every batch has moved on a little.
"""

import subprocess
import sys
import time
from statistics import median
from urllib.request import urlopen

from benchmarks.loopback import environment, served

RUNS = 5

POLL = """
import sys, time, types
import poll_handler
context = types.SimpleNamespace(aws_request_id="1", get_remaining_time_in_millis=lambda: 300_000)
for _ in range(2):
    began = time.process_time()
    poll_handler.handler({}, context)
    took = time.process_time() - began
print(took, file=sys.stderr)
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
"""The libraries of all functions, loaded before the program knows what is due."""

FIGURES = {
    "poll_calls": ("calls", "≤ 105"),
    "poll_cpu_s": ("s of CPU", "≤ 1"),
    "poll_sparse_calls": ("calls", "≤ 20"),
    "idle_start_s": ("s", ""),
    "idle_start_ratio": ("ratio", "≤ 0.35"),
}


def polling() -> dict[str, float]:
    calls, cpu = _polled(batches=10_000, jobs=1_000, others=0)
    sparse, _ = _polled(batches=10, jobs=10, others=50_000)
    return {"poll_calls": calls, "poll_cpu_s": cpu, "poll_sparse_calls": sparse}


def _polled(batches: int, jobs: int, others: int) -> tuple[float, float]:
    """Return the calls to OpenAI of one poll, and its seconds of CPU, the median of the runs."""
    seconds, calls = [], 0.0
    for _ in range(RUNS):
        with served("aws", batches, jobs) as aws, served("openai", batches, others) as openai:
            seconds.append(float(_run(POLL, environment(aws, openai)).stderr))
            calls = int(urlopen(f"{openai}/calls").read()) / 2
    print(f"  {batches:>6,} open, {others:>6,} others: {calls:,.0f} calls, {median(seconds):.2f} s of CPU")
    return calls, median(seconds)


def idle_start() -> dict[str, float]:
    seconds: dict[str, list[float]] = {IDLE: [], EAGER: []}
    with served("aws", 0, 0) as aws:
        for _ in range(2 * RUNS):
            for program, its in seconds.items():
                began = time.perf_counter()
                _run(program, environment(aws))
                its.append(time.perf_counter() - began)
    idle, eager = (median(its) for its in seconds.values())
    print(f"  an idle poll {idle:.2f} s, everything eager {eager:.2f} s")
    return {"idle_start_s": idle, "idle_start_ratio": idle / eager}


def _run(program: str, settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], env=settings, capture_output=True, text=True, check=True)
