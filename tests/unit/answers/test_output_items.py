"""Every kind of answer in OpenAI's SDK, with its outcome: a kind that no table names fails here."""

import json
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import orjson
import pytest
from openai.types import CompletionChoice
from openai.types.chat import ChatCompletionMessage
from openai.types.chat.chat_completion import Choice
from openai.types.responses import Response, ResponseOutputItem, ResponseOutputMessage
from openai.types.responses.response_error import ResponseError
from pydantic import BaseModel

from dropbatch.answers.answer import Answer
from dropbatch.answers.batch_reader import AnswerReader
from dropbatch.answers.reader import read_answer
from dropbatch.batch_api.error_codes import ERROR_CODES, CodeKind
from dropbatch.batch_api.output_items import (
    CHAT_MESSAGE,
    COMMENTARY,
    FINAL_ANSWER,
    FINISH_REASONS,
    MESSAGE_PARTS,
    OUTPUT_ITEMS,
    STATUSES,
    ItemKind,
)
from dropbatch.batch_api.tool_fees import IMAGE_GENERATION
from dropbatch.domain.outcomes import Outcome
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.parser import parse_recipe

pytestmark = pytest.mark.usefixtures("with_fast_paths")

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"


def recipe(endpoint: str, more: str = "") -> CompiledRecipe:
    text = f"model: m\nprompt: 'Say {{{{ text }}}}'\nendpoint: {endpoint}\n{more}\n"
    return compile_recipe(parse_recipe(text.encode()), {})


TEXT = {endpoint: recipe(endpoint) for endpoint in (CHAT, RESPONSES)}
SCHEMA = {endpoint: recipe(endpoint, "schema: {mood: [good, bad]}") for endpoint in (CHAT, RESPONSES)}


def read(body: Any, endpoint: str = RESPONSES, compiled: CompiledRecipe | None = None) -> Answer:
    """Read an answer with both readers, which must agree."""
    compiled = compiled or TEXT[endpoint]
    line = json.dumps({"custom_id": "1", "response": {"status_code": 200, "body": body}}).encode()
    answer = read_answer(line, compiled, endpoint)
    (fast,) = AnswerReader(compiled, endpoint).read_all([line])
    assert [*fast[:2], shown(fast), *fast[3:]] == [*answer[:2], shown(answer), *answer[3:]]
    assert read_answer(line, None, endpoint)[:2] == answer[:2] or compiled.validator is not None
    return answer


def response(*items: Any, **more: Any) -> dict[str, Any]:
    return {"status": "completed", "output": list(items), **more}


def message(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}], **more}


def shown(answer: Answer) -> Any:
    return None if answer.values is None else json.loads(orjson.dumps(answer.values))


def members(union: Any) -> Iterator[type[BaseModel]]:
    """Return the classes of a union, however deep."""
    if isinstance(union, type) and issubclass(union, BaseModel):
        yield union
    else:
        for part in get_args(union):
            yield from members(part)


def literals(annotation: Any) -> set[str]:
    """Return the texts of the literals in an annotation."""
    if get_origin(annotation) is None:
        return set()
    return {part for part in get_args(annotation) if isinstance(part, str)} | {
        name for part in get_args(annotation) for name in literals(part)
    }


def types_of(union: Any) -> set[str]:
    return {name for model in members(union) for name in literals(model.model_fields["type"].annotation)}


def test_every_item_of_a_response_is_in_a_table() -> None:
    found = types_of(ResponseOutputItem)
    assert len(found) > 20
    assert found - OUTPUT_ITEMS.keys() == set(), (
        "say in output_items what becomes of it, and in tool_fees what it costs"
    )
    assert OUTPUT_ITEMS.keys() - found == set(), "the SDK has it no more"


def test_every_part_and_phase_of_a_message_is_in_a_table() -> None:
    (parts,) = get_args(ResponseOutputMessage.model_fields["content"].annotation)
    assert types_of(parts) == set(MESSAGE_PARTS)
    for model in members(parts):
        (name,) = literals(model.model_fields["type"].annotation)
        assert MESSAGE_PARTS[name] in model.model_fields
    assert literals(ResponseOutputMessage.model_fields["phase"].annotation) == {COMMENTARY, FINAL_ANSWER}


