"""Nothing is left at OpenAI after a day of jobs of every kind: the real adapter and the emulator."""

import json
from pathlib import Path
from typing import Any

import openai as sdk
import pytest
from pydantic import TypeAdapter

from dropbatch.domain.states import JobState
from local.openai_emulator.faults import AnyFault
from local.openai_emulator.testing import RunningEmulator, running_emulator
from tests.driving import drop, ended, jobs, rows, run
from tests.integration.test_odd_answers import PLAIN, Served

LINE = {"method": "POST", "url": "/v1/chat/completions"}
BODY = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "hello"}]}
RAW = b"".join(json.dumps({"custom_id": str(n), **LINE, "body": BODY}).encode() + b"\n" for n in range(4))


class Day:
    """A day of jobs: each is dropped and ends before the next one."""

    def __init__(self, folder: Path, server: RunningEmulator) -> None:
        self.server = server
        self.served = Served(folder, server=server, openai_base_url=server.base_url)
        self.served.objects.drop("recipe.yaml", PLAIN.replace(b"attempts: 1", b"attempts: 2"))

    def end(self, name: str, data: bytes, *faults: dict[str, Any]) -> JobState:
        """Drop a file while the emulator has these faults. Return the state in which its job ends."""
        parsed: TypeAdapter[Any] = TypeAdapter(AnyFault)
        self.server.faults.add(*(parsed.validate_python(fault) for fault in faults))
        drop(self.served, name, data)
        before = len(jobs(self.served))
        for _ in range(150):
            self.pass_minutes(1)
            found = jobs(self.served)
            if len(found) > before and ended(found[-1]):
                break
        self.server.faults.clear()
        return jobs(self.served)[-1].state

    def pass_minutes(self, count: int) -> None:
        for _ in range(count):
            run(self.served, ticks=1)
            self.server.advance(60)

    def files(self) -> list[str]:
        """Return the ids of the files that OpenAI has, as the `openai` client lists them."""
        with sdk.OpenAI(base_url=self.server.base_url, api_key=self.server.api_key) as client:
            return [file.id for file in client.files.list()]


@pytest.mark.slow
def test_a_day_of_jobs_of_every_kind_leaves_no_file_at_openai(tmp_path: Path) -> None:
    with running_emulator(tmp_path / "emulator", token_limits={"gpt-6-luna": 150}) as server:
        day = Day(tmp_path, server)
        failing = {"kind": "fail_rows", "shape": "http", "status": 500, "custom_ids": ["3"]}
        assert day.end("good.csv", rows(3)) is JobState.SUCCEEDED
        assert day.end("good.jsonl", RAW) is JobState.SUCCEEDED
        assert day.end("good.txt", b"one\ntwo\n") is JobState.SUCCEEDED
        assert day.end("failing.csv", rows(6), failing) is JobState.PARTIAL
        day.served.clock.sleep(60)
        assert day.end("failing.csv.retry", b"") is JobState.SUCCEEDED
        assert day.end("expired.csv", rows(6), {"kind": "expire_after_rows", "rows": 3}) is JobState.SUCCEEDED
        assert day.end("missing.csv", rows(6), {"kind": "missing_rows", "custom_ids": ["2"]}) is JobState.PARTIAL
        refused = {"kind": "fail_batch", "code": "model_not_found"}
        assert day.end("refused.csv", rows(3), refused) is JobState.FAILED
        assert day.end("late.csv", rows(3), {"kind": "late_output_id", "seconds": 300}) is JobState.SUCCEEDED
        assert day.end("large.csv", rows(60)) is JobState.SUCCEEDED, "it exceeds the token limit, and is split"
        server.delays.in_progress = 600
        drop(day.served, "cancelled.csv", rows(3))
        day.pass_minutes(3)
        drop(day.served, "cancelled.csv.cancel", b"")
        day.pass_minutes(5)
        assert jobs(day.served)[-1].state is JobState.CANCELLED
        assert len(server.batches) > 15
        day.pass_minutes(5)
        assert day.files() == []
        assert list(day.served.table.open_items("outbox")) == []
        day.served.real.close()
