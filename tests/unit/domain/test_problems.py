"""Problems have a bounded size, whatever names a row or a recipe uses."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dropbatch.domain.errors import DropRejectedError, RowRejectedError
from dropbatch.domain.problems import MAX_CAUSES, MAX_MESSAGE, MAX_NAME, OTHER, Problem, ProblemGroup, Problems
from dropbatch.formats.jsonl.reader import parse_object
from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.parser import parse_recipe
from dropbatch.reporting.phrases import problem_lines

MAX_BYTES = 262_144
"""The maximum size of a message of SNS."""

MAX_LISTED = 10
"""The number of problems in a notification."""

LONG = st.builds(
    lambda text, times: text * times,
    st.text(alphabet=st.sampled_from("ab \x00\x01\n\"\\é€😀'{"), min_size=1, max_size=3),
    st.sampled_from([1, 70, 201, 300_000]),
)
NAMES = LONG | st.none()
PROBLEMS = st.builds(Problem, st.just("a_code"), LONG, st.integers(1, 10**9) | st.none(), NAMES, NAMES, NAMES)


def size_of(problems: list[Problem]) -> int:
    """Return the number of bytes of the problems in a notification."""
    listed = [problem.to_json() for problem in problems[:MAX_LISTED]]
    return len(json.dumps({"total": len(problems), "first": listed}, ensure_ascii=False).encode())


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(PROBLEMS, min_size=1, max_size=12))
def test_problems_have_room_in_a_notification(found: list[Problem]) -> None:
    problems = Problems()
    problems.extend(found)
    assert size_of(problems.kept) < MAX_BYTES - 50_000
    for problem in problems:
        assert len(problem.message) <= MAX_MESSAGE
        assert all(len(name) <= MAX_NAME for name in (problem.column, problem.key, problem.path) if name)


def test_a_short_problem_stays_unchanged() -> None:
    problem = Problem("a_code", "m" * MAX_MESSAGE, 1, "c" * MAX_NAME, "k", "p")
    assert (problem.message, problem.column) == ("m" * MAX_MESSAGE, "c" * MAX_NAME)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a" * 9_000, "é b" * 3_000, "\x01" * 9_000])
def test_a_name_of_any_length_leaves_the_advice_complete(name: str) -> None:
    """Only the quotation is cut, so the sentence still says what to do."""
    row = json.dumps({name: 1})[:-1] + f", {json.dumps(name)}: 2}}"
    _, twice = parse_object(row.encode(), 1)
    recipe = compile_recipe(parse_recipe(b"model: m\nprompt: '{{ text }}'\n"), {})
    wrong = [
        f"model: m\nprompt: '{{{{ x }}}}'\n{json.dumps(name)}: 1\n",
        f"model: m\nprompt: {json.dumps('{{ ' + 'a' * 9_000 + ' b }}')}\n",
        f"model: m\nprompt: {json.dumps('{{ b | ' + 'a' * 9_000 + ' }}')}\n",
        f"model: m\nprompt: '{{{{ x }}}}'\nschema: {{{json.dumps(name)}: 1}}\n",
        f"model: m\nprompt: '{{{{ x }}}}'\ncolumns: {{{json.dumps(name)}: 1}}\n",
        f"model: m\nprompt: {json.dumps('file://' + 'a' * 9_000)}\n",
        f"model: m\nprompt: '{{{{ x }}}}'\nendpoint: {json.dumps(name)}\n",
        f"model: m\nprompt: '{{{{ x }}}}'\nbad_rows: {json.dumps(name)}\n",
    ]
    found = [twice, *recipe.check_columns([name, "texts" + "t" * 9_000])]
    for text in wrong:
        try:
            compile_recipe(parse_recipe(text.encode()), {})
        except DropRejectedError as rejected:
            found += rejected.problems
    try:
        recipe.request({name: 1})
    except RowRejectedError as rejected_row:
        found += rejected_row.problems
    assert len(found) >= len(wrong) + 3
    for problem in found:
        assert problem is not None
        assert problem.message[-1] in ".?", problem.message[-80:]
        assert len(problem.message) < MAX_MESSAGE


def ragged(line: int, column: str | None = None) -> Problem:
    return Problem("ragged_row", f"Line {line} is ragged.", line=line, column=column)


def test_causes_are_counted_over_all_problems_and_not_over_those_that_are_kept() -> None:
    problems = Problems(ragged(line) for line in range(2, 252))
    problems.add(Problem("undefined_name", "There is no column 'x'.", line=2, key="prompt", path="recipe.yaml"))
    first, second = problems.groups
    assert (problems.total, problems.causes, len(problems.kept)) == (251, 2, 100)
    assert (first.count, first.lines, first.first.line) == (250, [2, 3, 4], 2)
    assert (second.count, second.first.code) == (1, "undefined_name")


def test_causes_are_counted_in_bounded_memory() -> None:
    problems = Problems(ragged(line, f"column {line}") for line in range(1, 1_001))
    assert problems.causes == MAX_CAUSES + 1
    assert sum(group.count for group in problems.groups) == problems.total == 1_000
    assert (problems.groups[-1].first.code, problems.groups[-1].count) == (OTHER, 1_000 - MAX_CAUSES)


def test_merged_problems_count_as_one_collection() -> None:
    problems = Problems(map(ragged, range(1, 151)))
    problems.extend(Problems(map(ragged, range(151, 301))))
    (group,) = problems.groups
    assert (problems.total, group.count, group.lines) == (300, 300, [1, 2, 3])


def test_a_group_is_read_as_it_was_written() -> None:
    problems = Problems([ragged(7, "a"), ragged(9, "a"), Problem("no_recipe", "There is none.")])
    for group in problems.groups:
        written = group.to_json()
        assert ProblemGroup.from_json(written).to_json() == written


def test_two_mistakes_at_one_place_of_a_recipe_are_two_causes() -> None:
    wrong = [Problem("undefined_name", f"No {name}.", line=2, key="prompt", path="recipe.yaml") for name in "aabb"]
    problems = Problems(wrong)
    assert [(group.first.message, group.count) for group in problems.groups] == [("No a.", 2), ("No b.", 2)]
    assert problem_lines(problems) == ["- No a.", "- No b."]


def test_causes_that_differ_in_kind_alone_are_read_as_they_were_written() -> None:
    problems = Problems(Problem("ragged_row", f"{kind}.", line=1, kind=kind) for kind in ("few", "many", "few"))
    groups = [ProblemGroup.from_json(group.to_json()) for group in problems.groups]
    assert [(group.first.kind, group.count) for group in Problems.of([], 3, groups).groups] == [("few", 2), ("many", 1)]


def test_problems_of_an_earlier_release_have_groups_too() -> None:
    problems = Problems.of([ragged(2), ragged(3)], 400, [])
    assert (problems.total, problems.causes) == (400, 1)
