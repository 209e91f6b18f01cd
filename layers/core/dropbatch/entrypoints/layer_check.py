"""A check that the layers were built for the function's Python version and processor.

Without it, the import of the first package with compiled code fails with an error that names neither. It must run
before other imports, so it uses only the standard library.
"""

import platform
import sys
from pathlib import Path

BUILT_FOR = Path(__file__).with_name("built_for.txt")
"""The record of the layer's build, such as `python3.13 arm64`. It is missing if the package runs from its sources."""

_ARCHITECTURES = {"aarch64": "arm64", "amd64": "x86_64"}
"""Lambda's names of processors, by the operating system's names that differ."""


class LayerMismatchError(RuntimeError):
    """The layers were built for another runtime or processor."""


def check_layer(
    record: Path = BUILT_FOR,
    runtime: str = f"python{sys.version_info.major}.{sys.version_info.minor}",
    machine: str = platform.machine(),
) -> None:
    """Raise LayerMismatchError unless the layer was built for this runtime and processor."""
    try:
        built_for = record.read_text(encoding="ascii").split()
    except FileNotFoundError:
        return
    running_on = [runtime, _ARCHITECTURES.get(machine.lower(), machine.lower())]
    if built_for != running_on:
        raise LayerMismatchError(
            f"The layers were built for {' on '.join(built_for)}, but the function runs {' on '.join(running_on)}: "
            f"deploy again with `make deploy RUNTIME={running_on[0]} ARCHITECTURE={running_on[1]}`."
        )
