"""The HTTP face: OpenAI's Files and Batches, and `/_emulator` to steer it.

Everything under `/v1` wants a key and answers errors in OpenAI's shape; `/_emulator` wants none, because the server
listens on the loopback interface only.
"""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import orjson
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from local.openai_emulator.answers import ENDPOINTS
from local.openai_emulator.clock import Clock
from local.openai_emulator.errors import ApiError, missing_parameter, wrong_type
from local.openai_emulator.faults import (
    AnyFault,
    BlankErrorFileId,
    CreateAnswerLost,
    Faults,
    FileNotFound,
    HttpError,
    IgnoreRange,
    LateOutputId,
    ListLag,
    NoMetadata,
    SlowCall,
    StaleRetrieve,
    TruncatedDownload,
)
from local.openai_emulator.runner import Runner, cannot_find_file, model_of_input
from local.openai_emulator.settings import Settings
from local.openai_emulator.store import DAY, FILE_LIFETIME, Batch, File, Store, Tokens
from local.openai_emulator.uploads import receive_upload

DEFAULT_MODELS = (
    "gpt-6-astra",
    "gpt-6-sol",
    "gpt-6-luna",
    "gpt-6.1-sol",
    "gpt-6.1-terra",
    "gpt-5.6-sol",
    "gpt-5.6-terra",
    "gpt-5.6-luna",
    "gpt-5.5",
    "gpt-5.4-mini",
    "text-embedding-3-small",
    "text-embedding-3-large",
    "omni-moderation-latest",
)
"""Listed by `/v1/models` where no list is configured; any other model works as well."""

_SHORTEST_LIFETIME, _LONGEST_LIFETIME = 3_600, 30 * DAY
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
_TRANSPORT = "emulator.transport"
_RANGE = re.compile(rb"bytes=(\d+)-")


class Emulator:
    """What lies behind the app: its state, and the faults and clock that a test may hold."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = Clock()
        self.faults = Faults()
        self.store = Store(settings.directory)
        self.runner = Runner(self.store, settings, self.faults, self.clock)

    def advance(self, seconds: float) -> None:
        """Put the clock forward, and return when all batches have done what is then due."""
        self.clock.advance(seconds)
        self.runner.run_due()


class Json(Response):
    """JSON by orjson."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


class Dropped(Response):
    """No answer: the connection is closed without a byte."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _ = send
        scope[_TRANSPORT].abort()
        await _disconnected(receive)


class Truncated(Response):
    """A file's next bytes from `start` on, with the length of all the rest announced; then the connection closes."""

    def __init__(self, path: Path, after_bytes: int, start: int = 0) -> None:
        super().__init__(media_type="application/octet-stream")
        self._path = path
        self._after_bytes = after_bytes
        self._start = start

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        size = self._path.stat().st_size
        with self._path.open("rb") as file:
            file.seek(self._start)
            content = file.read(self._after_bytes)
        # Some bytes are always lacking, even of a file that is shorter than `after_bytes`.
        whole = max(size, self._start + len(content) + 1)
        headers = [(b"content-length", b"%d" % (whole - self._start)), (b"content-type", b"application/octet-stream")]
        if self._start:
            headers.append((b"content-range", b"bytes %d-%d/%d" % (self._start, whole - 1, whole)))
        await send({"type": "http.response.start", "status": 206 if self._start else 200, "headers": headers})
        await send({"type": "http.response.body", "body": content, "more_body": True})
        scope[_TRANSPORT].close()
        await _disconnected(receive)


async def _disconnected(receive: Receive) -> None:
    """Wait until the server has noticed, so that it sends no 500 of its own."""
    while (await receive())["type"] != "http.disconnect":
        pass


