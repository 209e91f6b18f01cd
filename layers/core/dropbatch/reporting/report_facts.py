"""The facts of a job's report, in the words in which the template shows them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from dropbatch.domain.outcomes import COMPLETE, Outcome
from dropbatch.domain.quotes import Dollars, Tokens
from dropbatch.reporting.charts import share
from dropbatch.reporting.costs import ModelLine, page_sums
from dropbatch.reporting.event_members import Ended
from dropbatch.reporting.phrases import counted, duration, money
from dropbatch.reporting.timeline import Round

if TYPE_CHECKING:  # as in `event_members`
    from dropbatch.answers.tally import Tally

MAX_GOOD_ROWS = 5
"""How many rows with a good answer are shown without a click."""

MAX_SHOWN_COLUMNS = 6
"""How many columns of the drop, and how many of the answers, the tables of rows have."""

MAX_RECIPE_BYTES = 65_536
"""How much is shown of a recipe with its files."""

MAX_RECIPE_FILES = 5

MAX_WORD = 24
"""The length of the longest word that is never broken in a table."""

MAX_CONFUSED = 12
"""How many different answers a confusion table has."""

MAX_PAIRS = 20
"""How many pairs of an expected and another answer are listed."""


@dataclass(frozen=True, slots=True)
class ReportRows:
    """Rows as rendering keeps them: number, cells by column, answers, outcome and code.

    `first` are the first rows of the drop, `examples` some of each reason. `samples` are rows without columns, for the
    shards that an older release has rendered.
    """

    first: Sequence[Sequence[Any]] = ()
    examples: Sequence[Sequence[Any]] = ()
    samples: Sequence[Mapping[str, object]] = ()


class ColumnNames(NamedTuple):
    """The names of a drop's columns, and of its answers' columns; empty if they have no names."""

    dropped: Sequence[str]
    answered: Sequence[str]


NO_COLUMNS = ColumnNames((), ())


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """The facts that a report shows beside the end of its job: rows, names of columns, recipe, rounds of batches."""

    rows: ReportRows = field(default_factory=ReportRows)
    columns: ColumnNames = NO_COLUMNS
    recipe: Sequence[tuple[str, bytes]] = ()
    rounds: Sequence[Round] = ()

    def reduced(self) -> Iterator[Self]:
        """Yield these facts, and then with fewer and fewer that a reader may find elsewhere."""
        rows = self.rows
        for part in (1, 2, 4, 8):
            yield replace(self, rows=replace(rows, first=rows.first[: len(rows.first) // part]))
        yield replace(self, rows=replace(rows, first=rows.first[:MAX_GOOD_ROWS]), recipe=())
        yield replace(self, rows=ReportRows(), recipe=())


class Figure(NamedTuple):
    """One of the four large numbers."""

    name: str
    value: str
    about: str


class Slice(NamedTuple):
    """The part of an outcome in the bar of all rows, in percent."""

    outcome: str
    rows: int
    kind: str
    left: float
    width: float


class ReportRow(NamedTuple):
    """A row of the report. `answers` has as many values as the report has columns of answers."""

    number: int
    cells: Mapping[str, str]
    answers: Sequence[str]
    outcome: str
    code: str | None


class FirstRows(NamedTuple):
    """The first rows, with the columns that are shown of them; `good` are some with a good answer."""

    dropped: Sequence[str]
    answered: Sequence[str]
    rows: Sequence[ReportRow]
    good: Sequence[ReportRow]
    title: str


class Estimate(NamedTuple):
    """A line of the comparison of quote and reality."""

    what: str
    likely: str
    bounds: str
    actual: str


class CrossCell(NamedTuple):
    rows: str
    share: str
    is_most: bool


class CrossLine(NamedTuple):
    value: str
    cells: Sequence[CrossCell]


class Cross(NamedTuple):
    """A cross-table: the values of the answer are the heads of its columns."""

    dropped: str
    answer: str
    values: Sequence[str]
    lines: Sequence[CrossLine]


class Pair(NamedTuple):
    expected: str
    answered: str
    rows: int


class Agreement(NamedTuple):
    """The agreement of a column with the answers that were known before.

    `confusion` has the expected answers in its lines; with too many different ones, `pairs` lists the commonest.
    """

    column: str
    verdict: str
    confusion: Cross | None
    pairs: Sequence[Pair]
    disagreements: Sequence[tuple[int, str, str]]


def figures(end: Ended, lines: Sequence[ModelLine]) -> list[Figure]:
    """Return the four large numbers: rows, cost, saving, time."""
    tally, job = end.tally, end.job
    paid, standard, saved = page_sums(tally, lines)
    ok, asked = tally.outcomes[Outcome.OK], job.rows - tally.outcomes[Outcome.SKIPPED]
    skipped = tally.outcomes[Outcome.SKIPPED]
    rows = f"{share(ok, asked)} of {counted(asked, 'row')}" if asked else "no row was sent"
    quote = job.quote.price if job.quote else None
    cost = "to OpenAI"
    if quote is not None:
        likely, high = money(quote.likely), money(quote.high)
        cost = f"quoted {likely}" + (f", at most {high}" if high != likely else "")
    saving = "not known"
    if saved is not None and standard is not None and paid is not None:
        saving = f"of {money(standard)} without batching" if paid <= standard else "more than without batching"
    return [
        Figure("Answered", f"{ok:,}", rows + (f"; {skipped:,} skipped" if skipped else "")),
        Figure("Paid", "not known" if paid is None else money(paid), cost),
        Figure("Saved" if paid is None or standard is None or paid <= standard else "Extra", saved or "–", saving),
        Figure("Time taken", duration(max(0, end.ended_at - job.created_at)), "from the start to the results"),
    ]


def slices(tally: "Tally") -> list[Slice]:
    """Return the parts of the bar of all rows: good answers first."""
    total, left, found = max(1, tally.rows), 0.0, []
    for outcome, count in sorted_outcomes(tally):
        width = 100 * count / total
        kind = "ok" if outcome is Outcome.OK else "skipped" if outcome in COMPLETE else "bad"
        found.append(Slice(str(outcome), count, kind, round(left, 3), round(width, 3)))
        left += width
    return found


def sorted_outcomes(tally: "Tally") -> list[tuple[Outcome, int]]:
    """Return the outcomes of rows with their counts: good answers first, then what else is complete."""
    found = [item for item in tally.outcomes.items() if item[1]]
    return sorted(found, key=lambda item: (item[0] is not Outcome.OK, item[0] not in COMPLETE, item[0]))


def first_rows(facts: ReportFacts, rows: int) -> FirstRows:
    """Return the first rows of a job of `rows` rows."""
    kept = facts.rows.first
    names = Counter(name for row in kept for name in row[1])
    order = [name for name in facts.columns.dropped if name in names]
    dropped = [*order, *(name for name in names if name not in order)][:MAX_SHOWN_COLUMNS]
    answered = list(facts.columns.answered)[:MAX_SHOWN_COLUMNS]
    shown = [shown_row(row, len(answered)) for row in kept]
    good = [row for row in shown if row.outcome == Outcome.OK and any(row.answers)][:MAX_GOOD_ROWS]
    title = f"The first {len(shown):,} of {counted(rows, 'row')}" if len(shown) < rows else counted(rows, "row")
    return FirstRows(dropped, answered, shown, good, f"{title}, with their answers")


def shown_row(row: Sequence[Any], width: int) -> ReportRow:
    """Return a row as it was kept, with `width` answers."""
    number, cells, answers, outcome, code = row
    return ReportRow(number, cells, [*answers[:width], *[""] * (width - len(answers))], outcome, code)


def examples(facts: ReportFacts) -> dict[tuple[str, str], list[ReportRow]]:
    """Return the examples of each reason, by outcome and code."""
    found: dict[tuple[str, str], list[ReportRow]] = {}
    for row in facts.rows.examples:
        shown = shown_row(row, min(len(facts.columns.answered), MAX_SHOWN_COLUMNS))
        found.setdefault((shown.outcome, shown.code or shown.outcome), []).append(shown)
    return found


def is_long(text: str) -> bool:
    """Return whether a text has a word that has to be broken, so that it fits into a table."""
    return any(len(word) > MAX_WORD for word in text.split())


def recipe_texts(facts: ReportFacts) -> list[tuple[str, str]]:
    """Return the files of the recipe, as much of their texts as is shown."""
    found, room = [], MAX_RECIPE_BYTES
    for name, data in facts.recipe[:MAX_RECIPE_FILES]:
        text = data[:room].decode("utf-8-sig", "replace")
        found.append((name, text + ("\n…" if len(data) > room else "")))
        room = max(0, room - len(data))
    return found


def estimates(end: Ended, lines: Sequence[ModelLine]) -> list[Estimate]:
    """Return the lines of the comparison of the quote with what the job took; none for a job without a quote."""
    quote, tokens = end.job.quote, end.tally.tokens
    if quote is None or not quote.requests:
        return []
    paid = page_sums(end.tally, lines)[0]
    asked = sum(line.requests for line in lines)
    found = [Estimate("requests", f"{quote.requests:,}", "", f"{asked:,}" if asked else "not known")]
    for what, kind, estimated in (
        ("input tokens", "input", quote.input_tokens),
        ("output tokens", "output", quote.output_tokens),
    ):
        found.append(Estimate(what, f"{estimated.likely:,}", _bounds(estimated), f"{tokens.get(kind, 0):,}"))
    if quote.price is not None:
        actual = "not known" if paid is None else money(paid)
        found.append(Estimate("price", money(quote.price.likely), _bounds(quote.price), actual))
    return found


def _bounds(estimated: Tokens | Dollars) -> str:
    if isinstance(estimated, Dollars):
        low, high = money(estimated.low), money(estimated.high)
    else:
        low, high = f"{estimated.low:,}", f"{estimated.high:,}"
    return low if low == high else f"{low} to {high}"


def crosses(tally: "Tally") -> list[Cross]:
    """Return the cross-tables that say something: of columns with two values or more."""
    return [
        _cross(dropped, answer, table)
        for dropped, tables in tally.cross_tables.tables.items()
        for answer, table in tables.items()
        if len(table) > 1
    ]


def _cross(dropped: str, answer: str, table: Mapping[str, Counter[str]]) -> Cross:
    whole: Counter[str] = Counter()
    for counts in table.values():
        whole.update(counts)
    values = [value for value, _ in whole.most_common()]
    lines = sorted(table.items(), key=lambda line: (-line[1].total(), line[0]))
    return Cross(
        dropped,
        answer,
        values,
        [CrossLine(value or "(empty)", list(_cells(counts, values))) for value, counts in lines],
    )


def _cells(counts: Counter[str], values: Sequence[str]) -> Iterator[CrossCell]:
    total, most = counts.total(), max(counts.values(), default=0)
    for value in values:
        count = counts[value]
        percent = f"{100 * count / total:.0f} %" if total else ""
        yield CrossCell(f"{count:,}", percent, is_most=0 < count == most)


def agreements(tally: "Tally") -> list[Agreement]:
    """Return the agreement of each column that has known answers."""
    found: Mapping[str, Any] = getattr(tally, "agreement", None) or {}
    return [_agreement(column, each) for column, each in found.items() if each["compared"]]


def _agreement(column: str, found: Mapping[str, Any]) -> Agreement:
    agreed, compared = found["agreed"], found["compared"]
    verdict = f"{share(agreed, compared)} of {counted(compared, 'compared row')} have the expected answer."
    split = ((pair.partition("\0"), rows) for pair, rows in found["pairs"].items())
    pairs = [Pair(expected, answered, rows) for (expected, _, answered), rows in split]
    pairs.sort(key=lambda pair: (-pair.rows, pair.expected, pair.answered))
    confusion = _confusion(pairs)
    listed = [
        (each["row"], each["expected"], each["answered"]) if isinstance(each, Mapping) else tuple(each)
        for each in found.get("disagreements", ())
    ]
    return Agreement(column, verdict, confusion, pairs[:MAX_PAIRS] if confusion is None else (), listed)


def _confusion(pairs: Sequence[Pair]) -> Cross | None:
    """Return the confusion table of pairs, whose marked cells are those that agree; None if it would be too large."""
    expected = list(dict.fromkeys(pair.expected for pair in pairs))
    values = [*expected, *dict.fromkeys(pair.answered for pair in pairs if pair.answered not in expected)]
    if not 1 < len(values) <= MAX_CONFUSED:
        return None
    rows = {(pair.expected, pair.answered): pair.rows for pair in pairs}
    lines = []
    for each in expected:
        total = sum(rows.get((each, value), 0) for value in values)
        counts = [(value, rows.get((each, value), 0)) for value in values]
        cells = [
            CrossCell(f"{count:,}", f"{100 * count / total:.0f} %", is_most=value == each) for value, count in counts
        ]
        lines.append(CrossLine(each or "(empty)", cells))
    return Cross("expected", "answered", values, lines)
