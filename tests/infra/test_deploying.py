"""`make deploy` asks, saves the answers, and builds layers for them. `make undeploy` loses no job."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from local.programs import LocalError
from local.undeploy import REMOVALS, main, undeploy
from tests.infra.reading import Template

ROOT = Path(__file__).parents[2]

TWO_ENVIRONMENTS = r"""
[default.global.parameters]
stack_name = "dropbatch"

[default.deploy.parameters]
parameter_overrides = "NotificationEmail=\"\" Runtime=\"python3.12\" Architecture=\"x86_64\" MaxLineMegabytes=\"8\""

[prod.deploy.parameters]
parameter_overrides = "Runtime=\"python3.14\" Parquet=\"enabled\""
"""


def _built_for(folder: Path) -> str:
    (folder / "Makefile").write_text(
        f"include {ROOT}/layers/layers.mk\n"
        "show:\n\t@echo '$(DROPBATCH_RUNTIME) $(DROPBATCH_ARCHITECTURE) $(call saved,Parquet)'\n"
    )
    return _make(folder, "show").strip()


def _make(folder: Path, *arguments: str) -> str:
    environment = {"PATH": f"{ROOT}/.local/uv/bin:/usr/local/bin:/usr/bin:/bin", "HOME": str(folder)}
    return subprocess.run(
        ["make", "--silent", *arguments],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_layers_are_built_for_the_answers_of_the_default_environment_only(tmp_path: Path) -> None:
    (tmp_path / "samconfig.toml").write_text(TWO_ENVIRONMENTS)

    assert _built_for(tmp_path) == "python3.12 x86_64"


def test_saved_answers_come_before_those_of_the_tracked_file(tmp_path: Path) -> None:
    (tmp_path / "samconfig.toml").write_text(TWO_ENVIRONMENTS)
    (tmp_path / "deploy.toml").write_text(TWO_ENVIRONMENTS.replace("python3.12", "python3.13"))

    assert _built_for(tmp_path) == "python3.13 x86_64"


def test_layers_are_built_for_the_defaults_if_nothing_is_saved(tmp_path: Path) -> None:
    shutil.copy(ROOT / "samconfig.toml", tmp_path)

    assert _built_for(tmp_path) == "python3.13 arm64"


def test_the_core_layer_records_what_it_was_built_for(tmp_path: Path) -> None:
    for name in ("layers/layers.mk", "layers/core/Makefile"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "layers/core/dropbatch/entrypoints", tmp_path / "layers/core/dropbatch/entrypoints")

    _make(
        tmp_path, "-f", "layers/core/Makefile", "build-CoreLayer", f"ARTIFACTS_DIR={tmp_path}/built",
        "DROPBATCH_RUNTIME=python3.12", "DROPBATCH_ARCHITECTURE=x86_64",
    )  # fmt: skip

    assert (tmp_path / "built/python/dropbatch/entrypoints/built_for.txt").read_text() == "python3.12 x86_64\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with the makefile, and with a SAM that only records its arguments."""
    for name in ("Makefile", "samconfig.toml"):
        shutil.copy(ROOT / name, tmp_path)
    sam = tmp_path / "sam"
    sam.write_text('#!/bin/sh\necho "$DROPBATCH_RUNTIME" "$@"\n')
    sam.chmod(0o755)
    return tmp_path


def _deploy(project: Path, *arguments: str) -> list[str]:
    out = _make(project, "-o", "setup", "deploy", "SAM=./sam", *arguments)
    return [line.strip().replace(f"{project}/", "") for line in out.splitlines()]


def test_the_first_deployment_asks_and_saves_answers_in_a_file_that_is_not_tracked(project: Path) -> None:
    before = (project / "samconfig.toml").read_text()

    assert _deploy(project) == ["build", "deploy --config-file deploy.toml --guided"]
    assert (project / "samconfig.toml").read_text() == before
    assert (project / "deploy.toml").read_text() == before
    assert "/deploy.toml" in (ROOT / ".gitignore").read_text().splitlines()


def test_given_parameters_are_the_defaults_of_the_first_questions(project: Path) -> None:
    assert _deploy(project, "RUNTIME=python3.12", "PARQUET=enabled") == [
        "python3.12 build",
        "deploy --config-file deploy.toml --guided --parameter-overrides Runtime=python3.12 Parquet=enabled",
    ]


def test_parameters_given_later_are_added_to_the_saved_answers(project: Path) -> None:
    (project / "deploy.toml").write_text(TWO_ENVIRONMENTS)

    assert _deploy(project, "RUNTIME=python3.14") == [
        "python3.14 build",
        "deploy --config-file deploy.toml --guided",
    ]
    saved = (project / "deploy.toml").read_text()
    assert saved == TWO_ENVIRONMENTS.replace("python3.12", "python3.14")


def test_a_saved_answer_of_an_older_release_keeps_its_meaning(project: Path, written: Template) -> None:
    saved = TWO_ENVIRONMENTS.replace(" Architecture=", r" SettleSeconds=\"900\" Architecture=")
    (project / "deploy.toml").write_text(saved)

    _deploy(project, "ASK=no")
    today = (project / "deploy.toml").read_text()
    assert r"AbsenceConfirmationSeconds=\"900\"" in today
    assert today == saved.replace("SettleSeconds", "AbsenceConfirmationSeconds")
    names = set(re.findall(r'[" ](\w+)=\\"', today))
    assert names <= set(written["Parameters"]), "CloudFormation refuses the names of parameters that do not exist"


