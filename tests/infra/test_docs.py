"""What the documents promise is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_stands_for_a_failure_exists() -> None:
    named = re.findall(r"`([a-z0-9_]+/test_\w+\.py)(?:::(\w+))?`", (ROOT / "docs" / "failures.md").read_text())
    assert len(named) > 40
    for file, function in named:
        source = (ROOT / "tests" / file).read_text()
        assert not function or f"def {function}(" in source, f"{file}::{function}"
