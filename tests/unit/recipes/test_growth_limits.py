"""Values of templates and expressions that are too large: they are refused before they are made."""

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from markupsafe import Markup

from dropbatch.recipes.sizes import MAX_TEXT
from dropbatch.recipes.template_environment import FOR_TEXT
from dropbatch.recipes.template_errors import (
    BadTemplateError,
    TemplateFailedError,
    TemplateTooLargeError,
    UndefinedNameError,
)
from dropbatch.recipes.templates import compile_template

MAX_MEMORY = 200_000_000
"""The memory to render one small row: a few texts of the maximum size."""

DOUBLED = "{% set n = namespace(x=x) %}{% for i in range(60) %}{% set n.x = ... %}{% endfor %}{{ n.x | length }}"
NESTED = "{% set n = namespace(a=[1], b=[1]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}"
NESTED += "{% set n.b = [n.b, n.b] %}{% endfor %}"


def bounded(call: Callable[[], Any]) -> Any:
    """Return the result of a call that takes little time and memory."""
    tracemalloc.start()
    began = time.process_time()
    try:
        return call()
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MAX_MEMORY
        assert time.process_time() - began < 10


@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    [
        *(DOUBLED.replace("...", step) for step in ("n.x ~ n.x", "n.x + n.x", "n.x * 2", "'%s%s' % (n.x, n.x)")),
        *(
            DOUBLED.replace("...", step)
            for step in ("[n.x, n.x] | join", "'{0}{0}'.format(n.x)", "''.join([n.x, n.x])")
        ),
        DOUBLED.replace("...", "n.x | replace('a', n.x ~ n.x)"),
        DOUBLED.replace("...", "n.x.replace('a', n.x ~ n.x)"),
        DOUBLED.replace("x=x", "x=[x]").replace("...", "n.x + n.x"),
        NESTED + "{{ n.a }}",
        NESTED + "{{ n.a == n.b }}",
        NESTED + "{{ n.a | string }}",
        NESTED.replace("[n.a, n.a]", "dict(a=n.a, b=n.a)") + "{{ n.a }}",
        NESTED.replace("[n.a, n.a]", "{'a': n.a, 'b': n.a}") + "{{ n.a ~ '' }}",
        NESTED.replace("[n.a, n.a]", "(n.a, n.a)") + "{{ {n.a: 1} }}",
        "{{ x.ljust(10 ** 9) }}",
        "{{ x | center(10 ** 9) }}",
        '{{ "a" | center(1000000000) }}',
        '{{ "a" | center(width=1000000000) }}',
        '{{ "%1000000000d" % 1 }}',
        '{{ "%.1000000000f" % 1 }}',
        '{{ "%*d" % (1000000000, 1) }}',
        '{{ "%0*d" | format(1000000000, 1) }}',
        '{{ "%(n)1000000000d" | format(n=1) }}',
        '{{ "{:>1000000000}".format(1) }}',
        '{{ "{:>{}}".format(1, 1000000000) }}',
        '{{ "{n:>1000000000}".format_map({"n": 1}) }}',
        "{{ (x | e).format() ~ ('{:>1000000000}' | e).format(1) }}",
        "{{ (x | e).center(1000000000) }}",
        "{{ x | indent(1000000000, true) }}",
        "{{ x | batch(1000000000, 1) | list }}",
        "{{ 1 | round(1000000000, 'ceil') }}",
        "{{ 1 | round(-1000000000) }}",
        "{{ (5).to_bytes(1000000000, 'big') }}",
        "{{ '\t'.expandtabs(1000000000) }}",
        "{{ [[1]] | sum(start=[]) }}",
        "{{ range(10000) | map('string') | join('a' * 1000000) }}",
        "{% for i in range(100000) %}{{ 'a' * 1000000 }}{% endfor %}",
        "{% set y %}{% for i in range(100000) %}{{ 'a' * 1000000 }}{% endfor %}{% endset %}",
        "{% macro y() %}{% for i in range(100000) %}{{ 'a' * 1000000 }}{% endfor %}{% endmacro %}{{ y() }}",
        "{% filter upper %}{% for i in range(100000) %}{{ 'a' * 1000000 }}b{% endfor %}{% endfilter %}",
        "{% set n = namespace(x=10 ** 64) %}{% for i in range(9) %}{% set n.x = n.x ** 64 %}{% endfor %}",
        "{% set n = namespace(x=10 ** 64) %}{% for i in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}",
    ],
)
def test_the_values_of_a_template_are_bounded(source: str) -> None:
    template = compile_template(source)  # does nothing yet, not even what is the same for all rows
    with pytest.raises(TemplateFailedError):
        bounded(lambda: template.render({"x": "a"}))


