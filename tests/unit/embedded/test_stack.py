import re
import threading
from pathlib import Path

import pytest

from local.demo import problems
from local.deployed import Deployed, read_environment
from local.programs import LocalError
from local.stack import (
    EMULATOR_PARAMETERS,
    EXAMPLE,
    OLDEST_RUNTIME,
    ROOT,
    exclusive_build,
    stack_from,
    template_parameters,
)

DROPPED = "id,text\n1,good\n2,a\u0085b\n3,bad\n".encode()
ANSWERS = (
    "id,text,sentiment,_status,_error\n1,good,positive,ok,\n2,a\u0085b,negative,ok,\n3,bad,negative,ok,\n".encode()
)


def test_parameters_are_split_as_a_shell_does(tmp_path: Path) -> None:
    asked = {"PARAMETERS": 'AbsenceConfirmationSeconds=2 PollSchedule="rate(5 minutes)" NotificationEmail='}

    assert stack_from(asked, tmp_path).parameters == {
        "AbsenceConfirmationSeconds": "2",
        "PollSchedule": "rate(5 minutes)",
        "NotificationEmail": "",
    }


@pytest.mark.parametrize("text", ["AbsenceConfirmationSeconds", "AbsenceConfirmationSeconds: 2", "=2"])
def test_unreadable_parameters_are_refused_with_an_example(tmp_path: Path, text: str) -> None:
    with pytest.raises(LocalError, match="must read like"):
        stack_from({"PARAMETERS": text}, tmp_path)


@pytest.mark.parametrize("text", ["http", "0", "65536", "-1", "80.5"])
def test_an_invalid_port_is_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(LocalError, match="AWS_PORT must be a port"):
        stack_from({"AWS_PORT": text}, tmp_path)


def test_a_server_in_the_environment_is_used_instead_of_the_emulator(tmp_path: Path) -> None:
    stack = stack_from({"OPENAI_BASE_URL": "https://api.openai.com/v1/", "OPENAI_API_KEY": "sk-mine"}, tmp_path)

    assert (stack.openai_url, stack.openai_key) == ("https://api.openai.com/v1", "sk-mine")


def test_a_key_alone_does_not_replace_the_emulator(tmp_path: Path) -> None:
    assert stack_from({"OPENAI_API_KEY": "sk-mine"}, tmp_path).openai_url is None


def test_a_shell_that_has_read_stack_env_still_means_the_emulator(tmp_path: Path) -> None:
    url = "http://127.0.0.1:4999/v1"
    Deployed(tmp_path, {"OPENAI_EMULATOR_URL": url}).write()

    stack = stack_from({"OPENAI_BASE_URL": url}, tmp_path)

    assert (stack.openai_url, stack.openai_port) == (None, 4999)


def test_stack_env_can_be_read_back_whatever_it_holds(tmp_path: Path) -> None:
    values = {"A": "it's", "B": "a b $c `d`", "C": "x=y", "D": ""}
    Deployed(tmp_path, values).write()

    assert read_environment(tmp_path / "stack.env") == values


def test_a_tick_without_a_stack_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="run `make up` first"):
        Deployed.at(tmp_path)


def test_the_demo_accepts_only_results_with_every_row_unchanged() -> None:
    assert list(problems(DROPPED, ANSWERS)) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("3,bad,negative,ok,\n", "", "4 lines went in, 3 came back"),
        ("1,good,positive", "1,god,positive", "line 2 is not as it was"),
        ("positive,ok,", ",refused,content_filter", "line 2 has no good answer"),
        ("negative,ok,\n3", "neutral,ok,\n3", "line 3 has no good answer"),
        ("sentiment,_status", "answer,_status", "line 1 has no good answer"),
    ],
)
def test_the_demo_names_a_wrong_result(old: str, new: str, problem: str) -> None:
    assert list(problems(DROPPED, ANSWERS.decode().replace(old, new).encode())) == [problem]


def test_an_interpreter_that_the_template_does_not_know_gets_the_nearest_runtime() -> None:
    [runtimes] = re.findall(r"AllowedValues: \[(python[^]]+)\]", (ROOT / "template.yaml").read_text())

    assert runtimes.split(", ")[0] == OLDEST_RUNTIME


def test_layers_are_built_for_the_templates_defaults_unless_asked_otherwise() -> None:
    makefile, template = ((ROOT / name).read_text() for name in ("layers/layers.mk", "template.yaml"))
    for parameter in ("Runtime", "Architecture"):
        built = re.search(rf"call saved,{parameter}\),([^)]+)\)", makefile)
        deployed = re.search(rf"\n  {parameter}:\n    Type: String\n    Default: (\S+)", template)
        assert built
        assert deployed
        assert built[1] == deployed[1]


def test_the_templates_parameters_are_known_by_name() -> None:
    names = template_parameters((ROOT / "template.yaml").read_text())

    assert {"NotificationEmail", "MaxLineMegabytes"} <= names
    assert not {"Type", "HasEmail", "Function", "InboxBucket"} & names
    assert EMULATOR_PARAMETERS.keys() <= names
    assert stack_from({"PARAMETERS": EXAMPLE}).parameters.keys() <= names
    assert template_parameters("Resources:\n  Table:\n    Type: AWS::DynamoDB::Table\n") == set()


def test_a_build_waits_for_the_one_before() -> None:
    """Each opens the lock's file itself, as processes do."""
    steps: list[str] = []

    def build() -> None:
        with exclusive_build():
            steps.append("second")

    second = threading.Thread(target=build)
    with exclusive_build():
        second.start()
        second.join(0.1)
        steps.append("first")
    second.join()
    assert steps == ["first", "second"]
