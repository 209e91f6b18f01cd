"""The client of a deployed stack, for notebooks and programs: find it, put files, wait, read results and costs.

Never: a rule of the project, or code that runs on Lambda.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dropbatch.client.errors import DropbatchClientError, NotDoneError, NotReachableError, WrongUseError
from dropbatch.client.runs import JobEntry, Run, Upload

if TYPE_CHECKING:
    from dropbatch.client.costs import CostLine, MonthCost
    from dropbatch.client.downloads import Downloaded
    from dropbatch.client.markers import Marked
    from dropbatch.client.stack import Stack

__all__ = [
    "CostLine",
    "Downloaded",
    "DropbatchClientError",
    "JobEntry",
    "Marked",
    "MonthCost",
    "NotDoneError",
    "NotReachableError",
    "Run",
    "Stack",
    "Upload",
    "WrongUseError",
]

_HOMES = {
    "CostLine": "costs",
    "Downloaded": "downloads",
    "Marked": "markers",
    "MonthCost": "costs",
    "Stack": "stack",
}
"""Names that are imported on first use, with their modules: those import AWS's clients, which takes a second."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
