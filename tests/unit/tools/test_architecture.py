"""The architecture page says what the code says: the states, the rooms and their order."""

import pytest

from dropbatch.domain.states import CLOSED, ENDED_JOBS, BatchState, JobState
from local import architecture


def test_the_generated_parts_of_the_page_are_those_of_today() -> None:
    page = architecture.PAGE.read_text()
    assert page == architecture.with_generated(page), "run `make architecture`"


def test_every_package_is_a_room_of_the_import_contract() -> None:
    ordered = [name for names in architecture.layers() for name in names]
    packages = {folder.parent.name for folder in architecture.PACKAGE.glob("*/__init__.py")}
    modules = {module.stem for module in architecture.PACKAGE.glob("*.py")} - {"__init__"}
    assert len(ordered) == len(set(ordered))
    assert set(ordered) == packages | modules


@pytest.mark.parametrize("room", sorted(folder.parent.name for folder in architecture.PACKAGE.glob("*/__init__.py")))
def test_every_room_says_in_two_lines_what_is_in_it_and_what_never_is(room: str) -> None:
    lines = (architecture.PACKAGE / room / "__init__.py").read_text().partition('"""\n')[0].splitlines()
    assert len([line for line in lines if line]) == 2, "one line for what is in it, one that begins with Never"
    assert lines[-1].startswith("Never: ")
    assert all(architecture.sentences_of(room))


def test_states_end_where_nothing_follows() -> None:
    assert {current for current, _ in architecture.transitions(JobState)} == set(JobState) - ENDED_JOBS
    assert {current for current, _ in architecture.transitions(BatchState)} == set(BatchState) - CLOSED
