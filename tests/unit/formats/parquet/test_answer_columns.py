"""The columns that answers add to a table."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dropbatch.formats.parquet.answer_columns import DoesNotFitError, answer_type
from tests.unit.formats.parquet.tables import SCHEMAS, answered, answers, example_table, lines, packed, unpacked


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a_score", 1.5),
        ("a_score", 2**70),
        ("a_score", "7"),
        ("a_sure", "0.5"),
        ("a_good", "true"),
        ("a_embedding", [[0.5], [0.25]]),
        ("a_embedding", 0.5),
        ("a_tags", "x"),
    ],
)
def test_a_value_of_another_type_is_named_by_its_column_and_a_text_column_accepts_it(
    name: str, value: Any, tmp_path: Path
) -> None:
    values = answers(5)
    values[3][name] = value
    data = packed(example_table(5))
    with pytest.raises(DoesNotFitError) as caught:
        answered(data, SCHEMAS, lines(values), tmp_path)
    assert caught.value.column == name
    out = answered(data, SCHEMAS | {name: None}, lines(values), tmp_path)
    written = unpacked(out).column(name)[3].as_py()
    assert written == value or json.loads(written) == value


def test_there_must_be_an_answer_to_each_row(tmp_path: Path) -> None:
    for count in (4, 6):
        with pytest.raises(AssertionError, match="answers than rows"):
            answered(packed(example_table(5)), SCHEMAS, lines(answers(count)), tmp_path)


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string", "enum": ["a", "b"]}, pa.string()),
        ({"type": "integer"}, pa.int64()),
        ({"type": ["number", "null"]}, pa.float64()),
        ({"type": "boolean"}, pa.bool_()),
        ({"type": "array", "items": {"type": "string"}}, pa.list_(pa.string())),
        ({"type": "array", "items": {"type": "object"}}, pa.list_(pa.string())),
        ({"type": "array"}, pa.list_(pa.string())),
        ({"type": "object", "properties": {}}, pa.string()),
        ({"type": ["integer", "string"]}, pa.string()),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, pa.string()),
        (True, pa.string()),
        (None, pa.string()),
    ],
)
def test_a_column_has_the_type_that_the_schema_says(schema: Any, kind: Any) -> None:
    assert answer_type(schema) == kind
