"""The index of a shard describes its rows without reading them."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.rows.job_rows import JobRows
from dropbatch.storage import shard_index
from dropbatch.storage.shard_index import BAD_ROW, NO_REQUEST, ShardIndex
from tests.driving import drop, only_job, run
from tests.fakes import FakeContext

INPUTS = st.integers(0, 2**31 - 1)
"""Numbers of inputs. The highest bit of a number marks a list."""

RECORDS = st.lists(st.binary(min_size=1, max_size=40), max_size=12)


@pytest.mark.slow
@given(RECORDS, st.integers(1, 60))
def test_records_are_cut_out_of_blocks_of_any_size(records: list[bytes], block: int) -> None:
    index = ShardIndex()
    for record in records:
        index.add(len(record), 0)
    data = b"".join(records)
    assert list(index.records(data[at : at + block] for at in range(0, len(data), block))) == records


@pytest.mark.slow
@given(RECORDS, st.integers(1, 5), st.integers(1, 100), st.integers(1, 60))
def test_few_bytes_are_cut_out_at_once(records: list[bytes], rows: int, most: int, block: int) -> None:
    index = ShardIndex()
    for record in records:
        index.add(len(record), 0)
    data = b"".join(records)
    for place in range(len(records) + 1):
        rest = data[sum(map(len, records[:place])) :]
        blocks = (rest[at : at + block] for at in range(0, len(rest), block))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shard_index, "MAX_CHUNK_BYTES", most)
            chunks = list(index.chunks(blocks, rows, place))
        assert [record for chunk in chunks for record in chunk] == records[place:]
        assert all(len(chunk) == 1 or (len(chunk) <= rows and len(b"".join(chunk)) <= most) for chunk in chunks)
        for chunk, following in pairwise(chunks):
            assert len(chunk) == rows or len(b"".join([*chunk, following[0]])) > most, "no more would have fitted"


def test_a_shard_that_is_too_short_is_an_error() -> None:
    index = ShardIndex()
    index.add(5, 0)
    with pytest.raises(AssertionError):
        list(index.records(iter([b"1234"])))


@pytest.mark.slow
@given(st.lists(st.tuples(*[st.integers(0, 2**32 - 1)] * 3, INPUTS)))
def test_an_index_is_read_as_it_was_written(rows: list[tuple[int, int, int, int]]) -> None:
    index = ShardIndex()
    for row in rows:
        index.add(*row)
    again = ShardIndex.from_bytes(index.to_bytes())
    assert again == index
    assert list(zip(again.sizes, again.groups, again.tokens, again.inputs, strict=True)) == rows


@pytest.mark.slow
@given(st.lists(st.tuples(*[st.integers(0, 2**32 - 1)] * 3, INPUTS, st.booleans()), max_size=80))
def test_an_index_marks_rows_that_ask_for_a_list(rows: list[tuple[int, int, int, int, bool]]) -> None:
    index = ShardIndex()
    for *numbers, is_list in rows:
        index.add(*numbers, is_list=is_list)
    data = index.to_bytes()
    again = ShardIndex.from_bytes(data)
    assert again.to_bytes() == data
    columns = (again.sizes, again.groups, again.tokens, again.inputs, map(bool, again.lists))
    assert list(zip(*columns, strict=True)) == rows
    if not any(is_list for *_, is_list in rows):
        assert len(data) == 16 * len(rows), "earlier jobs are read like current ones"


def test_rows_are_known_by_their_model_and_by_why_they_are_not_sent(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path)
    recipe = b'model: "m{{ kind }}"\nprompt: "{{ text }}"\nwhen: "{{ text }}"\nbad_rows: skip\n'
    fake.objects.drop("recipe.yaml", recipe)
    records = [b"2,b\n", b"1,a\n", b'2,"c\nd"\n', b"1,\n", b"1,a,b\n"]
    fake.openai.ending = None
    drop(fake, "a.csv", b"kind,text\n" + b"".join(records))
    run(fake, ticks=2)  # its files are there as long as it runs
    job = only_job(fake)
    rows = JobRows(fake.context, job)
    shard = fake.context.repository.shard(job.id, 0)
    assert shard is not None
    index = rows.index(shard)
    assert list(index.sizes) == list(map(len, records))
    assert list(index.groups) == [0, 1, 0, NO_REQUEST, BAD_ROW]
    for batch in fake.context.repository.batches(job.id):
        asked = list(rows.requests(shard, batch))
        assert [row for row, _ in asked] == list(zip(*rows.batch_rows(shard, batch, index), strict=True))
        places = [row.number - 1 for row, _ in asked]
        assert [index.tokens[place] for place in places] == [r.estimated_input_tokens for _, r in asked]
        assert [index.inputs[place] for place in places] == [r.embedding_inputs for _, r in asked]


def test_duplicates_name_their_originals() -> None:
    index = ShardIndex()
    index.add(5, 0, 7, 1, is_list=True)
    index.add_duplicate(6, 4_000_000_000)
    index.add(7, 0, 8)
    index.add_skipped(8, "ragged_row")
    index.duplicate(0, 3)
    again = ShardIndex.from_bytes(index.to_bytes())
    assert [again.original(place) for place in range(4)] == [3, 4_000_000_000, None, None]
    assert list(again.originals()) == [3, 4_000_000_000]
    assert again.duplicates == 2
    assert again.rows(11, 0) == [13], "they are not sent"
    assert [again.skipped(place) for place in range(4)] == [None, None, None, "ragged_row"]
    assert list(again.sizes) == [5, 6, 7, 8]
    assert not any(again.lists)
