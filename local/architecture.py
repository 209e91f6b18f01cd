"""The generated parts of docs/architecture.md: the diagrams of states and the table of rooms.

`make architecture` writes them. A test fails if the page and the code differ.
"""

import ast
import tomllib
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import BatchState, JobState, checked_transition
from tools.generated import with_part

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "layers" / "core" / "dropbatch"
PAGE = ROOT / "docs" / "architecture.md"

S = TypeVar("S", JobState, BatchState)


def transitions(states: type[S]) -> list[tuple[S, S]]:
    """Return each allowed step from one state to another, in the order of the states."""
    return [(current, state) for current in states for state in states if _is_allowed(current, state)]


def state_diagram(states: type[S], first: S) -> str:
    """Return a Mermaid diagram of the states. It begins at `first`, and ends at states that no other follows."""
    steps: list[tuple[S, S]] = transitions(states)
    last: list[S] = [state for state in states if state not in {current for current, _ in steps}]
    arrows: list[tuple[str, str]] = [("[*]", first), *steps, *((state, "[*]") for state in last)]
    return _fenced(["stateDiagram-v2", *(f"    {current} --> {state}" for current, state in arrows)])


def layers() -> list[list[str]]:
    """Return the rooms and modules of the import contract, lowest first. Those of one entry are independent."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    [contract] = [contract for contract in config["contracts"] if contract["type"] == "layers"]
    names = [[name.strip().removeprefix("dropbatch.") for name in entry.split("|")] for entry in contract["layers"]]
    return names[::-1]


def sentences_of(name: str) -> tuple[str, str]:
    """Return the two sentences of a room's docstring: its contents, and what never is in it. A module has the first."""
    room = PACKAGE / name / "__init__.py"
    source = room if room.exists() else PACKAGE / f"{name}.py"
    holds, _, rest = (ast.get_docstring(ast.parse(source.read_text())) or "").partition("\n\n")
    never = rest.removeprefix("Never: ") if room.exists() else ""
    return " ".join(holds.split()), never[:1].upper() + never[1:]


def rooms_table() -> str:
    """Return the table of the rooms, lowest first."""
    rows = [
        f"| `{name}{'/' if (PACKAGE / name).is_dir() else '.py'}` | {holds} | {never} |"
        for names in layers()
        for name in names
        for holds, never in [sentences_of(name)]
    ]
    return "\n".join(["| room | what is in it | what never is |", "| --- | --- | --- |", *rows])


def generated() -> dict[str, str]:
    """Return each generated part by the name in its markers."""
    return {
        "job states": state_diagram(JobState, _first_state(Job)),
        "batch states": state_diagram(BatchState, _first_state(Batch)),
        "rooms": rooms_table(),
    }


def with_generated(page: str) -> str:
    """Return the page with each generated part between its markers. Raise a ValueError if a part has no markers."""
    for name, text in generated().items():
        page = with_part(page, name, text)
    return page


def _first_state(item: type[Job | Batch]) -> Any:
    [state] = [member.default for member in fields(item) if member.name == "state"]
    return state


def _is_allowed(current: S, state: S) -> bool:
    try:
        checked_transition(current, state)
    except AssertionError:
        return False
    return True


def _fenced(lines: Iterable[str]) -> str:
    return "\n".join(["```mermaid", *lines, "```"])


if __name__ == "__main__":
    PAGE.write_text(with_generated(PAGE.read_text()))