class _WithTransport:
    """Gives responses the connection itself, which uvicorn's `receive` belongs to: only so can one be dropped."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[_TRANSPORT] = getattr(getattr(receive, "__self__", None), "transport", None)
        await self._app(scope, receive, send)


class _DroppedCallError(Exception):
    """A fault drops this call."""


def create_app(emulator: Emulator) -> ASGIApp:
    """The application; its lifespan starts and stops the thread that moves batches on."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        emulator.runner.start()
        yield
        emulator.runner.stop()
        emulator.store.close()

    app = FastAPI(title="OpenAI emulator", lifespan=lifespan, openapi_url=None)
    app.state.emulator = emulator
    app.include_router(_api, dependencies=[Depends(_call)])
    app.include_router(_control)

    @app.exception_handler(ApiError)
    async def api_error(_: Request, error: ApiError) -> Response:
        headers = {} if error.retry_after is None else {"Retry-After": f"{error.retry_after:g}"}
        return Json(error.body, error.status, headers=headers)

    @app.exception_handler(_DroppedCallError)
    async def dropped(_: Request, __: _DroppedCallError) -> Response:
        return Dropped()

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        message = (
            f"Invalid URL ({request.method} {request.url.path})" if error.status_code in (404, 405) else error.detail
        )
        return Json(ApiError(error.status_code, message).body, error.status_code)

    return _WithTransport(app)


def _emulator(request: Request) -> Emulator:
    emulator: Emulator = request.app.state.emulator
    return emulator


async def _call(request: Request) -> None:
    """What comes before every call: faults, then the key. Keeps the key's project with the request."""
    emulator = _emulator(request)
    method, path = request.method, request.url.path
    if slow := emulator.faults.for_call(SlowCall, method, path):
        await asyncio.sleep(slow.seconds)
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        message = "You didn't provide an API key. Provide it in an Authorization header: 'Authorization: Bearer …'."
        raise ApiError(401, message, code="invalid_api_key")
    project = emulator.settings.keys.get(key.strip())
    if project is None:
        raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")
    request.state.project = project
    if error := emulator.faults.for_call(HttpError, method, path):
        if error.drop:
            raise _DroppedCallError
        kind = "server_error" if error.status >= 500 else "requests" if error.status == 429 else "invalid_request_error"
        kind = "insufficient_quota" if error.code == "insufficient_quota" else kind
        raise ApiError(error.status, error.message, code=error.code, type_=kind, retry_after=error.retry_after)


_E = Annotated[Emulator, Depends(_emulator)]
_api = APIRouter()
_control = APIRouter(prefix="/_emulator")


# Files


@_api.post("/v1/files")
async def create_file(request: Request, emulator: _E) -> Response:
    path = emulator.store.upload_path()
    try:
        upload = await receive_upload(
            request.headers.get("content-type", ""), request.stream(), path, emulator.settings.limits.upload_bytes
        )
        if upload.filename is None:
            raise missing_parameter("file")
        if "purpose" not in upload.fields:
            raise missing_parameter("purpose")
        if upload.fields["purpose"] != "batch":
            raise ApiError(
                400, "Invalid value for 'purpose': only 'batch' is emulated.", code="invalid_value", param="purpose"
            )
        # Clients in wide use send raw bytes, which the SDK names `upload`.
        if emulator.settings.only_jsonl and not upload.filename.endswith(".jsonl"):
            raise ApiError(400, "Invalid file format for Batch API. Must be .jsonl", param="file")
        now = emulator.clock()
        lifetime = _lifetime(
            "expires_after",
            upload.fields.get("expires_after[anchor]"),
            _whole_number(upload.fields.get("expires_after[seconds]")),
            given=any(name.startswith("expires_after") for name in upload.fields),
        )
        file = emulator.store.add_file(
            path,
            project=request.state.project,
            filename=upload.filename,
            purpose="batch",
            created_at=now,
            expires_at=now + lifetime,
        )
    except ClientDisconnect:
        return Dropped()
    finally:
        path.unlink(missing_ok=True)
    return Json(_file_object(file))


@_api.get("/v1/files")
def list_files(request: Request, emulator: _E) -> Response:
    query = request.query_params
    files = emulator.store.list_files(request.state.project, emulator.clock())
    if query.get("order", "desc") == "desc":
        files.reverse()
    if purpose := query.get("purpose"):
        files = [file for file in files if file.purpose == purpose]
    page, more = _page(files, query.get("after"), _limit(query.get("limit"), default=10_000, maximum=10_000))
    return Json(_list([_file_object(file) for file in page], more))


