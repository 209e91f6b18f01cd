"""The benchmarks run with the current code."""

import json
import random
import re
import sys
from datetime import date
from pathlib import Path
from subprocess import CalledProcessError

import pytest

from benchmarks import __main__ as bench
from benchmarks import (
    cases,
    collecting,
    fast_paths,
    figures,
    inputs,
    joining,
    latency,
    profiles,
    repeating,
    runs,
    starting,
    submitting,
)
from benchmarks.runs import Spread
from tools.capacity import peers

NAIVE_COLLECTORS = {"collect_naive": "chat", "collect_jsonl_naive": "jsonl"}
CASES = {**collecting.CASES, **repeating.CASES, **cases.CASES}
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure with small inputs, in a working directory for the test."""
    (tmp_path / "examples").symlink_to(Path("examples").absolute())
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("case", [name for name in CASES if name not in NAIVE_COLLECTORS])
def test_each_case_runs_twice(case: str) -> None:
    CASES[case](20)
    CASES[case](20)


@pytest.mark.parametrize("case", NAIVE_COLLECTORS)
def test_the_naive_reader_reads_the_same_answers(case: str) -> None:
    collecting.ended_job(NAIVE_COLLECTORS[case], 20)
    CASES[case](20)


@pytest.mark.parametrize("extension", ["csv", "jsonl"])
def test_few_bytes_pass_through_a_join(extension: str) -> None:
    assert joining._ratio(extension, 2, 200_000) < 0.05


def test_submitting_creates_each_batch_of_a_drop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # the processes find the package below it
    monkeypatch.setattr(inputs, "FOLDER", tmp_path)
    monkeypatch.setattr(submitting, "FOLDER", tmp_path)
    monkeypatch.setattr(submitting, "ROWS", 20)
    monkeypatch.setattr(submitting, "PAIRS", 1)
    assert submitting.submitting().keys() == submitting.FIGURES.keys()


def test_a_drop_with_repeated_rows_is_submitted_with_and_without_dedupe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    for module in (inputs, submitting, repeating):
        monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setattr(repeating, "ROWS", 20)
    monkeypatch.setattr(repeating, "PAIRS", 1)
    assert repeating._ratio(repeating.repeated_drop(20, 50)).median > 0


@pytest.mark.slow
def test_each_function_is_started_as_it_is_deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(inputs, "FOLDER", tmp_path)
    monkeypatch.setattr(starting, "FOLDER", tmp_path / "starting")
    monkeypatch.setattr(starting, "RUNS", 1)
    monkeypatch.setattr(starting, "MANY_ROWS", 20)
    assert starting.starting().keys() == starting.FIGURES.keys()


def test_a_module_that_is_not_compiled_is_noticed(tmp_path: Path) -> None:
    module = tmp_path / "CoreLayer" / "module.py"
    module.parent.mkdir()
    module.write_text("")
    with pytest.raises(RuntimeError, match=r"module\.py is not compiled"):
        starting.check_compiled(tmp_path)


def test_functions_are_started_with_the_default_runtime_of_the_template() -> None:
    template = (ROOT / "template.yaml").read_text()
    (default,) = re.findall(r"^  Runtime:\n    Type: String\n    Default: (\S+)", template, re.MULTILINE)
    assert default == starting.RUNTIME


def test_the_naive_cases_build_the_bodies_of_the_recipe() -> None:
    assert cases.recipe_body() == inputs.BODY


def test_each_fast_path_is_measured_with_and_without_it() -> None:
    for step in fast_paths.steps(20).values():
        assert min(fast_paths.measure(step, 1)) >= 0


def test_each_figure_that_is_recorded_has_its_unit_and_its_run() -> None:
    declared = {**bench.FIGURES, **peers.FIGURES}
    recorded = figures.read()
    assert recorded["figures"].keys() <= declared.keys()
    for name, figure in recorded["figures"].items():
        assert figure.keys() - {"quartiles", "pairs"} == {"value", "unit", "run"}, name
        assert figure["unit"] == declared[name][0], name
    assert {figure["run"] for figure in recorded["figures"].values()} == recorded["runs"].keys()
    for run in recorded["runs"].values():
        assert date.fromisoformat(run["date"])
        assert run["commit"]
        assert run["cores"]


@pytest.fixture
def latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(figures, "LATEST", tmp_path / "latest.json")
    return tmp_path / "latest.json"


DECLARED = {"first_s": ("s", "≤ 1"), "second_mb": ("MiB", ""), "third_s": ("s", "")}


def test_a_figure_is_recorded_in_place_of_the_older_one(latest: Path) -> None:
    figures.record(DECLARED, {"first_s": 0.5, "second_mb": 64.0, "third_s": 2.0})
    figures.record(DECLARED, {"first_s": 0.12345, "third_s": None})
    recorded = json.loads(latest.read_text())
    assert {name: (figure["value"], figure["unit"]) for name, figure in recorded["figures"].items()} == {
        "first_s": (0.123, "s"),
        "second_mb": (64.0, "MiB"),
    }
    (run,) = recorded["runs"].values()
    assert run.keys() >= {"date", "commit", "python", "architecture", "cores", "load_per_core"}


@pytest.mark.parametrize(("fastest", "is_marked"), [(0.95, False), (0.8, True)])
def test_a_figure_of_noisy_runs_says_so(
    latest: Path, capsys: pytest.CaptureFixture[str], fastest: float, is_marked: bool
) -> None:
    figures.record(DECLARED, {"first_s": Spread.of([fastest, fastest, 1.0, 1.04, 1.04])})
    assert json.loads(latest.read_text())["figures"]["first_s"]["pairs"] == 5
    figures.print_table(DECLARED)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "first_s" in line]
    assert f"{fastest:g} – 1.04" in line
    assert ("spread over 10 %" in line) is is_marked


def test_the_table_shows_the_last_runs_that_were_committed(capsys: pytest.CaptureFixture[str]) -> None:
    figures.print_table({"build_speedup_vs_naive": ("times", "≥ 8")})
    _, titles, line = capsys.readouterr().out.splitlines()
    earlier = titles.split("bound")[1].split()
    assert 1 <= len(earlier) <= figures.EARLIER_RUNS
    values = line.split("≥ 8")[1].partition("spread over")[0]
    assert len(values.split()) == len(earlier)


def test_a_ratio_is_taken_pair_by_pair() -> None:
    """The machine is twice as slow in the second pair, which changes nothing."""
    ours, its = runs.Runs([2.0, 4.0, 2.2], [0.0] * 3), runs.Runs([1.0, 2.0, 1.0], [0.0] * 3)
    assert ours.over(its) == Spread(2.0, 2.0, 2.1, 3)


def test_a_run_counts_the_seconds_of_its_children() -> None:
    spin = "import time\nwhile time.process_time() < 0.3: pass"
    ended = runs.run(
        [sys.executable, "-c", f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {spin!r}])"]
    )
    assert ended.processor > 0.3


def test_a_run_that_fails_is_an_error() -> None:
    with pytest.raises(CalledProcessError):
        runs.run([sys.executable, "-c", "raise SystemExit(1)"])


@pytest.mark.parametrize("path", profiles.PATHS)
def test_a_profile_names_the_floor_and_the_functions_of_a_path(path: str) -> None:
    first, *functions = profiles.profile(path, 20)
    assert path in first
    assert profiles.PATHS[path][1].__name__ in first
    assert len(functions) == profiles.SHOWN
    assert sum(float(line.split("%")[0]) for line in functions) <= 100


def test_results_come_with_the_poll_after_the_end_of_their_batch(tmp_path: Path) -> None:
    world = latency.simulate(tmp_path / "single", 5, 1, 0, random.Random(1))
    assert len(world.waits) == 5
    assert all(latency.COLLECT_SECONDS < wait < latency.MINUTE + 20 for wait in world.waits.values())


def test_open_jobs_of_others_delay_results_by_the_calls_that_ask_for_them(tmp_path: Path) -> None:
    alone, among_many = (
        latency.simulate(tmp_path / str(others), 5, 1, others, random.Random(1)).waits.values() for others in (0, 300)
    )
    more = [its - own for own, its in zip(alone, among_many, strict=True)]
    assert all(0 < seconds < 3 for seconds in more), more


def test_the_batches_of_a_large_job_are_collected_a_few_at_once(tmp_path: Path) -> None:
    [wait] = latency.simulate(tmp_path / "large", 1, 60, 0, random.Random(1), at_once=True).waits.values()
    at_work = 60 / latency.AT_ONCE * latency.COLLECT_SECONDS
    assert at_work < wait < at_work + 3 * latency.MINUTE, "the polls send 8, 16 and 32 of them, and more"
