"""`/v1/batches`: create, list, retrieve and cancel batches."""

import secrets

from fastapi import APIRouter, Request, Response

from local.openai_emulator.emulator import Emulator
from local.openai_emulator.errors import ApiError, cannot_find_file
from local.openai_emulator.faults import CreateAnswerLost, FileNotFound, StaleRetrieve
from local.openai_emulator.routers.batch_objects import batch_at, batch_object, is_listed
from local.openai_emulator.routers.batch_requests import BatchRequest, read_batch_request
from local.openai_emulator.routers.calls import CurrentEmulator
from local.openai_emulator.routers.lists import list_object, page_of, read_limit
from local.openai_emulator.routers.replies import Dropped, Json
from local.openai_emulator.store import DAY, Batch
from local.openai_emulator.validation import first_model

MAX_LISTED = 100

router = APIRouter()


@router.post("/v1/batches")
async def create_batch(request: Request, emulator: CurrentEmulator) -> Response:
    asked = read_batch_request(await request.body())
    batch = _new_batch(emulator, request.state.project, asked)
    emulator.store.add_batch(batch)
    emulator.runner.wake()
    if lost := emulator.faults.for_batch(CreateAnswerLost, batch.model, batch.id):
        if lost.how == "drop":
            return Dropped()
        raise ApiError(500, "The server had an error while processing your request.", type_="server_error")
    return Json(batch_object(emulator, batch))


@router.get("/v1/batches")
def list_batches(request: Request, emulator: CurrentEmulator) -> Response:
    query = request.query_params
    limit = read_limit(query.get("limit"), default=20, maximum=MAX_LISTED)
    batches = [batch for batch in emulator.store.list_batches(request.state.project) if is_listed(emulator, batch)]
    page, more = page_of(batches, query.get("after"), limit)
    return Json(list_object([batch_object(emulator, batch, listed=True) for batch in page], more))


@router.get("/v1/batches/{batch_id}")
def retrieve_batch(request: Request, emulator: CurrentEmulator, batch_id: str) -> Response:
    batch = _find_batch(emulator, batch_id, request.state.project)
    now = emulator.clock()
    batch.retrieved_at = now
    if stale := emulator.faults.for_batch(StaleRetrieve, batch.model, batch.id):
        with emulator.store.lock:
            batch = batch_at(batch, now - stale.seconds)
    return Json(batch_object(emulator, batch))


@router.post("/v1/batches/{batch_id}/cancel")
def cancel_batch(request: Request, emulator: CurrentEmulator, batch_id: str) -> Response:
    batch = _find_batch(emulator, batch_id, request.state.project)
    if not emulator.runner.cancel(batch):
        raise ApiError(409, f"Cannot cancel a batch with status '{batch.status}'.")
    return Json(batch_object(emulator, batch))


def _new_batch(emulator: Emulator, project: str, asked: BatchRequest) -> Batch:
    """Make the batch that is asked for; raise ApiError if its file or the number of batches does not allow it."""
    now = emulator.clock()
    _check_hourly_limit(emulator, project, now)
    batch_id = f"batch_{secrets.token_hex(16)}"
    file = emulator.store.find_file(asked.input_file_id, project, now)
    model = first_model(emulator.store.path(asked.input_file_id)) if file is not None else ""
    hidden = emulator.faults.for_batch(FileNotFound, model, batch_id)
    if file is None or (hidden and hidden.at == "create" and now < file.created_at + hidden.seconds):
        message = cannot_find_file(asked.input_file_id)
        raise ApiError(400, message, code="invalid_request", param="input_file_id")
    if file.purpose != "batch":
        message = "Invalid file: expected a file with the purpose 'batch'."
        raise ApiError(400, message, code="invalid_request", param="input_file_id")
    return Batch(
        id=batch_id,
        project=project,
        number=0,
        endpoint=asked.endpoint,
        input_file_id=asked.input_file_id,
        completion_window="24h",
        created_at=now,
        expires_at=now + DAY,
        metadata=asked.metadata,
        output_seconds=asked.output_seconds,
        model=model,
    )


def _check_hourly_limit(emulator: Emulator, project: str, now: float) -> None:
    maximum = emulator.settings.limits.created_an_hour
    recent = (batch for batch in emulator.store.list_batches(project) if batch.created_at > now - 3600)
    if sum(1 for _ in recent) >= maximum:
        message = f"Rate limit reached: {maximum} batches may be created an hour."
        raise ApiError(429, message, code="rate_limit_exceeded", type_="requests", retry_after=60)


def _find_batch(emulator: Emulator, batch_id: str, project: str) -> Batch:
    batch = emulator.store.find_batch(batch_id, project)
    if batch is None:
        raise ApiError(404, f"No batch found with id '{batch_id}'.")
    return batch
