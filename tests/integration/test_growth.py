"""The study of growth runs with the current code, and docs/scale.md shows what it found last."""

from pathlib import Path

import pytest

from benchmarks import growth, growth_page, growth_stages, inputs
from benchmarks.growth import DIMENSIONS, Growth, Point
from tests.fakes import FakeClock, FakeOpenAI
from tools.generated import with_part

SIZES = {"rows": [10, 30], "drops": [1, 3], "jobs": [1, 3], "columns": [10, 30], "row_bytes": [10, 30]}


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep inputs in a folder for the test, and make them small."""
    for module in (inputs, growth):
        monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setattr(growth, "RUNS", 1)
    monkeypatch.setattr(growth, "CELLS", 300)
    monkeypatch.setattr(growth, "MAX_BYTES", 1_000)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", DIMENSIONS)
def test_each_dimension_is_taken_through_its_stages(name: str, tmp_path: Path) -> None:
    found = growth.measure(DIMENSIONS[name], SIZES[name])
    assert found
    for its in found.values():
        assert [point.size for point in its.points] == SIZES[name]
        assert all(point.seconds > 0 and point.peak_mb > 0 and point.calls > 0 for point in its.points)
    assert list(tmp_path.glob("*.csv")) == [], "inputs are deleted"


def test_each_further_drop_makes_as_many_calls_as_the_one_before(tmp_path: Path) -> None:
    calls = [
        growth_stages.submit_many(FakeOpenAI(FakeClock()), tmp_path / str(drops), drops).calls for drops in (10, 20, 30)
    ]
    assert calls[2] - calls[1] == calls[1] - calls[0] > 0


def points(times: dict[int, float]) -> list[Point]:
    return [Point(size, seconds, 50, 1, 1) for size, seconds in times.items()]


def test_the_exponent_is_that_of_the_upper_two_decades_without_the_start() -> None:
    found = points({1: 9.0, 10: 9.0, 100: 2.0 + 1, 1_000: 2.0 + 100, 10_000: 2.0 + 10_000})
    assert Growth(found, 2.0).exponent() == pytest.approx(2)


def test_the_exponent_of_a_row_is_that_of_the_time_of_each() -> None:
    found = points({10: 5.0, 100: 5.0, 1_000: 5.0})
    assert Growth(found).exponent() == pytest.approx(0)
    assert Growth(found).exponent(lambda size: 1_000 // size) == pytest.approx(1)


def test_a_dimension_is_recorded_in_place_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "growth.json"
    growth.record("rows", {"submit": Growth(points({1: 1.0}), 0.5)}, path)
    growth.record("jobs", {"poll": Growth(points({1: 1.0}))}, path)
    growth.record("rows", {"submit": Growth(points({1: 3.0}), 0.5)}, path)
    known, found = growth.read(path)
    assert found == {
        "rows": {"submit": Growth(points({1: 3.0}), 0.5)},
        "jobs": {"poll": Growth(points({1: 1.0}))},
    }
    assert known["run_of"].keys() == found.keys()
    assert set(known["run_of"].values()) == known["runs"].keys()


def test_the_page_and_the_picture_show_what_was_measured_last() -> None:
    known, found = growth.read()
    assert found.keys() == DIMENSIONS.keys()
    page = growth_page.PAGE.read_text()
    assert with_part(page, "growth", growth_page.part(known, found)) == page, "run `python -m benchmarks.growth_page`"
    assert growth_page.PICTURE.read_text() == growth_page.picture(found), "run `python -m benchmarks.growth_page`"


NOT_IN_PROPORTION = {"row_bytes"}
"""The system's time rises in a step, as docs/scale.md says. The user's does not."""


def test_the_time_that_was_measured_last_grows_in_proportion() -> None:
    _, found = growth.read()
    for name, stages in found.items():
        bound = growth_page.MAX_EXPONENT + (0.1 if name in NOT_IN_PROPORTION else 0)
        for stage, its in stages.items():
            assert its.exponent(DIMENSIONS[name].rows) <= bound, f"{name}, {stage}"


def test_the_memory_that_was_measured_last_fits_into_a_function() -> None:
    _, found = growth.read()
    assert max(point.peak_mb for stages in found.values() for its in stages.values() for point in its.points) <= 256


@pytest.mark.parametrize(
    ("seconds", "text"), [(123.4, "123 s"), (9.96, "10 s"), (0.0512, "51 ms"), (0.0012, "1.2 ms"), (2e-6, "2 µs")]
)
def test_a_time_has_a_unit_that_fits(seconds: float, text: str) -> None:
    assert growth_page.seconds_text(seconds) == text


def test_a_part_without_its_markers_is_an_error() -> None:
    with pytest.raises(ValueError, match="'growth' once"):
        with_part("<!-- generated: growth -->\n", "growth", "text")
