"""A request as a line, and what it is expected to take."""

import json

import pytest

from dropbatch.requests import Request

CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"


def test_a_line_is_json_with_the_body_as_it_is() -> None:
    line = Request(CHAT, "m", b'{"model":"m","seed":12345678901234567890123}').line('7"\u2028')
    assert line.endswith(b'"body":{"model":"m","seed":12345678901234567890123}}\n')
    assert line.count(b"\n") == 1
    members = json.loads(line)
    assert (members["custom_id"], members["method"], members["url"]) == ('7"\u2028', "POST", CHAT)


@pytest.mark.parametrize(
    ("input_", "count"),
    [
        ('"a"', 1),
        ('["a","b","c"]', 3),
        ("[1,2,3]", 1),
        ("[[1,2],[3]]", 2),
        ("[]", 1),
        ("null", 1),
        ('[ "a" , "b" ]', 2),
    ],
)
def test_every_text_or_token_list_of_an_embedding_counts(input_: str, count: int) -> None:
    assert Request(EMBEDDINGS, "e", b'{"input":%b}' % input_.encode()).embedding_inputs == count


def test_other_endpoints_have_no_embedding_inputs() -> None:
    assert Request(CHAT, "m", b'{"input":["a","b"]}').embedding_inputs == 0


@pytest.mark.parametrize(
    ("model", "members", "size"),
    [
        ("text-embedding-3-small", "", 1536 * 24),
        ("text-embedding-3-large", "", 3072 * 24),
        ("text-embedding-3-large", ',"dimensions":256', 256 * 24),
        ("text-embedding-3-small", ',"encoding_format":"base64"', 1536 * 6),
    ],
)
def test_an_embedding_is_as_large_as_its_dimensions(model: str, members: str, size: int) -> None:
    body = b'{"input":["a","b"]%b}' % members.encode()
    assert Request(EMBEDDINGS, model, body).expected_output_bytes == 2 * size


@pytest.mark.parametrize(
    ("members", "size"),
    [
        ("{}", 1024 + 4_000),
        ('{"max_tokens":10}', 1024 + 40),
        ('{"max_completion_tokens":100000}', 1024 + 16_000),
        ('{"max_output_tokens":10,"n":3}', 3 * (1024 + 40)),
        ('{"n":"3","max_tokens":null}', 1024 + 4_000),
        ('{"n":true,"max_tokens":-1}', 1024 + 4_000),
        ("no json", 1024 + 4_000),
    ],
)
def test_an_answer_is_as_long_as_its_cap_lets_it_be(members: str, size: int) -> None:
    assert Request(CHAT, "m", members.encode()).expected_output_bytes == size


def test_a_token_is_four_bytes() -> None:
    assert Request(CHAT, "m", b"x" * 400).estimated_input_tokens == 100
