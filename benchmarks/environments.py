"""Environments of packages that the project does not use itself: with pinned versions, apart from its own packages."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

UV = ".local/uv/bin/uv"


def installed(folder: Path, requirements: Sequence[str], python: str = sys.executable) -> str | None:
    """Return the interpreter of the environment in this folder, or None if a requirement does not install.

    Create the environment if it is missing, or has other versions.
    """
    folder = folder.absolute()
    interpreter, stamp = folder / "bin" / "python", folder / "made-of"
    made_of = f"{python} {sys.version} {folder} {' '.join(requirements)}"
    if interpreter.exists() and stamp.exists() and stamp.read_text() == made_of:
        return str(interpreter)
    shutil.rmtree(folder, ignore_errors=True)
    for command in (
        ["venv", "--quiet", "--no-project", "--python", python, str(folder)],
        ["pip", "install", "--quiet", "--compile-bytecode", "--python", str(interpreter), *requirements],
    ):
        ran = subprocess.run([UV, *command], capture_output=True, text=True)
        if ran.returncode:
            print(f"  {requirements[0]} does not install here, and is left out:\n{ran.stderr.rstrip()}")
            return None
    stamp.write_text(made_of)
    return str(interpreter)
