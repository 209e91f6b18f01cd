"""Sentences about answers that were compared with known ones."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dropbatch.answers.agreement import ColumnAgreement

MAX_COLUMNS = 10
"""For how many columns a notification has a line; summary.json has all."""


def agreement_lines(agreement: "Mapping[str, ColumnAgreement]") -> list[str]:
    """Return a line for each column: how many of its answers are as expected. The answers themselves are not in it."""
    return [
        f"{column}: {found['agreed']:,} of {found['compared']:,} as expected "
        f"({100 * found['agreed'] / found['compared']:.0f} %)."
        for column, found in list(agreement.items())[:MAX_COLUMNS]
        if found["compared"]
    ]
