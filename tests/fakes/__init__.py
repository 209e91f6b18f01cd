"""Fakes of all ports in memory, a clock that tests move, and a process that can be killed at any call.

The fakes pass the same contract suite as the real adapters (`tests/contract`).
"""

from tests.fakes.answers import answer_ok, echo, response_line, tokens_of
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.context import FakeContext
from tests.fakes.download import FakeDownload
from tests.fakes.faults import Fault, Faults
from tests.fakes.killer import Killed, Killer
from tests.fakes.names import INBOX, RESULTS, WORK
from tests.fakes.objects import FakeObjects
from tests.fakes.observer import FakeObserver
from tests.fakes.openai import Answerer, FakeOpenAI, Refuser
from tests.fakes.queues import Chains, FakeDeadLetters, FakeMessage, FakeQueue
from tests.fakes.table import FakeTable
from tests.fakes.topics import FakeTopics

__all__ = [
    "INBOX",
    "RESULTS",
    "WORK",
    "Answerer",
    "Chains",
    "FakeBus",
    "FakeClock",
    "FakeContext",
    "FakeDeadLetters",
    "FakeDownload",
    "FakeMessage",
    "FakeObjects",
    "FakeObserver",
    "FakeOpenAI",
    "FakeQueue",
    "FakeTable",
    "FakeTopics",
    "Fault",
    "Faults",
    "Killed",
    "Killer",
    "Refuser",
    "answer_ok",
    "echo",
    "response_line",
    "tokens_of",
]  # fmt: skip  # names, a line of them
