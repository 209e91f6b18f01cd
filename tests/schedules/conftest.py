"""Small chunks, so that time can run out within a file of a few rows."""

import pytest

from dropbatch.formats import lines


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "CHUNK_BYTES", 24)
