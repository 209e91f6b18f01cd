"""Values of the dropped file in templates."""

import pytest

from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.file_values import FileValues, file_values
from dropbatch.recipes.parser import parse_recipe
from dropbatch.recipes.templates import compile_template

KEY = "lake/dt=2026-11-27/part 1.csv.gz"


def values(key: str) -> dict[str, str]:
    found = file_values(key, ())
    assert found is not None
    return found.values


def compiled(source: str, key: str = KEY) -> CompiledRecipe:
    return compile_recipe(parse_recipe(source.encode()), {}, file=file_values(key, ()))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (KEY, {"name": "part 1.csv.gz", "stem": "part 1", "folder": "lake/dt=2026-11-27", "dt": "2026-11-27"}),
        ("a.csv", {"name": "a.csv", "stem": "a", "folder": "/"}),
        ("a=1/b=x%2Fy%3Dz/c.csv", {"a": "1", "b": "x/y=z"}),
        ("a=1/a=2/c.csv", {"a": "2"}),
        ("name=x/key=y/c.csv", {"name": "c.csv", "key": "name=x/key=y/c.csv"}),
        ("dt=__HIVE_DEFAULT_PARTITION__/c.csv", {"dt": ""}),
        ("dt==/=x/c.csv", {"dt": "="}),
    ],
)
def test_a_path_has_names_and_values(key: str, expected: dict[str, str]) -> None:
    assert values(key) == values(key) | expected
    assert values(key)["key"] == key


def test_a_file_whose_name_has_an_equals_sign_is_not_a_folder() -> None:
    assert set(values("a/dt=1.csv")) == {"name", "stem", "folder", "key"}


def test_a_column_of_that_name_comes_first() -> None:
    assert file_values(KEY, ("text", "file")) is None


@pytest.mark.usefixtures("with_fast_paths")
def test_templates_of_columns_and_the_file_are_still_filled_many_rows_at_once() -> None:
    recipe = compiled("model: 'gpt-{{ file.dt }}'\nprompt: '{{ file.name }}: {{ text }}'\n")
    requests = recipe.requests(1, {"text": ["a", "b"]})
    assert requests is not None
    assert requests.model == "gpt-2026-11-27"
    assert requests.lines().count(b"part 1.csv.gz: ") == 2


def test_a_row_with_such_a_column_of_its_own_is_filled_with_that() -> None:
    recipe = compiled("model: gpt-6-luna\nprompt: '{{ file.name }} {{ text }}'\n")
    own = recipe.request({"text": "a", "file": {"name": "own"}})
    other = recipe.request({"text": "a"})
    assert own is not None
    assert other is not None
    assert b'"own a"' in own.body
    assert b'"part 1.csv.gz a"' in other.body


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ file.dt }}", "2026-11-27"),
        ("{{ file['dt'] }}", "2026-11-27"),
        ("{{ file.dt[:4] }}", "2026"),
        ("{{ file.dt.split('-') | last | int + 1 }}", "28"),
        ("{{ file.x | default('none') }}", "none"),
        ("{% if file.x is defined %}a{% else %}b{% endif %}", "b"),
        ("{% set file = {'dt': 'its own'} %}{{ file.dt }}", "its own"),
        ("{% for file in [{'dt': 'looped'}] %}{{ file.dt }}{% endfor %}", "looped"),
    ],
)
def test_a_template_renders_file_values(source: str, text: str) -> None:
    assert compile_template(source, file=file_values(KEY, ())).render({}) == text


def test_a_value_that_looks_like_a_template_or_a_placeholder_stays_text() -> None:
    file = FileValues((("x", "{{ text }} {text}"),))
    template = compile_template("{{ file.x }} {{ text }}", file=file)
    assert template.render({"text": "a"}) == "{{ text }} {text} a"
    assert template.around == " "
