"""The facts of a report: large numbers, shown rows, agreement, and the comparison with the quote."""

from collections import Counter
from decimal import Decimal
from typing import Any

from dropbatch.answers.tally import Tally
from dropbatch.domain.drops import Drop
from dropbatch.domain.jobs import Job
from dropbatch.domain.outcomes import JobStatus, Outcome
from dropbatch.domain.quotes import Dollars, Quote, Tokens
from dropbatch.reporting import report_facts
from dropbatch.reporting.costs import model_lines
from dropbatch.reporting.event_members import Ended
from dropbatch.reporting.report_facts import ColumnNames, ReportFacts, ReportRows


class KnownAnswers(Tally):
    """A tally that has compared answers with known ones."""

    agreement: Any = {}  # noqa: RUF012  # as a member of the tally


def ended(tally: Tally, **members: Any) -> Ended:
    job = Job("j", Drop("the-inbox", "a.csv", "1", 0), 0, rows=100, **members)
    return Ended(job, JobStatus.PARTIAL, tally, {}, 11_520)


def figures(end: Ended) -> list[tuple[str, str, str]]:
    return [tuple(figure) for figure in report_facts.figures(end, model_lines(end.tally, end.job))]


def test_the_four_numbers() -> None:
    tally = Tally(Counter({Outcome.OK: 80, Outcome.ERROR: 10, Outcome.SKIPPED: 10}))
    tally.usd, tally.standard_usd = Decimal("1.20"), Decimal("2.40")
    quote = Quote(100, 90, Tokens(), Tokens(), Dollars(Decimal(1), Decimal("1.5"), Decimal(2)))
    assert figures(ended(tally, quote=quote)) == [
        ("Answered", "80", "88.9 % of 90 rows; 10 skipped"),
        ("Paid", "$1.20", "quoted $1.50, at most $2.00"),
        ("Saved", "$1.20", "of $2.40 without batching"),
        ("Time taken", "3 h 12 min", "from the start to the results"),
    ]


def test_what_is_not_known_is_not_a_number() -> None:
    tally = Tally(Counter({Outcome.OK: 100}), unpriced=100)
    assert [figure[1] for figure in figures(ended(tally))] == ["100", "not known", "–", "3 h 12 min"]
    skipped = Tally(Counter({Outcome.SKIPPED: 100}))
    assert figures(ended(skipped))[0] == ("Answered", "0", "no row was sent; 100 skipped")


def test_a_batch_that_cost_more_saved_nothing() -> None:
    tally = Tally(Counter({Outcome.OK: 100}))
    tally.usd, tally.standard_usd = Decimal("2.40"), Decimal("1.20")
    assert figures(ended(tally))[2] == ("Extra", "$1.20", "more than without batching")


def test_the_bar_of_all_rows_is_whole() -> None:
    tally = Tally(Counter({Outcome.ERROR: 1, Outcome.OK: 2, Outcome.SKIPPED: 1}))
    assert [tuple(each) for each in report_facts.slices(tally)] == [
        ("ok", 2, "ok", 0.0, 50.0),
        ("skipped", 1, "skipped", 50.0, 25.0),
        ("error", 1, "bad", 75.0, 25.0),
    ]


def test_the_first_rows_have_the_columns_that_they_share() -> None:
    rows = [[1, {"b": "x", "a": "y"}, ["good"], "ok", None], [2, {"c": "z"}, [], "error", "bad"]]
    facts = ReportFacts(ReportRows(rows), ColumnNames(["a", "b"], ["mood", "why"]))
    first = report_facts.first_rows(facts, 10)
    assert (first.dropped, first.answered) == (["a", "b", "c"], ["mood", "why"])
    assert first.rows[1].answers == ["", ""]
    assert [row.number for row in first.good] == [1]
    assert first.title == "The first 2 of 10 rows, with their answers"
    assert report_facts.first_rows(facts, 2).title == "2 rows, with their answers"


def test_agreement_is_a_confusion_table_with_its_first_differences() -> None:
    tally = KnownAnswers()
    tally.agreement = {
        "mood": {
            "agreed": 3,
            "compared": 4,
            "pairs": {"good\0good": 2, "bad\0bad": 1, "bad\0good": 1},
            "disagreements": [{"row": 9, "expected": "bad", "answered": "good"}],
        },
        "never": {"agreed": 0, "compared": 0, "pairs": {}, "disagreements": []},
    }
    (found,) = report_facts.agreements(tally)
    assert found.verdict == "75.0 % of 4 compared rows have the expected answer."
    assert found.confusion is not None
    assert found.confusion.values == ["good", "bad"]
    assert [(line.value, [tuple(cell) for cell in line.cells]) for line in found.confusion.lines] == [
        ("good", [("2", "100 %", True), ("0", "0 %", False)]),
        ("bad", [("1", "50 %", False), ("1", "50 %", True)]),
    ]
    assert found.disagreements == [(9, "bad", "good")]


def test_agreement_with_many_answers_lists_the_commonest_pairs() -> None:
    tally = KnownAnswers()
    pairs = {f"{place}\0x": place + 1 for place in range(50)}
    tally.agreement = {"mood": {"agreed": 0, "compared": 50, "pairs": pairs, "disagreements": []}}
    (found,) = report_facts.agreements(tally)
    assert found.confusion is None
    assert (len(found.pairs), found.pairs[0]) == (report_facts.MAX_PAIRS, ("49", "x", 50))


def test_a_tally_without_known_answers_has_no_agreement() -> None:
    assert report_facts.agreements(Tally()) == []


def test_the_quote_is_beside_what_came() -> None:
    tally = Tally(Counter({Outcome.OK: 100}), tokens=Counter(input=1_200, output=90))
    price = Dollars(Decimal(1), Decimal(2), Decimal(3))
    quote = Quote(100, 90, Tokens(900, 1_000, 1_100), Tokens(80, 80, 80), price)
    end = ended(tally, quote=quote)
    assert [tuple(each) for each in report_facts.estimates(end, [])] == [
        ("requests", "90", "", "not known"),
        ("input tokens", "1,000", "900 to 1,100", "1,200"),
        ("output tokens", "80", "80", "90"),
        ("price", "$2.00", "$1.00 to $3.00", "nothing"),
    ]
    assert report_facts.estimates(ended(tally), []) == []


def test_a_long_recipe_is_cut() -> None:
    files = [("recipe.yaml", b"\xef\xbb\xbfa" * 40_000), *((f"{place}.md", b"") for place in range(20))]
    found = report_facts.recipe_texts(ReportFacts(recipe=files))
    assert len(found) == report_facts.MAX_RECIPE_FILES
    assert found[0][1].endswith("\n…")


def test_a_report_that_is_too_large_loses_rows_then_recipe_and_examples() -> None:
    row: list[Any] = [1, {}, [], "ok", None]
    facts = ReportFacts(ReportRows([row] * 200, [row]), recipe=[("recipe.yaml", b"")])
    reduced = [(len(each.rows.first), len(each.recipe), len(each.rows.examples)) for each in facts.reduced()]
    assert reduced == [(200, 1, 1), (100, 1, 1), (50, 1, 1), (25, 1, 1), (5, 0, 1), (0, 0, 0)]
