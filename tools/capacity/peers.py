"""A comparison with the public packages for OpenAI's Batch API: each builds the requests of 50,000 csv rows.

Each package is used as its documentation says for such a job. All write one batch file to disk, with the recipe's
prompt for the rows of one csv, which `csv.DictReader` reads for a peer. The study checks that each line has the same
model and messages. The other members are the same too, except `custom_id` and, for instructor, those that it cannot
express: it sends a temperature, no effort, and its own form of the schema.

The study measures whole processes with their imports. A run with one row shows the share of these. A peer has an
environment of its own, with pinned versions, and is never installed among the project's packages.

`python -m tools.capacity.peers` measures all, prints a table, and writes the figures to `benchmarks/latest.json`.
"""

import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.cases import build_into, peak_mb
from benchmarks.environments import installed
from benchmarks.inputs import FOLDER, csv_drop

ROWS, RUNS = 50_000, 9
HOME = FOLDER / "peers"
OURS = "dropbatch"

Row = dict[str, str]

MODEL = "gpt-6-luna"
SYSTEM = "Classify the sentiment of the review."
PROMPT = "{product}: {text}"
MAX_TOKENS = 500
SCHEMA = {
    "type": "object",
    "properties": {"sentiment": {"type": "string", "enum": ["positive", "negative"]}},
    "required": ["sentiment"],
    "additionalProperties": False,
}
REST: dict[str, Any] = {
    "model": MODEL,
    "reasoning_effort": "none",
    "max_completion_tokens": MAX_TOKENS,
    "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA}},
}
"""The body that `inputs.RECIPE` leads to, without its messages."""


def _messages(row: Row) -> list[dict[str, str]]:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": PROMPT.format_map(row)}]


def _openai_batch(rows: Iterable[Row], to: Path) -> None:
    from openai_batch import Batch

    with Batch(submission_input_file=to) as batch:
        for row in rows:
            batch.add_to_batch(**REST, messages=_messages(row))


def _openbatch(rows: Iterable[Row], to: Path) -> None:
    """Build with its manager, which its documentation recommends for many requests of one template."""
    from openbatch import (
        BatchJobManager,
        ChatCompletionsRequest,
        Message,
        PromptTemplate,
        PromptTemplateInputInstance,
    )

    BatchJobManager().add_templated_instances(
        prompt=PromptTemplate(messages=[Message(role="system", content=SYSTEM), Message(role="user", content=PROMPT)]),
        common_request=ChatCompletionsRequest.model_construct(**REST),  # unchecked: it does not know the effort `none`
        input_instances=(
            PromptTemplateInputInstance(id=str(number), prompt_value_mapping=row) for number, row in enumerate(rows, 1)
        ),
        save_file_path=to,
    )


def _instructor(rows: Iterable[Row], to: Path) -> None:
    from instructor.batch import BatchProcessor
    from pydantic import BaseModel

    class Answer(BaseModel):
        sentiment: Literal["positive", "negative"]

    BatchProcessor(f"openai/{MODEL}", Answer).create_batch_from_messages(
        [_messages(row) for row in rows], file_path=str(to), max_tokens=MAX_TOKENS
    )


@dataclass(frozen=True, slots=True)
class Peer:
    build: Callable[[Iterable[Row], Path], None]
    requirements: tuple[str, ...]
    """The peer, and the packages whose versions affect its time, as a user of its latest release gets them."""

    @property
    def figure(self) -> str:
        return f"build_speedup_vs{self.build.__name__}"


PEERS = {
    # It imports httpx, which only openai before 3 installs.
    "openai-batch": Peer(_openai_batch, ("openai-batch==0.3.4", "openai==2.54.0", "pydantic==2.14.4")),
    "openbatch": Peer(_openbatch, ("openbatch==0.0.4", "pydantic==2.14.4")),
    "instructor": Peer(_instructor, ("instructor==1.17.0", "openai==3.3.0", "pydantic==2.14.4")),
}
FIGURES = {peer.figure: ("times", "> 1, where it installs") for peer in PEERS.values()}

Measure = Callable[[Sequence[tuple[str, int]], int, Mapping[str, Sequence[str]]], Mapping[tuple[str, int], Any]]


def peers(measure: Measure) -> dict[str, Any]:
    """Measure each peer. The figure of a peer that does not install is None."""
    pythons = {OURS: sys.executable}
    for name, peer in PEERS.items():
        if python := installed(HOME / name, peer.requirements):
            pythons[name] = python
    sizes = (1, ROWS)
    for rows in sizes:
        csv_drop(rows)
    try:
        found = measure(
            [(name, rows) for rows in sizes for name in pythons],
            RUNS,
            {name: (python, "-m", __name__) for name, python in pythons.items()},
        )
        asked = _asked(OURS)
        for name in pythons.keys() & PEERS.keys():
            assert _asked(name) == asked, f"{name} asks something else"
    finally:
        for name in pythons:
            _batch_file(name).unlink(missing_ok=True)
    ours = found[OURS, ROWS]
    return {peer.figure: found[name, ROWS].over(ours) if name in pythons else None for name, peer in PEERS.items()}


def _batch_file(name: str) -> Path:
    return HOME / f"{name}.jsonl"


def _asked(name: str) -> list[tuple[str, str, Any]]:
    """Return each line's url, model and messages, in order."""
    with _batch_file(name).open(encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    return [(line["url"], line["body"]["model"], line["body"]["messages"]) for line in lines]


def _build(name: str, drop: Path) -> None:
    to = _batch_file(name)
    to.unlink(missing_ok=True)  # openbatch would append
    if name == OURS:
        build_into(to, drop)
        return
    with drop.open(newline="", encoding="utf-8") as file, redirect_stdout(sys.stderr):  # instructor tells what it did
        PEERS[name].build(csv.DictReader(file), to)


def main() -> None:
    from benchmarks.figures import print_table, record  # not in the processes that are measured
    from benchmarks.runs import measure

    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as for the benchmarks
    record(FIGURES, peers(measure))
    print_table(FIGURES)


if __name__ == "__main__":
    if sys.argv[1:]:  # a process that `measure` starts
        _build(sys.argv[1], csv_drop(int(sys.argv[2])))
        print(peak_mb())  # `measure` reads it
    else:
        main()
