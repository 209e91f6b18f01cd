"""The size limits of the operators, filters and methods of templates: a result that is too large is never made.

The result of almost all of them is at most a few times as large as their arguments. The others are listed here, each
with the size of its result.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from string import Formatter
from types import BuiltinMethodType, MethodType
from typing import Any

from jinja2.sandbox import SandboxedEnvironment, SandboxedEscapeFormatter, SandboxedFormatter
from markupsafe import Markup

from dropbatch.recipes.sizes import check_size, weigh

MAX_REPEATED = 1_000_000
"""The maximum length of a text or list by multiplication, and its width by padding: more than any prompt needs."""

MAX_EXPONENT = 64
MAX_INTEGER_BITS = 100_000
"""Python prints no number that is longer than a seventh of that."""

_PERCENT = re.compile(r"%(?:\([^()]*\))?[-+ #0]*(\*|\d+)?(?:\.(\*|\d+))?")
_DIGITS = re.compile(r"\d+")


def check_operator(operator: str, left: Any, right: Any) -> None:
    """Raise TooLargeError or OverflowError if the result would be too large."""
    match operator:
        case "+" if isinstance(left, str | bytes) and isinstance(right, str | bytes):
            check_size(len(left) + len(right))
        case "*":
            for many, times in ((left, right), (right, left)):
                if isinstance(many, str | bytes | list | tuple) and isinstance(times, int):
                    check_size(max(len(many), 1) * times, MAX_REPEATED)
                    check_size(weigh(many) * times)
            if isinstance(left, int) and isinstance(right, int):
                check_size(left.bit_length() + right.bit_length(), MAX_INTEGER_BITS)
        case "**":
            if isinstance(right, int | float) and abs(right) > MAX_EXPONENT:
                raise OverflowError("an exponent too large")
            if isinstance(left, int) and isinstance(right, int):
                check_size(left.bit_length() * abs(right), MAX_INTEGER_BITS)
        case "%" if isinstance(left, str | bytes):
            _check_percent(left if isinstance(left, str) else left.decode("latin-1"), right)


def _check_percent(form: str, values: Any) -> None:
    """Check `form % values` in the same way: each place takes its width, or a value."""
    widths = [int(width) for found in _PERCENT.findall(form) for width in found if width.isdigit()]
    check_size(sum(widths), MAX_REPEATED)
    if "*" in form:
        check_size(sum(_integers(values if isinstance(values, tuple) else (values,))), MAX_REPEATED)
    check_size(len(form) + form.count("%") * weigh(values))


def _integers(values: Sequence[Any]) -> list[int]:
    return [abs(value) for value in values if isinstance(value, int)]


def _check_widths(*values: Any) -> None:
    check_size(sum(_integers(values)), MAX_REPEATED)


# Filters: each function has the parameters of the filter, without Jinja's own first one


def _indent(text: Any, width: Any = 4, *_more: Any, **_named: Any) -> None:
    _check_widths(width)
    lines = 1 + (text.count("\n") if isinstance(text, str) else 0)
    check_size(lines * (width if isinstance(width, int) else weigh(width)) + weigh(text))


def _replace(text: Any, old: Any = "", new: Any = "", *_more: Any, **_named: Any) -> None:
    if isinstance(text, str | bytes):
        found = text.count(old) if isinstance(text, str) and isinstance(old, str) else len(text) + 1
        check_size(len(text) + found * weigh(new))


def _join(values: Any, d: Any = "", *_more: Any, **_named: Any) -> None:
    check_size(weigh(values) + (len(values) if hasattr(values, "__len__") else 0) * weigh(d))


def _round(_value: Any, precision: Any = 0, *_more: Any, **_named: Any) -> None:
    if isinstance(precision, int):
        check_size(abs(precision), 1_000)  # a float has at most 308 digits before the point, and 1,074 after it


def _sum(_values: Any, attribute: Any = None, start: Any = 0) -> None:  # noqa: ARG001  # Jinja passes it
    if not isinstance(start, int | float):
        raise TypeError("only numbers are summed up")


def _product(*values: Any, **named: Any) -> None:
    sizes = sorted(map(weigh, [*values, *named.values()]))
    check_size(sizes[-1] * (1 + sum(sizes[:-1])))


def _all(*values: Any, **named: Any) -> None:
    weigh([*values, *named.values()])


def _widths(_value: Any, *values: Any, **named: Any) -> None:
    _check_widths(*values, *named.values())


_FILTERS: Mapping[str, Callable[..., None]] = {
    **dict.fromkeys(("center", "batch", "slice"), _widths),
    **dict.fromkeys(("urlize", "wordwrap"), _product),
    **dict.fromkeys(("string", "pprint", "urlencode", "xmlattr", "escape", "e", "forceescape"), _all),
    "indent": _indent,
    "replace": _replace,
    "join": _join,
    "round": _round,
    "sum": _sum,
    "format": lambda form, *values, **named: check_operator("%", form, named or values),
}


def checked_filter(name: str, found: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that raises TooLargeError if its result would be too large."""
    check = _FILTERS.get(name)
    if check is None:
        return found
    own = int(hasattr(found, "jinja_pass_arg"))  # Jinja passes the environment, or the like, first

    @wraps(found)
    def checked(*args: Any, **named: Any) -> Any:
        if name == "join":
            args = (*args[:own], _listed(args[own]), *args[own + 1 :])
        check(*args[own:], **named)
        return found(*args, **named)

    return checked


