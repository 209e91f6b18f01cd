"""Says, at the end of a run, how many kill points and schedules were gone through."""

from collections import Counter
from collections.abc import Iterator

import pytest

_TOTAL: Counter[str] = Counter()
_KEY = "schedules"


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Counter[str]]:
    """What a test counts of what it ran, by kind."""
    counted: Counter[str] = Counter()
    yield counted
    _TOTAL.update(counted)
    output = getattr(request.config, "workeroutput", None)
    if output is not None:  # a worker of xdist: its controller adds them up
        output[_KEY] = dict(_TOTAL)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    _TOTAL.update(getattr(node, "workeroutput", {}).get(_KEY, {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _TOTAL:
        terminalreporter.write_line(", ".join(f"{count:,} {what}" for what, count in sorted(_TOTAL.items())) + " run")