def test_a_value_that_is_too_large_has_its_own_error() -> None:
    with pytest.raises(TemplateTooLargeError):
        compile_template("{{ x | center(1000000000) }}").render({"x": "a"})


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ 'a' ~ x ~ 1 ~ none }}", "ab1None"),
        ("{{ [x, 1] + [2] }}", '["b",1,2]'),
        ("{{ 'x' + x }}{{ 1 + 2 }}{{ 7 % 4 }}{{ 2 ** 10 }}{{ 'ab' * 2 }}", "xb331024abab"),
        ("{% for a, (b, c) in [(1, (2, x))] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "12b"),
        ("{% set a, c = 1, x %}{{ a }}{{ c }}", "1b"),
        ("{{ '%s %5.2f %(a)s' | replace('%(a)s', '') | format(x, 1.5) }}", "b  1.50 "),
        ("{{ '%(a)s' | format(a=x) }}{{ '%d%%' % 5 }}", "b5%"),
        ("{{ '{0} {x:>3} {0!r}'.format(1, x=x) }}", "1   b 1"),
        ("{{ '{x}'.format_map({'x': x}) }}", "b"),
        ("{{ ('<{}>' | safe).format('<') }}", "<&lt;>"),
        ("{{ 'a b' | replace('a', x) | center(7) | indent(2, true) }}", "    b b  "),
        ("{{ ['a', x] | join(', ') }}{{ ['a', x] | join(d='-') }}{{ [{'n': x}] | join(attribute='n') }}", "a, ba-bb"),
        ("{% for s in ['-'] %}{{ s.join(['a', x]) }}{{ s.replace('-', x) }}{{ x.center(3) }}{% endfor %}", "a-bb b "),
        ("{{ 3.14159 | round(2) }}{{ [1, 2] | sum }}{{ [{'n': 3}] | sum(attribute='n') }}", "3.1433"),
        ("{{ x | default(1000000000000) }}{{ 10 ** 12 }}", "b1000000000000"),
        ("{{ 'Call 00491234567890 about %s' % x }}", "Call 00491234567890 about b"),
        ("{{ [1, 2, 3] | batch(2, 0) | list }}", "[[1,2],[3,0]]"),
        ("{{ row }}{{ {'a': [x]} }}{{ dict(a=x) }}", '{"x":"b"}{"a":["b"]}{"a":"b"}'),
    ],
)
def test_values_of_an_ordinary_size_are_rendered(source: str, text: str) -> None:
    assert compile_template(source).render({"x": "b"}) == text


LARGE = ["a b\n" * 250, "\t" * 1_000]
ARGUMENTS = ["10**9", "-10**9", "big, big", "1, 10**9, big", "[big] * 1000, big"]


def _try(source: str, value: Any) -> None:
    """Render a template that may fail within bounds."""
    try:
        text = compile_template(source).render({"x": value, "big": "b" * 5_000})
    except (TemplateFailedError, UndefinedNameError, BadTemplateError):
        return
    assert len(text) <= MAX_TEXT


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(FOR_TEXT.filters)))
def test_no_filter_multiplies_its_input(name: str) -> None:
    """A future filter of Jinja fails here if it multiplies its input."""

    def each() -> None:
        for given_ in ARGUMENTS:
            for value in (*LARGE, ["a" * 1_000] * 100, 7):
                _try(f"{{{{ x | {name}({given_}) | list }}}}", value)

    bounded(each)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [str, Markup, int, float, list, dict, bytes])
def test_no_method_multiplies_its_input(kind: type) -> None:
    values: dict[type, Any] = {str: LARGE[0], Markup: Markup(LARGE[1]), int: 7, float: 1.5, bytes: b"a\t" * 1_000}
    value = values.get(kind) or ([1] * 1_000 if kind is list else {"a": 1})
    for name in dir(kind):
        if not name.startswith("_"):
            for given_ in ARGUMENTS:
                bounded(lambda name=name, given_=given_: _try(f"{{{{ x.{name}({given_}) }}}}", value))