def test_every_member_of_a_chat_message_and_every_ending_is_in_a_table() -> None:
    assert set(ChatCompletionMessage.model_fields) == set(CHAT_MESSAGE)
    assert literals(Choice.model_fields["finish_reason"].annotation) == set(FINISH_REASONS)
    assert literals(CompletionChoice.model_fields["finish_reason"].annotation) <= set(FINISH_REASONS)
    assert literals(Response.model_fields["status"].annotation) == set(STATUSES)


def test_every_error_of_a_response_that_speaks_of_a_policy_is_a_refusal() -> None:
    codes = literals(ResponseError.model_fields["code"].annotation)
    declined = {code for code in codes if "policy" in code or code == "invalid_prompt"}
    assert len(declined) > 3
    assert {ERROR_CODES.get(code) for code in declined} == {CodeKind.CONTENT}
    for code in codes:
        failed = read({"status": "failed", "output": [], "error": {"code": code, "message": "the text of a row"}})
        assert failed[:3] == (Outcome.REFUSED if code in declined else Outcome.ERROR, code, None)


@pytest.mark.parametrize("kind", sorted(types_of(ResponseOutputItem) - {"message"}))
@pytest.mark.parametrize("with_schema", [False, True], ids=["text", "schema"])
def test_an_item_beside_a_text_leaves_the_text(kind: str, with_schema: bool) -> None:
    compiled = (SCHEMA if with_schema else TEXT)[RESPONSES]
    text = '{"mood": "good"}'
    item = {"type": kind, "id": "i", "status": "completed", "content": [{"type": "output_text", "text": "not this"}]}
    for items in ([item, message(text)], [message(text), item]):
        answer = read(response(*items), compiled=compiled)
        assert answer.outcome is Outcome.OK
        if with_schema:
            assert shown(answer) == ["good"]
        else:
            assert shown(answer) == [[item]] if OUTPUT_ITEMS[kind] is ItemKind.CALL else [text]


@pytest.mark.parametrize("kind", sorted(types_of(ResponseOutputItem) - {"message"}))
def test_an_item_alone_is_an_answer_or_not(kind: str) -> None:
    item = {"type": kind, "id": "i", "status": "completed", "result": "AAAA"}
    answer = read(response(item))
    expected = {
        ItemKind.CALL: (Outcome.OK, None, [[item]]),
        ItemKind.IMAGE: (Outcome.OK, None, [[{"type": kind, "id": "i", "status": "completed"}]]),
        ItemKind.APPROVAL: (Outcome.INVALID_ANSWER, "approval_required", None),
        ItemKind.WORK: (Outcome.INVALID_ANSWER, "empty", None),
    }
    assert (*answer[:2], shown(answer)) == expected[OUTPUT_ITEMS[kind]]
    with_schema = read(response(item), compiled=SCHEMA[RESPONSES])
    assert with_schema.outcome is Outcome.INVALID_ANSWER
    assert with_schema.values is None


HOSTED = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "container",
    "image_generation_call": IMAGE_GENERATION,
}


@pytest.mark.parametrize("kind", sorted(types_of(ResponseOutputItem)))
def test_items_of_tools_with_a_fee_are_counted_and_no_others(kind: str) -> None:
    answer = read(response({"type": kind, "id": "i", "status": "completed"}, message("x")))
    assert answer.tools == ({HOSTED[kind]: 1} if kind in HOSTED else None)


def test_an_unknown_kind_of_call_has_an_unknown_fee() -> None:
    answer = read(response({"type": "hologram_call", "id": "i"}, {"type": "hologram", "id": "j"}, message("x")))
    assert (answer.tools, shown(answer)) == ({"other": 1}, ["x"])