@_api.get("/v1/files/{file_id}")
def retrieve_file(request: Request, emulator: _E, file_id: str) -> Response:
    return Json(_file_object(_find_file(emulator, request, file_id)))


@_api.delete("/v1/files/{file_id}")
def delete_file(request: Request, emulator: _E, file_id: str) -> Response:
    file = _find_file(emulator, request, file_id)
    with suppress(KeyError):  # somebody else deleted it a moment ago
        emulator.store.delete_file(file.id)
    return Json({"id": file.id, "object": "file", "deleted": True})


@_api.get("/v1/files/{file_id}/content")
def file_content(request: Request, emulator: _E, file_id: str) -> Response:
    file = _find_file(emulator, request, file_id)
    path = emulator.store.path(file.id)
    method, url = request.method, request.url.path
    if emulator.faults.for_call(IgnoreRange, method, url):
        request.scope["headers"] = [header for header in request.scope["headers"] if header[0] != b"range"]
    asked = _RANGE.fullmatch(dict(request.scope["headers"]).get(b"range", b""))
    start = int(asked[1]) if asked else 0
    at_end = start > 0 and start >= path.stat().st_size
    if not at_end and (fault := emulator.faults.for_call(TruncatedDownload, method, url)):
        return Truncated(path, fault.after_bytes, start)
    return FileResponse(path, media_type="application/octet-stream", filename=file.filename)


def _find_file(emulator: Emulator, request: Request, file_id: str) -> File:
    file = emulator.store.find_file(file_id, request.state.project, emulator.clock())
    if file is None:
        raise ApiError(404, f"No such File object: {file_id}", param="id")
    return file


def _file_object(file: File) -> dict[str, Any]:
    return {
        "object": "file",
        "id": file.id,
        "purpose": file.purpose,
        "filename": file.filename,
        "bytes": file.bytes,
        "created_at": int(file.created_at),
        "expires_at": None if file.expires_at is None else int(file.expires_at),
        "status": "processed",
        "status_details": None,
    }


# Batches


@_api.post("/v1/batches")
async def create_batch(request: Request, emulator: _E) -> Response:
    try:
        given = orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise ApiError(400, "We could not parse the JSON body of your request.") from error
    if not isinstance(given, dict):
        raise wrong_type("body", "an object", given)
    project: str = request.state.project
    now = emulator.clock()
    lifetime = _check_batch(given)
    recent = (batch for batch in emulator.store.list_batches(project) if batch.created_at > now - 3600)
    if sum(1 for _ in recent) >= emulator.settings.limits.created_an_hour:
        message = f"Rate limit reached: {emulator.settings.limits.created_an_hour} batches may be created an hour."
        raise ApiError(429, message, code="rate_limit_exceeded", type_="requests", retry_after=60)

    file_id: str = given["input_file_id"]
    batch_id = f"batch_{secrets.token_hex(16)}"
    file = emulator.store.find_file(file_id, project, now)
    model = model_of_input(emulator.store, file_id) if file is not None else ""
    hidden = emulator.faults.for_batch(FileNotFound, model, batch_id)
    if file is None or (hidden and hidden.at == "create" and now < file.created_at + hidden.seconds):
        raise ApiError(400, cannot_find_file(file_id), code="invalid_request", param="input_file_id")
    if file.purpose != "batch":
        message = "Invalid file: expected a file with the purpose 'batch'."
        raise ApiError(400, message, code="invalid_request", param="input_file_id")
    batch = Batch(
        id=batch_id,
        project=project,
        number=0,
        endpoint=given["endpoint"],
        input_file_id=file_id,
        completion_window="24h",
        created_at=now,
        expires_at=now + DAY,
        metadata=given.get("metadata"),
        output_seconds=lifetime,
        model=model,
    )
    emulator.store.add_batch(batch)
    emulator.runner.wake()
    if lost := emulator.faults.for_batch(CreateAnswerLost, model, batch_id):
        if lost.how == "drop":
            return Dropped()
        raise ApiError(500, "The server had an error while processing your request.", type_="server_error")
    return Json(_batch_object(emulator, batch))


