"""OpenAI's lines under the users' ids."""

import json

from hypothesis import given
from hypothesis import strategies as st

from dropbatch.delivery.response_lines import answered_response, shared_response, unanswered_response
from dropbatch.domain.outcomes import Outcome

IDS = st.none() | st.sampled_from(["1", "mine", 'a"b\\', "é\n", ""])
LINES = st.builds(
    lambda row, spaced, body: json.dumps(
        {"id": "batch_req_1", "custom_id": row, "response": body, "error": None},
        separators=(", ", ": ") if spaced else (",", ":"),
    ).encode(),
    st.sampled_from(["1", "2", "01", "x"]),
    st.booleans(),
    st.none() | st.fixed_dictionaries({"status_code": st.integers(), "body": st.text(max_size=3)}),
)


@given(IDS, LINES)
def test_a_line_that_keeps_its_bytes_holds_what_a_rewritten_one_holds(custom_id: str | None, line: bytes) -> None:
    kept = answered_response(1, custom_id, line, Outcome.TRUNCATED)
    rewritten = answered_response(1, custom_id, b" " + line, Outcome.TRUNCATED)
    assert json.loads(kept) == json.loads(rewritten)


@given(IDS.filter(lambda each: each is not None), LINES, st.sampled_from([b"", b" "]))
def test_a_shared_line_differs_only_in_its_id(custom_id: str, line: bytes, before: bytes) -> None:
    assert json.loads(shared_response(before + line, custom_id)) == {**json.loads(line), "custom_id": custom_id}


@given(IDS.filter(lambda each: each is not None), IDS.filter(lambda each: each is not None))
def test_a_line_of_ours_is_shared_like_one_of_openai(custom_id: str, theirs: str) -> None:
    line = unanswered_response(3, theirs, Outcome.EXPIRED)
    assert shared_response(line, custom_id) == unanswered_response(4, custom_id, Outcome.EXPIRED)


def test_a_shared_line_keeps_all_other_bytes() -> None:
    line = b'{"id": "batch_req_1", "custom_id": "a\\"", "response": {"status_code": 2.0e2}, "error": null}'
    assert shared_response(line, "8") == line.replace(b'"a\\""', b'"8"')


def test_a_line_as_openai_writes_it_keeps_all_bytes_but_the_ids() -> None:
    line = b'{"id": "batch_req_1", "custom_id": "7", "response": {"status_code": 200}, "error": null}'
    assert answered_response(7, 'my "own"', line, Outcome.OK) == line.replace(b'"7"', b'"my \\"own\\""')
    assert answered_response(7, None, line, Outcome.TRUNCATED) == line
