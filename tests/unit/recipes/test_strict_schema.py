"""JSON Schema as programs write it, completed for strict mode or refused before it is sent."""

import datetime
import decimal
import enum
import json
import uuid
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import AnyUrl, BaseModel, Field

from dropbatch.domain.errors import DropRejectedError
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.parser import parse_recipe
from local.openai_emulator.schemas import strict_problem

from .driving import only, problems_of


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    name: Optional[str] = None  # noqa: UP045  # as people write it


class Node(BaseModel):
    """A node of a tree."""

    value: int
    children: list["Node"] = []


class Everything(BaseModel):
    text: str = Field(description="a text", examples=["x"])
    maybe: int | None = None
    color: Color = Color.RED
    other: Color = Field(description="another")
    pet: Cat | Dog = Field(discriminator="kind")
    pets: list[Annotated[Cat | Dog, Field(discriminator="kind")]]
    tree: Node
    told: Node = Field(description="told")
    at: datetime.datetime
    id: uuid.UUID
    share: float = Field(ge=0, le=1)
    few: list[str] = Field(min_length=1, max_length=3)
    mixed: Literal[1, "a", None]
    only: Literal["one"]
    either: int | str
    price: decimal.Decimal


class Empty(BaseModel):
    pass


def recipe(schema: Any, more: str = "") -> str:
    return f"model: m\nprompt: '{{{{ question }}}}'\nschema: {json.dumps(schema)}\n{more}"


def compiled(schema: Any) -> CompiledRecipe:
    return compile_recipe(parse_recipe(recipe(schema).encode()), {})


def sent(schema: Any) -> Any:
    request = compiled(schema).request({"question": "a"})
    assert request is not None
    return json.loads(request.body)["response_format"]["json_schema"]["schema"]


@pytest.mark.parametrize("model", [Cat, Dog, Node, Everything])
def test_schemas_of_pydantic_are_accepted(model: type[BaseModel]) -> None:
    written = model.model_json_schema()
    found = sent(written)
    assert strict_problem(found) is None
    text = json.dumps(found)
    assert not [word for word in ("default", "discriminator", "oneOf", "allOf", "examples") if f'"{word}"' in text]
    assert list(found["properties"]) == found["required"] == list(model.model_fields)


def test_an_answer_that_pydantic_would_write_fits_what_is_sent() -> None:
    node = Node(value=1, children=[Node(value=2)])
    answer = Everything.model_validate(
        {"text": "a", "other": "green", "pet": {"kind": "dog"}, "pets": [{"kind": "cat"}], "tree": node, "told": node}
        | {"at": "2026-01-31T12:00:00Z", "id": "00000000-0000-4000-8000-000000000000", "share": 0.5, "few": ["a"]}
        | {"mixed": None, "only": "one", "either": "b", "price": 1}
    )
    validator = compiled(Everything.model_json_schema()).validator
    assert validator is not None
    good = json.loads(answer.model_dump_json())
    assert validator.is_valid(good)
    assert not validator.is_valid({name: value for name, value in good.items() if name != "maybe"})
    assert not validator.is_valid({**good, "new": 1})
    assert not validator.is_valid({**good, "told": {"value": 1}})
    assert not validator.is_valid({**good, "pet": {"kind": "fish"}})


def test_the_values_of_a_named_enum_are_categories() -> None:
    found = compiled(Everything.model_json_schema()).categories
    assert found["color"] == found["other"] == ("red", "green")


CAT = Cat.model_json_schema()


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrapped",
    [
        {"name": "cat", "strict": True, "schema": CAT},
        {"name": "cat", "schema": CAT},
        {"type": "json_schema", "name": "cat", "schema": CAT},
        {"type": "json_schema", "name": "cat", "strict": True, "schema": CAT, "description": "A cat."},
        {"type": "json_schema", "json_schema": {"name": "cat", "strict": True, "schema": CAT}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "cat", "schema": CAT}}},
        {"text": {"format": {"type": "json_schema", "name": "cat", "schema": CAT}}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "$id": "cat", **CAT},
        {
            "$ref": "#/definitions/Cat",
            "definitions": {"Cat": CAT},
            "$schema": "http://json-schema.org/draft-07/schema#",
        },
        {"$defs": {"Cat": CAT}, "allOf": [{"$ref": "#/$defs/Cat"}]},
    ],
)
def test_the_wrappers_of_openai_and_zod_are_removed(wrapped: Any) -> None:
    found = sent(wrapped)
    assert strict_problem(found) is None
    assert list(found["properties"]) == ["kind", "lives"]
    assert compiled(wrapped).columns == ("kind", "lives")


