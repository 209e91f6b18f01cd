"""The architecture page agrees with the code: the states, the rooms and their order."""

import pytest

from dropbatch.domain.states import CLOSED, ENDED_JOBS, BatchState, JobState
from local import architecture


def test_the_generated_parts_of_the_page_are_current() -> None:
    page = architecture.PAGE.read_text()
    assert page == architecture.with_generated(page), "run `make architecture`"


def test_every_package_is_a_room_of_the_import_contract() -> None:
    ordered = [name for names in architecture.layers() for name in names]
    packages = {folder.parent.name for folder in architecture.PACKAGE.glob("*/__init__.py")}
    modules = {module.stem for module in architecture.PACKAGE.glob("*.py")} - {"__init__"}
    assert len(ordered) == len(set(ordered))
    assert set(ordered) == packages | modules


@pytest.mark.parametrize("room", sorted(folder.parent.name for folder in architecture.PACKAGE.glob("*/__init__.py")))
def test_every_room_has_a_docstring_of_two_lines(room: str) -> None:
    lines = (architecture.PACKAGE / room / "__init__.py").read_text().partition('"""\n')[0].splitlines()
    assert len([line for line in lines if line]) == 2, "one line for what is in it, one that begins with Never"
    assert lines[-1].startswith("Never: ")
    assert all(architecture.sentences_of(room))


def test_final_states_have_no_transitions() -> None:
    assert {current for current, _ in architecture.transitions(JobState)} == set(JobState) - ENDED_JOBS
    assert {current for current, _ in architecture.transitions(BatchState)} == set(BatchState) - CLOSED
