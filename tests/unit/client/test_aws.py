"""The client's way to AWS: stacks are found, files uploaded in parts, and failures become sentences."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import exceptions
from botocore.exceptions import ClientError

from dropbatch.adapters.user_session import UserSession, failure_of
from dropbatch.client import NotReachableError, Stack, WrongUseError
from dropbatch.client.aws_errors import translating
from dropbatch.client.finding import find_outputs
from dropbatch.client.uploads import PART_BYTES, S3Uploads
from dropbatch.domain.errors import ObjectForbiddenError, ObjectNotFoundError
from tests.stacks import OUTPUTS, FakeServices


def described(*names: str, outputs: Mapping[str, str] = OUTPUTS) -> list[dict[str, Any]]:
    listed = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]
    return [{"StackName": name, "Outputs": listed} for name in names]


def refused(code: str, message: str = "", call: str = "PutObject") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, call)


def cloudformation(stacks: Any) -> Any:
    services = FakeServices()
    services.answers["cloudformation", "describe_stacks"] = stacks
    return translating(services("cloudformation"))


def test_the_only_stack_is_found_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DROPBATCH_STACK", raising=False)
    pages = {
        None: {"Stacks": described("web", outputs={"Url": "x"}), "NextToken": "2"},
        "2": {"Stacks": [*described("mine"), {"StackName": "bare"}]},
    }

    name, outputs = find_outputs(cloudformation(lambda NextToken=None: pages[NextToken]), None)  # noqa: N803

    assert (name, outputs["InboxBucket"]) == ("mine", OUTPUTS["InboxBucket"])


def test_a_stack_is_found_by_name_or_by_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    api = cloudformation(lambda StackName: {"Stacks": described(StackName)})  # noqa: N803
    assert find_outputs(api, "one")[0] == "one"
    monkeypatch.setenv("DROPBATCH_STACK", "two")
    assert find_outputs(api, None)[0] == "two"
    assert find_outputs(api, "one")[0] == "one"


@pytest.mark.parametrize(
    ("stacks", "named", "sentence"),
    [
        ({"Stacks": []}, None, "no stack of Dropbatch in this account"),
        ({"Stacks": described("b", "a")}, None, "several stacks of Dropbatch: a, b. Name one with --stack"),
        ({"Stacks": described("a", outputs={})}, "a", "not a stack of Dropbatch"),
        (refused("ValidationError", "Stack with id a does not exist"), "a", "There is no stack a"),
    ],
)
def test_a_stack_that_cannot_be_found_is_wrong_use(
    monkeypatch: pytest.MonkeyPatch, stacks: Any, named: str | None, sentence: str
) -> None:
    monkeypatch.delenv("DROPBATCH_STACK", raising=False)
    with pytest.raises(WrongUseError, match=sentence):
        find_outputs(cloudformation(stacks), named)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (exceptions.NoCredentialsError(), "There are no AWS credentials"),
        (exceptions.UnauthorizedSSOTokenError(), "login at AWS has expired"),
        (exceptions.NoRegionError(), "No AWS region"),
        (exceptions.EndpointConnectionError(endpoint_url="http://x"), "AWS cannot be reached"),
        (exceptions.ProfileNotFound(profile="x"), "AWS could not be called: The config profile"),
        (refused("AccessDenied"), "does not let you call PutObject"),
        (refused("ExpiredToken"), "has expired"),
        (refused("InvalidClientTokenId"), "does not know these credentials"),
        (refused("Throttling", "Rate exceeded"), "AWS refused PutObject: Throttling: Rate exceeded"),
    ],
)
def test_each_failure_of_aws_is_a_sentence(error: Exception, sentence: str) -> None:
    class Port:
        def call(self) -> None:
            raise error

        def steps(self) -> Any:
            yield 1
            raise error

    port = translating(Port())
    with pytest.raises(NotReachableError, match=sentence):
        port.call()
    steps = port.steps()
    assert next(steps) == 1
    with pytest.raises(NotReachableError, match=sentence):
        next(steps)


def test_an_endpoint_that_is_no_url_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    with pytest.raises(NotReachableError, match="AWS_ENDPOINT_URL"):
        translating(UserSession("us-east-1")).client("s3")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    with pytest.raises(NotReachableError, match="region_name 'a b'"):
        translating(UserSession("a b")).client("s3")


def test_other_errors_stay_as_they_are() -> None:
    class Port:
        name = "a port"

        def call(self, error: Exception) -> None:
            raise error

    port = translating(Port())
    assert port.name == "a port"
    assert failure_of(ValueError()) is None
    for error in (ValueError("x"), ObjectNotFoundError("x")):
        with pytest.raises(type(error)):
            port.call(error)
    with pytest.raises(NotReachableError, match="does not let you read"):
        port.call(ObjectForbiddenError("403"))


@pytest.mark.usefixtures("aws")
def test_a_large_file_is_uploaded_in_parts_and_its_version_returned(tmp_path: Path) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="inbox")
    s3.put_bucket_versioning(Bucket="inbox", VersioningConfiguration={"Status": "Enabled"})
    data = b"0123456789" * (2 * PART_BYTES // 10) + b"the end"
    (tmp_path / "large.csv").write_bytes(data)
    (tmp_path / "small.csv").write_bytes(b"text\n")
    reported: list[tuple[int, int]] = []

    uploads = S3Uploads(s3)
    version = uploads.put_file("inbox", "a", tmp_path / "large.csv", lambda *now: reported.append(now), {"run": "7"})
    small = uploads.put_file("inbox", "b", tmp_path / "small.csv", None, {})

    found = s3.get_object(Bucket="inbox", Key="a")
    assert found["Body"].read() == data
    assert found["VersionId"] == version
    assert found["Metadata"] == {"run": "7"}
    assert s3.head_object(Bucket="inbox", Key="b")["VersionId"] == small
    assert reported[0] == (0, len(data))
    assert reported[-1] == (len(data), len(data))
    assert [done for done, _ in reported] == sorted(done for done, _ in reported)
    assert uploads.put("inbox", "c", b"") == s3.head_object(Bucket="inbox", Key="c")["VersionId"]


@pytest.mark.usefixtures("aws")
def test_an_upload_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="inbox")
    (tmp_path / "large.csv").write_bytes(b"x" * (PART_BYTES + 1))

    def stop(done: int, size: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        S3Uploads(s3).put_file("inbox", "a", tmp_path / "large.csv", stop, {})
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="inbox")
    assert "Contents" not in s3.list_objects_v2(Bucket="inbox")


@pytest.mark.usefixtures("aws")
def test_a_session_makes_clients_that_a_stack_can_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    s3 = boto3.client("s3")
    for bucket in ("the-inbox", "the-results"):
        s3.create_bucket(Bucket=bucket)
    listed: dict[str, Any] = {"Stacks": described("mine")}
    real = UserSession.__init__

    def with_stacks(self: UserSession, region: str | None = None, profile: str | None = None) -> None:
        real(self, region, profile)
        services = FakeServices()
        services.answers["cloudformation", "describe_stacks"] = listed
        made = self.client
        self.client = lambda called: services(called) if called == "cloudformation" else made(called)  # type: ignore[assignment]  # as the cached one

    monkeypatch.setattr(UserSession, "__init__", with_stacks)
    (tmp_path / "a.csv").write_bytes(b"text\nx\n")

    stack = Stack.find(region="us-east-1")
    upload = stack.put(tmp_path / "a.csv", to="lake")

    assert io.BytesIO(s3.get_object(Bucket="the-inbox", Key=upload.key)["Body"].read()).read() == b"text\nx\n"
    assert stack.run_of(upload) is None
    with pytest.raises(NotReachableError):
        stack.cost()  # there is no table
