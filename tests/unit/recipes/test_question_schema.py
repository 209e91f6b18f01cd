"""The form of an answer, guessed from the question."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.recipes.question_schema import MAX_NAME, MAX_VALUES, guess_column


@pytest.mark.parametrize(
    ("question", "name", "kind"),
    [
        ("Is the customer angry?", "angry", "boolean"),
        ("Here is a review. Does the customer want a refund?", "refund", "boolean"),
        ("Ist der Kunde verärgert?", "veraergert", "boolean"),
        ("Which department is meant: sales, support or billing?", "department", ["sales", "support", "billing"]),
        ("What is the tone: formal / informal?", "tone", ["formal", "informal"]),
        ("Welche Abteilung: Vertrieb, Technik oder Sonstiges?", "abteilung", ["Vertrieb", "Technik", "Sonstiges"]),
        ("Is the review positive, neutral or negative?", "review", ["positive", "neutral", "negative"]),
        ("Is the tone friendly or hostile?", "tone", ["friendly", "hostile"]),
        ("Which grade: 1, 2 or 3?", "grade", [1, 2, 3]),
        ("Does she want a refund or a new one?", "new", "boolean"),
        ("How many stars does the customer give?", "stars", "integer"),
        ("Wie viele Personen kommen vor?", "personen", "integer"),
        ("How much does it cost?", "cost", "number"),
        ("How satisfied is the customer, from 1 to 5?", "satisfied", [1, 2, 3, 4, 5]),
        ("Rate the quality on a scale of 0 to 100", "quality", "integer"),
        ("What is the main complaint?", "answer", "string"),
        ("Summarise the review in one sentence.", "answer", "string"),
        ("Is it before 12:30?", "before", "boolean"),
        ("Which one: x?", "answer", "string"),
        ("Is it 好?", "answer", "boolean"),
        ("", "answer", "string"),
    ],
)
def test_a_question_says_the_form_of_its_answer(question: str, name: str, kind: Any) -> None:
    assert guess_column(question) == (name, kind)


def test_a_name_that_is_taken_gets_a_number() -> None:
    assert guess_column("Is the customer angry?", ["angry", "angry_2"]).name == "angry_3"


def test_too_many_values_are_a_text() -> None:
    values = ", ".join(f"v{number}" for number in range(MAX_VALUES))
    assert len(guess_column(f"Which one: {values}").type) == MAX_VALUES
    assert guess_column(f"Which one: {values}, other").type == "string"


@given(st.text(max_size=200))
def test_a_name_is_short_and_plain_whatever_is_asked(question: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", guess_column(question).name)
    assert len(guess_column(question).name) <= MAX_NAME


@pytest.mark.parametrize("part", ["a ", ", ", "or ", "1 to 2 ", "a or ", ": "])
def test_a_long_text_takes_no_time(part: str) -> None:
    guess_column(part * 200_000)
