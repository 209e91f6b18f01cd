"""Runs a step with the fast paths and without them, whatever `DROPBATCH_FAST` says."""

from collections.abc import Callable
from typing import TypeVar

import pytest

from dropbatch import fast_paths

T = TypeVar("T")


def both_ways(step: Callable[[], T]) -> tuple[T, T]:
    """Return what a step returns with all fast paths, and what without any."""
    found = []
    for enabled in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fast_paths, "enabled", lambda enabled=enabled: enabled)
            found.append(step())
    with_them, without = found
    return with_them, without
