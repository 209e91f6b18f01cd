"""The rows of a sample: the same for the same number of rows and the same seed, under any version of Python."""

import random
from array import array


def sampled_rows(rows: int, of: int, seed: int) -> "array[int]":
    """Return the numbers, from 1 and in order, of `rows` rows drawn at random from `of`.

    It is R. Floyd's algorithm over `Random.random()`, the only method whose results Python promises to keep.
    """
    draw = random.Random(seed).random  # noqa: S311  # the draw need not be hard to guess
    drawn: set[int] = set()
    for last in range(of - rows, of):
        place = int(draw() * (last + 1))
        drawn.add(last if place in drawn else place)
    return array("Q", (place + 1 for place in sorted(drawn)))
