"""The schemas of events in `docs/events/`, and the check of every published event (see `event_contract`)."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from dropbatch.domain.outcomes import Outcome
from dropbatch.reporting.bus_events import DETAIL_TYPES, SOURCE
from tests.driving import RECIPE, drop, rows, run
from tests.event_contract import COMMON, ENVELOPE, kinds, problems_of, schema, validator
from tests.fakes import FakeContext


@pytest.mark.slow
@pytest.mark.parametrize("name", [*sorted(kinds()), COMMON, ENVELOPE])
def test_each_schema_is_valid_json_schema(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))
    assert schema(name)["$id"] == f"{name}.schema.json"


def test_the_schema_of_the_bus_has_the_schema_of_each_kind_of_event() -> None:
    found = {
        each["if"]["properties"]["detail-type"]["const"]: each["then"]["properties"]["detail"]["$ref"]
        for each in schema(ENVELOPE)["allOf"]
    }
    assert found == {kind: f"{event}.schema.json" for event, kind in DETAIL_TYPES.items()}
    assert schema(ENVELOPE)["properties"]["source"] == {"const": SOURCE}


def test_the_schemas_name_each_outcome() -> None:
    counts = schema(COMMON)["$defs"]["rows"]["properties"]
    reason = schema("ended")["properties"]["reasons"]["items"]["properties"]
    assert set(reason["outcome"]["enum"]) == set(Outcome) == counts.keys() - {"total", "in_file", "duplicates"}


@pytest.fixture
def accepted(fake: FakeContext) -> dict[str, Any]:
    drop(fake, "reviews/recipe.yaml", RECIPE)
    drop(fake, "reviews/reviews.csv", rows(3), run="nightly-7")
    run(fake)
    return next(dict(n.detail) for n in fake.topics.published if n.event == "accepted")


def test_an_event_with_more_members_is_found_here_and_valid_for_consumers(accepted: dict[str, Any]) -> None:
    more = {**accepted, "more": 1, "drop": {**accepted["drop"], "more": 2}}

    assert problems_of(accepted) == []
    assert len(problems_of(more)) == 2
    assert not list(validator("accepted", closed=False).iter_errors(more))


@pytest.mark.parametrize("name", ["schema_version", "status", "drop", "labels", "job_id", "rows"])
def test_an_event_that_lacks_a_member_violates_its_schema_unless_it_was_cut(
    accepted: dict[str, Any], name: str
) -> None:
    less = {key: value for key, value in accepted.items() if key != name}

    assert problems_of(less) == [f"accepted: $: '{name}' is a required property"]
    assert problems_of({**less, "cut": True}) == []


def test_an_event_of_an_unknown_kind_violates_the_contract() -> None:
    assert problems_of({"event": "news"}) == ["there is no schema for events of the kind 'news'"]


def test_labels_are_what_the_uploader_gave_as_metadata(accepted: dict[str, Any]) -> None:
    assert accepted["labels"] == {"run": "nightly-7"}
