"""The switch of the fast paths."""

import ast
from pathlib import Path

import pytest

import dropbatch
from dropbatch import fast_paths

FILES = sorted(Path(dropbatch.__path__[0]).glob("*/**/fast_*.py"))


@pytest.mark.parametrize(("value", "enabled"), [(None, True), ("", True), ("1", True), ("0", False)])
def test_only_zero_switches_the_fast_paths_off(
    value: str | None, enabled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is None:
        monkeypatch.delenv("DROPBATCH_FAST", raising=False)
    else:
        monkeypatch.setenv("DROPBATCH_FAST", value)
    assert fast_paths.enabled.__wrapped__() is enabled  # type: ignore[attr-defined]  # what `cache` wraps


def test_there_are_fast_paths() -> None:
    assert len(FILES) > 10


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_file_says_what_it_saves(file: Path) -> None:
    said = ast.get_docstring(ast.parse(file.read_text())) or ""
    assert said.startswith(("Fast path: ", "Part of the fast path "))
    assert "times as long without" in said
