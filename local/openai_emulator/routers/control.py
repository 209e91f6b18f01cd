"""`/_emulator`: steer the emulator from outside. Health, faults, delays, the clock, and batches as they truly are."""

from dataclasses import asdict
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from local.openai_emulator.errors import ApiError
from local.openai_emulator.faults import AnyFault
from local.openai_emulator.routers.batch_objects import batch_object
from local.openai_emulator.routers.calls import CurrentEmulator
from local.openai_emulator.routers.replies import Json
from local.openai_emulator.store import Tokens

_SHOWN = (
    "id", "project", "endpoint", "model", "status", "created_at", "input_file_id", "output_file_id", "error_file_id",
    "metadata", "tokens", "total", "ran", "completed", "failed",
)  # fmt: skip  # names, a line of them

router = APIRouter(prefix="/_emulator")


class DelaysChange(BaseModel):
    """The seconds of each phase that changes."""

    model_config = ConfigDict(extra="forbid")

    validating: float | None = Field(default=None, ge=0)
    in_progress: float | None = Field(default=None, ge=0)
    finalizing: float | None = Field(default=None, ge=0)
    cancelling: float | None = Field(default=None, ge=0)


class ClockChange(BaseModel):
    """The seconds by which the clock is put forward."""

    model_config = ConfigDict(extra="forbid")

    advance: float = Field(ge=0)


@router.get("/health")
def health(emulator: CurrentEmulator) -> Response:
    alive = emulator.runner.is_alive
    members = {"emulated": True, "open_batches": len(emulator.store.open_batches())}
    return Json({"status": "ok" if alive else "stalled", **members}, 200 if alive else 503)


@router.get("/faults")
def list_faults(emulator: CurrentEmulator) -> Response:
    listed = emulator.faults.listed()
    return Json({"data": [{**fault.model_dump(), "strikes": strikes} for fault, strikes in listed]})


@router.post("/faults")
def add_faults(emulator: CurrentEmulator, faults: AnyFault | list[AnyFault]) -> Response:
    emulator.faults.add(*(faults if isinstance(faults, list) else [faults]))
    return list_faults(emulator)


@router.delete("/faults")
def clear_faults(emulator: CurrentEmulator) -> Response:
    emulator.faults.clear()
    return list_faults(emulator)


@router.get("/delays")
def show_delays(emulator: CurrentEmulator) -> Response:
    return Json(asdict(emulator.runner.delays))


@router.post("/delays")
def change_delays(emulator: CurrentEmulator, change: DelaysChange) -> Response:
    for phase, seconds in change.model_dump(exclude_none=True).items():
        setattr(emulator.runner.delays, phase, seconds)
    emulator.runner.wake()
    return show_delays(emulator)


@router.post("/clock")
def change_clock(emulator: CurrentEmulator, change: ClockChange) -> Response:
    emulator.advance(change.advance)
    return Json({"now": emulator.clock()})


@router.get("/batches")
def list_every_batch(emulator: CurrentEmulator) -> Response:
    """List every batch of every project that was ever created, oldest first, as it truly is, whatever faults show."""
    with emulator.store.lock:
        batches = list(emulator.store.batches.values())
    return Json({"data": [{name: getattr(batch, name) for name in _SHOWN} for batch in batches]})


@router.get("/accounts")
def show_accounts(emulator: CurrentEmulator) -> Response:
    """Show what all batches ever ran and used, by model, as the emulator counted it while it ran them."""
    with emulator.store.lock:
        batches = list(emulator.store.batches.values())
    accounts: dict[str, tuple[int, Tokens]] = {}
    for batch in batches:
        requests, tokens = accounts.get(batch.model, (0, Tokens()))
        tokens.add(batch.usage)
        accounts[batch.model] = requests + batch.ran, tokens
    shown = [
        {"model": model, "requests": requests, "tokens": msgspec.to_builtins(tokens)}
        for model, (requests, tokens) in sorted(accounts.items())
    ]
    return Json({"data": shown})


@router.post("/batches/{batch_id}/{action}")
def end_batch(
    emulator: CurrentEmulator, batch_id: str, action: Annotated[Literal["expire", "cancel"], Path()]
) -> Response:
    """End a batch from outside, as if its window were over or a user cancelled it in the console."""
    batch = emulator.store.batches.get(batch_id)
    if batch is None:
        raise ApiError(404, f"No batch found with id '{batch_id}'.")
    if action == "expire":
        emulator.runner.expire(batch)
    else:
        emulator.runner.cancel(batch)
    return Json(batch_object(emulator, batch))
