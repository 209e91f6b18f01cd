"""Any notification fits into SNS after it is cut, and one that fits already stays as it is."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from dropbatch.domain.drops import without_controls
from dropbatch.ports import Notification
from dropbatch.reporting.message_length import (
    CUT_NOTE,
    MAX_ATTRIBUTE_CHARACTERS,
    MAX_MESSAGE_BYTES,
    attributes,
    event_json,
    fitted,
    short_form,
)
from dropbatch.reporting.phrases import subject
from tests.fakes.topics import check_as_sns
from tests.notifying import Generated, anything

PLAIN = Notification(
    "ended",
    "partial",
    "späte Bücher",
    "größe.csv: 199,870 of 200,000 answered",
    "größe.csv: done.\n\tIt cost 3 €.\nResults: s3://b/größe.csv/\n",
    {"schema_version": 1, "job_id": "j", "rows": {"total": 3}, "drop": {"key": "größe\t\u202e.csv"}, "cost": 0.5},
)
DIRECTIONS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@pytest.mark.slow
@given(anything())
@settings(deadline=None)  # it may have megabytes
def test_every_notification_is_cut_to_fit(generated: Generated) -> None:
    for made in (fitted(generated.notification), short_form(generated.notification)):
        values = attributes(made)
        message = event_json(made.detail)
        check_as_sns(message, values)
        check_as_sns(made.text, values, made.subject)
        if made.operators is not None:
            check_as_sns(made.operators.text, values, made.operators.subject)
        assert isinstance(json.loads(message, parse_constant=_no_constant), dict)
        assert all(
            len(value) <= MAX_ATTRIBUTE_CHARACTERS
            for found in values.values()
            for value in ([found] if isinstance(found, str) else found)
        )
        assert max(len(message.encode()), len(made.text.encode())) <= MAX_MESSAGE_BYTES
        for shown in (made.subject, made.text, made.folder):
            assert not set(DIRECTIONS) & set(shown)


def _no_constant(name: str) -> Any:
    raise AssertionError(f"{name} is not JSON")


@pytest.mark.slow
@given(anything())
@settings(deadline=None)
def test_the_shortest_form_is_plain_and_short(generated: Generated) -> None:
    short = short_form(generated.notification)
    text = "".join((short.event, short.status, short.folder, short.subject, short.text, event_json(short.detail)))
    assert text.isascii()
    assert len(text) < 10_000


def test_a_notification_that_fits_stays_unchanged() -> None:
    cut = fitted(PLAIN)
    assert cut == replace(PLAIN, text=PLAIN.text.replace("\t", " "))
    assert json.loads(event_json(cut.detail)) == PLAIN.detail, "programs get a key as it is"


def test_a_long_subject_loses_part_of_the_name_but_no_number() -> None:
    """SNS counts units of UTF-16, of which an emoji has two."""
    for name in ("n" * 300, "😀" * 80, "a: b: " * 40):
        cut = fitted(replace(PLAIN, subject=f"{name}.csv: 199,870 of 200,000 answered")).subject
        assert cut.startswith("…")
        assert cut.endswith(".csv: 199,870 of 200,000 answered")
        assert 98 <= len(cut.encode("utf-16-le")) // 2 <= 99
        cut = fitted(replace(PLAIN, subject=subject(f"{name}.csv", "199,870 of 200,000 answered"))).subject
        assert cut.startswith("…")
        assert cut.endswith(".csv: 199,870 of 200,000 answered")
        assert 98 <= len(cut.encode("utf-16-le")) // 2 <= 99


def test_a_name_cannot_turn_the_rest_of_a_line_around() -> None:
    assert without_controls(f"a{DIRECTIONS}b\r\n\x00\x9f\u2028") == "a" + " " * len(DIRECTIONS) + "b     "
    cut = fitted(replace(PLAIN, subject="a\u202evsc.csv: 3 of 3 answered", text="one\u202e\rline\nanother"))
    assert (cut.subject, cut.text) == ("a vsc.csv: 3 of 3 answered", "one  line\nanother")


def test_an_empty_notification_still_has_a_subject_and_a_text() -> None:
    cut = fitted(Notification("", "\x00", "\n", "\x07 ", "\n \n", {}))
    assert (cut.event, cut.status, cut.folder) == ("unknown", "unknown", "/")
    assert (cut.subject, cut.text) == ("Dropbatch: unknown", "Dropbatch: unknown")


def test_the_long_lines_of_a_long_text_are_cut_first_with_a_notice() -> None:
    cut = fitted(replace(PLAIN, text="x" * 400_000 + "\nResults: s3://b/k/\n")).text
    assert cut.endswith(f"…\nResults: s3://b/k/\n{CUT_NOTE}")
    cut = fitted(replace(PLAIN, text="many lines\n" * 40_000)).text
    assert cut.startswith("many lines\nmany lines\n")
    assert cut.endswith(CUT_NOTE)


def problems(count: int, size: int) -> Notification:
    first = [{"code": "c", "message": "x" * size, "row": number} for number in range(count)]
    detail = {**PLAIN.detail, "drop": {"key": "k" * 1_024}, "problems": {"total": count, "first": first}}
    return replace(PLAIN, detail=detail)


def test_the_long_texts_of_a_long_event_are_cut_and_the_rest_is_complete() -> None:
    cut = fitted(problems(3, 400_000)).detail
    assert cut["cut"] is True
    assert [problem["row"] for problem in cut["problems"]["first"]] == [0, 1, 2]
    assert cut["problems"]["first"][0]["message"] == "x" * 10_000 + "…"
    assert cut["drop"]["key"] == "k" * 1_024


@pytest.mark.slow
def test_the_long_lists_of_a_long_event_are_cut_with_a_count() -> None:
    cut = fitted(problems(30_000, 1_000)).detail
    kept = cut["problems"]["first"]
    assert 20 <= len(kept) < 30_000
    assert cut["problems"]["first_cut"] == 30_000 - len(kept)
    assert cut["problems"]["total"] == 30_000
    assert cut["drop"]["key"] == "k" * 1_024, "keys are never cut"


def test_a_huge_event_is_sent_in_its_shortest_form() -> None:
    heap = {str(number): ["x" * 2_000] * 30 for number in range(30)}
    results = {"bucket": "b", "prefix": "k/j/"}
    cut = fitted(replace(PLAIN, detail={**PLAIN.detail, "results": results, "heap": heap})).detail
    expected = {"schema_version": 1, "event": "ended", "status": "partial", "job_id": "j", "results": results}
    assert cut == {**expected, "cut": True}