def test_a_property_called_schema_or_name_is_a_property() -> None:
    assert compiled({"name": "string", "schema": "string"}).columns == ("name", "schema")
    assert compiled({"type": "string", "strict": "boolean"}).columns == ("type", "strict")
    assert compiled({"type": ["a", "b"]}).columns == ("type",)


def properties(**schemas: Any) -> dict[str, Any]:
    return {"type": "object", "properties": schemas}


TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "key", "says"),
    [
        (
            properties(a={"type": "object", "additionalProperties": {"type": "integer"}}),
            "a.additionalProperties",
            "list of",
        ),
        (properties(a={"type": "object", "additionalProperties": True}), "a.additionalProperties", "list of objects"),
        (properties(a=properties(b=TEXT) | {"additionalProperties": True}), "a.additionalProperties", "leave it out"),
        (properties(a={"type": "object"}), "a", "needs properties"),
        (properties(a={"type": "array"}), "a", "items"),
        (properties(a={}), "a", "any value"),
        (properties(a={"title": "A"}), "a", "any value"),
        (properties(a=True), "a", "a schema is expected"),
        (properties(a={"allOf": [TEXT, {"minLength": 1}]}), "a.allOf", "anyOf"),
        (properties(a={**TEXT, "not": {"const": ""}}), "a.not", "description"),
        (properties(a={**TEXT, "if": {"const": ""}}), "a.if", "description"),
        (properties(a=properties(b=TEXT) | {"dependentRequired": {"b": []}}), "a.dependentRequired", "anyOf"),
        (properties(a=properties(b=TEXT) | {"dependentSchemas": {}}), "a.dependentSchemas", "anyOf"),
        (properties(a=properties(b=TEXT) | {"patternProperties": {}}), "a.patternProperties", "name"),
        (properties(a=properties(b=TEXT) | {"propertyNames": TEXT}), "a.propertyNames", "name"),
        (properties(a=properties(b=TEXT) | {"minProperties": 1}), "a.minProperties", "name"),
        (properties(a=properties(b=TEXT) | {"unevaluatedProperties": False}), "a.unevaluatedProperties", "name"),
        (properties(a={"type": "array", "items": TEXT, "contains": TEXT}), "a.contains", "leave it out"),
        (properties(a={"type": "array", "items": TEXT, "uniqueItems": True}), "a.uniqueItems", "leave it out"),
        (properties(a={"type": "array", "prefixItems": [TEXT]}), "a.prefixItems", "each place"),
        (properties(a={**TEXT, "format": "uri"}), "a.format", "date-time"),
        (properties(a={**TEXT, "format": "binary"}), "a.format", "leave it out"),
        (properties(a={**TEXT, "nullable": True}), "a.nullable", '[string, "null"]'),
        (properties(a={**TEXT, "desciption": "x"}), "a.desciption", "did you mean description?"),
        (properties(a={"$ref": "#/$defs/b", "description": "x"}), "a.$ref", "leads nowhere"),
        (properties(a={"type": "array", "items": {**TEXT, "format": "uri"}}), "a.items.format", "date-time"),
        (properties(a={"anyOf": [{"type": "null"}, {**TEXT, "format": "uri"}]}), "a.anyOf[1].format", "date-time"),
    ],
)
def test_each_part_that_strict_mode_refuses_is_named_with_its_key(schema: Any, key: str, says: str) -> None:
    problem = only(problems_of(recipe(schema)))
    assert (problem.code, problem.key, problem.line) == ("wrong_value", f"schema.properties.{key}", 3)
    assert says in problem.message


