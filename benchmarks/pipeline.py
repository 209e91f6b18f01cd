"""The whole way of a drop on the embedded stack, as it is deployed: 3,000 reviews, from their upload to `summary.json`.

The stack is the benchmark's own, on free ports and in a folder of its own; the emulator answers at once, and a poll
follows the other, as in the demo. A first drop warms the functions, and is not counted.
"""

import json
import shutil
import time
from pathlib import Path
from statistics import median
from typing import Any

from local.programs import free_port
from local.stack import TOOLS, Deployed, Stack

RUNS = 5
FOLDER = TOOLS / "benchmarks" / "stack"
EXAMPLE = Path("examples/reviews")
ROWS = 3_000
GIVE_UP_SECONDS = 150
AT_ONCE = {f"OPENAI_EMULATOR_{phase}_SECONDS": "0" for phase in ("VALIDATING", "IN_PROGRESS", "FINALIZING")}

FIGURES = {"pipeline_3000_s": ("s", "≤ 15")}


def pipeline() -> dict[str, float]:
    stack = Stack(FOLDER, free_port(), free_port(), emulator=AT_ONCE, say=lambda what: print(f"  {what}"))
    stack.down()  # whatever an earlier run was not allowed to clear away
    shutil.rmtree(FOLDER, ignore_errors=True)
    try:
        deployed = stack.up()
        deployed.client("s3").upload_file(
            str(EXAMPLE / "recipe.yaml"), deployed.values["INBOX_BUCKET"], "reviews/recipe.yaml"
        )
        warming, *runs = (_answered(deployed, f"reviews/{number}.csv") for number in range(RUNS + 1))
    finally:
        stack.down()
    print(f"  3,000 rows: {', '.join(f'{run:.1f}' for run in runs)} s; the first, cold, {warming:.1f} s")
    return {"pipeline_3000_s": median(runs)}


def _answered(stack: Deployed, key: str) -> float:
    """Drops the reviews under this key; how many seconds it is until the summary is there."""
    s3: Any = stack.client("s3")
    began = time.perf_counter()
    data = (EXAMPLE / "reviews.csv").read_bytes()
    s3.put_object(Bucket=stack.values["INBOX_BUCKET"], Key=key, Body=data)
    while True:
        found = s3.list_objects_v2(Bucket=stack.values["RESULTS_BUCKET"], Prefix=f"{key}/").get("Contents", [])
        for item in found:
            if item["Key"].endswith("/summary.json"):
                took = time.perf_counter() - began
                summary = json.load(s3.get_object(Bucket=stack.values["RESULTS_BUCKET"], Key=item["Key"])["Body"])
                assert summary["rows"]["ok"] == ROWS, summary
                return took
        if time.perf_counter() - began > GIVE_UP_SECONDS:
            raise TimeoutError(f"no summary within {GIVE_UP_SECONDS} seconds: {FOLDER}/logs say why")
        stack.tick()
