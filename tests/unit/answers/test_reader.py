"""The outcome of a row, from the line of its answer."""

import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dropbatch.answers.answer import Answer
from dropbatch.answers.batch_reader import AnswerReader
from dropbatch.answers.reader import read_answer
from dropbatch.answers.usage import Usage
from dropbatch.domain.outcomes import Outcome
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.parser import parse_recipe

CHAT, RESPONSES, EMBEDDINGS = "/v1/chat/completions", "/v1/responses", "/v1/embeddings"


def recipe(more: str = "", endpoint: str = CHAT) -> CompiledRecipe:
    return compile_recipe(parse_recipe(f"model: m\nprompt: '{{{{ x }}}}'\nendpoint: {endpoint}\n{more}\n".encode()), {})


PLAIN = recipe()
SCHEMA = recipe("schema: {mood: [good, bad], score: number}")


def line(body: Any, status: Any = 200) -> bytes:
    response = {"status_code": status, "request_id": "r", "body": body}
    return json.dumps({"id": "b", "custom_id": "1", "response": response, "error": None}).encode()


def choice(content: Any = None, finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    return {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}


def chat(*choices: Any, compiled: CompiledRecipe | None = PLAIN, **more: Any) -> Answer:
    return read_answer(line({"choices": list(choices), **more}), compiled, CHAT)


def response(*content: Any, compiled: CompiledRecipe | None = None, **more: Any) -> Answer:
    items = [{"type": "reasoning", "summary": []}]
    items += [{"type": "message", "content": [part]} for part in content]
    body = {"status": "completed", "output": items, **more}
    return read_answer(line(body), compiled or recipe("", RESPONSES), RESPONSES)


def result_of(answer: Answer) -> tuple[Outcome, str | None, Any]:
    """Return the outcome, the code, and the values as JSON."""
    return answer.outcome, answer.code, json.loads(orjson.dumps(answer.values))


def test_an_answer_is_its_text() -> None:
    assert result_of(chat(choice("hello\u2028you"))) == (Outcome.OK, None, ["hello\u2028you"])


@pytest.mark.parametrize(
    ("given", "outcome", "code", "values"),
    [
        (choice("half", "length"), Outcome.TRUNCATED, "length", ["half"]),
        (choice("", "length"), Outcome.TRUNCATED, "length", None),
        (choice("half", "content_filter"), Outcome.REFUSED, "content_filter", ["half"]),
        (choice(None, "stop", refusal="I cannot."), Outcome.REFUSED, "refusal", ["I cannot."]),
        (choice(None), Outcome.INVALID_ANSWER, "empty", None),
        (choice(" \n"), Outcome.INVALID_ANSWER, "empty", None),
        (choice([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), Outcome.OK, None, ["ab"]),
        (choice("x", None), Outcome.OK, None, ["x"]),
        ({"message": None}, Outcome.INVALID_ANSWER, "empty", None),
        ("nonsense", Outcome.INVALID_ANSWER, "empty", None),
    ],
)
def test_the_endings_of_a_chat_have_their_outcomes(given: Any, outcome: Outcome, code: str | None, values: Any) -> None:
    assert result_of(chat(given)) == (outcome, code, values)
    assert chat(given, compiled=None).outcome is outcome
    assert chat(given, compiled=None).values is None


def test_tool_calls_are_an_answer() -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    assert result_of(chat(choice(None, "tool_calls", tool_calls=calls))) == (Outcome.OK, None, [calls])


def test_a_structured_answer_fills_the_columns_with_its_numbers_exact() -> None:
    answer = chat(choice('{"score": 1.10, "mood": "good"}'), compiled=SCHEMA)
    assert (answer.outcome, orjson.dumps(answer.values)) == (Outcome.OK, b'["good",1.10]')


def test_white_space_in_a_structured_answer_ends_no_field() -> None:
    compiled = recipe("schema: {a: {list: integer}}")
    assert b"\n" not in orjson.dumps(chat(choice('{"a": [1,\n\t2]}'), compiled=compiled).values)


@pytest.mark.parametrize(
    ("text", "finish", "outcome", "code"),
    [
        ("Sure! {", "stop", Outcome.INVALID_ANSWER, "not_json"),
        ('{"mood": "good", "score": NaN}', "stop", Outcome.INVALID_ANSWER, "not_json"),
        ('{"mood": "good"}', "stop", Outcome.INVALID_ANSWER, "schema_mismatch"),
        ('{"mood": "so-so", "score": 1}', "stop", Outcome.INVALID_ANSWER, "schema_mismatch"),
        ("[]", "stop", Outcome.INVALID_ANSWER, "schema_mismatch"),
        ("", "stop", Outcome.INVALID_ANSWER, "empty"),
        ('{"mood": "go', "length", Outcome.TRUNCATED, "length"),
        ('{"mood": "good", "score": 1}', "content_filter", Outcome.REFUSED, "content_filter"),
    ],
)
def test_an_answer_that_does_not_fit_the_schema_fills_nothing(
    text: str, finish: str, outcome: Outcome, code: str
) -> None:
    assert result_of(chat(choice(text, finish), compiled=SCHEMA)) == (outcome, code, None)


def test_several_answers_are_an_array_and_the_worst_decides() -> None:
    second, first = {**choice("b"), "index": 1}, choice("a")
    assert result_of(chat(second, first)) == (Outcome.OK, None, [["a", "b"]])
    assert result_of(chat(first, choice("half", "length"))) == (Outcome.TRUNCATED, "length", [["a", "half"]])
    assert result_of(chat(first, choice(None, "stop"))) == (Outcome.INVALID_ANSWER, "empty", [["a", None]])


def test_several_structured_answers_are_an_array_in_each_column() -> None:
    answers = [choice('{"mood": "good", "score": 1}'), choice('{"mood": "bad", "score": 2.50}')]
    assert orjson.dumps(chat(*answers, compiled=SCHEMA).values) == b'[["good","bad"],[1,2.50]]'


def test_columns_are_computed_from_the_body() -> None:
    compiled = recipe(
        "columns: {finish: 'choices[0].finish_reason', tokens: usage.total_tokens, none: 'length(model)'}"
    )
    answer = chat(choice("a"), compiled=compiled, usage={"total_tokens": 2**70})
    assert result_of(answer) == (Outcome.OK, None, ["a", "stop", 2**70, None])


def test_all_texts_of_a_response_are_joined() -> None:
    texts = [{"type": "output_text", "text": text} for text in ("a", "b", "c")]
    assert result_of(response(*texts)) == (Outcome.OK, None, ["abc"])


@pytest.mark.parametrize(
    ("parts", "more", "outcome", "code", "values"),
    [
        (
            ["half"],
            {"incomplete_details": {"reason": "max_output_tokens"}},
            Outcome.TRUNCATED,
            "max_output_tokens",
            "half",
        ),
        ([], {"incomplete_details": {"reason": "content_filter"}}, Outcome.REFUSED, "content_filter", None),
        (["half"], {}, Outcome.TRUNCATED, "incomplete", "half"),
        ([], {"status": "failed", "error": {"code": "server_error"}}, Outcome.ERROR, "server_error", None),
        ([], {"status": "cancelled"}, Outcome.ERROR, "response_cancelled", None),
        ([], {"status": "completed"}, Outcome.INVALID_ANSWER, "empty", None),
    ],
)
def test_the_endings_of_a_response_have_their_outcomes(
    parts: list[str], more: Any, outcome: Outcome, code: str, values: Any
) -> None:
    texts = [{"type": "output_text", "text": text} for text in parts]
    expected = [values] if values else None
    assert result_of(response(*texts, **{"status": "incomplete", **more})) == (outcome, code, expected)


def test_a_refusal_among_a_responses_items_is_one() -> None:
    assert result_of(response({"type": "refusal", "refusal": "No."})) == (Outcome.REFUSED, "refusal", ["No."])


def test_function_calls_of_a_response_are_an_answer() -> None:
    call = {"type": "function_call", "name": "f", "arguments": "{}"}
    assert result_of(response(output=[call])) == (Outcome.OK, None, [[call]])


def test_embeddings_are_passed_on_unchanged() -> None:
    body = b'{"data":[{"index":0,"embedding":[0.10, -1e-7,\t2]}],"usage":{"prompt_tokens":3}}'
    given = b'{"custom_id":"1","response":{"status_code":200,"body":%b}}' % body
    answer = read_answer(given, recipe("", EMBEDDINGS), EMBEDDINGS)
    assert orjson.dumps(answer.values) == b"[[0.10, -1e-7, 2]]"
    assert answer.usage == Usage(3, 0, 0, 0)


def test_several_embeddings_are_an_array_in_the_order_of_their_inputs() -> None:
    body = {"data": [{"index": 1, "embedding": [2]}, {"index": 0, "embedding": "AAAA"}]}
    assert result_of(read_answer(line(body), recipe("", EMBEDDINGS), EMBEDDINGS))[2] == [["AAAA", [2]]]


@pytest.mark.parametrize("data", [[], None, [{"index": 0}], [{"embedding": []}]])
def test_missing_embeddings_are_not_an_answer(data: Any) -> None:
    assert read_answer(line({"data": data}), None, EMBEDDINGS).code == "empty"


def test_moderations_name_the_categories_that_were_flagged() -> None:
    compiled = recipe("", "/v1/moderations")
    body = {"results": [{"flagged": True, "categories": {"hate": False, "violence": True}}]}
    assert result_of(read_answer(line(body), compiled, compiled.endpoint))[2] == [True, ["violence"]]


def test_legacy_completions_have_a_text() -> None:
    body = {"choices": [{"text": "a", "finish_reason": "length"}]}
    compiled = compile_recipe(parse_recipe(b"endpoint: /v1/completions\nbody: {model: m, prompt: '{{ x }}'}"), {})
    assert result_of(read_answer(line(body), compiled, "/v1/completions")) == (Outcome.TRUNCATED, "length", ["a"])


def test_an_endpoint_without_texts_answers_with_its_body() -> None:
    compiled = compile_recipe(
        parse_recipe(b"endpoint: /v1/images/generations\nbody: {model: m, prompt: '{{ x }}'}"), {}
    )
    body = {"data": [{"b64_json": "AAAA"}]}
    assert result_of(read_answer(line(body), compiled, compiled.endpoint)) == (Outcome.OK, None, [body])


@pytest.mark.parametrize(
    ("given", "outcome", "code"),
    [
        (
            line({"error": {"code": "context_length_exceeded", "message": "…"}}, 400),
            Outcome.ERROR,
            "context_length_exceeded",
        ),
        (line({"error": {"code": None, "type": "server_error"}}, 500), Outcome.ERROR, "server_error"),
        (line({"error": {"code": "the text of a row", "type": ""}}, 400), Outcome.ERROR, "http_400"),
        (line({"error": "the text of a row"}, 429), Outcome.ERROR, "http_429"),
        (line({"error": {"code": "x" * 65}}, "503"), Outcome.ERROR, "http_503"),
        (line(None, 500), Outcome.ERROR, "http_500"),
        (line("<html>", 502), Outcome.ERROR, "http_502"),
        (line({}, 0), Outcome.ERROR, "no_response"),
        (line({"error": {"code": "bad"}}), Outcome.ERROR, "bad"),
        (line(None), Outcome.INVALID_ANSWER, "empty"),
        (line({}), Outcome.INVALID_ANSWER, "empty"),
        (line([]), Outcome.ERROR, "unreadable"),
        (b'{"response":null,"error":{"code":"batch_expired","message":"m"}}', Outcome.EXPIRED, "batch_expired"),
        (b'{"response":null,"error":{"code":"batch_cancelled"}}', Outcome.CANCELLED, "batch_cancelled"),
        (b'{"response":null,"error":{"code":"odd"}}', Outcome.ERROR, "odd"),
        (b'{"custom_id":"1","error":{"code":"400","message":"m"}}', Outcome.ERROR, "400"),
        (b'{"response":null,"error":{"message":"m"}}', Outcome.ERROR, "error"),
        (b'{"response":null,"error":null}', Outcome.ERROR, "unreadable"),
        (b'{"response":"x"}', Outcome.ERROR, "unreadable"),
        (b"{}", Outcome.ERROR, "unreadable"),
        (b"[]", Outcome.ERROR, "unreadable"),
        (b"", Outcome.ERROR, "unreadable"),
        (b'{"response":{"status_code":200,"bo', Outcome.ERROR, "unreadable"),
        (b"[" * 100_000, Outcome.ERROR, "unreadable"),
    ],
)
def test_every_other_shape_of_a_line_has_an_outcome_and_a_code(given: bytes, outcome: Outcome, code: str) -> None:
    assert result_of(read_answer(given, PLAIN, CHAT)) == (outcome, code, None)


def test_a_body_that_is_wrapped_into_a_string_is_read() -> None:
    body = json.dumps({"choices": [choice("a")]}, indent=1)
    assert result_of(read_answer(line(body), PLAIN, CHAT)) == (Outcome.OK, None, ["a"])


@pytest.mark.parametrize(
    ("content", "read"),
    [(b'"a\\ud800b"', "a\ufffdb"), (b'"a\xffb"', "a\ufffdb"), (b'"a\\u0000b"', "a\x00b")],
)
def test_text_that_strict_json_refuses_is_repaired(content: bytes, read: str) -> None:
    given = b'{"response":{"status_code":200,"body":{"choices":[{"message":{"content":%b},"logprob":NaN}]}}}' % content
    assert result_of(read_answer(given, PLAIN, CHAT)) == (Outcome.OK, None, [read])


def test_usage_is_read_in_either_spelling() -> None:
    chat_usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    response_usage = {
        "input_tokens": 10,
        "output_tokens": 5,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
        "output_tokens_details": {"reasoning_tokens": 3},
    }
    assert chat(choice("a"), usage=chat_usage).usage == Usage(10, 4, 5, 3, 2)
    assert response(usage=response_usage).usage == Usage(10, 4, 5, 3, 2)


@pytest.mark.parametrize(
    ("usage", "read"),
    [(None, None), ([], None), ({"prompt_tokens": None, "prompt_tokens_details": None}, Usage(0, 0, 0, 0))],
)
def test_missing_usage_is_not_an_error(usage: Any, read: Usage | None) -> None:
    assert chat(choice("a"), usage=usage).usage == read


def test_paid_tokens_count_whatever_the_outcome() -> None:
    assert chat(choice("", "length"), usage={"prompt_tokens": 1, "completion_tokens": 50}).usage == Usage(1, 0, 50, 0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(
        {"choices", "message", "content", "output", "type", "text", "data", "embedding", "index", "results", "flagged",
         "usage", "error", "code", "status", "finish_reason", "tool_calls", "categories"})), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip  # names, some to a line


@pytest.mark.slow
@settings(deadline=None)  # times of a busy machine prove nothing
@given(
    body=JSON, status=st.sampled_from([200, 0, 400, None, "x"]), endpoint=st.sampled_from([CHAT, RESPONSES, EMBEDDINGS])
)
def test_no_line_raises(body: Any, status: Any, endpoint: str) -> None:
    for compiled in (None, recipe("", endpoint)):
        answer = read_answer(line(body, status), compiled, endpoint)
        orjson.dumps(answer.values)
        assert (answer.code is None) is (answer.outcome is Outcome.OK)
        assert answer.values is None or (compiled is not None and len(answer.values) == len(compiled.columns))


SLOW_PATTERN = recipe(
    "schema: {type: object, properties: {mail: {type: string, pattern: '^([a-zA-Z0-9]+[._-]?)+@example[.]com$'}}}"
)
SLOW_COLUMN = recipe("columns: {a: 'sort_by(choices, &length(to_array(@)))', b: 'choices[*].message.content | [0]'}")


@pytest.mark.slow
def test_an_answer_that_takes_a_pattern_too_long_is_invalid_and_its_tokens_count() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    answer = chat(choice(json.dumps({"mail": "a" * 60})), compiled=SLOW_PATTERN, usage=usage)
    assert answer == Answer(Outcome.INVALID_ANSWER, "too_slow", None, Usage(3, 0, 4, 0))
    assert chat(choice('{"mail": "a@example.com"}'), compiled=SLOW_PATTERN).outcome is Outcome.OK
    assert chat(choice('{"mail": "a@b"}'), compiled=SLOW_PATTERN).code == "schema_mismatch"


@pytest.mark.slow
def test_an_answer_that_takes_an_expression_too_long_is_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    def forever(*_: object) -> None:
        while True:
            pass

    monkeypatch.setattr("dropbatch.recipes.expressions.Expression.search", forever)
    assert chat(choice("x"), compiled=SLOW_COLUMN, usage={"prompt_tokens": 1}) == Answer(
        Outcome.INVALID_ANSWER, "too_slow", None, Usage(1, 0, 0, 0)
    )


def test_an_answer_that_an_expression_makes_too_large_is_invalid() -> None:
    compiled = recipe("columns: {a: '[@,@,@,@,@,@]'}")
    assert chat(choice("a" * 500_000), compiled=compiled).code == "too_large"
    assert chat(choice("a"), compiled=compiled).outcome is Outcome.OK


@pytest.mark.slow
def test_slow_answers_of_a_batch_share_its_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other lines are read as usual. After the batch's time limit, no more rows are matched with the pattern."""
    monkeypatch.setattr("dropbatch.answers.reader.MAX_BATCH_SECONDS", 2)
    slow = line({"choices": [choice(json.dumps({"mail": "a" * 60}))]})
    good = line({"choices": [choice('{"mail": "a@example.com"}')]})
    reader = AnswerReader(SLOW_PATTERN, CHAT)
    first = reader.read_all([good, slow, good])
    assert [answer.code for answer in first] == [None, "too_slow", None]
    began = time.process_time()
    assert {answer.code for answer in reader.read_all([slow] * 50)} == {"too_slow"}
    assert time.process_time() - began < 3
