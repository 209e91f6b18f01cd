"""The check of a file without an account: it says what the intake says."""

import json
from datetime import date
from pathlib import Path

import pytest

from dropbatch.batch_api import deprecations
from dropbatch.client import WrongUseError
from dropbatch.client.check import check
from dropbatch.client.local.inbox import local_first_rows
from dropbatch.client.recipes import read_local_recipe, recipe_beside_file
from dropbatch.formats import file_types
from tests.driving import RECIPE, rows
from tests.fakes import FakeContext
from tests.stacks import fake_stack


def on_disk(folder: Path, name: str, data: bytes, recipe: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    (folder / "recipe.yaml").write_bytes(recipe)
    return folder / name


@pytest.mark.parametrize(
    ("data", "recipe"),
    [
        (rows(20), RECIPE),
        (rows(20), RECIPE + b"limit: 5\n"),
        (b"text\n\nx\n,\n", RECIPE),
        (b"comment\nx\n", RECIPE),
        (b"text\nx,y\n", RECIPE),
        (rows(2), RECIPE + b"lable: x\n"),
        (rows(2), b"model: gpt-6-luna\nprompt: file://gone.md\n"),
        (rows(2), RECIPE + b"hold: true\n"),
        (rows(2), RECIPE + b"budget_usd: 0.0000001\n"),
    ],
    ids=["good", "limit", "blank", "column", "ragged", "key", "no file", "hold", "budget"],
)
def test_a_check_and_a_run_agree(fake: FakeContext, tmp_path: Path, data: bytes, recipe: bytes) -> None:
    file = on_disk(tmp_path / "here", "a.csv", data, recipe)
    stack = fake_stack(fake)

    checked = check(file, "a/a.csv", read_local_recipe(file.parent / "recipe.yaml"))
    run = stack.wait(stack.put(file, recipe=file.parent / "recipe.yaml"))

    assert checked.is_usable is not run.is_rejected
    assert (checked.status == "held") is run.is_held
    if run.is_rejected:
        assert checked.members["problems"] == run.members["problems"]
        assert all(problem in "\n".join(checked.lines) for problem in run.problems)
    else:
        assert checked.members["rows"]["total"] == run.rows["total"]
        quoted = {name: value for name, value in run.members["quote"].items() if name != "paid_ratio"}
        assert checked.members["quote"] == quoted


def test_a_check_needs_no_recipe_for_ready_requests_and_says_if_one_is_missing(tmp_path: Path) -> None:
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "hi"}]}
    line = {"custom_id": "x", "method": "POST", "url": "/v1/chat/completions", "body": body}
    (tmp_path / "a.jsonl").write_text(json.dumps(line) + "\n")
    (tmp_path / "b.csv").write_bytes(rows(1))

    assert check(tmp_path / "a.jsonl", "a/a.jsonl", None).is_usable
    assert "There is no recipe" in check(tmp_path / "b.csv", "b/b.csv", None).lines[1]


def test_a_model_that_is_gone_is_found_without_asking_openai(tmp_path: Path) -> None:
    [gone, *_] = (name for name, shutdown in deprecations._BY_NAME.items() if shutdown.day < date(2026, 1, 1))
    file = on_disk(tmp_path / "here", "a.csv", rows(1), RECIPE.replace(b"gpt-6-luna", gone.encode()))
    checked = check(file, "a/a.csv", read_local_recipe(file.parent / "recipe.yaml"))
    assert not checked.is_usable
    assert "shut" in checked.lines[1]


def test_a_check_takes_any_name_and_leaves_the_file_alone(tmp_path: Path) -> None:
    name = "Ümfrage 🙂 " * 12 + ".csv"
    file = on_disk(tmp_path / "here", name, rows(3), RECIPE)

    assert check(file, f"{'tief/' * 40}{name}", read_local_recipe(file.parent / "recipe.yaml")).is_usable
    assert file.read_bytes() == rows(3)


