"""Response lines that get another id without being parsed hold what parsed ones hold."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch import fast_paths
from dropbatch.delivery.fast_response_lines import rename_line
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
def test_a_renamed_line_holds_what_the_parsed_one_holds(custom_id: str | None, line: bytes) -> None:
    renamed = rename_line(1, custom_id, line)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast_paths, "enabled", lambda: False)
        parsed = answered_response(1, custom_id, line, Outcome.TRUNCATED)
    assert renamed is None or json.loads(renamed) == json.loads(parsed)


def test_lines_as_openai_writes_them_are_renamed() -> None:
    line = b'{"id": "batch_req_1", "custom_id": "7", "response": {"status_code": 200}, "error": null}'
    assert rename_line(7, 'my "own"', line) == line.replace(b'"7"', b'"my \\"own\\""')
    assert rename_line(7, None, line) == line
    assert rename_line(8, "mine", line) is None