@_api.get("/v1/batches")
def list_batches(request: Request, emulator: _E) -> Response:
    query = request.query_params
    limit = _limit(query.get("limit"), default=20, maximum=100)
    batches = [batch for batch in emulator.store.list_batches(request.state.project) if _is_listed(emulator, batch)]
    page, more = _page(batches, query.get("after"), limit)
    return Json(_list([_batch_object(emulator, batch, listed=True) for batch in page], more))


@_api.get("/v1/batches/{batch_id}")
def retrieve_batch(request: Request, emulator: _E, batch_id: str) -> Response:
    batch = _find_batch(emulator, batch_id, request.state.project)
    now = emulator.clock()
    batch.retrieved_at = now
    if stale := emulator.faults.for_batch(StaleRetrieve, batch.model, batch.id):
        with emulator.store.lock:
            batch = _as_of(batch, now - stale.seconds)
    return Json(_batch_object(emulator, batch))


@_api.post("/v1/batches/{batch_id}/cancel")
def cancel_batch(request: Request, emulator: _E, batch_id: str) -> Response:
    batch = _find_batch(emulator, batch_id, request.state.project)
    if not emulator.runner.cancel(batch):
        raise ApiError(409, f"Cannot cancel a batch with status '{batch.status}'.")
    return Json(_batch_object(emulator, batch))


def _find_batch(emulator: Emulator, batch_id: str, project: str) -> Batch:
    batch = emulator.store.find_batch(batch_id, project)
    if batch is None:
        raise ApiError(404, f"No batch found with id '{batch_id}'.")
    return batch


_PASSED = (
    ("in_progress_at", "in_progress"),
    ("finalizing_at", "finalizing"),
    ("cancelling_at", "cancelling"),
    ("completed_at", "completed"),
    ("failed_at", "failed"),
    ("expired_at", "expired"),
    ("cancelled_at", "cancelled"),
)
"""The moments of a batch's life, in their order, and its status from each on."""


def _as_of(batch: Batch, then: float) -> Batch:
    """The batch as it was at that moment; one that had not ended is shown without counts."""
    times = {name: at if (at := getattr(batch, name)) is not None and at <= then else None for name, _ in _PASSED}
    status = next((status for name, status in reversed(_PASSED) if times[name] is not None), "validating")
    former = msgspec.structs.replace(batch, status=status, **times)
    if not former.is_open:
        return former
    nothing: dict[str, Any] = {"output_file_id": None, "error_file_id": None, "errors": [], "usage": Tokens()}
    return msgspec.structs.replace(former, total=0, completed=0, failed=0, **nothing)


def _is_listed(emulator: Emulator, batch: Batch) -> bool:
    lag = emulator.faults.for_batch(ListLag, batch.model, batch.id)
    return lag is None or emulator.clock() >= batch.created_at + lag.seconds


def _check_batch(given: dict[str, Any]) -> int:
    """Refuse what the service refuses at once; the answer is how many seconds the output files live."""
    known = {"input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"}
    for name in given:
        if name not in known:
            raise ApiError(400, f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)
    for name, supported in (("input_file_id", ()), ("endpoint", ENDPOINTS), ("completion_window", ("24h",))):
        value = given.get(name)
        if value is None:
            raise missing_parameter(name)
        if not isinstance(value, str):
            raise wrong_type(name, "a string", value)
        if supported and value not in supported:
            listed = ", ".join(f"'{one}'" for one in supported)
            message = f"Invalid value: '{value}'. Supported values are: {listed}."
            raise ApiError(400, message, code="invalid_value", param=name)
    _check_metadata(given.get("metadata"))
    after = given.get("output_expires_after")
    if after is not None and not isinstance(after, dict):
        raise wrong_type("output_expires_after", "an object", after)
    after = after or {}
    return _lifetime("output_expires_after", after.get("anchor"), after.get("seconds"), given=bool(after))


