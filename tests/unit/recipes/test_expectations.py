"""Known answers: which columns are compared, and when two values are the same answer."""

from typing import Any

import pytest

from dropbatch.recipes.expectations import Comparer, by_answer_column


@pytest.mark.parametrize(
    ("kind", "allowed", "expected", "answered", "same"),
    [
        ("boolean", (True, False), "Ja", True, True),
        ("boolean", (True, False), " yes ", "true", True),
        ("boolean", (True, False), "1", True, True),
        ("boolean", (True, False), 0, False, True),
        ("boolean or null", (), "nein", False, True),
        ("boolean", (True, False), "no", True, False),
        ("boolean", (True, False), "perhaps", True, False),
        ("integer", (), "4.0", 4, True),
        ("number", (), "1e2", 100.0, True),
        ("number", (), "-0", 0, True),
        ("number", (), "4,5", 4.5, False),
        ("number", (), "four", 4, False),
        ("integer", (1, 2, 3), "2", 2, True),
        ("string", ("positive", "negative"), " Positive", "positive", True),
        ("string", ("positive", "negative"), "positiv", "positive", False),
        ("string", (), "The kettle", "The kettle ", True),
        ("string", (), "the kettle", "The kettle", False),
        ("string", (), "Caf\u0065\u0301", "Café", True),
        ("list of string", (), '["a", "b"]', ["a", "b"], True),
        ("object", (), '{"b": 1, "a": 2}', {"a": 2, "b": 1}, True),
        ("list of string", (), "[", ["a"], False),
        ("any", (), "stop", "stop", True),
    ],
)
def test_values_are_the_same_answer_by_their_meaning(
    kind: str, allowed: Any, expected: Any, answered: Any, same: bool
) -> None:
    comparer = Comparer(kind, allowed)
    assert (comparer.canonical(expected) == comparer.canonical(answered)) is same


def test_no_value_is_an_empty_text() -> None:
    for kind in ("boolean", "number", "string", "list of string"):
        assert [Comparer(kind).canonical(value) for value in (None, "", "  ")] == ["", "", ""]


@pytest.mark.parametrize(
    ("written", "columns", "found", "said"),
    [
        ("label", ["ai_a"], {"ai_a": "label"}, ""),
        ({"a": "x", "ai_b": "y"}, ["ai_a", "ai_b"], {"ai_a": "x", "ai_b": "y"}, ""),
        ("label", ["ai_a", "ai_b"], {}, "write which one, as in {a: …}"),
        ({"sentimnt": "x"}, ["ai_sentiment"], {}, "did you mean sentiment?"),
        ({"else": "x"}, ["ai_sentiment"], {}, "they are ai_sentiment."),
    ],
)
def test_columns_are_named_with_or_without_their_prefix(
    written: Any, columns: list[str], found: dict[str, str], said: str
) -> None:
    sentences: list[str] = []
    resolved = by_answer_column(written, "expect", columns, "ai_", lambda _, sentence: sentences.append(sentence))
    assert resolved == found
    assert said in "".join(sentences)
    assert bool(said) is bool(sentences)
