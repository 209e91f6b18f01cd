"""The steps before each call: find its emulator, apply the faults that strike it, and check its key."""

import asyncio
from typing import Annotated

from fastapi import Depends, Request

from local.openai_emulator.emulator import Emulator
from local.openai_emulator.errors import ApiError
from local.openai_emulator.faults import HttpError, SlowCall


class DroppedCallError(Exception):
    """A fault drops this call."""


def get_emulator(request: Request) -> Emulator:
    emulator: Emulator = request.app.state.emulator
    return emulator


CurrentEmulator = Annotated[Emulator, Depends(get_emulator)]


async def admit_call(request: Request) -> None:
    """Apply the faults of calls and check the key; keep the key's project with the request."""
    emulator = get_emulator(request)
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
            raise DroppedCallError
        kind = "server_error" if error.status >= 500 else "requests" if error.status == 429 else "invalid_request_error"
        kind = "insufficient_quota" if error.code == "insufficient_quota" else kind
        raise ApiError(error.status, error.message, code=error.code, type_=kind, retry_after=error.retry_after)
