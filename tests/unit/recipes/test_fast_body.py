"""Requests of many rows at once, which are the same as those of each row."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.batch_api.estimates import estimate_request
from dropbatch.batch_api.request import NO_FRAME, Request
from dropbatch.domain.errors import RowRejectedError
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.parser import parse_recipe
from dropbatch.rows.request_builder import RequestBuilder
from tests.unit.formats.reading_drops import drop

pytestmark = pytest.mark.usefixtures("with_fast_paths")

NAMES = ("a", "b c", "d%")
TEXTS = st.text(alphabet=st.sampled_from('a%b"\\/\n\x00\x1f\x7f\x85é\u2028😀{}'), max_size=8) | st.sampled_from(
    ["\\u001f", "%b", "%", "\x1f", ""]
)
PROMPTS = [
    "{{ a }}",
    "100 % of {{ a }}",
    '{{ row["b c"] }}: "{{ a }}" {{ a }}',
    '{{ row["d%"] }}%b',
    "{{ a }}{{ row.a }}",
    '{{ a }} {{ row["d%"] }}',
]
TEMPLATES = st.sampled_from([*PROMPTS, "constant \\ %b \x1f", "", "100 %b of what all rows share, " * 200])


def request_of(recipe: CompiledRecipe, row: dict[str, Any]) -> Request | None:
    """Return the request of a row, or None if the row is skipped."""
    try:
        return recipe.request(row)
    except RowRejectedError as rejected:
        if [problem.code for problem in rejected.problems] == ["empty_prompt"]:
            return None
        raise


def compiled(**keys: str) -> CompiledRecipe:
    lines = [f"{name}: {value!r}" if name == "id" else f'{name}: "{escaped(value)}"' for name, value in keys.items()]
    return compile_recipe(parse_recipe("\n".join(["model: gpt-6-luna", *lines]).encode(), "recipe.yaml"), {})


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\x1f", "\\x1f")


@pytest.mark.slow
@given(
    st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=5),
    st.sampled_from(PROMPTS),
    TEMPLATES,
    st.integers(1, 10**6),
)
def test_bodies_of_many_rows_are_those_of_each(
    rows: list[tuple[str, str, str]], prompt: str, system: str, number: int
) -> None:
    recipe = compiled(prompt=prompt, system=system or "y")
    each = [request_of(recipe, dict(zip(NAMES, row, strict=True))) for row in rows]
    many = recipe.requests(number, dict(zip(NAMES, zip(*rows, strict=True), strict=True)))
    if many is None:
        if None not in each:
            assert any("\x7f" in text for row in rows for text in row), "only such texts need asking"
        return
    assert many.bodies() == [request.body for request in each if request]
    assert many.sizes == [len(request.body) for request in each if request]
    lines = [request.line(str(at)) for at, request in enumerate(each, number) if request]
    assert many.lines() == b"".join(lines)
    assert many.line_sizes() == list(map(len, lines))
    assert {request.estimate for request in each if request} == {many.estimate}
    wanted = [at % 2 == 0 for at in range(len(lines))]
    assert many.lines(wanted) == b"".join(lines[::2])
    for frame in (recipe.frame, NO_FRAME):
        assert list(many.contents(frame)) == [frame.content(request.body) for request in each if request]
    assert all(recipe.frame.holds(body) for body in many.bodies())
    assert len(set(many.contents(recipe.frame))) == len(set(many.bodies()))


PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "size": st.sampled_from(["1024x1024", "{{ a }}x{{ b }}", "{{ a }}"]),
        "output_format": st.sampled_from(["png", "{{ a }}"]),
        "n": st.sampled_from([2, "{{ b | json }}"]),
        "max_output_tokens": st.sampled_from([10, "{{ b | json }}"]),
        "top_logprobs": st.sampled_from([20, "{{ b | json }}"]),
        "include": st.sampled_from([["message.output_text.logprobs"], ["{{ a }}"]]),
        "tools": st.sampled_from(
            [[{"type": "image_generation"}], [{"type": "{{ a }}"}], [{"type": "image_generation", "size": "{{ a }}"}]]
        ),
    },
)


@pytest.mark.slow
@given(
    st.sampled_from(["/v1/responses", "/v1/images/generations", "/v1/completions"]),
    PARAMETERS,
    st.lists(
        st.fixed_dictionaries(
            {"a": st.sampled_from(["512x512", "jpeg", "image_generation", "web"]), "b": st.integers(1, 9)}
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_the_estimates_of_rows_follow_from_their_bodies(
    endpoint: str, parameters: dict[str, Any], rows: list[dict[str, Any]]
) -> None:
    recipe = {"endpoint": endpoint, "body": {"model": "m", "prompt": "say {{ a }}", **parameters}}
    asked = compile_recipe(parse_recipe(json.dumps(recipe).encode(), "recipe.yaml"), {})
    for row in rows:
        request = asked.request(row)
        assert request is not None
        assert request.expected_output_bytes == estimate_request(endpoint, "m", request.body).output_bytes


def test_rows_that_need_requests_of_their_own_get_them() -> None:
    columns = {"a": ["1"], "b c": ["2"], "d%": ["3"]}
    assert compiled(prompt="{{ a }}").requests(1, columns) is not None
    assert compiled(prompt="{{ a | upper }}").requests(1, columns) is None
    assert compiled(prompt="{{ a }}", when="{{ a }}").requests(1, columns) is None
    assert compiled(prompt="{{ a }}", id="e").requests(1, columns) is None
    assert compiled(prompt="{{ e }}").requests(1, columns) is None
    assert compiled(prompt="{{ a }}").requests(1, {**columns, "_status": ["4"]}) is None


ROWS = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "_status"]), TEXTS | st.integers() | st.none(), max_size=3)
    | st.fixed_dictionaries({"a": TEXTS, "b": TEXTS | st.booleans()}),
    min_size=1,
    max_size=6,
)


@pytest.mark.slow
@given(ROWS, st.sampled_from(["{{ a }}", "{{ a }}{{ b }}", "constant {{ b }}", "{{ a | upper }}"]), st.booleans())
def test_requests_of_many_json_rows_are_those_of_each(rows: list[dict[str, Any]], prompt: str, spoilt: bool) -> None:
    recipe = compiled(prompt=prompt)
    lines = [json.dumps(row).encode() + b"\n" for row in rows]
    lines[0] = b"null\n" if spoilt else lines[0]
    for chunk in drop("r.jsonl", b"".join(lines)).chunks():
        requests = RequestBuilder(recipe).requests(chunk)
        if requests is not None:
            each = [recipe.request(record.values or {}) for record in chunk.records()]
            assert requests.bodies() == [request.body for request in each if request]
            assert None not in [record.values for record in chunk.records()]


def test_requests_of_json_rows_that_are_alike_are_made_at_once() -> None:
    lines = [b'{"n": %d, "a": "%d"}\n' % (n, n) for n in range(3)]
    [chunk] = drop("r.jsonl", b"".join(lines)).chunks()
    requests = RequestBuilder(compiled(prompt="{{ a }}")).requests(chunk)
    assert requests is not None
    assert requests.count == 3
    assert RequestBuilder(compiled(prompt="{{ n }}")).requests(chunk) is None  # a number is not a text


def test_of_two_columns_without_a_name_the_last_counts() -> None:
    recipe = compiled(prompt='{{ row[""] }}')
    [chunk] = drop("r.csv", b"a,,\n1,2,3\n").chunks()
    many = RequestBuilder(recipe).requests(chunk)
    one = recipe.request({"a": "1", "": "3"})
    assert many is not None
    assert one is not None
    assert many.bodies() == [one.body]


BLANKS = st.sampled_from(["", " ", "\n", "\u00a0", "\u2028\t", "a", " a ", "é", "\u200b"])
QUESTIONS = [
    "{{ a }}",
    " {{ a }}\n",
    '{{ a }} {{ row["b c"] }}',
    '{{ row["b c"] }}{{ row["d%"] }}{{ a }}',
    "{{ a | trim }}",
]


@pytest.mark.slow
@given(st.lists(st.tuples(BLANKS, BLANKS, BLANKS), min_size=1, max_size=6), st.sampled_from(QUESTIONS))
def test_rows_without_a_question_are_found_among_many(rows: list[tuple[str, str, str]], prompt: str) -> None:
    recipe = compiled(prompt=prompt)
    each = [request_of(recipe, dict(zip(NAMES, row, strict=True))) for row in rows]
    said = [json.loads(request.body)["messages"][-1]["content"].strip() for request in each if request]
    assert all(said)
    many = recipe.requests(1, dict(zip(NAMES, zip(*rows, strict=True), strict=True)))
    if many is not None:
        assert many.bodies() == [request.body for request in each if request]
        assert None not in each
    elif "|" not in prompt:
        assert None in each
