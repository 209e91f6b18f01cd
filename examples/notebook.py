"""A notebook's five lines: put a file, wait, and look at its answers.

    python examples/notebook.py examples/reviews/reviews.csv
"""

import sys
from collections import Counter
from pathlib import Path

from dropbatch.client import Stack

if __name__ == "__main__":
    file = Path(sys.argv[1])

    stack = Stack.find()
    run = stack.wait(stack.put(file, recipe=file.parent / "recipe.yaml"))
    rows = list(stack.results(run))
    print(run.status, Counter(row["_status"] for row in rows))
    print(rows[0], f"paid ${run.paid}")