def _check_metadata(metadata: object) -> None:
    if metadata is None:
        return
    if not isinstance(metadata, dict):
        raise wrong_type("metadata", "an object", metadata)
    if len(metadata) > 16:
        message = (
            "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, "
            f"but got an object with {len(metadata)} properties instead."
        )
        raise ApiError(400, message, code="object_above_max_properties", param="metadata")
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise wrong_type(f"metadata.{key}", "a string", value)
        for what, text, longest in (("key", key, 64), ("value", value, 512)):
            if len(text) > longest:
                message = (
                    f"Invalid 'metadata': {what} too long. Expected a string with maximum length {longest}, "
                    f"but got a string with length {len(text)} instead."
                )
                raise ApiError(400, message, code="string_above_max_length", param="metadata")


def _whole_number(text: str | None) -> object:
    return int(text) if text is not None and text.isascii() and text.isdigit() else text


def _lifetime(name: str, anchor: object, seconds: object, *, given: bool) -> int:
    """Seconds that a file lives, from its `expires_after`."""
    if not given:
        return FILE_LIFETIME
    if anchor != "created_at":
        message = f"Invalid value for '{name}.anchor'. Supported values are: 'created_at'."
        raise ApiError(400, message, code="invalid_value", param=f"{name}.anchor")
    if isinstance(seconds, bool) or not isinstance(seconds, int):
        raise wrong_type(f"{name}.seconds", "an integer", seconds)
    if not _SHORTEST_LIFETIME <= seconds <= _LONGEST_LIFETIME:
        message = (
            f"Invalid '{name}.seconds': expected a value from {_SHORTEST_LIFETIME} to {_LONGEST_LIFETIME}, "
            f"but got {seconds} instead."
        )
        below = seconds < _SHORTEST_LIFETIME
        code = "integer_below_min_value" if below else "integer_above_max_value"
        raise ApiError(400, message, code=code, param=f"{name}.seconds")
    return seconds


def _batch_object(emulator: Emulator, batch: Batch, *, listed: bool = False) -> dict[str, Any]:
    """The batch as the API shows it: every member there, null where it has no value yet."""
    with emulator.store.lock:
        faults, model = emulator.faults, batch.model
        output_file_id = batch.output_file_id
        late = faults.for_batch(LateOutputId, model, batch.id) if batch.completed_at is not None else None
        if late is not None and emulator.clock() < (batch.completed_at or 0) + late.seconds:
            output_file_id = None
        error_file_id = batch.error_file_id
        if error_file_id is None and not batch.is_open and faults.for_batch(BlankErrorFileId, model, batch.id):
            error_file_id = ""
        errors = [{"code": e.code, "message": e.message, "line": e.line, "param": e.param} for e in batch.errors]
        times = {name: None if (at := getattr(batch, name)) is None else int(at) for name in _TIMES}
        bare = faults.for_batch(NoMetadata, model, batch.id)
        usage = batch.usage
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
            "usage": {
                "input_tokens": usage.input,
                "input_tokens_details": {"cached_tokens": usage.cached},
                "output_tokens": usage.output,
                "output_tokens_details": {"reasoning_tokens": usage.reasoning},
                "total_tokens": usage.input + usage.output,
            },
            "metadata": None if bare and (listed or bare.at == "everywhere") else batch.metadata,
        }


# Lists


T = TypeVar("T", File, Batch)


