"""The values that each key accepts."""

from decimal import Decimal

import pytest

from dropbatch.recipes.key_values import Example, RowLimit, TriedRow
from dropbatch.recipes.money_values import CanaryRows, GivenPrices
from dropbatch.recipes.parser import parse_recipe

from .driving import SHORT, only, problems_of


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("system: 4", "number 4"),
        ("system: [a]", "a list"),
        ("when: true", "truth value true"),
        ("system:", "an empty value"),
        ("parameters: fast", "'fast'"),
        ("schema: [a, b]", "a list"),
        ("columns: a", "'a'"),
        ("columns: {a: 1}", "number 1"),
        ("limit: 0", "number 0"),
        ("limit: true", "truth value true"),
        ("limit: 2.5", "number 2.5"),
        ("limit: ten", "`limit` must be a whole number of at least 1, not the text 'ten'; leave the key out"),
        ("attempts: 11", "`attempts` must be a whole number from 1 to 10, not the number 11; correct it."),
        (
            "header: 0",
            "`header` must be a whole number from 1 to 1,000, not the number 0; write the number of the line",
        ),
        ("deadline: 5 min", "`deadline` must be hours or days, from 1 h to 14 d, not the text '5 min'; write it as"),
        ("bad_rows: skipp", "did you mean skip?"),
        ("notify: ended", "a list such as"),
        ("notify: [endet]", "did you mean ended?"),
        ("notify: [problem]", "`notify[0]` must be accepted, ended or problems, not the text 'problem'; did you mean"),
        ("digest: of", "`digest` must be on or off, not the text 'of'; did you mean"),
        ("digest: false", "`digest` must be on or off, not the truth value false; write one of them."),
        ("delimiter: ';;'", "one character"),
        ("delimiter: '\"'", "one character"),
        ("encoding: utf-9", "no encoding"),
        ("encoding: base64", "no encoding"),
        ("id: ''", "empty"),
        ("endpoint: /v1/chat/completion", "did you mean /v1/chat/completions?"),
        ("endpoint: responses", "did you mean /v1/responses?"),
        ("expect: [a]", "`expect` must be the name of a column, or a mapping"),
        ("expect: {}", "`expect` must be the name of a column, or a mapping"),
        ("expect: ''", "must be the name of a column, not an empty text"),
        ("expect: {answer: 4}", "number 4"),
        ("try: a", "`try` must be a list of 1 to 10 rows"),
        ("try: [a]", "`try[0]` must be a row: a mapping of columns to their values, not the text 'a'"),
        ("examples: {input: a, output: b}", "a mapping"),
        ("examples: [{input: a}]", "input and output"),
        ("examples: [{input: a, output: 4}]", "number 4"),
        ("budget_usd: 0", "an amount of US dollars above 0, at most 1,000,000, not the number 0; write it as in"),
        ("budget_usd: 1000001", "at most 1,000,000"),
        ("budget_usd: true", "truth value true"),
        ("budget_usd: '1e3'", "'1e3'; write it as in budget_usd: 2.50."),
        ("canary: {rows: 5, max_usd: -1}", "write it as in max_usd: 2.50."),
        ("canary: {rows: 5, min_ok: 1.01}", "a share of the rows from 0 to 1"),
        ("canary: {rows: 5, seed: 3}", "a seed goes with sample: true"),
        ("prices: 4", "number 4"),
        (
            "prices: {input: 1}",
            "there is no price of output tokens; add one, as in prices: {input: 0.05, output: 0.25}.",
        ),
        ("prices: {output: 1}", "there is no price of input tokens"),
        ("prices: {input: -1, output: 1}", "number -1"),
        ("prices: {input: free, output: 1}", "from 0 to 1,000,000, not the text 'free'; write it as in 0.25."),
        ("prices: {input: true, output: 1}", "truth value true"),
        ("prices: {input: 1, output: 1000001}", "from 0 to 1,000,000"),
        ("prices: {input: 1, output: '1e2'}", "'1e2'"),
        ("prices: {input: 1, output: 1, cache_writes: 1}", "did you mean cache_write?"),
        ("prices: {input: 1, output: 1, reasoning: 1}", "the keys are input, cached, cache_write, output."),
    ],
)
def test_a_value_of_the_wrong_kind_says_what_it_must_be_and_what_it_is(line: str, says: str) -> None:
    problem = only(problems_of(f"{SHORT}{line}\n"))
    assert problem.line == 3
    assert problem.key is not None
    assert says in problem.message


