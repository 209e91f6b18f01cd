"""The fast reader of answers, compared with the strict one."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dropbatch.answers import batch_reader
from dropbatch.answers.answer import Answer
from dropbatch.answers.batch_reader import AnswerReader
from dropbatch.answers.reader import read_answer
from dropbatch.delivery.response_lines import answered_response
from dropbatch.domain.outcomes import Outcome
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.parser import parse_recipe

pytestmark = pytest.mark.usefixtures("with_fast_paths")

CHAT, RESPONSES, EMBEDDINGS = "/v1/chat/completions", "/v1/responses", "/v1/embeddings"


def recipe(more: str = "", endpoint: str = CHAT) -> CompiledRecipe:
    return compile_recipe(parse_recipe(f"model: m\nprompt: '{{{{ x }}}}'\nendpoint: {endpoint}\n{more}\n".encode()), {})


PLAIN = recipe()
MOOD = recipe("schema: {mood: [good, bad], why: reason}")
ALL_KINDS = recipe("schema: {mood: [good, bad], score: number, count: integer, sure: boolean, tags: {list: string}}")
RECIPES: list[tuple[CompiledRecipe | None, str]] = [
    (None, CHAT),
    (None, RESPONSES),
    (None, EMBEDDINGS),
    (PLAIN, CHAT),
    (MOOD, CHAT),
    (ALL_KINDS, CHAT),
    (recipe("schema: {n: {list: {a: integer}}}"), CHAT),
    (recipe("columns: {id: id}"), CHAT),
    (recipe("", RESPONSES), RESPONSES),
    (recipe("schema: {mood: [good, bad], why: reason}", RESPONSES), RESPONSES),
    (recipe("", EMBEDDINGS), EMBEDDINGS),
]

SCALARS = st.sampled_from(
    [None, True, False, 0, 1, -1, 3, 2.0, 1.5, 2**70, "", " ", "a", "good", "bad", "3", "\ud800", "\n"]
)
TEXTS = st.one_of(
    st.sampled_from(["", " ", "hello", "two\nlines", "{", "null", '{"mood":"good"}', '{"mood":"good","mood":"bad"}']),
    st.fixed_dictionaries(
        {"mood": st.sampled_from(["good", "bad", "so so", 1, None])},
        optional={
            "why": SCALARS,
            "score": SCALARS,
            "count": SCALARS,
            "sure": SCALARS,
            "tags": st.lists(SCALARS, max_size=2) | SCALARS,
            "n": st.lists(st.fixed_dictionaries({"a": SCALARS}), max_size=2),
            "more": SCALARS,
        },
    ).map(lambda value: json.dumps(value, indent=1)),
)
COUNTS = st.sampled_from([0, 7, 80, -1, None, True, 1.0, "3"])


def some(**members: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy of objects that have each of the members or not."""
    return st.fixed_dictionaries({}, optional=members)


DETAILS = st.none() | some(cached_tokens=COUNTS, cache_write_tokens=COUNTS, reasoning_tokens=COUNTS) | SCALARS
USAGES = (
    some(
        prompt_tokens=COUNTS, completion_tokens=COUNTS, prompt_tokens_details=DETAILS, completion_tokens_details=DETAILS
    )
    | some(input_tokens=COUNTS, output_tokens=COUNTS, input_tokens_details=DETAILS, output_tokens_details=DETAILS)
    | some(prompt_tokens=COUNTS, input_tokens=COUNTS, output_tokens=COUNTS, input_tokens_details=DETAILS)
    | SCALARS
)
PARTS = some(type=st.sampled_from(["output_text", "refusal", "text"]), text=TEXTS, refusal=TEXTS) | SCALARS
MESSAGES = some(
    content=TEXTS | SCALARS | st.lists(PARTS, max_size=2),
    refusal=SCALARS,
    tool_calls=SCALARS | st.lists(SCALARS, max_size=1),
    function_call=SCALARS | some(name=SCALARS),
    annotations=SCALARS | st.lists(some(type=st.sampled_from(["url_citation", "file"])), max_size=1),
    audio=SCALARS | some(data=SCALARS, transcript=TEXTS),
)
CHOICES = some(
    index=COUNTS, message=MESSAGES | SCALARS, finish_reason=st.sampled_from(["stop", "length", "content_filter", None])
)
ITEMS = some(
    type=st.sampled_from(["message", "reasoning", "function_call", "web_search_call", "image_generation_call", None]),
    content=st.lists(PARTS, max_size=2) | SCALARS,
    phase=st.sampled_from(["commentary", "final_answer", None, 1]),
    result=SCALARS,
)
TOOL_USAGES = some(web_search=SCALARS | some(num_requests=COUNTS), image_gen=SCALARS | some(total_tokens=COUNTS))
BODIES = (
    some(choices=st.lists(CHOICES | SCALARS, max_size=2), usage=USAGES, error=some(code=SCALARS) | SCALARS)
    | some(
        output=st.lists(ITEMS | SCALARS, max_size=3),
        status=st.sampled_from(["completed", "incomplete", "failed", None]),
        usage=USAGES,
        tool_usage=TOOL_USAGES | SCALARS,
        error=some(code=SCALARS) | SCALARS,
    )
    | SCALARS
)
LINES = some(
    id=SCALARS,
    custom_id=SCALARS,
    response=some(status_code=st.sampled_from([200, 200, 201, "200", 400, 500, 0, True, None]), body=BODIES) | SCALARS,
    error=some(code=SCALARS) | SCALARS,
)


