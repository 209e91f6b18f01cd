"""The closed list of keys, and the values of each."""

from .driving import SHORT, only, problems_of

ASKED = 'messages: [{role: user, content: "{{ text }}"}]'


def test_an_unknown_key_names_the_nearest() -> None:
    problem = only(problems_of(SHORT + "perameters: {}\n", path="reviews/recipe.yaml"))
    assert (problem.code, problem.line, problem.key) == ("unknown_key", 3, "perameters")
    assert problem.path == "reviews/recipe.yaml"
    assert "parameters?" in problem.message


def test_all_problems_are_found_at_once() -> None:
    problems = problems_of("modell: a\nlimit: -1\nnotify: no\n")
    assert {problem.key for problem in problems} == {"modell", "limit", "notify", "model", "prompt"}