@pytest.mark.parametrize(
    ("schema", "key", "says"),
    [
        ({"anyOf": [CAT, {"type": "null"}]}, "schema", "cannot be a union"),
        ({"oneOf": [CAT, CAT]}, "schema", "cannot be a union"),
        ({"type": "array", "items": CAT}, "schema", "type: object"),
        ({"type": "string", "enum": ["a"]}, "schema", "type: object"),
        ({"$ref": "#/$defs/none", "$defs": {}}, "schema.$ref", "leads nowhere"),
        (properties(name=TEXT) | {"required": ["nmae"]}, "schema.required", "did you mean name?"),
        ({"name": "x", "strict": False, "schema": CAT}, "schema.strict", "leave strict out"),
        (
            properties(a={"$ref": "#/$defs/b"}) | {"$defs": {"b": {**TEXT, "format": "uri"}}},
            "schema.$defs.b.format",
            "",
        ),
        (
            properties(a={"$ref": "#/$defs/b", "description": "x"}) | {"$defs": {"b": {**TEXT, "format": "uri"}}},
            "schema.$defs.b.format",
            "",
        ),
    ],
)
def test_a_root_that_cannot_be_sent_is_refused(schema: Any, key: str, says: str) -> None:
    problem = next(problem for problem in problems_of(recipe(schema)) if problem.key == key)
    assert says in problem.message


@pytest.mark.parametrize(
    "field",
    [dict[str, int], dict, Any, tuple[int, str], set[str], AnyUrl, bytes],
)
def test_schemas_of_pydantic_that_cannot_be_sent_are_refused(field: Any) -> None:
    model = type("Model", (BaseModel,), {"__annotations__": {"value": field}})
    problem = problems_of(recipe(model.model_json_schema()))[0]  # type: ignore[attr-defined]  # it is a model
    assert (problem.key or "").startswith("schema.properties.value")


def test_the_line_is_that_of_the_key() -> None:
    text = "model: m\nprompt: '{{ text }}'\nschema:\n  type: object\n  properties:\n    a:\n      type: string\n"
    problem = only(problems_of(text + "      format: uri\n"))
    assert (problem.line, problem.key) == (8, "schema.properties.a.format")
    assert problems_of(text, columns=["text"]) == []


def nested(depth: int) -> Any:
    return TEXT if depth == 0 else properties(a=nested(depth - 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("good", "bad", "says"),
    [
        (nested(10), nested(11), "nested 11 deep, and 10 is the maximum"),
        (properties(a={"enum": list(range(1000))}), properties(a={"enum": list(range(1001))}), "1,001 values"),
        (
            properties(a={"enum": [f"{n:060}" for n in range(250)]}),
            properties(a={"enum": [f"{n:060}" for n in range(251)]}),
            "15,060 characters",
        ),
        (properties(a={"const": "x" * 119_999}), properties(a={"const": "x" * 120_000}), "120,001 characters"),
        (
            {f"p{n}": "string" for n in range(5_000)},
            {f"p{n}": "string" for n in range(5_001)},
            "5,001 properties, and 5,000 is the maximum",
        ),
        ({"a": [f"v{n}" for n in range(1000)]}, {"a": [f"v{n}" for n in range(1001)]}, "1,001 values"),
    ],
)
def test_a_schema_has_a_largest_size(good: Any, bad: Any, says: str) -> None:
    assert problems_of(recipe(good)) == []
    problem = only(problems_of(recipe(bad)))
    assert (problem.code, problem.key) == ("wrong_value", "schema")
    assert says in problem.message


def test_a_recursive_reference_with_a_description_stays_one() -> None:
    node = properties(next={"$ref": "#/$defs/node", "description": "the next"}, value=TEXT)
    found = sent(properties(first={"$ref": "#/$defs/node"}) | {"$defs": {"node": node}})
    assert strict_problem(found) is None
    validator = compiled(properties(first={"$ref": "#/$defs/node"}) | {"$defs": {"node": node}}).validator
    assert validator is not None
    assert not validator.is_valid({"first": {"value": "a", "next": 1}})


def test_a_job_that_was_accepted_keeps_its_schema() -> None:
    text = recipe(properties(a={**TEXT, "format": "uri"})).encode()
    with pytest.raises(DropRejectedError):
        compile_recipe(parse_recipe(text), {})
    assert compile_recipe(parse_recipe(text), {}, checked=True).columns == ("a",)
