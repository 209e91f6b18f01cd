"""The short notation of a schema, and JSON Schema itself."""

import json
from typing import Any

import pytest

from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.json_schema import in_place_repeats
from dropbatch.recipes.parser import parse_recipe

from .driving import only, problems_of

SHORT = "model: m\nprompt: '{{ text }}'\n"


def sent(schema: str, endpoint: str = "/v1/chat/completions", more: str = "") -> Any:
    text = f"{SHORT}endpoint: {endpoint}\n{more}schema: {schema}\n"
    request = compile_recipe(parse_recipe(text.encode()), {}).request({"text": "hi"})
    assert request is not None
    return json.loads(request.body)


def schema_of(schema: str) -> Any:
    return sent(schema)["response_format"]["json_schema"]["schema"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("[a, b]", {"type": "string", "enum": ["a", "b"]}),
        ("[1, 2]", {"type": "integer", "enum": [1, 2]}),
        ("[1, a]", {"type": ["integer", "string"], "enum": [1, "a"]}),
        ("string", {"type": "string"}),
        ("integer", {"type": "integer"}),
        ("number", {"type": "number"}),
        ("boolean", {"type": "boolean"}),
        ("the main complaint", {"type": "string", "description": "the main complaint"}),
        ("{list: string}", {"type": "array", "items": {"type": "string"}}),
        ("{list: [a]}", {"type": "array", "items": {"type": "string", "enum": ["a"]}}),
        (
            "{list: {name: string}}",
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}},
                    "required": ["name"],
                    "additionalProperties": False,
                },
            },
        ),
    ],
)
def test_the_short_notation_becomes_json_schema(written: str, meant: Any) -> None:
    assert schema_of(f"{{x: {written}}}") == {
        "type": "object",
        "properties": {"x": meant},
        "required": ["x"],
        "additionalProperties": False,
    }


def test_json_schema_is_completed_for_strict_mode() -> None:
    found = schema_of(
        "{type: object, properties: {a: {type: array, items: {type: object, properties: {b: {type: string}}}},"
        " c: {type: object, required: [], properties: {d: {$ref: '#/$defs/e'}}}}, $defs: {e: {type: string}}}"
    )
    assert found["required"] == ["a", "c"]
    assert found["additionalProperties"] is False
    assert found["properties"]["a"]["items"]["required"] == ["b"]
    assert found["properties"]["c"]["required"] == ["d"]


def test_a_chat_gets_the_schema_as_strict_response_format() -> None:
    described = sent("{a: string}")["response_format"]
    assert (described["type"], described["json_schema"]["name"], described["json_schema"]["strict"]) == (
        "json_schema",
        "answer",
        True,
    )


def test_responses_get_the_schema_beside_other_settings_of_the_text() -> None:
    text = sent("{a: string}", "/v1/responses", "parameters: {text: {verbosity: low}}\n")["text"]
    assert text["verbosity"] == "low"
    assert (text["format"]["type"], text["format"]["strict"]) == ("json_schema", True)


def test_a_body_gets_the_schema_too() -> None:
    recipe = compile_recipe(
        parse_recipe(b"body: {model: m, messages: [{role: user, content: '{{ text }}'}]}\nschema: {a: string}\n"), {}
    )
    request = recipe.request({"text": "hi"})
    assert request is not None
    assert "response_format" in json.loads(request.body)


def test_categories_are_enums_and_truth_values() -> None:
    recipe = compile_recipe(parse_recipe(f"{SHORT}schema: {{a: [x, y], b: boolean, c: string}}".encode()), {})
    assert recipe.categories == {"a": ("x", "y"), "b": (True, False)}


@pytest.mark.parametrize(
    ("schema", "key", "says"),
    [
        ("{}", "schema", "at least one property"),
        ("{type: object, properties: {}}", "schema", "at least one property"),
        ("{a: []}", "schema.a", "at least one"),
        ("{a: [x, x]}", "schema.a", "twice"),
        ("{a: [x, [y]]}", "schema.a", "allowed values"),
        ("{a: 4}", "schema.a", "expected"),
        ("{a: null}", "schema.a", "expected"),
        ("{a: {}}", "schema.a", "at least one property"),
        ("{a: {list: 4}}", "schema.a.list", "expected"),
        ("{a: {type: string, enum: [x, y]}}", "schema.a", "looks like JSON Schema"),
        ("{a: {type: string}}", "schema.a", "looks like JSON Schema"),
        ("{a: {b: {type: integer, description: How many}}}", "schema.a.b", "looks like JSON Schema"),
        ("{type: object, properties: {a: string}}", "schema.properties.a", "a schema is expected"),
        ("{type: object, properties: {a: {type: text}}}", "schema.properties.a.type", "not valid JSON Schema"),
        ("{type: object, properties: {a: {$ref: 'https://x.test/y'}}}", "schema.properties.a.$ref", "leads nowhere"),
        ("{type: object, properties: {a: {$ref: '#/$defs/b'}}}", "schema.properties.a.$ref", "leads nowhere"),
    ],
)
def test_an_invalid_schema_is_named_with_its_line(schema: str, key: str, says: str) -> None:
    problem = only(problems_of(f"{SHORT}schema: {schema}\n"))
    assert (problem.key, problem.line) == (key, 3)
    assert says in problem.message


def _doubling(depth: int) -> str:
    """Return a schema in which each definition refers to the next in two ways."""
    definitions = {
        f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]} for n in range(depth)
    }
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}}
    return json.dumps({**schema, "$defs": {**definitions, f"d{depth}": {"type": "string"}}})


def test_a_schema_of_too_many_combinations_is_a_problem() -> None:
    assert problems_of(f"{SHORT}schema: {_doubling(4)}\n") == []
    problem = only(problems_of(f"{SHORT}schema: {_doubling(22)}\n"))
    assert (problem.code, problem.key) == ("wrong_value", "schema")
    assert "name fewer alternatives" in problem.message


def test_a_schema_may_be_recursive() -> None:
    tree = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}
    assert in_place_repeats(tree) < 10
    assert problems_of(f"{SHORT}schema: {json.dumps(tree)}\n") == []


def test_a_chain_of_definitions_longer_than_can_be_followed_counts_as_too_many() -> None:
    chain = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(5_000)}
    assert in_place_repeats({"type": "object", "properties": {}, "$defs": chain}) > 800
