"""OpenAI's answers about files and batches as values of the project."""

from collections.abc import Mapping
from typing import Any

import msgspec

from dropbatch.adapters.openai_errors import code_of
from dropbatch.domain.errors import OpenAIOutcomeUnknownError
from dropbatch.domain.states import OpenAIStatus
from dropbatch.ports import RemoteBatch, RemoteUsage

_STATUSES = {status.value: status for status in OpenAIStatus} | {"canceled": OpenAIStatus.CANCELLED}


def read_answer(answer: bytes) -> dict[str, Any]:
    """Return a good answer's members. The SDK's models take 8 ms for a page of a hundred batches, this takes 1 ms."""
    try:
        members = msgspec.json.decode(answer)
    except msgspec.DecodeError:
        members = None
    if not isinstance(members, dict):
        raise OpenAIOutcomeUnknownError("unreadable_answer")
    return members


def remote_batch(batch: Mapping[str, Any]) -> RemoteBatch:
    try:
        counts = batch.get("request_counts") or {}
        errors = (batch.get("errors") or {}).get("data") or []
        return RemoteBatch(
            id=batch["id"],
            status=_STATUSES.get(batch["status"], OpenAIStatus.UNKNOWN),
            created_at=int(batch["created_at"]),
            input_file_id=batch["input_file_id"],
            metadata=batch.get("metadata") or {},
            output_file_id=batch.get("output_file_id") or None,
            error_file_id=batch.get("error_file_id") or None,
            total=counts.get("total") or 0,
            completed=counts.get("completed") or 0,
            failed=counts.get("failed") or 0,
            errors=[
                (code_of(error.get("code"), "batch_failed"), str(error.get("message") or ""), _line_of(error))
                for error in errors
            ],
            usage=_usage_of(batch),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        raise OpenAIOutcomeUnknownError("unreadable_answer") from None


def _usage_of(batch: Mapping[str, Any]) -> RemoteUsage | None:
    """Return the tokens of a batch; None from servers that do not count them, or give zeros in their place."""
    usage = batch.get("usage")
    if not isinstance(usage, Mapping):
        return None
    read, written = usage.get("input_tokens_details") or {}, usage.get("output_tokens_details") or {}
    if not isinstance(read, Mapping) or not isinstance(written, Mapping):
        return None
    counts: list[Any] = [
        usage.get("input_tokens"),
        read.get("cached_tokens") or 0,
        usage.get("output_tokens"),
        written.get("reasoning_tokens") or 0,
    ]
    if not all(isinstance(count, int) and not isinstance(count, bool) and count >= 0 for count in counts):
        return None
    return RemoteUsage(*counts) if any(counts) else None


def _line_of(error: Mapping[str, Any]) -> int | None:
    line = error.get("line")
    return line if isinstance(line, int) and not isinstance(line, bool) else None


def id_of(members: Mapping[str, Any]) -> str:
    found = members.get("id")
    if not isinstance(found, str) or not found:
        raise OpenAIOutcomeUnknownError("unreadable_answer")
    return found
