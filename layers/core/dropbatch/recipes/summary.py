"""The summary of a recipe: its request, and the columns that its answers add."""

from collections.abc import Iterator, Mapping
from typing import Any

from dropbatch.batch_api.endpoints import endpoint_at
from dropbatch.domain.recipe_summary import AddedColumn, Understood
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.expectations import Comparer
from dropbatch.recipes.json_schema import follow

MAX_VALUES = 20
"""The maximum number of a column's values in the summary: a recipe may allow a thousand."""


def understood(compiled: CompiledRecipe) -> Understood:
    """Return the summary of a recipe that can be used."""
    added_last = compiled.all_columns[len(compiled.columns) :]
    return Understood(
        model=compiled.model,
        endpoint=compiled.endpoint,
        uses=compiled.used_columns,
        uses_row=compiled.uses_row,
        adds=tuple(_added(compiled)),
        added_last=added_last,
        asks=_asks(compiled),
        compares=dict(compiled.expected),
        label=compiled.label_column,
    )


def comparers(compiled: CompiledRecipe) -> dict[str, Comparer]:
    """Return what compares the values of each column of the answers with known ones."""
    return {column.name: Comparer(column.type, compiled.categories.get(column.name, ())) for column in _added(compiled)}


def _asks(compiled: CompiledRecipe) -> str:
    limit, when = compiled.recipe.limit, compiled.recipe.when
    if limit is None:
        rows = "all rows"
    elif limit.seed is None:
        rows = f"the first {limit.rows:,} rows (limit)"
    else:
        rows = f"{limit.rows:,} rows, drawn at random (limit, seed {limit.seed})"
    return rows if when is None else f"{rows}, except those for which when is empty"


def _added(compiled: CompiledRecipe) -> Iterator[AddedColumn]:
    prefix = compiled.recipe.prefix
    if compiled.validator is not None:
        schema = compiled.validator.schema
        for name in compiled.properties or ():
            yield _of_property(prefix + name, schema, schema["properties"][name])
    else:
        for column in endpoint_at(compiled.endpoint).columns:
            name, values = prefix + column.name, compiled.categories.get(prefix + column.name, ())
            yield AddedColumn(name, type_words(column.schema, column.schema), values)
    for name in compiled.recipe.columns:
        yield AddedColumn(prefix + name, "any", (), "from the response")


def _of_property(name: str, schema: Mapping[str, Any], written: Any) -> AddedColumn:
    found = follow(schema, written)
    node: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    enum = node.get("enum")
    values = tuple(enum[:MAX_VALUES]) if isinstance(enum, list) else ()
    description = node.get("description")
    return AddedColumn(name, type_words(schema, node), values, description if isinstance(description, str) else "")


def type_words(schema: Mapping[str, Any], node: Any, depth: int = 0) -> str:
    """Return the type of a schema in words: `list of string`, `string or null`, `object`."""
    found = follow(schema, node)
    if not isinstance(found, Mapping) or depth > 3:
        return "any"
    kind = found.get("type")
    if isinstance(kind, list):
        return " or ".join(map(str, kind[:MAX_VALUES]))
    if kind == "array":
        return f"list of {type_words(schema, found.get('items'), depth + 1)}"
    union = found.get("anyOf")
    if kind is None and isinstance(union, list):
        return " or ".join(dict.fromkeys(type_words(schema, one, depth + 1) for one in union[:MAX_VALUES]))
    return str(kind) if kind else "any"
