import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.formats.parquet import thrift
from dropbatch.formats.parquet.files import footer_of
from tests.unit.formats.parquet.tables import example_table, packed

FOOTER = footer_of(io.BytesIO(packed(example_table(40), row_group_size=1)))


@pytest.mark.slow
def test_a_footer_that_is_taken_apart_and_put_together_is_the_same() -> None:
    footer = thrift.parse(FOOTER)
    groups = [thrift.parse(group) for group in thrift.items(footer[4])]
    assert len(groups) == 40
    for group in groups:
        group[1] = thrift.structs([thrift.build(thrift.parse(chunk)) for chunk in thrift.items(group[1])])
    footer[4] = thrift.structs([thrift.build(group) for group in groups])
    assert thrift.build(footer) == FOOTER
    assert thrift.to_int(footer[3].data) == 40


@given(st.integers(-(2**63), 2**63 - 1), st.binary(max_size=300))
def test_numbers_and_bytes_come_back(number: int, content: bytes) -> None:
    assert thrift.to_int(thrift.from_int(number)) == number
    assert thrift.to_bytes(thrift.from_bytes(content)) == content


def test_fields_that_lie_far_apart_come_back() -> None:
    fields = {identity: thrift.Field(thrift.I64, thrift.from_int(identity)) for identity in (1, 2, 40, 41, 3000)}
    assert thrift.parse(thrift.build(fields)) == fields


@pytest.mark.slow
@given(st.binary(max_size=60) | st.integers(0, len(FOOTER)).map(lambda size: FOOTER[:size]))
def test_any_bytes_are_parsed_or_malformed(data: bytes) -> None:
    try:
        fields = thrift.parse(data)
    except thrift.MalformedError:
        return
    assert all(isinstance(field, thrift.Field) for field in fields.values())


@pytest.mark.parametrize(
    "data",
    [
        b"\x1c" * 500,  # structures within structures
        b"\x19\xfc\xff\xff\xff\xff\x7f",  # a list of very many
        b"\x1b\xff\xff\xff\xff\x7f\xcc",  # a map of very many
        b"\x18\xff\xff\xff\xff\x7f",  # a very long text
        b"\x16" + b"\xff" * 20,  # a number without an end
        b"\x1f\x00",  # an unknown kind
    ],
)
def test_a_footer_that_would_take_too_much_stack_memory_or_time_is_malformed(data: bytes) -> None:
    with pytest.raises(thrift.MalformedError):
        thrift.parse(data)
