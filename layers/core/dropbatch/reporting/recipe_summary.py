"""Sentences about how Dropbatch understood a recipe, so that its owner sees a mistake before paying for it."""

from collections.abc import Sequence
from dataclasses import replace

from dropbatch.domain.recipe_summary import AddedColumn, Understood

MAX_COLUMNS = 12
"""How many columns of a kind are named; the event names all."""

MAX_CHARACTERS = 60
"""How many characters of a name, a value or a description are shown."""


def understood_lines(found: Understood) -> list[str]:
    """Return one line for each fact that the owner can compare with the intention."""
    lines = [
        f"- Model: {_model(found)}, through {found.endpoint}",
        f"- Columns it uses: {_uses(found)}",
        f"- Columns it adds: {_adds(found)}",
        f"- Rows it asks: {found.asks}",
    ]
    if found.compares:
        pairs = [f"{_short(answer)} with {_short(label)}" for answer, label in found.compares.items()]
        lines.append(f"- Answers it compares with known ones, which are not sent: {_listed(pairs)}")
    return lines


def understood_line(found: Understood) -> str:
    """Say the same in one line, for a file that is accepted."""
    asked = replace(found, uses=[name for name in found.uses if name != found.label])
    return f"{_model(found)} is asked about {_uses(asked)}; the answers add {_adds(found)}."


def _model(found: Understood) -> str:
    return _short(found.model) if found.model else "the model that each row names"


def _uses(found: Understood) -> str:
    names = [*found.uses, *(["the whole row"] if found.uses_row else [])]
    return _listed([_short(name) for name in names]) if names else "nothing of the rows"


def _adds(found: Understood) -> str:
    return _listed([*map(_added, found.adds)], [*map(_short, found.added_last)])


def _added(column: AddedColumn) -> str:
    if column.values:
        kind = _listed([_value(value) for value in column.values])
    elif column.description:
        kind = f"{column.type}: “{_short(column.description)}”" if column.type != "any" else column.description
    else:
        kind = column.type
    return f"{_short(column.name)} ({kind})"


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else _short(str(value))


def _listed(names: Sequence[str], last: Sequence[str] = ()) -> str:
    shown = names[:MAX_COLUMNS]
    more = [f"{len(names) - len(shown):,} more"] if len(names) > len(shown) else []
    return ", ".join([*shown, *more, *last])


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_CHARACTERS else line[: MAX_CHARACTERS - 1] + "…"
