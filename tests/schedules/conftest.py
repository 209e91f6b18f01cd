"""Small chunks, so that time can run out within a file of a few rows."""

import pytest

from dropbatch.formats import reading
from dropbatch.formats.csv import reader as separated


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(separated, "CHUNK_BYTES", 24)
    monkeypatch.setattr(reading, "CHUNK_BYTES", 24)
