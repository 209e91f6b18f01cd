"""The estimate of the tokens of one request."""

import json
from typing import Any

import pytest

from dropbatch.batch_api.answer_tokens import REASONING, TYPICAL_ANSWER
from dropbatch.batch_api.endpoints import CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS, RESPONSES
from dropbatch.batch_api.token_estimates import ExpectedTokens, TokenEstimate, estimate_tokens
from dropbatch.domain.quotes import FILE, IMAGE, LOW_CAP, NONE, SCHEMA, TOOLS, TYPICAL, Tokens

TEXT = "Is this a good text? " * 20


def estimate(endpoint: str = CHAT, model: str = "plain-1", **body: Any) -> TokenEstimate:
    return estimate_tokens(endpoint, model, json.dumps(body).encode())


def read(endpoint: str = CHAT, model: str = "plain-1", **body: Any) -> int:
    """Return the likely tokens of a prompt."""
    written = json.dumps(body).encode()
    return len(written) // 4 + estimate_tokens(endpoint, model, written).more_input.likely


def said(text: Any = TEXT) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def schema(**properties: Any) -> dict[str, Any]:
    answers = {"type": "object", "properties": properties}
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": answers}}


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (CHAT, {"messages": said(), "temperature": 0.5, "metadata": {"a": "b" * 100}}),
        (CHAT, {"messages": said([{"type": "text", "text": TEXT}])}),
        (RESPONSES, {"input": TEXT, "reasoning": {"effort": "none"}}),
        (RESPONSES, {"instructions": TEXT[:200], "input": [{"role": "user", "content": TEXT[200:]}]}),
        (EMBEDDINGS, {"input": TEXT, "dimensions": 512}),
        (EMBEDDINGS, {"input": [TEXT[:200], TEXT[200:]]}),
        (EMBEDDINGS, {"input": list(range(105))}),
        (COMPLETIONS, {"prompt": TEXT}),
    ],
)
def test_only_what_the_model_reads_counts(endpoint: str, body: dict[str, Any]) -> None:
    assert read(endpoint, model="m", **body) == pytest.approx(len(TEXT) / 4, abs=12)


def test_escapes_count_the_same_wherever_they_are() -> None:
    """A quarter of the bytes counts the texts of all rows, so the estimate of one row must not depend on its text."""
    first, second = estimate(messages=said("ä" * 5)), estimate(messages=said("ä" * 500))
    assert first.more_input.likely == pytest.approx(second.more_input.likely, abs=1)


def test_schema_and_tools_are_read_too() -> None:
    plain = read(messages=said())
    with_schema = read(messages=said(), response_format=schema(a={"type": "string", "description": "x" * 400}))
    assert with_schema - plain == pytest.approx(120, abs=20)
    tools = [{"type": "function", "function": {"name": "f", "description": "x" * 400}}]
    assert read(messages=said(), tools=tools) - plain == pytest.approx(115, abs=20)


def test_an_image_counts_by_model_and_detail_and_not_by_its_bytes() -> None:
    def image(model: str, url: str, **more: Any) -> int:
        part = {"type": "image_url", "image_url": {"url": url, **more}}
        return read(model=model, messages=said([part])) - read(model=model, messages=said(""))

    data = "data:image/png;base64," + "A" * 400_000
    assert image("gpt-5.2", "https://a.example/1.png") == image("gpt-5.2", data) == pytest.approx(630, abs=8)
    assert image("gpt-5.2", data, detail="low") == pytest.approx(70, abs=8)
    assert image("gpt-6-luna", data) == pytest.approx(1_024, abs=8)
    assert image("gpt-6-luna", data, detail="low") == pytest.approx(256, abs=8)
    found = estimate(model="gpt-6-luna", messages=said([{"type": "image_url", "image_url": {"url": data}}]))
    assert (found.notes, found.has_media) == ({IMAGE}, True)


def test_a_file_counts_by_its_bytes_if_they_are_there() -> None:
    def file(**its: Any) -> Tokens:
        body = {"messages": said([{"type": "file", "file": its}])}
        found = estimate(**body)
        assert found.notes == {FILE}
        return found.more_input

    short, long = file(file_data="A" * 100_000), file(file_data="A" * 1_000_000)
    assert long.likely + 250_000 > 5 * (short.likely + 25_000)
    unknown = file(file_id="file-1")
    assert 0 < unknown.low < unknown.likely < unknown.high


def test_embeddings_and_moderations_have_no_output() -> None:
    for endpoint in (EMBEDDINGS, MODERATIONS):
        found = estimate(endpoint, input=TEXT)
        assert (found.output, found.basis) == (Tokens(0, 0, 0), NONE)


def test_without_a_schema_an_answer_is_typical() -> None:
    found = estimate(messages=said())
    assert (found.output, found.basis) == (TYPICAL_ANSWER, TYPICAL)