@pytest.mark.parametrize("after", [" Architecture=", r'"'], ids=["in the middle", "at the end"])
def test_a_saved_answer_to_a_question_that_is_gone_is_removed(project: Path, written: Template, after: str) -> None:
    ends = TWO_ENVIRONMENTS.rindex(after) if after == r'"' else TWO_ENVIRONMENTS.index(after)
    saved = TWO_ENVIRONMENTS[:ends] + r" HoldAboveRows=\"5000\"" + TWO_ENVIRONMENTS[ends:]
    (project / "deploy.toml").write_text(saved)

    _deploy(project, "ASK=no")
    today = (project / "deploy.toml").read_text()
    assert "HoldAboveRows" not in today
    assert today.split() == saved.replace(r" HoldAboveRows=\"5000\"", " ").split()
    assert set(re.findall(r'[" ](\w+)=\\"', today)) <= set(written["Parameters"])


def test_a_pipeline_deploys_without_questions(project: Path) -> None:
    assert _deploy(project, "ASK=no") == [
        "build",
        "deploy --config-file deploy.toml --no-confirm-changeset --no-fail-on-empty-changeset",
    ]


class Account:
    """Tables and queues of moto, and a CloudFormation that knows one stack of them."""

    def __init__(self) -> None:
        self.deleted: list[str] = []
        self.resources: list[dict[str, str]] = []
        table = self.client("dynamodb").create_table(
            TableName="a-table",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "open", "since")
            ],
            KeySchema=_keys("pk", "sk"),
            GlobalSecondaryIndexes=[
                {"IndexName": "open", "KeySchema": _keys("open", "since"), "Projection": {"ProjectionType": "ALL"}}
            ],
        )["TableDescription"]
        self._add("InboxBucket", "AWS::S3::Bucket", "an-inbox")
        self._add("Table", "AWS::DynamoDB::Table", table["TableName"])
        for name in ("IntakeQueue", "DispatchQueue", "CollectQueue"):
            self._add(name, "AWS::SQS::Queue", self.client("sqs").create_queue(QueueName=name)["QueueUrl"])

    def _add(self, name: str, kind: str, physical_id: str) -> None:
        self.resources.append({"LogicalResourceId": name, "ResourceType": kind, "PhysicalResourceId": physical_id})

    def client(self, service: str) -> Any:
        if service == "cloudformation":
            return self
        return boto3.client(service, region_name="us-east-1")  # type: ignore[call-overload]

    def id(self, name: str) -> str:
        return next(found["PhysicalResourceId"] for found in self.resources if found["LogicalResourceId"] == name)

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_stack_resources"
        halves = (self.resources[:2], self.resources[2:])
        return SimpleNamespace(
            paginate=lambda StackName: ({"StackResourceSummaries": half} for half in halves)  # noqa: N803
        )

    def delete_stack(self, StackName: str) -> None:  # noqa: N803 - as boto3 calls it
        self.deleted.append(StackName)

    def get_waiter(self, name: str) -> Any:
        assert name == "stack_delete_complete"
        return SimpleNamespace(wait=lambda StackName: None)  # noqa: N803


def _keys(first: str, second: str) -> Any:
    return [{"AttributeName": first, "KeyType": "HASH"}, {"AttributeName": second, "KeyType": "RANGE"}]


@pytest.fixture
def account() -> Iterator[Account]:
    with mock_aws():
        yield Account()


@pytest.mark.parametrize("kind", ["job", "batch"])
def test_a_stack_with_open_work_is_not_deleted(account: Account, kind: str) -> None:
    item = {"pk": {"S": "job#1"}, "sk": {"S": kind}, "open": {"S": kind}, "since": {"S": "000000000001"}}
    account.client("dynamodb").put_item(TableName=account.id("Table"), Item=item)

    with pytest.raises(LocalError, match=f"open {kind}: 1"):
        list(undeploy("dropbatch", account))
    assert not account.deleted


@pytest.mark.parametrize("queue", ["IntakeQueue", "DispatchQueue", "CollectQueue"])
def test_a_drop_that_is_still_in_a_queue_counts_as_open(account: Account, queue: str) -> None:
    account.client("sqs").send_message(QueueUrl=account.id(queue), MessageBody="{}", DelaySeconds=60)

    with pytest.raises(LocalError, match=f"messages in {queue}: 1"):
        list(undeploy("dropbatch", account))
    assert not account.deleted


def test_an_idle_stack_is_deleted_and_retained_resources_are_named(account: Account) -> None:
    said = "\n".join(undeploy("dropbatch", account))

    assert account.deleted == ["dropbatch"]
    for name in ("InboxBucket", "Table"):
        assert account.id(name) in said
    assert account.id("IntakeQueue") not in said


def test_all_retained_resources_are_named(resources: Template) -> None:
    kept = {
        resource["Type"]
        for resource in resources.values()
        if resource.get("DeletionPolicy", "Delete").startswith("Retain")
    }

    # A bucket's policy goes with its bucket.
    assert kept - {"AWS::S3::BucketPolicy"} == set(REMOVALS)


def test_a_stack_of_another_kind_is_left_alone(account: Account) -> None:
    account.resources = account.resources[:1]

    with pytest.raises(LocalError, match="not a stack of Dropbatch"):
        list(undeploy("other", account))
    assert not account.deleted


def test_a_stack_that_was_not_named_is_not_deleted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    assert main([""]) == 1
    assert "make undeploy STACK=" in capsys.readouterr().err
