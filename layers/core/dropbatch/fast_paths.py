"""The switch of all fast paths: `DROPBATCH_FAST=0` turns them off, and the results are the same, only later.

A fast path computes what a simpler path beside it computes, for speed alone. It is in a file named `fast_….py`, whose
docstring says what it saves, and one place chooses between the two. So the system can be read, debugged and tested
without its fast paths. A condition that only skips needless work is no fast path.
"""

import os
from functools import cache


@cache
def enabled() -> bool:
    """Return whether fast paths may be taken. The environment is read once per process."""
    return os.environ.get("DROPBATCH_FAST") != "0"
