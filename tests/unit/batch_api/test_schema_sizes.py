"""The length of JSON that fits a schema."""

from typing import Any

import pytest

from dropbatch.batch_api.schema_sizes import PHRASE, described_size, schema_size


@pytest.mark.parametrize(
    ("description", "low", "high"),
    [
        ("The main fault in at most five words", 5, 40),
        ("One sentence that describes the picture", 40, 180),
        ("Three sentences on what people praised", 140, 520),
        ("in one or two words, lower case", 3, 22),
        ("A summary of 100-150 words", 300, 1_700),
        ("up to 280 characters", 50, 340),
    ],
)
def test_a_description_says_how_long_a_text_is(description: str, low: float, high: float) -> None:
    size = described_size(description)
    assert size is not None
    assert low <= size.low < size.likely < size.high <= high


@pytest.mark.parametrize("description", ["", "The kind of product", "the 5 worst faults", "a word-for-word quote"])
def test_another_description_says_nothing(description: str) -> None:
    assert described_size(description) is None


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        (obj(sentiment={"enum": ["positive", "negative"]}), '{"sentiment":"positive"}'),
        (obj(a={"const": "x"}, b={"type": "null"}), '{"a":"x","b":null}'),
        (obj(n={"type": "string", "minLength": 10, "maxLength": 10}), '{"n":"0123456789"}'),
        (obj(day={"type": "string", "format": "date"}), '{"day":"2026-01-31"}'),
        (obj(xs={"type": "array", "items": {"const": 1}, "minItems": 2, "maxItems": 2}), '{"xs":[1,1]}'),
        (obj(o=obj(a={"const": "x"})), '{"o":{"a":"x"}}'),
    ],
)
def test_the_size_of_what_is_known_is_that_of_the_json(schema: dict[str, Any], written: str) -> None:
    size = schema_size(schema)
    assert size.low <= size.likely <= size.high
    assert size.likely == pytest.approx(len(written), abs=2.5)


def test_a_text_of_which_nothing_is_known_is_a_phrase() -> None:
    assert schema_size({"type": "string"}).likely == PHRASE.likely + 2


def test_null_is_the_exception_among_other_forms() -> None:
    text = schema_size({"type": "string"})
    size = schema_size({"anyOf": [{"type": "string"}, {"type": "null"}]})
    assert (size.low, size.likely, size.high) == (4, text.likely, text.high)
    assert schema_size({"type": ["string", "null"]}) == size


def test_references_are_followed_and_a_recursive_schema_ends() -> None:
    node = {"$defs": {"node": obj(child={"$ref": "#/$defs/node"})}, "$ref": "#/$defs/node"}
    assert 0 < schema_size(node).likely < 200
    assert schema_size({"$ref": "#"}).likely > 0
    assert schema_size({"$ref": "#/nowhere"}).likely > 0


@pytest.mark.parametrize("schema", [None, 3, [], {"type": []}, {"enum": []}, {"properties": 3}, {"minItems": "2"}])
def test_an_odd_schema_has_a_size(schema: Any) -> None:
    assert schema_size(schema).likely > 0
