"""Dropbatch in Airflow: a task that puts a file, and a sensor that waits for the end of its run.

Both use `dropbatch.client`, with the credentials that boto3 finds in Airflow's workers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import BaseOperator, BaseSensorOperator, PokeReturnValue
from airflow.sdk.exceptions import AirflowFailException

from dropbatch.client import Run, Stack, Upload


class PutFile(BaseOperator):
    """Put a file into a folder of the inbox. Its XCom is what `RunSensor` waits for."""

    template_fields: Sequence[str] = ("file", "to", "recipe", "stack")

    def __init__(
        self, *, file: str, to: str, recipe: str | None = None, stack: str | None = None, **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        self.file = file
        self.to = to
        self.recipe = recipe
        self.stack = stack

    def execute(self, context: Any) -> dict[str, str]:  # noqa: ARG002  # Airflow's
        upload = Stack.find(self.stack).put(
            self.file, to=self.to, recipe=self.recipe, labels={"airflow_task": self.task_id}
        )
        return {"key": upload.key, "version_id": upload.version_id}


class RunSensor(BaseSensorOperator):
    """Wait for the run of an upload, and of no older one. Its XCom says where the answers are.

    The task fails without a retry if the file is rejected or the run fails. It waits while the run waits for an
    approval, until the sensor's own timeout. `partial_is_failure` decides about a run in which some rows failed.
    """

    template_fields: Sequence[str] = ("upload", "stack")

    def __init__(
        self,
        *,
        upload: Mapping[str, str] | Any,
        stack: str | None = None,
        partial_is_failure: bool = True,
        **arguments: Any,
    ) -> None:
        super().__init__(**{"mode": "reschedule", "poke_interval": 60, "timeout": 26 * 3600, **arguments})
        self.upload = upload
        self.stack = stack
        self.partial_is_failure = partial_is_failure

    def poke(self, context: Any) -> PokeReturnValue:  # noqa: ARG002  # Airflow's
        run = Stack.find(self.stack).run_of(Upload(self.upload["key"], self.upload["version_id"]))
        if run is None or not run.is_ended:
            return PokeReturnValue(is_done=False)
        self._check(run)
        found = {"job_id": run.job_id, "status": run.status, "rows": dict(run.rows), "objects": dict(run.objects)}
        return PokeReturnValue(is_done=True, xcom_value=found)

    def _check(self, run: Run) -> None:
        if run.is_rejected:
            raise AirflowFailException(f"{run.key} is rejected: {' '.join(run.problems[:3])}")
        if run.is_complete or (run.status == "partial" and not self.partial_is_failure):
            return
        raise AirflowFailException(f"{run.key} is {run.status}: {run.failed_rows:,} rows have no good answer.")
