"""A request as a line of a batch file."""

import json

from hypothesis import given
from hypothesis import strategies as st

from dropbatch.batch_api.request import BodyFrame, Request

CHAT = "/v1/chat/completions"


def test_a_line_is_json_with_the_body_as_it_is() -> None:
    line = Request(CHAT, "m", b'{"model":"m","seed":12345678901234567890123}').line('7"\u2028')
    assert line.endswith(b'"body":{"model":"m","seed":12345678901234567890123}}\n')
    assert line.count(b"\n") == 1
    members = json.loads(line)
    assert (members["custom_id"], members["method"], members["url"]) == ('7"\u2028', "POST", CHAT)


def test_a_token_is_four_bytes() -> None:
    assert Request(CHAT, "m", b"x" * 400).estimated_input_tokens == 100


BODIES = st.text(alphabet="ab{}", max_size=6).map(str.encode)


@given(BODIES, BODIES, BODIES, BODIES)
def test_two_bodies_have_the_same_content_only_if_they_are_the_same(
    start: bytes, end: bytes, one: bytes, other: bytes
) -> None:
    frame = BodyFrame(start, end)
    for body in (one, start + one + end):
        assert (frame.content(body) == frame.content(other)) == (body == other)
    assert frame.content(start + one + end) == one
