"""What many rows become at once is what each becomes by itself."""

from hypothesis import given
from hypothesis import strategies as st

from dropbatch.recipes.compiling import CompiledRecipe, compile_recipe
from dropbatch.recipes.parsing import parse_recipe

NAMES = ("a", "b c", "d%")
TEXTS = st.text(alphabet=st.sampled_from('a%b"\\/\n\x00\x1f\x7f\x85é\u2028😀{}'), max_size=8) | st.sampled_from(
    ["\\u001f", "%b", "%", "\x1f", ""]
)
TEMPLATES = st.sampled_from(
    [
        "{{ a }}",
        "100 % of {{ a }}",
        '{{ row["b c"] }}: "{{ a }}" {{ a }}',
        '{{ row["d%"] }}%b',
        "constant \\ %b \x1f",
        "",
        "{{ a }}{{ row.a }}",
    ]
)


def compiled(**keys: str) -> CompiledRecipe:
    lines = [f"{name}: {value!r}" if name == "id" else f'{name}: "{escaped(value)}"' for name, value in keys.items()]
    return compile_recipe(parse_recipe("\n".join(["model: gpt-5-mini", *lines]).encode(), "recipe.yaml"), {})


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\x1f", "\\x1f")


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=5), TEMPLATES, TEMPLATES, st.integers(1, 10**6))
def test_bodies_of_many_rows_are_those_of_each(
    rows: list[tuple[str, str, str]], prompt: str, system: str, number: int
) -> None:
    recipe = compiled(prompt=prompt or "x", system=system or "y")
    each = [recipe.request(dict(zip(NAMES, row, strict=True))) for row in rows]
    many = recipe.requests(number, NAMES, list(zip(*rows, strict=True)))
    if many is None:
        assert any("\x7f" in text for row in rows for text in row), "only such texts need asking"
        return
    assert many.bodies() == [request.body for request in each if request]
    assert many.sizes == [len(request.body) for request in each if request]
    lines = [request.line(str(at)) for at, request in enumerate(each, number) if request]
    assert many.lines() == b"".join(lines)
    assert many.line_sizes() == list(map(len, lines))
    assert {request.expectation for request in each if request} == {many.expectation}


def test_rows_that_must_be_asked_one_by_one_are() -> None:
    cells = [["1"], ["2"], ["3"]]
    assert compiled(prompt="{{ a }}").requests(1, NAMES, cells) is not None
    assert compiled(prompt="{{ a | upper }}").requests(1, NAMES, cells) is None
    assert compiled(prompt="{{ a }}", when="{{ a }}").requests(1, NAMES, cells) is None
    assert compiled(prompt="{{ a }}", id="e").requests(1, NAMES, cells) is None
    assert compiled(prompt="{{ e }}").requests(1, NAMES, cells) is None
    assert compiled(prompt="{{ a }}").requests(1, (*NAMES, "_status"), [*cells, ["4"]]) is None


def test_of_two_columns_without_a_name_the_last_counts() -> None:
    recipe = compiled(prompt='{{ row[""] }}')
    many = recipe.requests(1, ("a", "", ""), [["1"], ["2"], ["3"]])
    one = recipe.request({"a": "1", "": "3"})
    assert many is not None
    assert one is not None
    assert many.bodies() == [one.body]
