"""OpenAI's lines under the users' ids."""

import json

from hypothesis import given
from hypothesis import strategies as st

from dropbatch.delivery.response_lines import answered_response
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


def test_a_line_as_openai_writes_it_keeps_all_bytes_but_the_ids() -> None:
    line = b'{"id": "batch_req_1", "custom_id": "7", "response": {"status_code": 200}, "error": null}'
    assert answered_response(7, 'my "own"', line, Outcome.OK) == line.replace(b'"7"', b'"my \\"own\\""')
    assert answered_response(7, None, line, Outcome.TRUNCATED) == line