@pytest.mark.parametrize("name", ["a.csv.cancel", "_SUCCESS", "notes.md", "recipe.yaml"])
def test_what_is_no_file_of_rows_is_not_checked(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(WrongUseError, match="would not read"):
        check(tmp_path / name, name, None)


def test_a_fault_of_the_intake_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("dropbatch.intake.intake.build_job", fail)
    file = on_disk(tmp_path / "here", "a.csv", rows(1), RECIPE)
    with pytest.raises(ZeroDivisionError):
        check(file, "a/a.csv", read_local_recipe(file.parent / "recipe.yaml"))


def test_the_recipe_beside_a_file_counts_and_else_one_above_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "work" / "lake" / "reviews"
    folder.mkdir(parents=True)
    (tmp_path / "recipe.yaml").write_bytes(RECIPE)
    monkeypatch.chdir(tmp_path / "work")

    assert recipe_beside_file(folder / "a.csv") is None, "it is above the current folder"
    (tmp_path / "work" / "recipe.yml").write_bytes(RECIPE)
    assert recipe_beside_file(Path("lake/reviews/a.csv")) == tmp_path / "work" / "recipe.yml"
    (folder / "recipe.yaml").write_bytes(RECIPE)
    assert recipe_beside_file(folder / "a.csv") == folder / "recipe.yaml"
    monkeypatch.chdir(folder / "..")
    assert recipe_beside_file(tmp_path / "a.csv") == tmp_path / "recipe.yaml"


def test_the_first_rows_of_a_file_are_read_without_its_recipe(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("id;größe\n1;ü\n2;x\n".encode())
    (tmp_path / "b.jsonl").write_bytes(b'{"a": 1}\n{"b": 2}\n')

    rows = [{"id": "1", "größe": "ü"}, {"id": "2", "größe": "x"}]
    assert local_first_rows(tmp_path / "a.csv") == (["id", "größe"], rows, {})
    assert local_first_rows(tmp_path / "b.jsonl") == ([], [{"a": 1}, {"b": 2}], {})
    (tmp_path / "c.doc").write_bytes(b"x")
    with pytest.raises(WrongUseError, match="extension"):
        local_first_rows(tmp_path / "c.doc")
    line = '{"custom_id": "1", "method": "POST", "url": "/v1/moderations", "body": {"input": "x"}}'
    (tmp_path / "d.jsonl").write_text(line)
    with pytest.raises(WrongUseError, match="ready requests, and needs no recipe"):
        local_first_rows(tmp_path / "d.jsonl")


@pytest.mark.parametrize("header", ["id;text", "id;größe"])
def test_the_first_rows_of_a_file_that_is_not_utf_8_are_read_as_it_seems_to_be(tmp_path: Path, header: str) -> None:
    lines = [header, "1;Zu teuer für das, was es kann", "2;Schön verpackt, süß und größer als gedacht", "3;ok"]
    (tmp_path / "a.csv").write_bytes("\r\n".join(lines).encode("cp1252"))

    found = local_first_rows(tmp_path / "a.csv")

    assert (found.columns, found.keys) == (header.split(";"), {"encoding": "windows-1252"})
    assert found.rows[1][found.columns[1]] == "Schön verpackt, süß und größer als gedacht"


@pytest.mark.parametrize("title", ["Umfrage Q4", "Umfrage Q4;;"])
def test_a_title_above_the_header_is_left_out(tmp_path: Path, title: str) -> None:
    texts = ["Zu teuer für das, was es kann", "Schön verpackt, süß und größer als gedacht"]
    lines = [title, "Nr;Note (1-5);Kommentar", f"1;4;{texts[0]}", f"2;5;{texts[1]}"]
    (tmp_path / "a.csv").write_bytes("\r\n".join(lines).encode("cp1252"))

    found = local_first_rows(tmp_path / "a.csv")

    assert found.columns == ["Nr", "Note (1-5)", "Kommentar"]
    assert [row["Kommentar"] for row in found.rows] == texts
    assert found.keys == {"encoding": "windows-1252", "header": "2"}


def test_parquet_needs_a_library_on_this_machine_whatever_the_stack_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_types, "find_spec", lambda _: None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(WrongUseError, match="on this machine, install pyarrow"):
        local_first_rows(tmp_path / "a.parquet")
    with pytest.raises(WrongUseError, match="on this machine, install pyarrow"):
        check(tmp_path / "a.parquet", "a.parquet", None)
