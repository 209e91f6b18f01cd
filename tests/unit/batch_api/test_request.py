"""A request as a line of a batch file."""

import json

from dropbatch.batch_api.request import Request

CHAT = "/v1/chat/completions"


def test_a_line_is_json_with_the_body_as_it_is() -> None:
    line = Request(CHAT, "m", b'{"model":"m","seed":12345678901234567890123}').line('7"\u2028')
    assert line.endswith(b'"body":{"model":"m","seed":12345678901234567890123}}\n')
    assert line.count(b"\n") == 1
    members = json.loads(line)
    assert (members["custom_id"], members["method"], members["url"]) == ('7"\u2028', "POST", CHAT)


def test_a_token_is_four_bytes() -> None:
    assert Request(CHAT, "m", b"x" * 400).estimated_input_tokens == 100
