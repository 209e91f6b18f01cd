"""A recipe as Dropbatch understood it, in short, for messages to its owner."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class AddedColumn:
    """A column that answers add: its type, its possible values if they are few, and the recipe's description of it."""

    name: str
    type: str
    values: Sequence[Any] = ()
    description: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"column": self.name, "type": self.type, "values": list(self.values)}


@dataclass(frozen=True, slots=True)
class Understood:
    """A recipe in short.

    `model` is None if each row names its own, or the endpoint has a default. `uses` are columns of the rows.
    `uses_row` says that the whole row is used, too. `asks` says in a few words which rows are sent. `compares` has
    the column of the rows with known answers, by the column of the answers. `label` is a column of `uses` that only
    labels the rows.
    """

    model: str | None
    endpoint: str
    uses: Sequence[str]
    uses_row: bool
    adds: Sequence[AddedColumn]
    added_last: Sequence[str]  # the columns for status and error
    asks: str
    compares: Mapping[str, str] = field(default_factory=dict)
    label: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "endpoint": self.endpoint,
            "uses": list(self.uses),
            "uses_row": self.uses_row,
            "adds": [
                *(column.to_json() for column in self.adds),
                *(AddedColumn(name, "string").to_json() for name in self.added_last),
            ],
            "rows": self.asks,
            **({"compares": dict(self.compares)} if self.compares else {}),
        }
