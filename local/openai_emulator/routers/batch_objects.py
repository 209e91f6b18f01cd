"""A batch as the API shows it: as it is, as it was a while ago, and as faults show it."""

from typing import Any

import msgspec

from local.openai_emulator.emulator import Emulator
from local.openai_emulator.faults import BlankErrorFileId, LateOutputId, ListLag, NoMetadata
from local.openai_emulator.store import Batch, Tokens

_TIMES = (
    "in_progress_at",
    "expires_at",
    "finalizing_at",
    "completed_at",
    "failed_at",
    "expired_at",
    "cancelling_at",
    "cancelled_at",
)
_MOMENTS = (
    ("in_progress_at", "in_progress"),
    ("finalizing_at", "finalizing"),
    ("cancelling_at", "cancelling"),
    ("completed_at", "completed"),
    ("failed_at", "failed"),
    ("expired_at", "expired"),
    ("cancelled_at", "cancelled"),
)
"""The moments of a batch's life, in their order, and its status from each on."""


def batch_object(emulator: Emulator, batch: Batch, *, listed: bool = False) -> dict[str, Any]:
    """Return the batch as the API shows it: every member is there, null if it has no value yet."""
    with emulator.store.lock:
        faults, model = emulator.faults, batch.model
        output_file_id = _output_file_id(emulator, batch)
        error_file_id = _error_file_id(emulator, batch)
        errors = [{"code": e.code, "message": e.message, "line": e.line, "param": e.param} for e in batch.errors]
        times = {name: None if (at := getattr(batch, name)) is None else int(at) for name in _TIMES}
        bare = faults.for_batch(NoMetadata, model, batch.id)
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": batch.endpoint,
            "model": model or None,
            "errors": {"object": "list", "data": errors} if errors else None,
            "input_file_id": batch.input_file_id,
            "completion_window": batch.completion_window,
            "status": faults.renamed(batch.status, model, batch.id),
            "output_file_id": output_file_id,
            "error_file_id": error_file_id,
            "created_at": int(batch.created_at),
            **times,
            "request_counts": {"total": batch.total, "completed": batch.completed, "failed": batch.failed},
            "usage": _usage_object(batch.usage),
            "metadata": None if bare and (listed or bare.at == "everywhere") else batch.metadata,
        }


def _output_file_id(emulator: Emulator, batch: Batch) -> str | None:
    if batch.completed_at is not None:
        late = emulator.faults.for_batch(LateOutputId, batch.model, batch.id)
        if late is not None and emulator.clock() < batch.completed_at + late.seconds:
            return None
    return batch.output_file_id


def _error_file_id(emulator: Emulator, batch: Batch) -> str | None:
    if batch.error_file_id is None and not batch.is_open:
        return "" if emulator.faults.for_batch(BlankErrorFileId, batch.model, batch.id) else None
    return batch.error_file_id


def _usage_object(usage: Tokens) -> dict[str, Any]:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


def batch_at(batch: Batch, moment: float) -> Batch:
    """Return the batch as it was at that moment; one that had not ended is shown without counts."""
    times = {name: at if (at := getattr(batch, name)) is not None and at <= moment else None for name, _ in _MOMENTS}
    status = next((status for name, status in reversed(_MOMENTS) if times[name] is not None), "validating")
    former = msgspec.structs.replace(batch, status=status, **times)
    if not former.is_open:
        return former
    nothing: dict[str, Any] = {"output_file_id": None, "error_file_id": None, "errors": [], "usage": Tokens()}
    return msgspec.structs.replace(former, total=0, completed=0, failed=0, **nothing)


def is_listed(emulator: Emulator, batch: Batch) -> bool:
    """Return whether lists show the batch yet."""
    lag = emulator.faults.for_batch(ListLag, batch.model, batch.id)
    return lag is None or emulator.clock() >= batch.created_at + lag.seconds
