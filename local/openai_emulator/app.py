"""The application: the routers put together, and OpenAI's shape for every error.

Everything under `/v1` wants a key; `/_emulator` wants none, because the server listens on the loopback interface only.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from local.openai_emulator.emulator import Emulator
from local.openai_emulator.errors import ApiError
from local.openai_emulator.routers import batches, control, files, models, requests
from local.openai_emulator.routers.calls import DroppedCallError, admit_call
from local.openai_emulator.routers.replies import Dropped, Json, WithTransport


def create_app(emulator: Emulator) -> ASGIApp:
    """Make the application; its lifespan starts and stops the thread that moves batches on."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        emulator.runner.start()
        yield
        emulator.runner.stop()
        emulator.store.close()

    app = FastAPI(title="OpenAI emulator", lifespan=lifespan, openapi_url=None)
    app.state.emulator = emulator
    for resource in (files, batches, models, requests):
        app.include_router(resource.router, dependencies=[Depends(admit_call)])
    app.include_router(control.router)

    @app.exception_handler(ApiError)
    async def api_error(_: Request, error: ApiError) -> Response:
        headers = {} if error.retry_after is None else {"Retry-After": f"{error.retry_after:g}"}
        return Json(error.body, error.status, headers=headers)

    @app.exception_handler(DroppedCallError)
    async def dropped(_: Request, __: DroppedCallError) -> Response:
        return Dropped()

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        message = (
            f"Invalid URL ({request.method} {request.url.path})" if error.status_code in (404, 405) else error.detail
        )
        return Json(ApiError(error.status_code, message).body, error.status_code)

    return WithTransport(app)
