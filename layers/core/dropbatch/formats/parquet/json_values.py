"""Values of a table as JSON.

What JSON does not have is written as text: decimals with all their digits, times as ISO 8601 has them, bytes as base64.
NaN is null.
"""

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from dropbatch.domain.drops import cut
from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.formats.records import quote_name

_Show = Callable[[Any], Any]
Form = tuple[pa.DataType, _Show | None]
"""What a column is cast to, and what then makes JSON of a value; None if values stay as they are."""


def form_of(kind: pa.DataType, column: str) -> Form:
    """Return how values of a type become JSON. Raise DropRejectedError (`unsupported_type`) if they cannot."""
    types = pa.types
    if types.is_dictionary(kind):
        return form_of(kind.value_type, column)
    if types.is_decimal(kind):
        return kind, _each(lambda value: format(value, "f"))
    if types.is_float32(kind):
        return pa.string(), _each(float)  # the shortest text of 32 bits: 0.1, not 0.10000000149011612
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name in ("arrow.json", "arrow.uuid"):
            return kind, None
        return form_of(kind.storage_type, column)
    if any(test(kind) for test in _AS_THEY_ARE):
        return kind, None
    form = _nested_form(kind, column) if types.is_nested(kind) else _time_form(kind)
    if form is None:
        shown = cut(str(kind), 60)
        message = f"Column {quote_name(column)} has the type {shown}, which JSON cannot show; cast it or leave it out."
        raise DropRejectedError.because(Problem("unsupported_type", message, column=cut(column, 60)))
    return form


def _time_form(kind: pa.DataType) -> Form | None:
    """Return the form of dates, times and durations; None for other types."""
    types = pa.types
    if types.is_date32(kind):
        return pa.int32(), _each(_date)
    if types.is_date64(kind):
        return pa.int64(), _each(lambda value: _date(value // 86_400_000))
    if not types.is_temporal(kind) or types.is_interval(kind):
        return None
    per_second = _PER_SECOND[kind.unit]
    if types.is_timestamp(kind):
        zone = "Z" if kind.tz else ""
        return pa.int64(), _each(lambda value: _timestamp(value, per_second) + zone)
    if types.is_duration(kind):
        return pa.int64(), _each(lambda value: _duration(value, per_second))
    return pa.int32() if types.is_time32(kind) else pa.int64(), _each(lambda value: _time(value, per_second))


def _nested_form(kind: pa.DataType, column: str) -> Form | None:
    """Return the form of maps, lists and structs; None for other types."""
    types = pa.types
    if types.is_map(kind):
        return _map_form(kind, column)
    if types.is_fixed_size_list(kind):
        child, show = form_of(kind.value_type, column)
        return pa.list_(child, kind.list_size), show and _each(_all(show))
    if types.is_list(kind) or types.is_large_list(kind):
        child, show = form_of(kind.value_type, column)
        return (pa.large_list if types.is_large_list(kind) else pa.list_)(child), show and _each(_all(show))
    return _struct_form(kind, column) if types.is_struct(kind) else None


_AS_THEY_ARE: tuple[Callable[[pa.DataType], bool], ...] = (
    pa.types.is_null,
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_float16,
    pa.types.is_float64,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
    pa.types.is_binary_view,
)
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def _map_form(kind: pa.MapType, column: str) -> Form:
    key = kind.key_type
    if not (pa.types.is_string(key) or pa.types.is_large_string(key) or pa.types.is_integer(key)):
        message = f"Column {quote_name(column)} is a map whose keys are neither texts nor whole numbers; cast them."
        raise DropRejectedError.because(Problem("unsupported_type", message, column=cut(column, 60)))
    item, show = form_of(kind.item_type, column)
    if show is None:
        return pa.map_(key, item), None
    return pa.map_(key, item), _each(lambda value: {name: show(part) for name, part in value.items()})


def _struct_form(kind: pa.StructType, column: str) -> Form:
    forms = {field.name: form_of(field.type, column) for field in kind}
    shows = {name: show for name, (_, show) in forms.items() if show is not None}
    target = pa.struct([pa.field(name, child) for name, (child, _) in forms.items()])
    if not shows:
        return target, None
    return target, _each(lambda value: value | {name: show(value[name]) for name, show in shows.items()})


def _each(show: _Show) -> _Show:
    return lambda value: None if value is None else show(value)


def _all(show: _Show) -> _Show:
    return lambda values: [show(value) for value in values]


def json_values(column: pa.Array, form: Form) -> list[Any]:
    """Return a column's values in their form."""
    target, show = form
    values: list[Any] = (column if column.type == target else column.cast(target)).to_pylist(maps_as_pydicts="strict")
    return values if show is None else [show(value) for value in values]


def _date(days: int) -> str:
    """Return the date this many days after 1970-01-01, of any year, unlike Python's own (H. Hinnant's algorithm)."""
    era, day = divmod(days + 719_468, 146_097)
    of_era = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * of_era + of_era // 4 - of_era // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    month = month + 3 if month < 10 else month - 9
    year = of_era + era * 400 + (month <= 2)
    return f"{year:04}-{month:02}-{day + 1:02}" if 0 <= year <= 9999 else f"{year:+05}-{month:02}-{day + 1:02}"


def _time(value: int, per_second: int) -> str:
    seconds, fraction = divmod(value, per_second)
    text = f"{seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return text + (_fraction(fraction, per_second) if fraction else "")


def _timestamp(value: int, per_second: int) -> str:
    days, rest = divmod(value, 86_400 * per_second)
    return f"{_date(days)}T{_time(rest, per_second)}"


def _duration(value: int, per_second: int) -> str:
    seconds, fraction = divmod(abs(value), per_second)
    return f"{'-' if value < 0 else ''}PT{seconds}{_fraction(fraction, per_second) if fraction else ''}S"


def _fraction(fraction: int, per_second: int) -> str:
    return "." + str(fraction).zfill(len(str(per_second)) - 1)