def test_a_call_that_was_answered_meanwhile_is_not_an_answer() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "caller": {"type": "program"}}
    output = {"type": "function_call_output", "call_id": "c", "output": "1"}
    shell = {"type": "shell_call", "call_id": "s", "environment": {"type": "container_reference", "container_id": "k"}}
    printed = {"type": "shell_call_output", "call_id": "s", "output": []}
    server = {"type": "tool_search_call", "execution": "server", "arguments": {}, "call_id": None}
    assert shown(read(response(call, output, shell, printed, server, message("x")))) == ["x"]
    assert read(response(call, output, shell, printed, server)).code == "empty"
    other = {**call, "call_id": "d"}
    assert shown(read(response(call, other, output))) == [[other]]
    client = {**server, "execution": "client"}
    assert shown(read(response(client))) == [[client]]


PHASED = [
    ([("commentary", "Let me look."), ("final_answer", "It leaks.")], "It leaks."),
    ([("final_answer", "It leaks."), ("commentary", "Anything else?")], "It leaks."),
    ([("commentary", "a"), ("commentary", "b"), ("final_answer", "It "), ("final_answer", "leaks.")], "It leaks."),
    ([(None, "old"), ("final_answer", "It leaks.")], "It leaks."),
    ([("commentary", "a"), (None, "It "), (None, "leaks.")], "It leaks."),
    ([(None, "It "), (None, "leaks.")], "It leaks."),
    ([("analysis", "It leaks.")], "It leaks."),
    ([("final_answer", "It leaks.")], "It leaks."),
]


@pytest.mark.parametrize(("messages", "answer"), PHASED)
def test_only_the_final_answer_is_the_answer(messages: list[tuple[str | None, str]], answer: str) -> None:
    items = [message(text, **({"phase": phase} if phase else {})) for phase, text in messages]
    search = {"type": "web_search_call", "action": {"type": "search", "query": "q"}}
    assert shown(read(response(*items))) == [answer]
    assert shown(read(response({"type": "reasoning"}, items[0], search, *items[1:]))) == [answer]


@pytest.mark.parametrize(("messages", "answer"), PHASED)
def test_only_the_final_answer_must_fit_the_schema(messages: list[tuple[str | None, str]], answer: str) -> None:
    texts = {"It leaks.": '{"mood": "good"}', "It ": '{"mood":', "leaks.": '"good"}'}
    items = [message(texts.get(text, text), phase=phase) for phase, text in messages]
    assert shown(read(response(*items), compiled=SCHEMA[RESPONSES])) == ["good"]