def test_a_schema_says_how_long_answers_are() -> None:
    found = estimate(messages=said(), response_format=schema(sentiment={"enum": ["positive", "negative"]}))
    assert found.basis == SCHEMA
    assert found.output.likely == pytest.approx(len('{"sentiment":"positive"}') / 4, abs=1)
    inner = {"type": "json_schema", "name": "a", "schema": {"properties": {"sentiment": {"enum": ["positive"]}}}}
    assert estimate(RESPONSES, input=TEXT, text={"format": inner}).output.likely == found.output.likely


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_the_limit_of_the_request_caps_its_answers(name: str) -> None:
    found = estimate(messages=said(), **{name: 150})
    assert found.output == Tokens(20, 150, 150)
    assert found.cap == 150
    assert estimate(messages=said(), n=3, **{name: 150}).cap == 450
    assert estimate(messages=said()).cap == 0


def test_n_answers_cost_as_much_as_n_requests() -> None:
    one, three = estimate(messages=said()), estimate(messages=said(), n=3)
    assert three.output.likely == 3 * one.output.likely
    assert three.more_input.likely == pytest.approx(one.more_input.likely, abs=3)


@pytest.mark.parametrize(
    ("model", "body", "effort"),
    [
        ("gpt-6-luna", {"reasoning_effort": "low"}, "low"),
        ("gpt-6-luna", {}, "medium"),
        ("gpt-6-luna", {"reasoning_effort": "none"}, "none"),
        ("another", {"reasoning_effort": "high"}, "high"),
        ("another", {}, "none"),
    ],
)
def test_a_model_that_reasons_says_more_by_its_effort(model: str, body: dict[str, Any], effort: str) -> None:
    found = estimate(model=model, messages=said(), **body)
    assert found.output.likely == TYPICAL_ANSWER.likely + REASONING[effort].likely


@pytest.mark.parametrize(
    ("cap", "effort", "warned"),
    [(999, "low", True), (1_000, "low", False), (999, "minimal", False), (999, "none", False), (100, None, True)],
)
def test_a_low_limit_for_a_model_that_reasons_is_noted(cap: int, effort: str | None, warned: bool) -> None:
    more = {} if effort is None else {"reasoning_effort": effort}
    found = estimate(model="gpt-6-luna", messages=said(), max_completion_tokens=cap, **more)
    assert (LOW_CAP in found.notes) is warned


def test_a_low_limit_for_a_model_that_does_not_reason_is_not_noted() -> None:
    assert estimate(messages=said(), max_completion_tokens=10).notes == frozenset()


def test_tools_with_fees_are_noted() -> None:
    assert estimate(RESPONSES, input=TEXT, tools=[{"type": "web_search"}]).notes == {TOOLS}
    assert estimate(RESPONSES, input=TEXT, tools=[{"type": "function", "name": "f"}]).notes == frozenset()


def test_the_form_is_that_of_the_schema() -> None:
    one = schema(a={"enum": ["x"]})
    forms = {estimate(messages=said(text), response_format=one, temperature=0).form for text in ("a", "b")}
    assert len(forms) == 1
    assert estimate(messages=said(), response_format=schema(b={"enum": ["x"]})).form not in forms


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"messages":[1,[{"x":[]}],null]}', b'{"n":"\\ud800","input":"a"}']
)
def test_any_body_has_an_estimate(body: bytes) -> None:
    for endpoint in (CHAT, RESPONSES, EMBEDDINGS, COMPLETIONS):
        assert estimate_tokens(endpoint, "m", body).output.high >= 0


def test_sums_add_up() -> None:
    total = ExpectedTokens()
    first = TokenEstimate(Tokens(-5, -4, 10), Tokens(1, 2, 3), SCHEMA, "f")
    total.add(first, 100, 10)
    total.add(TokenEstimate(Tokens(), Tokens(), TYPICAL, "g", frozenset({IMAGE})), 7)
    assert total.input == Tokens(57, 67, 207)
    assert total.output == Tokens(10, 20, 30)
    assert (total.basis, total.form, total.notes) == (TYPICAL, "f", {IMAGE})
    assert (total.caps, total.uncapped) == (0, 11)
    total.add(TokenEstimate(Tokens(), Tokens(), cap=50), 7, 4)
    assert (total.caps, total.uncapped) == (200, 11)


def test_a_share_has_its_part_of_the_caps() -> None:
    total = ExpectedTokens()
    total.add(TokenEstimate(Tokens(1, 1, 1), Tokens(2, 2, 2), cap=50), 700, 100)
    first = total.take(30, 100, 210)
    assert (first.tokens, first.caps, first.uncapped, first.output) == (210, 1_500, 0, Tokens(60, 60, 60))
    assert (total.tokens, total.caps, total.uncapped, total.output) == (490, 3_500, 0, Tokens(140, 140, 140))
    free = ExpectedTokens()
    free.add(TokenEstimate(Tokens(), Tokens(2, 2, 2)), 700, 100)
    assert (free.take(30, 100, 210).uncapped, free.uncapped) == (30, 70)
