"""The JSON Schema of a recipe's answers: it is checked when the recipe is compiled, and answers are validated by it.

jsonschema takes 60 ms to import. So it is imported when it is first needed: hardly any answer needs it.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dropbatch.recipes.json_schema import in_place_repeats
from dropbatch.recipes.keys import Recipe
from dropbatch.recipes.quoted_names import quoted
from dropbatch.recipes.schema import build_schema
from dropbatch.recipes.schema_slips import slip_in_type
from dropbatch.recipes.strict_schema import Complain
from dropbatch.recipes.yaml import dotted

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

MAX_SCHEMA_REPEATS = 1_000
"""The maximum number of schemas that one value of an answer may have to fit: that takes a millisecond, or ten."""


class AnswerValidator:
    """Validates answers. It knows the schema's own definitions and no others: nothing is fetched."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema
        self._validator: Validator | None = None

    def is_valid(self, answer: Any) -> bool:
        """Return whether an answer fits the schema."""
        if self._validator is None:
            from jsonschema import Draft202012Validator
            from referencing import Registry

            self._validator = Draft202012Validator(self.schema, registry=Registry())
        return bool(self._validator.is_valid(answer))


def compile_schema(recipe: Recipe, complain: Complain, *, is_checked: bool) -> dict[str, Any] | None:
    """Return the JSON Schema that is sent; None if the recipe has none. Complain about its faults.

    A recipe that `is_checked` was accepted with this schema, whatever is known about schemas today.
    """
    if recipe.schema is None:
        return None
    complaints: list[tuple[str, str]] = []
    schema = build_schema(recipe.schema, lambda key, sentence: complaints.append((key, sentence)))
    if not is_checked:
        for key, sentence in complaints:
            complain(key, sentence)
        if complaints:
            return schema  # these say it better than JSON Schema's own rules
        _check_schema(schema, recipe, complain)
    if not schema["properties"]:
        complain("schema", "at least one property is expected; name one.")
    return schema


def _check_schema(schema: dict[str, Any], recipe: Recipe, complain: Complain) -> None:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = "/".join(str(part) for part in error.absolute_path)
        key = dotted(("schema", *error.absolute_path))
        key = key if key in recipe.places else "schema"
        slip = slip_in_type(error.instance) if "type" in list(error.absolute_path)[-2:] else None
        said = f": {slip}" if slip else f" at {quoted(where) or 'its root'}; correct it."
        complain(key, f"this is not valid JSON Schema{said}")
    if in_place_repeats(schema) > MAX_SCHEMA_REPEATS:
        sentence = (
            "its anyOf, oneOf, allOf and $ref lead to too many combinations to check an answer; name fewer "
            "alternatives."
        )
        complain("schema", sentence)
    for reference in dict.fromkeys(_references(schema)):
        try:
            Registry[Any]().resolver_with_root(DRAFT202012.create_resource(schema)).lookup(reference)
        except (Unresolvable, LookupError, TypeError, ValueError):
            complain("schema", f"the $ref {reference[:60]!r} leads nowhere; put what it means below $defs.")


def _references(value: Any) -> Iterator[str]:
    """Yield every `$ref` of a JSON Schema."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name == "$ref" and isinstance(item, str):
                yield item
            else:
                yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
