"""The project as a package: its wheel has the command, and the layers have neither the command nor its packages."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import botocore
import pytest

import dropbatch

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "layers" / "core" / "dropbatch"
ROOMS_OF_PEOPLE = ("client", "cli")
"""The rooms that do not run on Lambda."""

PACKAGES_OF_THE_COMMAND = {"typer", "rich"}
"""The dependencies that only those rooms use."""


def dependencies() -> set[str]:
    """Return the names of the packages that the project depends on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {re.split(r"[><=;\[ ]", requirement, maxsplit=1)[0] for requirement in project["dependencies"]}


def build(folder: Path, makefile: str, target: str) -> None:
    """Build a layer into `built`, with the project's uv, which however installs only botocore's data.

    Byte code is not compiled.
    """
    uv = folder / ".local" / "uv" / "bin" / "uv"
    uv.parent.mkdir(parents=True)
    real = ROOT / ".local" / "uv" / "bin" / "uv"
    data = Path(botocore.__file__).parent / "data"
    install = f'mkdir -p built/python/botocore && cp -R "{data}" built/python/botocore && exit'
    uv.write_text(f'#!/bin/sh\n[ "$1" = pip ] && {install}\nexec "{real}" "$@"\n')
    uv.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    arguments = ["-f", makefile, target, "ARTIFACTS_DIR=built", "interpreter="]
    subprocess.run(["make", *arguments], cwd=folder, env=environment, check=True, capture_output=True)


def test_the_layer_of_packages_lacks_those_of_the_command(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "uv.lock", "samconfig.toml", "layers/layers.mk", "layers/dependencies/Makefile"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    build(tmp_path, "layers/dependencies/Makefile", "build-DependenciesLayer")

    text = (tmp_path / "layers/dependencies/requirements.txt").read_text()
    exported = set(re.findall(r"^([\w-]+)==", text, re.MULTILINE))
    assert not exported & {*PACKAGES_OF_THE_COMMAND, "shellingham", "pygments", "markdown-it-py", "pyarrow"}
    missing = dependencies() - exported - PACKAGES_OF_THE_COMMAND
    assert missing <= {"backports-zstd"}, "Lambda needs all others"
    assert {"boto3", "openai", "jinja2", "botocore"} <= exported
    kept = {path.name for path in (tmp_path / "built" / "python" / "botocore" / "data").iterdir() if path.is_dir()}
    assert kept == services()


def services() -> set[str]:
    """Return the services whose clients the functions make."""
    return {
        call.args[0].value
        for path in sources_of_the_layer()
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("client", "later")
        and isinstance(call.args[0], ast.Constant)
    }


def test_the_core_layer_lacks_the_rooms_of_people(tmp_path: Path) -> None:
    for name in ("layers/layers.mk", "layers/core/Makefile"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(PACKAGE, tmp_path / "layers" / "core" / "dropbatch", ignore=shutil.ignore_patterns("__pycache__"))

    build(tmp_path, "layers/core/Makefile", "build-CoreLayer")

    built = {path.name for path in (tmp_path / "built" / "python" / "dropbatch").iterdir()}
    assert built == {path.name for path in PACKAGE.iterdir()} - {*ROOMS_OF_PEOPLE, "__pycache__"}


def sources_of_the_layer() -> list[Path]:
    """Return the modules that run on Lambda."""
    ours = [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in ROOMS_OF_PEOPLE]
    return [*ours, *(ROOT / "functions").rglob("*.py")]


def test_no_module_of_the_layer_imports_what_it_lacks() -> None:
    for path in sources_of_the_layer():
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.partition(".")[0] not in PACKAGES_OF_THE_COMMAND, path
                assert not name.startswith(tuple(f"dropbatch.{room}" for room in ROOMS_OF_PEOPLE)), path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel as `uv build` and `pip install .` make it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_has_the_command_and_nothing_of_a_layer_s_build(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"dropbatch-{dropbatch.__version__}.dist-info/METADATA").decode()
        scripts = archive.read(f"dropbatch-{dropbatch.__version__}.dist-info/entry_points.txt").decode()
    assert "dropbatch = dropbatch.cli.main:main" in scripts
    sources = {f"dropbatch/{path.relative_to(PACKAGE)}" for path in PACKAGE.rglob("*.py")}
    assert sources <= names
    assert "dropbatch/py.typed" in names
    assert {name.partition("/")[0] for name in names} == {"dropbatch", f"dropbatch-{dropbatch.__version__}.dist-info"}
    assert not [name for name in names if name.endswith(("built_for.txt", ".pyc"))]
    for package in dependencies():
        assert f"Requires-Dist: {package}" in metadata


def test_the_command_runs_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    code = "import dropbatch; from dropbatch.cli.main import main; print(dropbatch.__file__); main()"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    arguments = ["check", ROOT / "examples/reviews/reviews.csv"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith(str(tmp_path / "installed"))
    assert "3,000 rows" in done.stdout
