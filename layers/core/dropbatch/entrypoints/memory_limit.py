"""Makes a lack of memory an error that can be handled, where else the process would be killed."""

import resource
from collections.abc import MutableMapping

FUNCTION_MEMORY = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"
"""Lambda's own variable: the function's memory in MiB."""

KEPT_BACK_MIB = 64
"""What the interpreter's code and Lambda's own processes take beside the data of this one."""


def limit_memory(environment: MutableMapping[str, str]) -> None:
    """Bound the process's data by the function's memory. Elsewhere than on Lambda, do nothing.

    To be called with `os.environ`, before anything imports pyarrow.

    Lambda kills a process that takes more than the function has, so that nobody is told why a drop failed. With a bound
    just below that, Python raises MemoryError instead, which rejects the template or the drop that asked for too much.
    """
    memory = environment.get(FUNCTION_MEMORY)
    if memory is None:
        return
    # Arrow's own allocator reserves a gigabyte at once, which would count as data; the C library's takes what it needs.
    environment.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    size = (int(memory) - KEPT_BACK_MIB) << 20
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if most != resource.RLIM_INFINITY:
        size = min(size, most)
    resource.setrlimit(resource.RLIMIT_DATA, (size, most))
