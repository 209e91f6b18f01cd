"""A lack of memory is an error that can be handled, not the end of the process."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from dropbatch.entrypoints.memory_limit import FUNCTION_MEMORY, limit_memory

CORE = str(Path(__file__).parents[3] / "layers" / "core")
PROGRAM = f"""
import sys
sys.path.insert(0, {CORE!r})
from dropbatch.entrypoints.memory_limit import limit_memory
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


@pytest.mark.slow
def test_tables_fit_into_it_as_well() -> None:
    """Arrow would reserve a gigabyte, whatever the table."""
    program = PROGRAM.partition("kept =")[0].replace(f'{{{FUNCTION_MEMORY!r}: "512"}}', "os.environ")
    program = f"import os\nos.environ[{FUNCTION_MEMORY!r}] = '1769'\n{program}"
    program += "import pyarrow\nprint(pyarrow.default_memory_pool().backend_name, len(pyarrow.array(range(1000))))\n"
    program += "print('a' * (1400 << 20) != '')\n"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "system 1000\nTrue\n"


def test_elsewhere_memory_is_not_limited() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit_memory({})
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
