"""A notebook's five lines: put a file, wait, and look at its answers.

python examples/notebook.py examples/reviews/reviews.csv
"""

import sys
from collections import Counter
from pathlib import Path

from dropbatch.client import Stack


def main(file: str) -> None:
    stack = Stack.find()
    run = stack.wait(stack.put(file, recipe=Path(file).with_name("recipe.yaml")))
    rows = list(stack.results(run))
    print(run.status, dict(Counter(row["_status"] for row in rows)), rows[0])
    print(f"This run cost ${run.paid}, this month ${stack.cost()[0].paid:.2f}.")


if __name__ == "__main__":
    main(sys.argv[1])