def comparable(answer: Answer) -> tuple[Any, ...]:
    """Return the parts of an answer that can be compared."""
    return *answer[:2], orjson.dumps(answer.values) if answer.values else answer.values, *answer[3:]


def plain_chat(content: str, **more: Any) -> bytes:
    """Return a line as OpenAI writes it."""
    message = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 3,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 2, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage, **more}
    return written({"status_code": 200, "request_id": "r", "body": body})


def plain_response(text: str, **more: Any) -> bytes:
    usage = {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 2},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 1},
    }
    message = {"type": "message", "content": [{"type": "output_text", "annotations": [], "text": text}]}
    output = [{"type": "reasoning", "summary": []}, message]
    body = {"status": "completed", "error": None, "output": output, "usage": usage, **more}
    return written({"status_code": 200, "request_id": "r", "body": body})


def written(response: Any) -> bytes:
    return json.dumps({"id": "b", "custom_id": "1", "response": response, "error": None}).encode()


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(RECIPES), st.lists(LINES | TEXTS.map(lambda text: json.loads(plain_chat(text))), max_size=3))
def test_any_lines_are_read_as_the_strict_reader_reads_them(
    which: tuple[CompiledRecipe | None, str], lines: list[dict[str, Any]]
) -> None:
    written_lines = [json.dumps(line).encode() for line in lines]
    read = AnswerReader(*which).read_all(written_lines)
    assert list(map(comparable, read)) == [comparable(read_answer(line, *which)) for line in written_lines]


def test_two_answers_in_a_line_do_not_make_up_for_one_in_two_lines() -> None:
    first, second, third = (plain_chat(text) for text in ("one", "two", "three"))
    lines = [first + second, third[:-1] + b', "more": ', b"{}}"]
    read = AnswerReader(PLAIN, CHAT).read_all(lines)
    assert list(map(comparable, read)) == [comparable(read_answer(line, PLAIN, CHAT)) for line in lines]
    assert Outcome.OK not in [answer.outcome for answer in read]


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.sampled_from(RECIPES), TEXTS, st.binary(max_size=3), st.integers(0, 400))
def test_lines_with_any_bytes_are_read_as_the_strict_reader_reads_them(
    which: tuple[CompiledRecipe | None, str], text: str, more: bytes, place: int
) -> None:
    line = plain_response(text) if which[1] == RESPONSES else plain_chat(text)
    line = (line[:place] + more + line[place:]).replace(b"\n", b" ")
    read = AnswerReader(*which).read_all([line, line])
    assert list(map(comparable, read)) == [comparable(read_answer(line, *which))] * 2


@pytest.mark.parametrize(
    ("which", "line"),
    [
        ((None, CHAT), plain_chat("hello")),
        ((None, RESPONSES), plain_response("hello")),
        ((PLAIN, CHAT), plain_chat("hello", service_tier="default", system_fingerprint=None)),
        ((MOOD, CHAT), plain_chat('{"mood": "good", "why": "because\\u2028"}')),
        ((ALL_KINDS, CHAT), plain_chat('{"mood":"bad","score":1.10,"count":3,"sure":true,"tags":["a"]}')),
        ((recipe("", RESPONSES), RESPONSES), plain_response("hello")),
        (
            (recipe("", RESPONSES), RESPONSES),
            plain_response("hello").replace(b'"type": "message"', b'"type": "message", "phase": "final_answer"'),
        ),
        (
            (None, RESPONSES),
            plain_response("hello", tool_usage={"web_search": {"num_requests": 0}, "image_gen": {"total_tokens": 0}}),
        ),
    ],
)
def test_plain_answers_never_need_the_strict_reader(
    which: tuple[CompiledRecipe | None, str], line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = comparable(read_answer(line, *which))
    assert strict[0] is Outcome.OK

    def refuse(*_: object) -> Answer:
        raise AssertionError("the strict way was taken")

    monkeypatch.setattr(batch_reader, "read_answer", refuse)
    read = AnswerReader(*which).read_all([line, line])
    assert list(map(comparable, read)) == [strict, strict]


@pytest.mark.parametrize(
    ("written", "read"),
    [(rb"\ud83d", "\ufffd"), (b"\t", "\t"), (b"\x00", "\x00"), (b"\xff", "\ufffd"), (b"\r", "\r")],
)
def test_an_answer_that_is_not_strict_json_is_read(written: bytes, read: str) -> None:
    line = plain_chat("a|b").replace(b"|", written)
    answer = AnswerReader(PLAIN, CHAT).read_all([line, line])[1]
    assert (answer.outcome, answer.values) == (Outcome.OK, (f"a{read}b",))
    assert answer.usage == read_answer(plain_chat("a|b"), PLAIN, CHAT).usage


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"1e999"])
def test_a_value_that_is_not_a_number_does_not_affect_the_rest_of_the_answer(number: bytes) -> None:
    line = plain_chat("hello", logprobs="|").replace(b'"|"', number)
    assert read_answer(line, PLAIN, CHAT).values == ("hello",)
    response = json.loads(answered_response(1, "mine", line, Outcome.TRUNCATED))
    assert response["custom_id"] == "mine"
    assert response["response"]["body"]["choices"][0]["message"]["content"] == "hello"
    strange = answered_response(1, "mine", line.replace(b'"id"', b'"more": NaN, "id"'), Outcome.OK)
    assert json.loads(strange)["response"]["body"]["choices"][0]["message"]["content"] == "hello"
