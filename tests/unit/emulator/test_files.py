"""Uploads, downloads, deletion and expiry, through the real client."""

from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest

from local.openai_emulator.faults import HttpError, IgnoreRange, TruncatedDownload
from local.openai_emulator.settings import BatchLimits


def test_a_file_comes_back_byte_for_byte(service: Any) -> None:
    content = b'{"a": "\xe2\x80\xa8 \xc2\x85 \xf0\x9f\x98\x80"}\r\n\n' * 1000
    file_id = service.upload(content)
    assert service.client.files.content(file_id).content == content
    file = service.client.files.retrieve(file_id)
    assert (file.bytes, file.filename, file.purpose, file.status) == (len(content), "in.jsonl", "batch", "processed")


@pytest.mark.slow
@pytest.mark.parametrize("file", [("in.json", b"{}"), b"{}"], ids=["another name", "raw bytes"])
def test_an_upload_of_any_name_is_accepted_unless_a_setting_refuses_it(
    service_with: Callable[..., Any], file: Any
) -> None:
    client = service_with().client
    assert client.files.content(client.files.create(file=file, purpose="batch").id).content == b"{}"
    with pytest.raises(openai.BadRequestError, match="jsonl"):
        service_with(only_jsonl=True).client.files.create(file=file, purpose="batch")


def test_an_upload_over_the_limit_is_refused_and_leaves_nothing(service_with: Callable[..., Any]) -> None:
    service = service_with(limits=BatchLimits(upload_bytes=1000))
    service.upload(b"x" * 1000)
    with pytest.raises(openai.APIStatusError, match="maximum size") as refusal:
        service.upload(b"x" * 1001)
    assert refusal.value.status_code == 413
    assert len(service.client.files.list().data) == 1
    assert not list(service.running.store.partial_directory.iterdir())


def test_a_deleted_file_is_gone(service: Any) -> None:
    file_id = service.upload(b"{}")
    assert service.client.files.delete(file_id).deleted
    with pytest.raises(openai.NotFoundError, match="No such File object"):
        service.client.files.retrieve(file_id)


def test_a_file_expires_after_its_lifetime(service: Any) -> None:
    file_id = service.upload(b"{}", expires_after={"anchor": "created_at", "seconds": 3600})
    file = service.client.files.retrieve(file_id)
    assert file.expires_at == file.created_at + 3600
    service.running.advance(3600)
    with pytest.raises(openai.NotFoundError):
        service.client.files.content(file_id)


@pytest.mark.parametrize("seconds", [3599, 2_592_001])
def test_a_lifetime_outside_the_bounds_is_refused(service: Any, seconds: int) -> None:
    with pytest.raises(openai.BadRequestError, match=r"expires_after\.seconds"):
        service.upload(b"{}", expires_after={"anchor": "created_at", "seconds": seconds})


def test_files_are_listed_newest_first_over_pages(service: Any) -> None:
    ids = [service.upload(b"{}") for _ in range(5)]
    assert [file.id for file in service.client.files.list(limit=2)] == ids[::-1]


@pytest.mark.parametrize("key", ["sk-wrong", "sk-emulated-not"])
def test_a_wrong_key_is_refused_as_the_service_refuses_it(service: Any, key: str) -> None:
    with pytest.raises(openai.AuthenticationError) as refusal:
        service.client.with_options(api_key=key).files.list()
    assert refusal.value.code == "invalid_api_key"


def test_a_call_without_a_key_is_refused(service: Any) -> None:
    response = httpx2.get(f"{service.running.base_url}/files")
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"


def test_projects_see_nothing_of_each_other(service_with: Callable[..., Any]) -> None:
    service = service_with(keys={"sk-a": "p1", "sk-b": "p2"})
    file_id = service.upload(b"{}")
    other = service.client.with_options(api_key="sk-b")
    assert other.files.list().data == []
    with pytest.raises(openai.NotFoundError):
        other.files.content(file_id)


def test_a_truncated_download_breaks_off_instead_of_ending(service: Any) -> None:
    file_id = service.upload(b"x" * 5000)
    service.running.faults.add(TruncatedDownload(kind="truncated_download", after_bytes=100, times=1))
    with pytest.raises((httpx2.HTTPError, openai.APIConnectionError)):
        service.client.files.content(file_id)
    assert len(service.client.files.content(file_id).content) == 5000


def ranged(service: Any, file_id: str, start: int) -> httpx2.Response:
    headers = {"authorization": f"Bearer {service.client.api_key}", "range": f"bytes={start}-"}
    return httpx2.get(f"{service.running.base_url}/files/{file_id}/content", headers=headers)


def test_a_range_of_a_file_is_answered_alone(service: Any) -> None:
    file_id = service.upload(b"0123456789")
    part = ranged(service, file_id, 4)
    assert (part.status_code, part.headers["content-range"], part.content) == (206, "bytes 4-9/10", b"456789")
    none = ranged(service, file_id, 10)
    assert (none.status_code, none.headers["content-range"]) == (416, "bytes */10")


def test_a_range_may_be_ignored(service: Any) -> None:
    file_id = service.upload(b"0123456789")
    service.running.faults.add(IgnoreRange(kind="ignore_range"))
    whole = ranged(service, file_id, 4)
    assert (whole.status_code, whole.content) == (200, b"0123456789")


def test_a_range_may_break_off_too(service: Any) -> None:
    file_id = service.upload(b"x" * 5000)
    service.running.faults.add(TruncatedDownload(kind="truncated_download", after_bytes=100))
    with pytest.raises(httpx2.RemoteProtocolError, match="received 100 bytes, expected 4000"):
        ranged(service, file_id, 1000)


def test_a_rate_limit_says_when_to_retry(service: Any) -> None:
    fault = HttpError(kind="http_error", method="POST", path="/v1/files", status=429, retry_after=7, times=1)
    service.running.faults.add(fault)
    with pytest.raises(openai.RateLimitError) as refusal:
        service.upload(b"{}")
    assert refusal.value.response.headers["retry-after"] == "7"
    service.upload(b"{}")


def test_the_models_that_are_configured_are_listed(service_with: Callable[..., Any]) -> None:
    service = service_with(models=("gpt-x", "gpt-y"))
    assert [model.id for model in service.client.models.list()] == ["gpt-x", "gpt-y"]
