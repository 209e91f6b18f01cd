"""The benchmarks run: what they measure is the code as it is today, not as it was when they were written."""

from pathlib import Path

import pytest

from benchmarks import cases, collecting, fast_paths, joining

CASES = {**collecting.CASES, **cases.CASES}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure on small inputs that are made for the test, in the working directory."""
    (tmp_path / "examples").symlink_to(Path("examples").absolute())
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("case", [name for name in CASES if name != "collect_naive"])
def test_each_case_comes_to_its_end_twice(case: str) -> None:
    CASES[case](20)
    CASES[case](20)


def test_the_naive_collecting_reads_what_ours_has_collected() -> None:
    collecting.ended_job("chat", 20)
    CASES["collect_naive"](20)


@pytest.mark.parametrize("extension", ["csv", "jsonl"])
def test_few_bytes_pass_through_a_joining(extension: str) -> None:
    assert joining._ratio(extension, 2, 200_000) < 0.05


def test_each_fast_path_is_measured_with_and_without_it() -> None:
    for step in fast_paths.steps(20).values():
        assert min(fast_paths.measure(step, 1)) >= 0