def _listed(values: Any) -> Any:
    """Return the items of an iterator, so that they can be weighed, and anything else as it is."""
    return list(values) if hasattr(values, "__next__") else values


# Methods of values


def _expandtabs(text: Any, size: Any = 8) -> None:
    _check_widths(size)
    check_size(
        len(text) + (size if isinstance(size, int) else 8) * text.count("\t" if isinstance(text, str) else b"\t")
    )


_METHODS: Mapping[str, Callable[..., None]] = {
    **dict.fromkeys(("center", "ljust", "rjust", "zfill", "to_bytes"), _widths),
    "expandtabs": _expandtabs,
    "replace": _replace,
    "translate": _product,
    "join": lambda separator, values=(): _join(values, separator),
}


def checked_arguments(called: Any, args: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the arguments for a template's call; raise TooLargeError if its result would be too large."""
    if isinstance(called, BuiltinMethodType | MethodType) and isinstance(called.__self__, str | bytes | int):
        check = _METHODS.get(called.__name__)
        if check is not None:
            args = tuple(map(_listed, args))
            given = {name: value for name, value in named.items() if not name.startswith("_")}  # Jinja's own are
            check(called.__self__, *args, **given)
    return args


class _Bounded(Formatter):
    """Does the work of `str.format` piece by piece, within the size limits."""

    size = 0

    def format_field(self, value: Any, format_spec: str) -> Any:
        check_size(sum(map(int, _DIGITS.findall(format_spec))), MAX_REPEATED)
        weigh(value)
        found = super().format_field(value, format_spec)
        self.size += len(found)
        check_size(self.size)
        return found

    def convert_field(self, value: Any, conversion: Any) -> Any:
        weigh(value)
        return super().convert_field(value, conversion)


class _Plain(_Bounded, SandboxedFormatter):
    """The formatter of a text."""


class _Escaping(_Bounded, SandboxedEscapeFormatter):
    """The formatter of a text that is safe within HTML."""


def checked_format(environment: SandboxedEnvironment, method: Any) -> Callable[..., str]:
    """Return the function that replaces a text's method `format` or `format_map`."""
    form: str = method.__self__
    by_map = method.__name__ == "format_map"

    def formatted(*args: Any, **named: Any) -> str:
        if by_map:
            [named], args = args, ()
        formatter: _Bounded = (
            _Escaping(environment, escape=form.escape) if isinstance(form, Markup) else _Plain(environment)
        )
        return type(form)(formatter.vformat(form, args, named))

    return formatted
