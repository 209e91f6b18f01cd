"""The closed list of keys, and what each may hold."""

import pytest

from dropbatch.recipes.keys import NOT_SUPPORTED_YET
from dropbatch.recipes.parser import parse_recipe
from dropbatch.recipes.values import Example, RowLimit

from .problems_of import only, problems_of

ASKED = 'messages: [{role: user, content: "{{ text }}"}]'
SHORT = "model: gpt-6-luna\nprompt: '{{ text }}'\n"


def test_a_short_recipe_has_defaults_for_all_it_leaves_out() -> None:
    recipe = parse_recipe(SHORT.encode())
    assert (recipe.endpoint, recipe.bad_rows, recipe.notify) == (
        "/v1/chat/completions",
        "reject",
        ("accepted", "ended"),
    )
    assert (recipe.limit, recipe.delimiter, recipe.encoding, recipe.prefix, recipe.id) == (None, None, None, "", None)


def test_an_unknown_key_names_the_nearest() -> None:
    problem = only(problems_of(SHORT + "perameters: {}\n", path="reviews/recipe.yaml"))
    assert (problem.code, problem.line, problem.key) == ("unknown_key", 3, "perameters")
    assert problem.path == "reviews/recipe.yaml"
    assert "parameters?" in problem.message


@pytest.mark.parametrize("key", sorted(NOT_SUPPORTED_YET))
def test_a_key_that_is_planned_is_told_apart_from_a_typo(key: str) -> None:
    problem = only(problems_of(f"{SHORT}{key}: 1\n"))
    assert (problem.code, problem.key) == ("not_supported_yet", key)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("system: 4", "number 4"),
        ("system: [a]", "a list"),
        ("when: true", "truth value true"),
        ("system:", "an empty value"),
        ("parameters: fast", "'fast'"),
        ("schema: [a, b]", "a list"),
        ("columns: a", "'a'"),
        ("columns: {a: 1}", "number 1"),
        ("limit: 0", "number 0"),
        ("limit: true", "truth value true"),
        ("limit: 2.5", "number 2.5"),
        ("limit: ten", "`limit` must be a whole number of at least 1, not the text 'ten'; leave the key out"),
        ("attempts: 11", "`attempts` must be a whole number from 1 to 10, not the number 11; correct it."),
        (
            "header: 0",
            "`header` must be a whole number from 1 to 1,000, not the number 0; write the number of the line",
        ),
        ("deadline: 5 min", "`deadline` must be hours or days, from 1 h to 14 d, not the text '5 min'; write it as"),
        ("bad_rows: skipp", "did you mean skip?"),
        ("notify: ended", "a list such as"),
        ("notify: [endet]", "did you mean ended?"),
        ("notify: [problem]", "`notify[0]` must be accepted, ended or problems, not the text 'problem'; did you mean"),
        ("digest: of", "`digest` must be on or off, not the text 'of'; did you mean"),
        ("digest: false", "`digest` must be on or off, not the truth value false; write one of them."),
        ("delimiter: ';;'", "one character"),
        ("delimiter: '\"'", "one character"),
        ("encoding: utf-9", "no encoding"),
        ("encoding: base64", "no encoding"),
        ("id: ''", "empty"),
        ("endpoint: /v1/chat/completion", "did you mean /v1/chat/completions?"),
        ("endpoint: responses", "did you mean /v1/responses?"),
        ("examples: {input: a, output: b}", "a mapping"),
        ("examples: [{input: a}]", "input and output"),
        ("examples: [{input: a, output: 4}]", "number 4"),
    ],
)
def test_a_value_of_the_wrong_kind_says_what_it_must_be_and_what_it_is(line: str, says: str) -> None:
    problem = only(problems_of(f"{SHORT}{line}\n"))
    assert problem.line == 3
    assert problem.key is not None
    assert says in problem.message


@pytest.mark.parametrize("key", ["model", "prompt"])
def test_the_short_form_needs_a_model_and_a_prompt(key: str) -> None:
    text = "".join(line + "\n" for line in SHORT.splitlines() if not line.startswith(key))
    assert (only(problems_of(text)).code, only(problems_of(text)).key) == ("missing_key", key)


@pytest.mark.parametrize("key", ["model", "prompt"])
def test_an_empty_model_or_prompt_is_as_good_as_none(key: str) -> None:
    assert only(problems_of(SHORT.replace(f"{key}: ", f"{key}: '' # "))).key == key


def test_all_problems_are_found_at_once() -> None:
    problems = problems_of("modell: a\nlimit: -1\nnotify: no\n")
    assert {problem.key for problem in problems} == {"modell", "limit", "notify", "model", "prompt"}


def test_moderations_need_no_model() -> None:
    assert parse_recipe(b"endpoint: /v1/moderations\nprompt: hello\n").model is None


def test_the_two_forms_exclude_each_other() -> None:
    problem = only(problems_of(f"prompt: '{{{{ a }}}}'\nbody: {{model: b, {ASKED}}}\n"))
    assert (problem.code, problem.key, problem.line) == ("conflicting_keys", "prompt", 1)


@pytest.mark.parametrize("body", ["{%s}", "{temperature: 1, %s}", "{model: 4, %s}", "{model: ' ', %s}"])
def test_a_body_needs_a_model(body: str) -> None:
    assert "model" in only(problems_of(f"body: {body % ASKED}\n")).message


@pytest.mark.parametrize(
    "text", [SHORT + "parameters: {stream: true}\n", f"body: {{model: a, stream: true, {ASKED}}}\n"]
)
def test_streaming_is_refused(text: str) -> None:
    assert (only(problems_of(text)).key or "").endswith(".stream")


