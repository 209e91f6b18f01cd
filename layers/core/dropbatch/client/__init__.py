"""The client of a deployed stack, for notebooks and programs: find it, put files, wait, read results and costs.

Never: a rule of the project, or code that runs on Lambda.
"""

from dropbatch.client.costs import CostLine, MonthCost
from dropbatch.client.downloads import Downloaded
from dropbatch.client.errors import DropbatchClientError, NotDoneError, NotReachableError, WrongUseError
from dropbatch.client.markers import Marked
from dropbatch.client.runs import JobEntry, Run, Upload
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
