"""A lack of memory is an error that can be handled, not the end of the process."""

import resource
import subprocess
import sys
from pathlib import Path

from dropbatch.memory_limit import FUNCTION_MEMORY, limit_memory

CORE = str(Path(__file__).parents[2] / "layers" / "core")
PROGRAM = f"""
import sys
sys.path.insert(0, {CORE!r})
from dropbatch.memory_limit import limit_memory
limit_memory({{{FUNCTION_MEMORY!r}: "512"}})
kept = "a" * (100 << 20)
try:
    "a" * (600 << 20)
except MemoryError:
    print("refused", len(kept) >> 20)
"""


def test_on_lambda_too_much_memory_is_refused() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert ran.stdout == "refused 100\n"


def test_elsewhere_nothing_is_bounded() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit_memory({})
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
