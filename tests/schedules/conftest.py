"""Files of a few rows are read in several chunks, so that time can run out within them."""

import pytest

from dropbatch.formats import lines


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "CHUNK_BYTES", 24)
