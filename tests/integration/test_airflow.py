"""The example for Airflow, with Airflow itself, which has an environment of its own (`local/setup.sh`)."""

import json
import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AIRFLOW = Path(os.environ.get("AIRFLOW_PYTHON", ROOT / ".local" / "airflow" / "bin" / "python"))

PROGRAM = """
import json, sys
from pathlib import Path

folder, packages = Path(sys.argv[1]), sys.argv[2]
sys.path.append(packages)  # what Airflow does not have itself

from airflow.sdk.exceptions import AirflowFailException
from dropbatch.client import Stack
from dropbatch_operators import PutFile, RunSensor
from reviews_dag import dag
from tests.fakes import FakeContext
from tests.stacks import fake_stack

fake = FakeContext(folder)
stack = fake_stack(fake)
Stack.find = lambda name=None: stack
said = {"tasks": sorted(dag.task_ids), "upstream": sorted(dag.get_task("answered").upstream_task_ids)}


def run(file, **arguments):
    put = PutFile(task_id="put", file=str(folder / file), to="lake/", recipe=str(folder / "recipe.yaml"))
    sensor = RunSensor(task_id="answered", upload=put.execute({}), **arguments)
    first = sensor.poke({})
    assert not first.is_done, "Dropbatch has not read the file yet"
    while not (poked := sensor.poke({})).is_done:
        stack.sleep(60)
    return poked.xcom_value


said["good"] = run("good.csv")
said["same file again"] = run("good.csv")
try:
    run("bad.csv")
except AirflowFailException as error:
    said["bad"] = str(error)
print(json.dumps(said))
"""


@pytest.mark.slow
def test_the_task_and_the_sensor_run_in_airflow(tmp_path: Path) -> None:
    assert AIRFLOW.exists(), "Airflow is not installed: run `sh local/setup.sh tests`."
    (tmp_path / "recipe.yaml").write_text("model: gpt-6-luna\nprompt: '{{ text }}'\n")
    (tmp_path / "good.csv").write_text("text\na\nb\n")
    (tmp_path / "bad.csv").write_text("comment\na\n")
    paths = [ROOT / "layers" / "core", ROOT / "examples" / "airflow", ROOT]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    done = subprocess.run(
        [AIRFLOW, "-W", "ignore", "-c", PROGRAM, tmp_path, sysconfig.get_path("purelib")],
        env=environment, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["tasks"] == ["answered", "load", "put"]
    assert said["upstream"] == ["put"]
    assert said["good"]["status"] == "succeeded"
    assert said["good"]["rows"]["ok"] == 2
    assert said["good"]["objects"]["answers"].endswith("good.answers.csv")
    assert said["same file again"]["job_id"] != said["good"]["job_id"]
    assert "lake/bad.csv is rejected" in said["bad"]
