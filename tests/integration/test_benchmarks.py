"""The benchmarks run with the current code."""

import json
from datetime import date
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks import cases, collecting, fast_paths, figures, inputs, joining, repeating, submitting
from tools.capacity import peers

CASES = {**collecting.CASES, **repeating.CASES, **cases.CASES}
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure with small inputs, in a working directory for the test."""
    (tmp_path / "examples").symlink_to(Path("examples").absolute())
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("case", [name for name in CASES if name != "collect_naive"])
def test_each_case_runs_twice(case: str) -> None:
    CASES[case](20)
    CASES[case](20)


def test_the_naive_reader_reads_the_same_answers() -> None:
    collecting.ended_job("chat", 20)
    CASES["collect_naive"](20)


@pytest.mark.parametrize("extension", ["csv", "jsonl"])
def test_few_bytes_pass_through_a_join(extension: str) -> None:
    assert joining._ratio(extension, 2, 200_000) < 0.05


def test_submitting_creates_each_batch_of_a_drop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # the processes find the package below it
    monkeypatch.setattr(inputs, "FOLDER", tmp_path)
    monkeypatch.setattr(submitting, "FOLDER", tmp_path)
    monkeypatch.setattr(submitting, "ROWS", 20)
    monkeypatch.setattr(submitting, "RUNS", 1)
    assert submitting.submitting().keys() == submitting.FIGURES.keys()


def test_a_drop_with_repeated_rows_is_submitted_with_and_without_dedupe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    for module in (inputs, submitting, repeating):
        monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setattr(repeating, "ROWS", 20)
    monkeypatch.setattr(repeating, "RUNS", 1)
    assert repeating._ratio(repeating.repeated_drop(20, 50)) > 0


def test_the_naive_cases_build_the_bodies_of_the_recipe() -> None:
    assert cases.recipe_body() == inputs.BODY


def test_each_fast_path_is_measured_with_and_without_it() -> None:
    for step in fast_paths.steps(20).values():
        assert min(fast_paths.measure(step, 1)) >= 0


def test_each_figure_that_is_recorded_has_its_unit_date_commit_and_machine() -> None:
    declared = {**bench.FIGURES, **peers.FIGURES}
    recorded = figures.read()
    assert recorded.keys() <= declared.keys()
    for name, figure in recorded.items():
        assert figure.keys() == {"value", "unit", "date", "commit", "machine"}, name
        assert figure["unit"] == declared[name][0], name
        assert date.fromisoformat(figure["date"]), name
        assert figure["commit"], name
        assert figure["machine"], name


def test_a_figure_is_recorded_in_place_of_the_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "LATEST", tmp_path / "latest.json")
    declared = {"first_s": ("s", "≤ 1"), "second_mb": ("MiB", ""), "third_s": ("s", "")}
    figures.record(declared, {"first_s": 0.5, "second_mb": 64.0, "third_s": 2.0})
    figures.record(declared, {"first_s": 0.12345, "third_s": None})
    recorded = json.loads((tmp_path / "latest.json").read_text())
    assert {name: (figure["value"], figure["unit"]) for name, figure in recorded.items()} == {
        "first_s": (0.123, "s"),
        "second_mb": (64.0, "MiB"),
    }
    assert all(figure["date"] and figure["commit"] and figure["machine"] for figure in recorded.values())
