"""The table of endpoints, and the rules that follow from each entry."""

from datetime import date
from typing import Any

import pytest

from dropbatch.batch_api.endpoints import ENDPOINTS, GONE, SHORT_FORM_ENDPOINTS, endpoint_at, gone_sentence
from dropbatch.batch_api.questions import flaw_of


def body(path: str, text: str) -> dict[str, Any]:
    """Return the body of a request that asks this text."""
    facts = endpoint_at(path)
    return {facts.question: [{"role": "user", "content": text}] if facts.is_conversation else text}


def test_each_endpoint_is_in_the_table_once() -> None:
    assert len({*ENDPOINTS, *GONE}) == len(ENDPOINTS) + len(GONE)
    assert set(SHORT_FORM_ENDPOINTS) <= set(ENDPOINTS)
    assert [endpoint_at(path).path for path in (*ENDPOINTS, *GONE)] == [*ENDPOINTS, *GONE]


@pytest.mark.parametrize("path", ENDPOINTS)
def test_the_question_of_a_request_is_in_the_member_of_its_endpoint(path: str) -> None:
    assert flaw_of(path, body(path, "a")) is None
    blank = flaw_of(path, body(path, " "))
    assert blank is not None
    assert (blank.code, blank.member) == ("empty_input", endpoint_at(path).question)
    assert (flaw_of(path, {}) is not None) == endpoint_at(path).requires_question


@pytest.mark.parametrize("path", ENDPOINTS)
def test_the_columns_of_an_endpoint_have_json_schemas(path: str) -> None:
    names = [column.name for column in endpoint_at(path).columns]
    assert len(set(names)) == len(names) > 0
    assert all(column.schema.get("type") for column in endpoint_at(path).columns)


def test_an_unknown_endpoint_has_the_defaults() -> None:
    facts = endpoint_at("/v1/unknown")
    assert (facts.question, facts.requires_question, facts.has_short_form) == ("input", False, False)


def test_an_endpoint_that_is_gone_is_named_with_its_day() -> None:
    assert GONE["/v1/videos"] == date(2026, 9, 24)
    assert gone_sentence("/v1/videos").startswith("OpenAI shut the API /v1/videos down on 2026-09-24")
