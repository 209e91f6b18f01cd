"""The switch of the fast paths."""

import pytest

from dropbatch import fast_paths


@pytest.mark.parametrize(("value", "enabled"), [(None, True), ("", True), ("1", True), ("0", False)])
def test_only_zero_switches_the_fast_paths_off(
    value: str | None, enabled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is None:
        monkeypatch.delenv("DROPBATCH_FAST", raising=False)
    else:
        monkeypatch.setenv("DROPBATCH_FAST", value)
    assert fast_paths.enabled.__wrapped__() is enabled  # type: ignore[attr-defined]  # what `cache` wraps
