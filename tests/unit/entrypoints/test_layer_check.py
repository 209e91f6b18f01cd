"""Layers of another Python or processor are refused in one sentence."""

from pathlib import Path

import pytest

from dropbatch.entrypoints.layer_check import BUILT_FOR, LayerMismatchError, check_layer


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "built_for.txt"
    path.write_text("python3.13 arm64\n")
    return path


@pytest.mark.parametrize("machine", ["aarch64", "arm64"])
def test_layers_that_fit_are_accepted(record: Path, machine: str) -> None:
    check_layer(record, "python3.13", machine)


@pytest.mark.parametrize(
    ("runtime", "machine", "running_on", "remedy"),
    [
        ("python3.12", "aarch64", "python3.12 on arm64", "RUNTIME=python3.12 ARCHITECTURE=arm64"),
        ("python3.13", "x86_64", "python3.13 on x86_64", "RUNTIME=python3.13 ARCHITECTURE=x86_64"),
    ],
)
def test_layers_for_another_python_or_processor_are_refused_with_the_command_that_helps(
    record: Path, runtime: str, machine: str, running_on: str, remedy: str
) -> None:
    with pytest.raises(LayerMismatchError) as refused:
        check_layer(record, runtime, machine)

    assert str(refused.value) == (
        f"The layers were built for python3.13 on arm64, but the function runs {running_on}: "
        f"deploy again with `make deploy {remedy}`."
    )


def test_an_empty_record_does_not_match_this_python(record: Path) -> None:
    record.write_text("")
    with pytest.raises(LayerMismatchError):
        check_layer(record)


def test_the_package_runs_from_its_sources(tmp_path: Path) -> None:
    assert not BUILT_FOR.exists()
    check_layer(tmp_path / "absent.txt", "python3.9", "riscv64")
