"""What the documents promise is there."""

import re
from pathlib import Path

import pytest

from benchmarks import costs

ROOT = Path(__file__).parents[2]


def test_every_test_that_stands_for_a_failure_exists() -> None:
    named = re.findall(r"`([a-z0-9_]+/test_\w+\.py)(?:::(\w+))?`", (ROOT / "docs" / "failures.md").read_text())
    assert len(named) > 40
    for file, function in named:
        source = (ROOT / "tests" / file).read_text()
        assert not function or f"def {function}(" in source, f"{file}::{function}"


def test_what_scale_md_says_follows_from_the_figures_that_it_states() -> None:
    text = (ROOT / "docs" / "scale.md").read_text()
    figures = costs.read_figures(text)
    for table in (costs.costs_table(figures), costs.quotas_table(figures), costs.figures_table(figures)):
        assert table in text, f"write it anew:\n{table}"


def test_the_calls_that_scale_md_states_are_about_what_is_called() -> None:
    stated = costs.read_figures((ROOT / "docs" / "scale.md").read_text())
    for name, counted in costs.count().items():
        assert stated[name] == pytest.approx(counted, rel=0.3, abs=2), (
            f"{name}: `python -m benchmarks.costs` counts anew"
        )
