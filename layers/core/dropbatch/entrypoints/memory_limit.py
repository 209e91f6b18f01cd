"""A limit of the process's memory: without it, Lambda would kill the process instead of raising an error."""

import resource
from collections.abc import MutableMapping

FUNCTION_MEMORY = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"
"""Lambda's own variable: the function's memory in MiB."""

KEPT_BACK_MIB = 64
"""The memory of the interpreter's code and of Lambda's own processes."""


def limit_memory(environment: MutableMapping[str, str]) -> None:
    """Limit the process's data to the function's memory. Do nothing outside Lambda.

    Call it with `os.environ`, before anything imports pyarrow.

    Lambda kills a process that takes more than the function's memory, and nobody learns why a drop failed. With a limit
    just below that, Python raises MemoryError, which rejects the template or the drop that takes too much.
    """
    memory = environment.get(FUNCTION_MEMORY)
    if memory is None:
        return
    # Arrow's own allocator reserves a gigabyte at once, which counts as data. The C library's takes only what it needs.
    environment.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    size = (int(memory) - KEPT_BACK_MIB) << 20
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if most != resource.RLIM_INFINITY:
        size = min(size, most)
    resource.setrlimit(resource.RLIMIT_DATA, (size, most))
