"""Estimates of requests: embedding inputs, and bytes of the answers."""

import json

import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.batch_api.request import Request

CHAT, EMBEDDINGS, RESPONSES = "/v1/chat/completions", "/v1/embeddings", "/v1/responses"
IMAGES = ["/v1/images/generations", "/v1/images/edits"]

MIB = 1_048_576


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
        ('{"max_completion_tokens":9000}', 1024 + 36_000),
        ('{"max_completion_tokens":100000}', 1024 + 64_000),
        ('{"max_tokens":10,"n":1000000}', 128 * (1024 + 40)),
        ('{"max_output_tokens":10,"n":3}', 3 * (1024 + 40)),
        ('{"n":"3","max_tokens":null}', 1024 + 4_000),
        ('{"n":true,"max_tokens":-1}', 1024 + 4_000),
        ("no json", 1024 + 4_000),
    ],
)
def test_the_estimate_of_an_answer_is_its_cap(members: str, size: int) -> None:
    assert Request(CHAT, "m", members.encode()).expected_output_bytes == size


LONGEST_ANSWER = 128_000
"""Tokens: no model of OpenAI answers with more."""

COLLECT_DISK = 10_240 * MIB


def rows_of_a_batch(endpoint: str, body: str) -> int:
    limits = Limits()
    each = Request(endpoint, "m", body.encode()).expected_output_bytes
    return min(limits.batch_output_bytes // each, limits.batch_requests)


@pytest.mark.parametrize("cap", [4_000, 12_000, 16_000, 32_000, 128_000])
def test_answers_as_long_as_their_cap_fit_on_the_disk(cap: int) -> None:
    rows = rows_of_a_batch(CHAT, f'{{"max_completion_tokens":{cap}}}')
    assert rows * (1024 + 4 * min(cap, LONGEST_ANSWER)) < COLLECT_DISK
    assert rows >= 15_000, "a generous cap does not make tiny batches"


@pytest.mark.parametrize(
    ("endpoint", "members", "alternatives"),
    [
        (CHAT, '"logprobs":true', 0),
        (CHAT, '"logprobs":true,"top_logprobs":20', 20),
        (CHAT, '"logprobs":true,"top_logprobs":1000000', 20),
        ("/v1/completions", '"logprobs":0', 0),
        ("/v1/completions", '"logprobs":5', 5),
        (RESPONSES, '"include":["message.output_text.logprobs"]', 0),
        (RESPONSES, '"include":["message.output_text.logprobs"],"top_logprobs":3', 3),
    ],
)
def test_log_probabilities_take_a_hundred_bytes_each(endpoint: str, members: str, alternatives: int) -> None:
    def expected(more: str) -> int:
        return Request(endpoint, "m", b'{"max_tokens":50%b}' % more.encode()).expected_output_bytes

    assert expected("," + members) - expected("") == 50 * 100 * (1 + alternatives)
    assert expected(',"logprobs":false') == expected(',"logprobs":null') == expected("")


def test_tokens_with_log_probabilities_fit_their_estimate() -> None:
    """The entry of a token as OpenAI writes it, with twenty alternatives."""
    entry: dict[str, object] = {"token": " answer", "logprob": -0.0123456789, "bytes": list(b" answer")}
    written = json.dumps({**entry, "top_logprobs": [entry] * 20})
    body = b'{"max_completion_tokens":4000,"logprobs":true,"top_logprobs":20}'
    expected = Request(CHAT, "m", body).expected_output_bytes / 4_000
    assert expected == pytest.approx(len(written), rel=0.25)


@pytest.mark.parametrize("endpoint", IMAGES)
@pytest.mark.parametrize(
    ("members", "least", "most"),
    [
        ('"size":"1024x1024","quality":"high"', 2.0, 4.0),
        ('"size":"1024x1024","output_format":"jpeg"', 1.0, 2.0),
        ('"size":"1024x1024","output_format":["jpeg"]', 2.0, 4.0),
        ('"size":"1024x1536"', 3.0, 6.0),
        ('"size":"auto"', 3.0, 6.0),
        ('"quality":"low"', 3.0, 6.0),
        ('"size":7', 3.0, 6.0),
        ('"size":"3840x2160"', 16.0, 32.0),
        ('"size":"99999x99999"', 16.0, 32.0),
    ],
)
def test_an_image_takes_megabytes(endpoint: str, members: str, least: float, most: float) -> None:
    """In base64, a png of 1024 x 1024 with many colours can have 4 MiB."""
    body = b'{"model":"i","prompt":"a","n":%d,' + members.encode() + b"}"
    one = Request(endpoint, "i", body % 1).expected_output_bytes
    assert least <= one / MIB <= most
    assert Request(endpoint, "i", body % 3).expected_output_bytes == 3 * one


def test_a_batch_of_images_is_no_larger_than_the_disk() -> None:
    rows = rows_of_a_batch(IMAGES[0], '{"prompt":"a","size":"1024x1024"}')
    assert 200 <= rows <= 500
    assert rows * 4 * MIB < COLLECT_DISK


def test_a_video_is_fetched_from_elsewhere() -> None:
    assert Request("/v1/videos", "v", b'{"prompt":"a","size":"1280x720"}').expected_output_bytes < 2_048


@pytest.mark.parametrize(("format_", "least"), [("wav", 48_000), ("pcm16", 48_000), ("mp3", 20_000), ("flac", 24_000)])
def test_the_estimate_of_speech_follows_its_format(format_: str, least: int) -> None:
    """`least` is the number of bytes of a second, which is 20 tokens."""
    audio = b'{"max_completion_tokens":200,"modalities":["text","audio"],"audio":{"voice":"v","format":"%b"}}'
    expected = Request(CHAT, "m", audio % format_.encode()).expected_output_bytes
    assert 10 * least * 4 / 3 <= expected <= 10 * 48_000 * 1.5
    assert Request(CHAT, "m", b'{"modalities":["text"],"max_completion_tokens":200}').expected_output_bytes < 2_048


@pytest.mark.parametrize(
    ("tools", "images"),
    [
        ('[{"type":"image_generation"}]', 1),
        ('[{"type":"web_search"},{"type":"image_generation","size":"1024x1024","output_format":"webp"}]', 0.33),
        ('[{"type":"function","name":"image_generation"}]', 0),
        ('["image_generation"]', 1),
        ('"image_generation"', 1),
    ],
)
def test_images_that_a_tool_makes_count(tools: str, images: float) -> None:
    def expected(body: str) -> int:
        return Request(RESPONSES, "m", body.encode()).expected_output_bytes

    more = expected(f'{{"tools":{tools}}}') - expected("{}")
    assert more == pytest.approx(images * 1536 * 1024 * 2 * 4 / 3, rel=0.02)


def test_included_fields_count() -> None:
    plain, found = b"{}", b'{"include":["file_search_call.results","message.output_text.logprobs"]}'
    sizes = [Request(RESPONSES, "m", body).expected_output_bytes for body in (plain, found)]
    assert sizes[1] - sizes[0] == 65_536 + 1_000 * 100


@pytest.mark.parametrize(
    ("endpoint", "one", "several"),
    [
        ("/v1/moderations", '{"input":"a"}', '{"input":["a","b","c"]}'),
        ("/v1/completions", '{"prompt":"a"}', '{"prompt":["a","b","c"]}'),
        ("/v1/completions", '{"prompt":[1,2]}', '{"prompt":[[1],[2],[3]]}'),
        ("/v1/completions", '{"prompt":"a"}', '{"prompt":"a","n":3}'),
    ],
)
def test_each_of_several_inputs_has_an_answer(endpoint: str, one: str, several: str) -> None:
    sizes = [Request(endpoint, "m", body.encode()).expected_output_bytes for body in (one, several)]
    assert 2 * sizes[0] < sizes[1] <= 3 * sizes[0]