@pytest.mark.parametrize(
    ("endpoint", "parameters"),
    [
        ("/v1/chat/completions", "messages: []"),
        ("/v1/chat/completions", "model: b"),
        ("/v1/chat/completions", "response_format: {type: text}"),
        ("/v1/responses", "input: a"),
        ("/v1/responses", "instructions: a"),
        ("/v1/responses", "text: {format: {type: text}}"),
    ],
)
def test_parameters_cannot_set_what_the_recipe_itself_sets(endpoint: str, parameters: str) -> None:
    text = f"{SHORT}system: s\nschema: {{a: string}}\nendpoint: {endpoint}\nparameters: {{{parameters}}}\n"
    problem = only(problems_of(text))
    assert (problem.code, problem.line) == ("conflicting_keys", 6)


@pytest.mark.parametrize("key", ["system: a", "examples: []", "schema: {a: string}"])
def test_embeddings_take_no_conversation(key: str) -> None:
    problem = only(problems_of(f"{SHORT}endpoint: /v1/embeddings\n{key}\n"))
    assert (problem.code, problem.line) == ("conflicting_keys", 4)


def test_an_endpoint_beyond_the_short_form_points_to_the_body_and_to_ready_batch_files() -> None:
    problem = only(problems_of(SHORT + "endpoint: /v1/images/generations\n"))
    assert "body" in problem.message
    assert "ready batch file" in problem.message


def test_a_schema_beside_a_body_with_its_own_format_is_a_conflict() -> None:
    problem = only(
        problems_of(f"body: {{model: a, response_format: {{type: text}}, {ASKED}}}\nschema: {{a: string}}\n")
    )
    assert problem.key == "body.response_format"


def test_the_files_that_a_recipe_names_are_known_without_reading_them() -> None:
    recipe = parse_recipe(
        b"model: a\nprompt: file://prompt.md\nsystem: file://shared/system.md\n"
        b"examples: [{input: file://one.txt, output: 'file://prompt.md'}]\n",
        "reviews/recipe.yaml",
    )
    assert recipe.files == ("shared/system.md", "prompt.md", "one.txt")


def test_files_are_found_anywhere_within_a_body() -> None:
    recipe = parse_recipe(b"body: {model: a, messages: [{role: user, content: [{type: text, text: 'file://p.j2'}]}]}")
    assert recipe.files == ("p.j2",)


@pytest.mark.parametrize(
    "name", ["file:///etc/passwd", "file://", "file://../up.md", "file://a/../../up.md", "file://{{ name }}.md"]
)
def test_a_file_outside_of_the_bucket_or_without_a_name_is_refused(name: str) -> None:
    problem = only(problems_of(f"model: a\nprompt: 'file://{name}'\n"))
    assert (problem.key, problem.line) == ("prompt", 2)


def test_a_tab_as_delimiter_can_be_spelled() -> None:
    for spelled in ("tab", "'\\t'", '"\\t"'):
        assert parse_recipe(f"{SHORT}delimiter: {spelled}\n".encode()).delimiter == "\t"


def test_examples_are_pairs_of_input_and_output() -> None:
    recipe = parse_recipe((SHORT + "examples:\n  - {input: great, output: {sentiment: positive}}\n").encode())
    assert recipe.examples == (Example("great", {"sentiment": "positive"}),)


def test_nobody_needs_to_be_notified() -> None:
    assert parse_recipe((SHORT + "notify: []\n").encode()).notify == ()
    assert parse_recipe((SHORT + "notify: [problems]\n").encode()).notify == ("problems",)


def test_a_digest_is_on_unless_it_is_switched_off() -> None:
    assert parse_recipe(SHORT.encode()).digest
    assert parse_recipe((SHORT + "digest: on\n").encode()).digest
    assert not parse_recipe((SHORT + "digest: off\n").encode()).digest


@pytest.mark.parametrize(
    ("written", "limit"),
    [
        ("50", RowLimit(50)),
        ("{rows: 50}", RowLimit(50)),
        ("{rows: 50, sample: false}", RowLimit(50)),
        ("{rows: 50, sample: true}", RowLimit(50, 1)),
        ("{rows: 50, sample: true, seed: 7}", RowLimit(50, 7)),
        ("{rows: 100000, sample: true, seed: 0}", RowLimit(100_000, 0)),
        ("{rows: 100001}", RowLimit(100_001)),
    ],
)
def test_a_limit_takes_the_first_rows_or_a_sample(written: str, limit: RowLimit) -> None:
    recipe = parse_recipe(f"{SHORT}limit: {written}\n".encode())
    assert not recipe.problems
    assert recipe.limit == limit


@pytest.mark.parametrize(
    ("written", "key", "says"),
    [
        ("{sample: true}", "limit", "no number of rows; add one, as in limit: {rows: 50, sample: true}"),
        ("{rows: 0}", "limit.rows", "`limit.rows` must be a whole number of at least 1, not the number 0"),
        ("{rows: 5, samples: true}", "limit.samples", "did you mean sample?"),
        (
            "{rows: 5, sample: yes}",
            "limit.sample",
            "`limit.sample` must be true or false, not the text 'yes'; write `sample: true`",
        ),
        ("{rows: 5, sample: true, seed: x}", "limit.seed", "`limit.seed` must be a whole number from 0 to"),
        ("{rows: 5, seed: 3}", "limit.seed", "a seed goes with sample: true"),
        ("{rows: 100001, sample: true}", "limit.rows", "a sample has at most 100,000 rows, but 100,001 are asked for"),
    ],
)
def test_a_limit_that_cannot_be_says_what_to_write(written: str, key: str, says: str) -> None:
    problem = only(problems_of(f"{SHORT}limit: {written}\n"))
    assert problem.key == key
    assert says in problem.message
