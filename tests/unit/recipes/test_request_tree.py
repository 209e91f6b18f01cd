"""The request of a recipe of either form."""

import pytest

from dropbatch.batch_api.endpoints import SHORT_FORM_ENDPOINTS, endpoint_at

from .driving import SHORT, body_of, compiled


def test_the_short_form_becomes_a_chat() -> None:
    text = SHORT + "system: Be brief.\nparameters: {max_completion_tokens: 50, stop: ['{{']}\n"
    assert body_of(text, {"text": "hi"}) == {
        "model": "gpt-6-luna",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        "max_completion_tokens": 50,
        "stop": ["{{"],
        "prompt_cache_options": {"mode": "explicit"},
    }


def test_examples_are_turns_before_the_prompt() -> None:
    text = SHORT + "system: s\nexamples: [{input: good, output: {mood: 1}}, {input: bad, output: no}]\n"
    turns = body_of(text, {"text": "hi"})["messages"]
    assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert [turn["content"] for turn in turns] == ["s", "good", '{"mood":1}', "bad", "no", "hi"]


def test_responses_take_input_and_instructions() -> None:
    text = SHORT + "endpoint: /v1/responses\nsystem: s\ncache: off\n"
    assert body_of(text, {"text": "hi"}) == {"model": "gpt-6-luna", "instructions": "s", "input": "hi"}


def test_examples_of_responses_are_items_of_the_input() -> None:
    text = SHORT + "endpoint: /v1/responses\nexamples: [{input: a, output: b}]\n"
    assert [item["content"] for item in body_of(text, {"text": "hi"})["input"]] == ["a", "b", "hi"]


def test_embeddings_and_moderations_take_the_prompt_as_input() -> None:
    assert body_of(SHORT + "endpoint: /v1/embeddings\n", {"text": "hi"}) == {"model": "gpt-6-luna", "input": "hi"}
    assert body_of("endpoint: /v1/moderations\nprompt: '{{ text }}'\n", {"text": "hi"}) == {"input": "hi"}


def test_every_string_of_a_body_is_a_template() -> None:
    text = """
body:
  model: "{{ model }}"
  n: 2
  messages:
    - role: user
      content:
        - {type: text, text: "Caption this: {{ title }}"}
        - {type: image_url, image_url: {url: "{{ image }}"}}
  metadata: {}
"""
    assert body_of(text, {"model": " gpt-6-sol ", "title": 'a "b"', "image": "https://x/é"}) == {
        "model": "gpt-6-sol",
        "n": 2,
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": 'Caption this: a "b"'},
                    {"type": "image_url", "image_url": {"url": "https://x/é"}},
                ],
            }
        ],
        "metadata": {},
    }


@pytest.mark.parametrize("endpoint", SHORT_FORM_ENDPOINTS)
def test_the_prompt_is_the_question_of_each_endpoint(endpoint: str) -> None:
    text = f"model: m\nprompt: '{{{{ text }}}}'\nendpoint: {endpoint}\n"
    question = body_of(text, {"text": "a"})[endpoint_at(endpoint).question]
    assert question in ("a", [{"role": "user", "content": "a"}])
    assert compiled(text).columns == tuple(column.name for column in endpoint_at(endpoint).columns)
