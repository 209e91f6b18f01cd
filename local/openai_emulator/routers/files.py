"""`/v1/files`: upload, list, retrieve, download and delete files."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from starlette.requests import ClientDisconnect

from local.openai_emulator.emulator import Emulator
from local.openai_emulator.errors import ApiError, missing_parameter
from local.openai_emulator.faults import IgnoreRange, TruncatedDownload
from local.openai_emulator.routers.calls import CurrentEmulator
from local.openai_emulator.routers.expiry import read_lifetime
from local.openai_emulator.routers.lists import list_object, page_of, read_limit
from local.openai_emulator.routers.replies import Dropped, Json, Truncated
from local.openai_emulator.store import File
from local.openai_emulator.uploads import Upload, receive_upload

MAX_LISTED = 10_000

_RANGE = re.compile(rb"bytes=(\d+)-")

router = APIRouter()


@router.post("/v1/files")
async def create_file(request: Request, emulator: CurrentEmulator) -> Response:
    path = emulator.store.upload_path()
    try:
        upload = await receive_upload(
            request.headers.get("content-type", ""), request.stream(), path, emulator.settings.limits.upload_bytes
        )
        file = _add_upload(emulator, request.state.project, path, upload)
    except ClientDisconnect:
        return Dropped()
    finally:
        path.unlink(missing_ok=True)
    return Json(_file_object(file))


@router.get("/v1/files")
def list_files(request: Request, emulator: CurrentEmulator) -> Response:
    query = request.query_params
    files = emulator.store.list_files(request.state.project, emulator.clock())
    if query.get("order", "desc") == "desc":
        files.reverse()
    if purpose := query.get("purpose"):
        files = [file for file in files if file.purpose == purpose]
    limit = read_limit(query.get("limit"), default=MAX_LISTED, maximum=MAX_LISTED)
    page, more = page_of(files, query.get("after"), limit)
    return Json(list_object([_file_object(file) for file in page], more))


@router.get("/v1/files/{file_id}")
def retrieve_file(request: Request, emulator: CurrentEmulator, file_id: str) -> Response:
    return Json(_file_object(_find_file(emulator, request, file_id)))


@router.delete("/v1/files/{file_id}")
def delete_file(request: Request, emulator: CurrentEmulator, file_id: str) -> Response:
    file = _find_file(emulator, request, file_id)
    with suppress(KeyError):  # another call deleted it a moment ago
        emulator.store.delete_file(file.id)
    return Json({"id": file.id, "object": "file", "deleted": True})


@router.get("/v1/files/{file_id}/content")
def file_content(request: Request, emulator: CurrentEmulator, file_id: str) -> Response:
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


def _add_upload(emulator: Emulator, project: str, path: Path, upload: Upload) -> File:
    """Make an upload, whose content is at `path`, into a file; raise ApiError for what OpenAI refuses."""
    if upload.filename is None:
        raise missing_parameter("file")
    if "purpose" not in upload.fields:
        raise missing_parameter("purpose")
    if upload.fields["purpose"] != "batch":
        message = "Invalid value for 'purpose': only 'batch' is emulated."
        raise ApiError(400, message, code="invalid_value", param="purpose")
    # Clients in wide use send raw bytes, which the SDK names `upload`.
    if emulator.settings.only_jsonl and not upload.filename.endswith(".jsonl"):
        raise ApiError(400, "Invalid file format for Batch API. Must be .jsonl", param="file")
    now = emulator.clock()
    lifetime = read_lifetime(
        "expires_after",
        upload.fields.get("expires_after[anchor]"),
        _whole_number(upload.fields.get("expires_after[seconds]")),
        given=any(name.startswith("expires_after") for name in upload.fields),
    )
    return emulator.store.add_file(
        path,
        project=project,
        filename=upload.filename,
        purpose="batch",
        created_at=now,
        expires_at=now + lifetime,
    )


def _whole_number(text: str | None) -> object:
    """Return a form field as the number that it writes; anything else as it is."""
    return int(text) if text is not None and text.isascii() and text.isdigit() else text


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
