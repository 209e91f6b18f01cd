"""The whole way of a drop on the deployed embedded stack: 3,000 reviews, from their upload to `summary.json`.

The benchmark has a stack of its own, on free ports and in its own folder. The emulator answers at once, and one poll
follows the other, as in the demo. A first drop warms the functions, and does not count.
"""

import json
import time
from pathlib import Path
from statistics import median
from typing import Any

from local.deployed import Deployed
from local.programs import free_port
from local.stack import TOOLS, Stack

RUNS = 5
FOLDER = TOOLS / "benchmarks" / "stack"
EXAMPLE = Path("examples/reviews")
ROWS = 3_000
GIVE_UP_SECONDS = 150
AT_ONCE = {f"OPENAI_EMULATOR_{phase}_SECONDS": "0" for phase in ("VALIDATING", "IN_PROGRESS", "FINALIZING")}

FIGURES = {"pipeline_3000_s": ("s", "≤ 15")}


def pipeline() -> dict[str, float]:
    stack = Stack(FOLDER, free_port(), free_port(), emulator=AT_ONCE, say=lambda what: print(f"  {what}"))
    with stack.deployed_anew() as deployed:
        deployed.client("s3").upload_file(
            str(EXAMPLE / "recipe.yaml"), deployed.values["INBOX_BUCKET"], "reviews/recipe.yaml"
        )
        warming, *runs = (_time_drop(deployed, f"reviews/{number}.csv") for number in range(RUNS + 1))
    print(f"  3,000 rows: {', '.join(f'{run:.1f}' for run in runs)} s; the first, cold, {warming:.1f} s")
    return {"pipeline_3000_s": median(runs)}


def _time_drop(stack: Deployed, key: str) -> float:
    """Drop the reviews under this key. Return the seconds until the summary exists."""
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