def test_comments_alone_are_not_an_answer() -> None:
    comment = message("Let me look.", phase="commentary")
    assert read(response(comment))[:3] == (Outcome.INVALID_ANSWER, "empty", None)
    assert read(response(comment), compiled=SCHEMA[RESPONSES])[:3] == (Outcome.INVALID_ANSWER, "empty", None)
    cut = response(comment, status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    assert read(cut)[:3] == (Outcome.TRUNCATED, "max_output_tokens", None)
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    assert shown(read(response(comment, call))) == [[call]]


def test_a_refusal_counts_wherever_it_is_the_answer() -> None:
    refusal = {"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}
    assert read(response(refusal))[:3] == (Outcome.REFUSED, "refusal", ("No.",))
    assert read(response({**refusal, "phase": "final_answer"})).outcome is Outcome.REFUSED
    assert read(response({**refusal, "phase": "commentary"})).outcome is Outcome.REFUSED
    answered = response({**refusal, "phase": "commentary"}, message("It leaks.", phase="final_answer"))
    assert shown(read(answered)) == ["It leaks."]


def test_several_messages_that_are_not_json_together_give_the_last() -> None:
    good, bad = '{"mood": "good"}', '{"mood": "bad"}'
    for before in (bad, "Here it is:", "```json\n{}\n```"):
        assert shown(read(response(message(before), message(good)), compiled=SCHEMA[RESPONSES])) == ["good"]
        assert shown(read(response(message(before), message(good)))) == [before + good]
    other = read(response(message("Here:"), message('{"mood": "so-so"}')), compiled=SCHEMA[RESPONSES])
    assert other[:3] == (Outcome.INVALID_ANSWER, "schema_mismatch", None)
    fenced = response(message("Here:"), message(f"```json\n{good}\n```"))
    assert shown(read(fenced, compiled=SCHEMA[RESPONSES])) == ["good"]
    prose = read(response(message(good), message("That was it.")), compiled=SCHEMA[RESPONSES])
    assert prose[:3] == (Outcome.INVALID_ANSWER, "not_json", None)


IMAGE = {"type": "image_generation_call", "id": "ig", "status": "completed", "result": "A" * 3_000_000, "size": "1x1"}


def test_an_image_is_an_answer_but_stays_in_the_responses() -> None:
    answer = read(response({"type": "reasoning"}, IMAGE, message("", phase="final_answer")))
    shortened = {name: value for name, value in IMAGE.items() if name != "result"}
    assert (*answer[:2], shown(answer)) == (Outcome.OK, None, [[shortened]])
    assert shown(read(response(IMAGE, IMAGE))) == [[shortened, shortened]]
    assert shown(read(response(IMAGE, message("A kettle.")))) == ["A kettle."]
    assert read(response(IMAGE), compiled=SCHEMA[RESPONSES])[:3] == (Outcome.INVALID_ANSWER, "empty", None)
    picked = recipe(RESPONSES, "columns: {image: \"output[?type=='image_generation_call'].result | [0]\"}")
    assert shown(read(response(IMAGE), compiled=picked))[1] == IMAGE["result"]


def test_an_image_that_was_not_made_is_not_an_answer() -> None:
    blocked = {**IMAGE, "status": "failed", "result": None, "error": {"code": "moderation_blocked", "type": "t"}}
    assert read(response(blocked))[:3] == (Outcome.REFUSED, "moderation_blocked", None)
    assert read(response({**blocked, "error": None})).code == "empty"
    assert read(response({**blocked, "error": {"code": "odd"}})).code == "empty"
    assert read(response(blocked, IMAGE)).outcome is Outcome.OK


def chat(finish: str = "stop", **members: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", **members}, "finish_reason": finish}]}


AUDIO = {"id": "audio_1", "data": "UklGRg==", "expires_at": 1, "transcript": "The kettle leaks."}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (chat(content=None, audio=AUDIO), (Outcome.OK, None, ["The kettle leaks."])),
        (chat(content="", audio=AUDIO), (Outcome.OK, None, ["The kettle leaks."])),
        (chat(content="A text.", audio=AUDIO), (Outcome.OK, None, ["A text."])),
        (
            chat(content=None, audio={**AUDIO, "transcript": ""}),
            (Outcome.OK, None, [[{"id": "audio_1", "expires_at": 1, "transcript": ""}]]),
        ),
        (chat("length", content=None, audio=AUDIO), (Outcome.TRUNCATED, "length", ["The kettle leaks."])),
        (chat("content_filter", content=None, audio=AUDIO), (Outcome.REFUSED, "content_filter", ["The kettle leaks."])),
        (chat(content=None, audio=AUDIO, refusal="No."), (Outcome.REFUSED, "refusal", ["The kettle leaks."])),
        (chat(content=None, audio={"id": "audio_1"}), (Outcome.INVALID_ANSWER, "empty", None)),
        (chat(content=None, audio=None), (Outcome.INVALID_ANSWER, "empty", None)),
        (chat(content=None, audio="nonsense"), (Outcome.INVALID_ANSWER, "empty", None)),
    ],
)
def test_speech_is_an_answer_by_its_transcript(body: Any, expected: Any) -> None:
    answer = read(body, CHAT)
    assert (*answer[:2], shown(answer)) == expected
    with_schema = read(body, CHAT, SCHEMA[CHAT])
    assert with_schema.outcome is (Outcome.INVALID_ANSWER if expected[0] is Outcome.OK else expected[0])
    assert with_schema.values is None


@pytest.mark.parametrize("finish", sorted(FINISH_REASONS))
def test_each_ending_of_a_chat_has_its_outcome(finish: str) -> None:
    outcome = {"length": Outcome.TRUNCATED, "content_filter": Outcome.REFUSED}.get(finish, Outcome.OK)
    assert read(chat(finish, content="x"), CHAT)[:3] == (outcome, None if outcome is Outcome.OK else finish, ("x",))


@pytest.mark.parametrize("status", sorted(STATUSES))
def test_each_status_of_a_response_has_its_outcome(status: str) -> None:
    outcome = {"completed": Outcome.OK, "incomplete": Outcome.TRUNCATED}.get(status, Outcome.ERROR)
    assert read(response(message("x"), status=status)).outcome is outcome


def test_sources_of_a_chat_count_as_a_search() -> None:
    source = {"type": "url_citation", "url_citation": {"url": "https://example.com", "title": "x"}}
    assert read(chat(content="x", annotations=[source, source]), CHAT).tools == {"web_search": 1}
    assert read(chat(content="x", annotations=[]), CHAT).tools is None
    assert read(chat(content="x", annotations=None), CHAT).tools is None
    assert read(chat(content="x", annotations=[{"type": "file"}]), CHAT).tools is None
    two = {"choices": [chat(content="x", annotations=[source])["choices"][0]] * 2}
    assert read(two, CHAT).tools == {"web_search": 1}


def searched(*actions: str | None, **more: Any) -> dict[str, Any]:
    calls = [{"type": "web_search_call", **({"action": {"type": action}} if action else {})} for action in actions]
    return response(*calls, message("x"), **more)


def ran(*containers: str, **more: Any) -> dict[str, Any]:
    calls = [{"type": "code_interpreter_call", "container_id": container} for container in containers]
    return response(*calls, message("x"), **more)


def auto(memory: str | None = None) -> dict[str, Any]:
    return {"type": "code_interpreter", "container": {"type": "auto", "memory_limit": memory}}


SHELL = {"type": "shell_call", "environment": {"type": "container_reference", "container_id": "a"}}


@pytest.mark.parametrize(
    ("body", "tools"),
    [
        (searched("search", "open_page", "find_in_page", "search"), {"web_search": 2}),
        (searched(None), {"web_search": 1}),
        (searched("open_page"), None),
        (searched("search", tools=[{"type": "web_search"}]), {"web_search": 1}),
        (searched("search", tools=[{"type": "web_search_preview_2025_03_11"}]), {"web_search_preview": 1}),
        (searched("search", tool_usage={"web_search": {"num_requests": 3}}), {"web_search": 3}),
        (searched("search", "search", tool_usage={"web_search": {"num_requests": 0}}), None),
        (searched("search", tool_usage={"web_search": {"num_requests": "3"}}), {"web_search": 1}),
        (searched(tool_usage={"web_search": {"num_requests": 2}}), {"web_search": 2}),
        (searched(tool_usage={"image_gen": {"total_tokens": 900}}), {"image_generation": 1}),
        (searched(tool_usage={"web_search": {"num_requests": 0}, "image_gen": {"total_tokens": 0}}), None),
        (ran("a", "a", "b", tools=[auto()]), {"container_1g": 2}),
        (ran("a", tools=[auto("4g")]), {"container_4g": 1}),
        (ran("a", tools=[auto("4g"), auto()]), {"container": 1}),
        (ran("a", tools=[auto("5g")]), {"container": 1}),
        (ran("a", tools=[{"type": "code_interpreter", "container": "cntr_1"}]), {"container": 1}),
        (ran("a"), {"container": 1}),
        (response(SHELL, tools=[{"type": "shell", "environment": {"type": "container_auto"}}]), {"container_1g": 1}),
        (response(SHELL, tools=[{"type": "shell", "environment": {"type": "container_reference"}}]), {"container": 1}),
        (response({"type": "shell_call", "environment": {"type": "local"}}), None),
        (response({"type": "file_search_call", "queries": ["a", "b"]}), {"file_search": 1}),
        (response({"type": "mcp_call"}, {"type": "function_call"}, {"type": "computer_call"}), None),
        (response({"type": 7}, {"type": None}, "nonsense", {"type": "hologram"}), None),
    ],
)
def test_calls_are_counted_by_what_they_cost(body: Any, tools: Any) -> None:
    assert read(body).tools == tools
    assert read({**body, "status": "incomplete"}).tools == tools
    assert read({**body, "status": "failed", "error": {"code": "server_error"}}).tools == tools
