"""Odd answers of models and servers, from the drop to its results. Each row names its answer."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from dropbatch.ports import RemoteBatch
from tests.driving import drop, jobs, result, result_json, run
from tests.fakes import FakeContext
from tests.fakes.answers import response_line

ANSWERS: dict[str, Any] = json.loads((Path(__file__).parent / "odd_answers.json").read_text())
"""By name: a status, and the body of a response."""

CHAT = b'model: gpt-6-luna\nprompt: "Label: {{ text }}"\n'
RESPONSES = b'endpoint: /v1/responses\nmodel: gpt-5.4\nprompt: "Label: {{ text }}"\n'
SCHEMA = b"schema:\n  label: [fault, praise]\n  stars: integer\n"

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def chat(content: str | None, **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": "stop"}
    return {"status": 200, "body": {"choices": [choice], "usage": USAGE}}


def declined(status: int = 400, **error: Any) -> dict[str, Any]:
    return {"status": status, "body": {"error": {"message": "a row may be quoted here", **error}}}


def response(*items: Any, **more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 10, "output_tokens": 5}
    return {"status": 200, "body": {"status": "completed", "output": list(items), "usage": usage, **more}}


def message(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "message", "content": [{"type": "output_text", "text": text, "annotations": []}], **more}


GOOD = '{"label": "fault", "stars": 2}'

OTHERS = {
    # Variants of the fenced answer and of the one with thoughts
    "tildes": chat(f"~~~\n{GOOD}\n~~~"),
    "oneline": chat(f"```json {GOOD} ```"),
    "tagless": chat(f"It leaks, so a fault.\n</think>\n{GOOD}"),
    "thinkfence": chat(f"<thinking>hm</thinking>\n\n```JSON\n{GOOD}\n```"),
    "answertag": chat(f"<think>hm</think><answer>{GOOD}</answer>"),
    "fencedwrong": chat('```json\n{"label": "other", "stars": 2}\n```'),
    "fencedlist": chat(f"```json\n[{GOOD}]\n```"),
    "halffence": chat(f"```json\n{GOOD}"),
    # Variants of the filtered answer
    "azureinner": declined(code=None, innererror={"code": "ResponsibleAIPolicyViolation"}),
    "azurenumber": declined(code="400", innererror={"code": "ResponsibleAIPolicyViolation"}),
    "azureimage": declined(code="contentFilter"),
    "invalidprompt": declined(code="invalid_prompt", type="invalid_request_error"),
    "policy": declined(code="content_policy_violation", type="image_generation_user_error"),
    "moderation": declined(code="moderation_blocked", type="image_generation_user_error"),
    "forbidden": declined(403, code="misalignment_policy_violation"),
    "typeonly": declined(code=None, type="content_filter"),
    "bare": {"status": 400, "body": {"code": "content_filter", "message": "m"}},
    "inbody": {"status": 200, "body": {"error": {"code": "content_filter", "message": "m"}}},
    # Rows that are too long, in the words of several servers
    "long": declined(code="context_length_exceeded", type="invalid_request_error", param="messages"),
    "longstring": declined(code="string_above_max_length", type="invalid_request_error"),
    "longuncoded": declined(
        code=None, type="invalid_request_error", message="This model's maximum context length is 8192 tokens, however…"
    ),
    "longembedding": declined(code=None, message="Invalid 'input[0]': maximum input length is 8192 tokens."),
    "longnumber": {
        "status": 400,
        "body": {"object": "error", "message": "This model's maximum context length is 4096 tokens.", "code": 400},
    },
    "otherwise": declined(code="invalid_value", message="the maximum context length is spoken of"),
    # Variants of the spoken answer
    "audiotext": chat("A text.", audio={"id": "a", "data": "UklGRg==", "transcript": "Spoken."}),
    "audiosilent": chat(None, audio={"id": "a", "data": "UklGRg==", "transcript": ""}),
    "audiorefused": chat(None, refusal="No.", audio=None),
    # Variants of the answer in phases
    "phasedtwo": response(
        message("First I look.", phase="commentary"),
        message("Then I think.", phase="commentary"),
        message(GOOD, phase="final_answer"),
    ),
    "phasedafter": response(message(GOOD, phase="final_answer"), message("More?", phase="commentary")),
    "phasedhalves": response(
        message("Hm.", phase="commentary"),
        message(GOOD[:9], phase="final_answer"),
        message(GOOD[9:], phase="final_answer"),
    ),
    "commentonly": response(message("Let me look.", phase="commentary")),
    "talkative": response(message("Here it is:"), message(GOOD)),
    "image": response({"type": "image_generation_call", "id": "ig", "status": "completed", "result": "iVBORw=="}),
    "imageblocked": response(
        {"type": "image_generation_call", "id": "ig", "status": "failed", "error": {"code": "moderation_blocked"}}
    ),
    "failedpolicy": response(status="failed", error={"code": "invalid_prompt", "message": "m"}),
    "patch": response({"type": "apply_patch_call", "call_id": "c", "operation": {"type": "delete_file", "path": "p"}}),
}


def answered(fake: FakeContext, recipe: bytes, *names: str) -> list[dict[str, str]]:
    """Drop rows that name their answers; return the rows of the answers file."""
    given = {**ANSWERS, **OTHERS}

    def answer(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        named = re.search("@@([a-z0-9_]+)@@", json.dumps(request["body"]))
        assert named
        found = given[named[1]]
        line = response_line(request, found["status"], found["body"])
        return "output" if found["status"] == 200 else "error", line

    fake.openai.answer = answer
    fake.objects.drop("recipe.yaml", recipe)
    drop(fake, "a.csv", b"text\n" + b"".join(b"@@%b@@\n" % name.encode() for name in names))
    run(fake)
    rows = list(csv.DictReader(io.StringIO(result(fake, "a.answers.csv").decode(), newline="")))
    assert [row["text"] for row in rows] == [f"@@{name}@@" for name in names]
    return rows


def result_of(row: dict[str, str], *columns: str) -> tuple[str, ...]:
    return (row["_status"], row["_error"], *(row[column] for column in columns))


FITS = ("ok", "", "fault", "2")
INVALID = ("invalid_answer", "not_json", "", "")
EMPTY = ("invalid_answer", "empty", "", "")
MISMATCH = ("invalid_answer", "schema_mismatch", "", "")


def no_answer(outcome: str, code: str) -> tuple[str, ...]:
    return (outcome, code, "", "")


def test_answers_of_chats_with_a_schema_have_their_outcomes(tmp_path: Path) -> None:
    expected = {
        "fenced": FITS,
        "prose": INVALID,
        "plainjson": FITS,
        "think": FITS,
        "listcontent": FITS,
        "nullcontent": EMPTY,
        "emptycontent": EMPTY,
        "trunc": no_answer("truncated", "length"),
        "truncstop": INVALID,
        "refusal": no_answer("refused", "refusal"),
        "audio": EMPTY,
        "reasoningcontent": EMPTY,
        "filter400": no_answer("refused", "content_filter"),
        "float5": ("ok", "", "fault", "5.0"),
        "bigint": ("ok", "", "fault", "12345678901234567890"),
        "dupkey": ("ok", "", "fault", "3"),
        "extrakey": MISMATCH,
        "case": MISMATCH,
        "tildes": FITS,
        "oneline": FITS,
        "tagless": FITS,
        "thinkfence": FITS,
        "answertag": FITS,
        "fencedwrong": INVALID,
        "fencedlist": INVALID,
        "halffence": INVALID,
    }
    rows = answered(FakeContext(tmp_path), CHAT + SCHEMA, *expected)
    assert {name: result_of(row, "label", "stars") for name, row in zip(expected, rows, strict=True)} == expected


def test_a_text_stays_as_the_model_wrote_it_without_a_schema(tmp_path: Path) -> None:
    names = ["fenced", "think", "prose", "tildes", "answertag"]
    rows = answered(FakeContext(tmp_path), CHAT, *names)
    bodies = [{**ANSWERS, **OTHERS}[name]["body"] for name in names]
    assert [row["answer"] for row in rows] == [body["choices"][0]["message"]["content"] for body in bodies]
    assert {row["_status"] for row in rows} == {"ok"}


def test_declined_rows_are_refused_and_rows_that_are_too_long_are_reported(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path)
    expected = {
        "filter400": ("refused", "content_filter", ""),
        "azureinner": ("refused", "ResponsibleAIPolicyViolation", ""),
        "azurenumber": ("refused", "ResponsibleAIPolicyViolation", ""),
        "azureimage": ("refused", "contentFilter", ""),
        "invalidprompt": ("refused", "invalid_prompt", ""),
        "policy": ("refused", "content_policy_violation", ""),
        "moderation": ("refused", "moderation_blocked", ""),
        "forbidden": ("refused", "misalignment_policy_violation", ""),
        "typeonly": ("refused", "content_filter", ""),
        "bare": ("refused", "content_filter", ""),
        "inbody": ("refused", "content_filter", ""),
        "long": ("error", "context_length_exceeded", ""),
        "longstring": ("error", "string_above_max_length", ""),
        "longuncoded": ("error", "context_length_exceeded", ""),
        "longembedding": ("error", "context_length_exceeded", ""),
        "longnumber": ("error", "context_length_exceeded", ""),
        "otherwise": ("error", "invalid_value", ""),
    }
    rows = answered(fake, CHAT, *expected)
    assert {name: result_of(row, "answer") for name, row in zip(expected, rows, strict=True)} == expected
    summary = result_json(fake, "summary.json")
    assert (summary["rows"]["refused"], summary["rows"]["error"]) == (11, 6)
    assert summary["cost"] | {"paid": 0.0, "saved": 0.0, "unpriced_requests": 0} == summary["cost"], "nothing was run"
    remedies = {reason["code"]: reason["remedy"] for reason in summary["reasons"]}
    assert "reword the prompt" in remedies["content_filter"]
    assert "correct the rows" in remedies["context_length_exceeded"]
    assert len(fake.openai.batches) == 1, "no row is retried"


def test_a_row_that_was_shortened_is_answered(tmp_path: Path) -> None:
    """The remedy of a row that is too long works: the failed file is shortened and dropped."""
    fake = FakeContext(tmp_path)
    assert [row["_status"] for row in answered(fake, CHAT, "hello", "long")] == ["ok", "error"]
    assert "correct the rows in the failed file and drop it" in fake.topics.people[-1].text
    failed = result(fake, "a.failed.csv")
    assert failed == b"text\n@@long@@\n"
    drop(fake, "b.csv", failed.replace(b"long", b"hello"))
    run(fake)
    (row,) = csv.DictReader(io.StringIO(result(fake, "b.answers.csv", jobs(fake)[-1]).decode(), newline=""))
    assert result_of(row, "answer") == ("ok", "", "hello")


def test_a_tool_that_needs_no_approval_is_called(tmp_path: Path) -> None:
    """The remedy of an answer that only asks for an approval works."""
    fake = FakeContext(tmp_path)
    assert [row["_error"] for row in answered(fake, RESPONSES, "mcp")] == ["approval_required"]
    assert "set require_approval: never in the recipe; then a .retry" in fake.topics.people[-1].text

    def called(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        (tool,) = request["body"]["tools"]
        found = (
            response({"type": "mcp_call", "id": "m"}, message("done")) if tool["require_approval"] == "never" else {}
        )
        return "output", response_line(request, 200, found["body"])

    fake.openai.answer = called
    tool = b"parameters: {tools: [{type: mcp, server_label: s, require_approval: never}]}\n"
    fake.objects.drop("recipe.yaml", RESPONSES + tool)
    fake.clock.sleep(60)
    drop(fake, "a.csv.retry", b"")
    run(fake)
    (row,) = csv.DictReader(io.StringIO(result(fake, "a.answers.csv", jobs(fake)[-1]).decode(), newline=""))
    assert result_of(row, "answer") == ("ok", "", "done")


def test_a_response_that_asks_for_an_approval_is_not_retried(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path)
    rows = answered(fake, RESPONSES + b"retry_invalid: true\n", "mcp", "commentonly")
    assert [row["_error"] for row in rows] == ["approval_required", "empty"]
    asked_again = [batch.total for batch in fake.openai.batches.values()][1:]
    assert asked_again == [1, 1], "only what was empty"


def test_a_line_that_is_declined_before_it_runs_is_refused_and_the_rest_is_answered(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path)

    def refuse(_batch: RemoteBatch, requests: list[dict[str, Any]]) -> list[tuple[str, str, int | None]]:
        lines = [number for number, request in enumerate(requests, 1) if "@@long@@" in json.dumps(request)]
        return [("content_policy_violation", "no", line) for line in lines]

    fake.openai.refuse = refuse
    rows = answered(fake, CHAT, "hello", "long", "hello")
    assert [result_of(row)[:2] for row in rows] == [("ok", ""), ("refused", "content_policy_violation"), ("ok", "")]
    assert result_json(fake, "summary.json")["cost"]["unpriced_requests"] == 0


def test_speech_is_an_answer(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path)
    expected = {
        "audio": ("ok", "", "The kettle leaks."),
        "audiotext": ("ok", "", "A text."),
        "audiosilent": ("ok", "", '[{"id":"a","transcript":""}]'),
        "audiorefused": ("refused", "refusal", "No."),
    }
    rows = answered(fake, CHAT, *expected)
    assert {name: result_of(row, "answer") for name, row in zip(expected, rows, strict=True)} == expected
    assert result(fake, "responses.jsonl").count(b"UklGRg==") == 3, "the sound is with the responses"


def test_responses_with_a_schema_have_their_outcomes(tmp_path: Path) -> None:
    expected = {
        "phased": FITS,
        "websearch": FITS,
        "mcp": no_answer("invalid_answer", "approval_required"),
        "code": FITS,
        "twoparts": FITS,
        "funccall": MISMATCH,
        "outputtext": FITS,
        "incomplete": no_answer("truncated", "max_output_tokens"),
        "onlyreasoning": no_answer("truncated", "max_output_tokens"),
        "phasedtwo": FITS,
        "phasedafter": FITS,
        "phasedhalves": FITS,
        "commentonly": EMPTY,
        "talkative": FITS,
        "image": EMPTY,
        "imageblocked": no_answer("refused", "moderation_blocked"),
        "failedpolicy": no_answer("refused", "invalid_prompt"),
        "patch": MISMATCH,
    }
    rows = answered(FakeContext(tmp_path), RESPONSES + SCHEMA, *expected)
    assert {name: result_of(row, "label", "stars") for name, row in zip(expected, rows, strict=True)} == expected


def test_responses_without_a_schema_have_their_outcomes(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path)
    call = ANSWERS["funccall"]["body"]["output"]
    patch = OTHERS["patch"]["body"]["output"]
    expected = {
        "phased": ("ok", "", GOOD),
        "websearch": ("ok", "", GOOD),
        "mcp": ("invalid_answer", "approval_required", ""),
        "code": ("ok", "", GOOD),
        "twoparts": ("ok", "", GOOD),
        "funccall": ("ok", "", json.dumps(call, separators=(",", ":"))),
        "outputtext": ("ok", "", GOOD),
        "incomplete": ("truncated", "max_output_tokens", '{"label": "fau'),
        "onlyreasoning": ("truncated", "max_output_tokens", ""),
        "phasedtwo": ("ok", "", GOOD),
        "phasedafter": ("ok", "", GOOD),
        "phasedhalves": ("ok", "", GOOD),
        "commentonly": ("invalid_answer", "empty", ""),
        "talkative": ("ok", "", "Here it is:" + GOOD),
        "image": ("ok", "", '[{"type":"image_generation_call","id":"ig","status":"completed"}]'),
        "imageblocked": ("refused", "moderation_blocked", ""),
        "failedpolicy": ("refused", "invalid_prompt", ""),
        "patch": ("ok", "", json.dumps(patch, separators=(",", ":"))),
    }
    rows = answered(fake, RESPONSES, *expected)
    assert {name: result_of(row, "answer") for name, row in zip(expected, rows, strict=True)} == expected
    assert b"iVBORw==" in result(fake, "responses.jsonl")


def test_the_fees_of_searches_are_in_the_sum(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path)
    answered(fake, RESPONSES, "websearch", "websearch")
    summary = result_json(fake, "summary.json")
    assert summary["cost"]["fees"] == 0.02
    assert 0.02 < summary["cost"]["paid"] < 0.021
    assert 0 < summary["cost"]["saved"] < 0.001, "batching halves no fee"
    assert summary["cost"]["unpriced_tool_calls"] == 0
    assert summary["tool_calls"] == {"web_search": 2}
    assert "Of it 2 cents went to the fees of 2 tool calls" in fake.topics.people[-1].text
    assert b"<td>of it fees of tools</td>" in result(fake, "report.html")


@pytest.mark.parametrize("name", ["code", "image"])
def test_a_fee_that_is_not_known_is_named(tmp_path: Path, name: str) -> None:
    fake = FakeContext(tmp_path)
    answered(fake, RESPONSES, name, "websearch")
    cost = result_json(fake, "summary.json")["cost"]
    assert (cost["fees"], cost["unpriced_tool_calls"]) == (0.01, 1)
    assert "The sum is without the fees of 1 tool call" in fake.topics.people[-1].text
    assert b"<td>tool calls whose fees are not known</td>" in result(fake, "report.html")


def lists(fake: FakeContext, recipe: bytes, lines: list[dict[str, Any]], body: Any) -> list[dict[str, Any]]:
    """Drop JSON lines. Answer each request with `body` of its number of inputs."""

    def answer(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        asked = request["body"].get("input", request["body"].get("prompt"))
        return "output", response_line(request, 200, body(len(asked) if isinstance(asked, list) else 1))

    fake.openai.answer = answer
    fake.objects.drop("recipe.yaml", recipe)
    drop(fake, "a.jsonl", b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    run(fake)
    return [json.loads(line) for line in result(fake, "a.answers.jsonl").splitlines()]


def vectors(count: int) -> dict[str, Any]:
    data = [{"index": number, "embedding": [number, 0.5]} for number in range(count)]
    return {"data": data, "usage": {"prompt_tokens": count}}


EMBED = b"endpoint: /v1/embeddings\nbody:\n  model: text-embedding-3-small\n  input: "


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "texts", "expected"),
    [
        (b'"{{ texts | json }}"', [["a", "b"], ["c"], ["d", "e"], "f"], [2, 1, 2, None]),
        (b'["{{ texts }}"]', ["a", "b"], [1, 1]),
        (b'["{{ texts }}", also]', ["a", "b"], [2, 2]),
        (b'"{{ texts }}"', ["a", "b"], [None, None]),
        (b'"{{ [texts] | json }}"', ["a", "b"], [1, 1]),
    ],
)
def test_a_list_of_one_text_is_embedded_as_a_list_of_one(
    tmp_path: Path, form: bytes, texts: list[Any], expected: list[int | None]
) -> None:
    fake = FakeContext(tmp_path)
    rows = lists(fake, EMBED + form + b"\n", [{"texts": text} for text in texts], vectors)
    assert [row["_status"] for row in rows] == ["ok"] * len(texts)
    found = [row["embedding"] for row in rows]
    whole = [[[number, 0.5] for number in range(count)] if count else [0, 0.5] for count in expected]
    assert found == whole


def test_a_list_of_tokens_is_one_text(tmp_path: Path) -> None:
    def one(_count: int) -> dict[str, Any]:
        return vectors(1)

    rows = lists(FakeContext(tmp_path), EMBED + b'"{{ texts | json }}"\n', [{"texts": [7, 8]}, {"texts": [9]}], one)
    assert [row["embedding"] for row in rows] == [[0, 0.5], [0, 0.5]]


def test_lists_keep_their_form_when_rows_are_retried(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path)
    lines: list[dict[str, Any]] = [{"texts": ["a"]}, {"texts": "b"}, {"texts": ["c"]}]
    recipe = EMBED + b'"{{ texts | json }}"\n'
    tries = 0

    def fails_once(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        nonlocal tries
        tries += 1
        if tries <= 2:
            return "error", response_line(request, 500, {"error": {"code": "server_error"}})
        return "output", response_line(request, 200, vectors(1))

    fake.openai.answer = fails_once
    fake.objects.drop("recipe.yaml", recipe)
    drop(fake, "a.jsonl", b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    run(fake)
    rows = [json.loads(line) for line in result(fake, "a.answers.jsonl").splitlines()]
    assert [row["embedding"] for row in rows] == [[[0, 0.5]], [0, 0.5], [[0, 0.5]]]


def test_a_list_of_one_is_moderated_as_a_list_of_one(tmp_path: Path) -> None:
    def flags(count: int) -> dict[str, Any]:
        return {"results": [{"flagged": True, "categories": {"hate": True, "violence": False}}] * count}

    recipe = b'endpoint: /v1/moderations\nbody:\n  input: "{{ texts | json }}"\n'
    lines = [{"texts": ["a", "b"]}, {"texts": ["c"]}, {"texts": "d"}]
    rows = lists(FakeContext(tmp_path), recipe, lines, flags)
    assert [row["flagged"] for row in rows] == [[True, True], [True], True]
    assert [row["categories"] for row in rows] == [[["hate"], ["hate"]], [["hate"]], ["hate"]]


def test_the_parts_of_one_input_are_moderated_as_one(tmp_path: Path) -> None:
    def flags(_count: int) -> dict[str, Any]:
        return {"results": [{"flagged": False, "categories": {}}]}

    form = b'[{type: text, text: "{{ texts }}"}, {type: image_url, image_url: {url: "https://example.com/a.png"}}]'
    recipe = b"endpoint: /v1/moderations\nbody:\n  input: " + form + b"\n"
    (row,) = lists(FakeContext(tmp_path), recipe, [{"texts": "a"}], flags)
    assert (row["flagged"], row["categories"]) == (False, [])


def test_a_list_of_one_prompt_is_completed_as_a_list_of_one(tmp_path: Path) -> None:
    def texts(count: int) -> dict[str, Any]:
        choices = [{"index": number, "text": f"t{number}", "finish_reason": "stop"} for number in range(count)]
        return {"choices": choices, "usage": {"prompt_tokens": 1, "completion_tokens": 1}}

    recipe = b'endpoint: /v1/completions\nbody: {model: m, prompt: "{{ texts | json }}"}\n'
    lines = [{"texts": ["a", "b"]}, {"texts": ["c"]}, {"texts": "d"}]
    rows = lists(FakeContext(tmp_path), recipe, lines, texts)
    assert [row["answer"] for row in rows] == [["t0", "t1"], ["t0"], "t0"]