def _limit(text: str | None, *, default: int, maximum: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= maximum:
        message = f"Invalid 'limit': expected an integer from 1 to {maximum}."
        raise ApiError(400, message, code="invalid_value", param="limit")
    return int(text)


def _page(items: Sequence[T], after: str | None, limit: int) -> tuple[Sequence[T], bool]:
    """The items that follow the one with the id `after`, and whether more come after them."""
    start = 0
    if after:
        start = next((index for index, item in enumerate(items, 1) if item.id == after), -1)
        if start < 0:
            raise ApiError(400, f"Invalid 'after': no object with id '{after}'.", code="invalid_value", param="after")
    return items[start : start + limit], len(items) > start + limit


def _list(data: list[dict[str, Any]], more: bool) -> dict[str, Any]:
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": more}


# Models


@_api.get("/v1/models")
def list_models(emulator: _E) -> Response:
    names = emulator.settings.models or DEFAULT_MODELS
    return Json({"object": "list", "data": [_model_object(name) for name in names]})


@_api.get("/v1/models/{model}")
def retrieve_model(emulator: _E, model: str) -> Response:
    if model not in (emulator.settings.models or DEFAULT_MODELS):
        raise ApiError(404, f"The model '{model}' does not exist.", code="model_not_found", param="model")
    return Json(_model_object(model))


def _model_object(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "emulator"}


# Control


class DelaysChange(BaseModel):
    """Seconds of each phase that is to change."""

    model_config = ConfigDict(extra="forbid")

    validating: float | None = Field(default=None, ge=0)
    in_progress: float | None = Field(default=None, ge=0)
    finalizing: float | None = Field(default=None, ge=0)
    cancelling: float | None = Field(default=None, ge=0)


class ClockChange(BaseModel):
    """By how many seconds the clock is put forward."""

    model_config = ConfigDict(extra="forbid")

    advance: float = Field(ge=0)


@_control.get("/health")
def health(emulator: _E) -> Response:
    alive = emulator.runner.is_alive
    members = {"emulated": True, "open_batches": len(emulator.store.open_batches())}
    return Json({"status": "ok" if alive else "stalled", **members}, 200 if alive else 503)


@_control.get("/faults")
def list_faults(emulator: _E) -> Response:
    listed = emulator.faults.listed()
    return Json({"data": [{**fault.model_dump(), "strikes": strikes} for fault, strikes in listed]})


@_control.post("/faults")
def add_faults(emulator: _E, faults: AnyFault | list[AnyFault]) -> Response:
    emulator.faults.add(*(faults if isinstance(faults, list) else [faults]))
    return list_faults(emulator)


@_control.delete("/faults")
def clear_faults(emulator: _E) -> Response:
    emulator.faults.clear()
    return list_faults(emulator)


@_control.get("/delays")
def show_delays(emulator: _E) -> Response:
    return Json(asdict(emulator.runner.delays))


@_control.post("/delays")
def change_delays(emulator: _E, change: DelaysChange) -> Response:
    for phase, seconds in change.model_dump(exclude_none=True).items():
        setattr(emulator.runner.delays, phase, seconds)
    emulator.runner.wake()
    return show_delays(emulator)


@_control.post("/clock")
def change_clock(emulator: _E, change: ClockChange) -> Response:
    emulator.advance(change.advance)
    return Json({"now": emulator.clock()})


_SHOWN = (
    "id", "project", "endpoint", "model", "status", "created_at", "input_file_id", "output_file_id", "error_file_id",
    "metadata", "tokens", "total", "ran", "completed", "failed",
)  # fmt: skip  # names, a line of them


@_control.get("/batches")
def every_batch(emulator: _E) -> Response:
    """Every batch of every project that was ever created, oldest first, as it truly is: faults do not touch it."""
    with emulator.store.lock:
        batches = list(emulator.store.batches.values())
    return Json({"data": [{name: getattr(batch, name) for name in _SHOWN} for batch in batches]})


@_control.post("/batches/{batch_id}/{action}")
def force(emulator: _E, batch_id: str, action: Annotated[Literal["expire", "cancel"], PathParameter()]) -> Response:
    """End a batch from outside: its window is over, or somebody cancelled it in the console."""
    batch = emulator.store.batches.get(batch_id)
    if batch is None:
        raise ApiError(404, f"No batch found with id '{batch_id}'.")
    if action == "expire":
        emulator.runner.expire(batch)
    else:
        emulator.runner.cancel(batch)
    return Json(_batch_object(emulator, batch))
