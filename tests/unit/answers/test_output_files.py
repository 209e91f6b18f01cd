"""The rows that a batch's answers belong to, in any order, shape or number of lines."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dropbatch.answers import output_files
from dropbatch.answers.output_files import AnswerLines
from tests.answer_sources import Held
from tests.fakes import answer_ok


@pytest.mark.parametrize("held_bytes", [0, 60, 10**9])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_lines_are_found_whether_they_are_held_or_not(held_bytes: int, line_end: bytes) -> None:
    def line(row: object, n: int) -> bytes:
        return json.dumps({"custom_id": row, "n": n}).encode()

    output = [line("12", 1), b"", b"no json", line("11", 2), line("12", 3), line("99", 4), line("011", 5), line(13, 6)]
    errors = [line("12", 7), line("10", 8), line("x", 9)]
    with AnswerLines(10, 4, held_bytes) as answers:
        answers.read(Held(line_end.join(output)))
        answers.read(Held(line_end.join(errors)))
        assert answers.lines([10, 11, 12, 13]) == [line("10", 8), line("11", 2), line("12", 1), None]
    assert (answers.found, answers.repeated, answers.unmatched) == (3, 2, 5)


@pytest.mark.parametrize("held_bytes", [0, 10**9])
@pytest.mark.parametrize("name", ["9" * 30, "-1", "+1", " 1", "1_0", "01", "1.0", "1e0", "1,2", "", "٣", "0"])
def test_an_answer_belongs_to_a_row_only_if_the_number_is_written_as_it_was_sent(name: str, held_bytes: int) -> None:
    lines = [json.dumps({"custom_id": each}).encode() for each in ("2", name, "3")]
    with AnswerLines(1, 3, held_bytes) as answers:
        answers.read(Held(b"\n".join(lines)))
        assert answers.lines([1, 2, 3]) == [None, lines[0], lines[2]]
    assert (answers.found, answers.repeated, answers.unmatched) == (2, 0, 1)


@pytest.mark.parametrize("held_bytes", [0, 10**9])
def test_two_answers_in_one_line_match_no_row_even_beside_a_blank_line(held_bytes: int) -> None:
    with AnswerLines(1, 3, held_bytes) as answers:
        answers.read(Held(b'{"custom_id":"1"}{"custom_id":"2"}\n\n{"custom_id":"3"}\n'))
        assert answers.lines([1, 2, 3]) == [None, None, b'{"custom_id":"3"}']
    assert (answers.found, answers.repeated, answers.unmatched) == (1, 0, 1)


@pytest.mark.parametrize("held_bytes", [0, 10**9])
def test_of_repeated_answers_in_a_file_the_first_counts(held_bytes: int) -> None:
    rows = [3, 1, 2, 1, 3, 9]
    with AnswerLines(1, 3, held_bytes) as answers:
        answers.read(Held(b"".join(b'{"custom_id":"%d","n":%d}\n' % (row, n) for n, row in enumerate(rows))))
        assert answers.lines([1, 2, 3]) == [b'{"custom_id":"%d","n":%d}' % each for each in ((1, 1), (2, 2), (3, 0))]
    assert (answers.found, answers.repeated, answers.unmatched) == (3, 2, 1)


NOISE = st.lists(
    st.sampled_from([b"\\ud83d", b"NaN", b"-Infinity", b"\x00", b"\t", b"\xff", b'"', b"{", b"}", b"\\", b",", b"\r"])
    | st.binary(max_size=3),
    max_size=3,
)


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(st.sampled_from([0, 10**9]), NOISE, st.data(), st.sampled_from(["", "{", '"custom_id"']))
def test_any_line_that_the_strict_reader_can_read_finds_its_row(
    held_bytes: int, noise: list[bytes], data: st.DataObject, before: str
) -> None:
    """A line that it cannot read finds its row too, if exactly one id is visible in it."""
    sound = answer_ok({"custom_id": "2", "body": {}})[1]
    written = json.dumps({**sound, "id": before, "extra": ["a text"]}).encode()
    start = written.index(b'"2"') + 3
    for each in noise:
        place = data.draw(st.integers(start, len(written)))
        written = written[:place] + each.replace(b"\n", b"") + written[place:]
    with AnswerLines(1, 3, held_bytes) as answers:
        answers.read(Held(b"\n".join([b'{"custom_id":"1"}', written, b'{"custom_id":"3"}'])))
        assert answers.lines([1, 2, 3]) == [b'{"custom_id":"1"}', written.removesuffix(b"\r"), b'{"custom_id":"3"}']


def test_fewer_large_answers_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_files, "MAX_LINES_BYTES", 100)
    lines = [b'{"custom_id":"%d","x":"%s"}' % (row, b"x" * size) for row, size in ((1, 5), (2, 5), (4, 500), (5, 5))]
    with AnswerLines(1, 5, 0) as answers:
        answers.read(Held(b"\n".join(lines)))
        assert [answers.fitting(rows) for rows in ([1, 2, 3, 4, 5], [3, 4, 5], [4, 5], [5], [3])] == [3, 1, 1, 1, 1]
    with AnswerLines(1, 5, 10**6) as answers:  # answers in memory take no more memory
        answers.read(Held(b"\n".join(lines)))
        assert answers.fitting([1, 2, 3, 4, 5]) == 5


@pytest.mark.parametrize("held_bytes", [0, 10**9])
def test_unmatched_lines_are_distinguished_from_exact_copies(held_bytes: int) -> None:
    lines = [b'{"custom_id":"1"}', b'{"custom_id":"1"}', b'{"custom_id":"1","n":2}', b'{"custom_id":"7"}', b"what", b""]
    with AnswerLines(1, 3, held_bytes) as answers:
        answers.read(Held(b"\n".join(lines)))
        assert (answers.found, answers.repeated, answers.unmatched, answers.without_id) == (1, 2, 2, 1)
        assert list(answers.others()) == lines[2:5]
