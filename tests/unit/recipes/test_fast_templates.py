"""Templates that are text with columns in it render without Jinja what Jinja renders."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.recipes.template_errors import TemplateFailedError, UndefinedNameError
from dropbatch.recipes.templates import compile_template

pytestmark = pytest.mark.usefixtures("with_fast_paths")

PIECES = st.sampled_from(["a", " ", "%", "\n", "{{ a }}", '{{ row["b c"] }}', "{{ row.a }}", "{{ d }}", '{{ "text" }}'])
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(
        ["\ud800", "{{ a }}", Decimal("1.10"), date(2026, 1, 2), b"x", [], {}, [1, {"a": None}], {"b": "c"}]
    )
)
ROWS = st.dictionaries(st.sampled_from(["a", "b c", "d"]), VALUES)


def outcome(render: Callable[[dict[str, Any]], str], row: dict[str, Any]) -> tuple[Any, ...]:
    try:
        return ("text", render(row))
    except UndefinedNameError as undefined:
        return ("undefined", undefined.name, undefined.within)
    except TemplateFailedError as failed:
        return (type(failed), failed.kind)


@pytest.mark.slow
@given(st.lists(PIECES, max_size=4).map("".join), ROWS, st.booleans())
def test_the_text_or_the_error_is_the_same(source: str, row: dict[str, Any], for_when: bool) -> None:
    template = compile_template(source, for_when=for_when)
    assert template.fast is not None
    assert outcome(template.render, row) == outcome(replace(template, fast=None).render, row)