@pytest.mark.parametrize(
    ("written", "prices"),
    [
        ("{input: 0.05, output: 0.25}", GivenPrices(Decimal("0.05"), Decimal("0.25"))),
        (
            "{input: '0.1', cached: 0, cache_write: 0.00000125, output: 1000000}",
            GivenPrices(Decimal("0.1"), Decimal(1_000_000), Decimal(0), Decimal("0.00000125")),
        ),
        ("{input: 0, output: 0}", GivenPrices(Decimal(0), Decimal(0))),
    ],
)
def test_prices_are_exact_decimals(written: str, prices: GivenPrices) -> None:
    assert parse_recipe(f"{SHORT}prices: {written}\n".encode()).prices == prices


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("2.50", "2.5"),
        ("'$2.50'", "2.50"),
        ("0.000000000001", "0.000000000001"),
        ("1000000", "1000000"),
    ],
)
def test_a_budget_is_an_exact_decimal(written: str, amount: str) -> None:
    assert parse_recipe(f"{SHORT}budget_usd: {written}\n".encode()).budget_usd == Decimal(amount)


@pytest.mark.parametrize("share", ["0", "1", "0.9"])
def test_a_canary_may_ask_for_any_share_of_good_answers(share: str) -> None:
    recipe = parse_recipe(f"{SHORT}canary: {{rows: 5, min_ok: {share}, sample: true}}\n".encode())
    assert recipe.canary == CanaryRows(5, Decimal(share), seed=1)


def test_a_tab_as_delimiter_can_be_spelled() -> None:
    for spelled in ("tab", "'\\t'", '"\\t"'):
        assert parse_recipe(f"{SHORT}delimiter: {spelled}\n".encode()).delimiter == "\t"


def test_examples_are_pairs_of_input_and_output() -> None:
    recipe = parse_recipe((SHORT + "examples:\n  - {input: great, output: {sentiment: positive}}\n").encode())
    assert recipe.examples == (Example("great", {"sentiment": "positive"}),)


def test_nobody_needs_to_be_notified() -> None:
    assert parse_recipe((SHORT + "notify: []\n").encode()).notify == ()
    assert parse_recipe((SHORT + "notify: [problems]\n").encode()).notify == ("problems",)


def test_a_digest_is_on_unless_it_is_switched_off() -> None:
    assert parse_recipe(SHORT.encode()).digest
    assert parse_recipe((SHORT + "digest: on\n").encode()).digest
    assert not parse_recipe((SHORT + "digest: off\n").encode()).digest


@pytest.mark.parametrize(
    ("written", "limit"),
    [
        ("50", RowLimit(50)),
        ("{rows: 50}", RowLimit(50)),
        ("{rows: 50, sample: false}", RowLimit(50)),
        ("{rows: 50, sample: true}", RowLimit(50, 1)),
        ("{rows: 50, sample: true, seed: 7}", RowLimit(50, 7)),
        ("{rows: 100000, sample: true, seed: 0}", RowLimit(100_000, 0)),
        ("{rows: 100001}", RowLimit(100_001)),
    ],
)
def test_a_limit_takes_the_first_rows_or_a_sample(written: str, limit: RowLimit) -> None:
    recipe = parse_recipe(f"{SHORT}limit: {written}\n".encode())
    assert not recipe.problems
    assert recipe.limit == limit


@pytest.mark.parametrize(
    ("written", "key", "says"),
    [
        ("{sample: true}", "limit", "no number of rows; add one, as in limit: {rows: 50, sample: true}"),
        ("{rows: 0}", "limit.rows", "`limit.rows` must be a whole number of at least 1, not the number 0"),
        ("{rows: 5, samples: true}", "limit.samples", "did you mean sample?"),
        (
            "{rows: 5, sample: yes}",
            "limit.sample",
            "`limit.sample` must be true or false, not the text 'yes'; write `sample: true`",
        ),
        ("{rows: 5, sample: true, seed: x}", "limit.seed", "`limit.seed` must be a whole number from 0 to"),
        ("{rows: 5, seed: 3}", "limit.seed", "a seed goes with sample: true"),
        ("{rows: 100001, sample: true}", "limit.rows", "a sample has at most 100,000 rows, but 100,001 are asked for"),
    ],
)
def test_a_limit_that_cannot_be_says_what_to_write(written: str, key: str, says: str) -> None:
    problem = only(problems_of(f"{SHORT}limit: {written}\n"))
    assert problem.key == key
    assert says in problem.message


def test_rows_to_try_are_values_by_column_with_what_is_expected() -> None:
    rows = "  - {text: a, stars: 5, expect: yes}\n  - {text: b, expect: {answer: c}}\n  - text: d\n"
    recipe = parse_recipe(f"{SHORT}try:\n{rows}".encode())
    assert recipe.tried == (
        TriedRow({"text": "a", "stars": 5}, "yes"),
        TriedRow({"text": "b"}, {"answer": "c"}),
        TriedRow({"text": "d"}),
    )
    assert recipe == parse_recipe(SHORT.encode()), "rows to try make no difference for files"
    assert recipe != parse_recipe(f"{SHORT}expect: label\n".encode())
