"""A DAG that has each night's reviews answered, and then looks at the result."""

from datetime import datetime

from airflow.sdk import DAG, task
from dropbatch_operators import PutFile, RunSensor

with DAG("reviews", schedule="@daily", start_date=datetime(2026, 11, 1), catchup=False) as dag:  # noqa: DTZ001  # Airflow's way
    put = PutFile(
        task_id="put",
        file="/data/reviews/{{ ds }}.csv",
        to="lake/reviews/dt={{ ds }}/",
        recipe="/data/reviews/recipe.yaml",
    )
    answered = RunSensor(task_id="answered", upload=put.output)

    @task
    def load(run: dict[str, object]) -> None:
        """Load the answers into the warehouse: here it only prints where they are."""
        print(run["objects"], run["rows"])

    load(answered.output)
