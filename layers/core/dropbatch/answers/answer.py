"""An answer: the outcome of a row, with its columns and its price."""

from typing import Any, NamedTuple

from dropbatch.answers.tool_calls import ToolCalls
from dropbatch.answers.usage import Usage
from dropbatch.domain.outcomes import Outcome

UNREADABLE = "unreadable"
"""The code of a row whose line cannot be read."""


class Answer(NamedTuple):
    """A row's outcome. `code` says why it is not ok; `values` are the recipe's columns, fit for orjson.

    `is_temporary` says that another try may succeed: the server failed, or was busy. `tools` counts calls that have a
    fee. `failed` says that the request itself got an error in reply, which costs nothing.
    """

    outcome: Outcome
    code: str | None
    values: tuple[Any, ...] | None
    usage: Usage | None
    is_temporary: bool = False
    tools: ToolCalls | None = None
    failed: bool = False
