"""The modules of an idle poll: not the openai SDK, which takes half a second, and none of recipes and rows."""

import subprocess
import sys

from benchmarks.loopback import environment, served

POLL = """
import sys, types
import poll_handler
context = types.SimpleNamespace(aws_request_id="1", get_remaining_time_in_millis=lambda: 300_000)
poll_handler.handler({}, context)
print(*sys.modules)
"""

NOT_LOADED = frozenset(
    {
        *("boto3", "genai_prices", "httpx2", "jinja2", "jsonschema", "openai", "orjson", "pydantic", "ruamel.yaml"),
        *(
            "dropbatch.recipes",
            "dropbatch.formats",
            "dropbatch.intake.intake",
            "dropbatch.collection.collect",
            "dropbatch.delivery.assemble_job",
        ),
        "aws_lambda_powertools.utilities.parameters",
    }
)


def test_an_idle_poll_loads_no_more_than_it_needs() -> None:
    with served("aws", 0, 0) as aws:
        ran = subprocess.run(
            [sys.executable, "-c", POLL], env=environment(aws), capture_output=True, text=True, check=True
        )
    *logged, loaded = ran.stdout.splitlines()
    assert any('"polled"' in line for line in logged)
    assert not any("could not" in line for line in logged), logged
    assert "dropbatch.polling.poll" in loaded.split()
    assert NOT_LOADED.isdisjoint(loaded.split())
