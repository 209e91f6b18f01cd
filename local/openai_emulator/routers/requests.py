"""The endpoints themselves: a single request, which is answered at once, as the same request of a batch is."""

from collections.abc import Callable
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from local.openai_emulator.answers import ENDPOINTS
from local.openai_emulator.emulator import Emulator
from local.openai_emulator.errors import ApiError, missing_parameter, wrong_type
from local.openai_emulator.retired import is_retired
from local.openai_emulator.routers.calls import CurrentEmulator
from local.openai_emulator.routers.replies import Json

router = APIRouter()


def _answering(url: str) -> Callable[..., Any]:
    async def answer_request(request: Request, emulator: CurrentEmulator) -> Response:
        raw = await request.body()
        body = _read_body(raw)
        _check_model(emulator, body["model"])
        response = await run_in_threadpool(emulator.runner.answer_at_once, url, body, raw)
        return Json(response.body, response.status or 500)

    return answer_request


for _url in ENDPOINTS:
    router.post(_url)(_answering(_url))


def _read_body(raw: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ApiError(400, "We could not parse the JSON body of your request.") from error
    if not isinstance(body, dict):
        raise wrong_type("body", "an object", body)
    if body.get("model") in (None, ""):
        raise missing_parameter("model")
    if not isinstance(body["model"], str):
        raise wrong_type("model", "a string", body["model"])
    if body.get("stream"):
        raise ApiError(400, "The emulator does not stream.", code="unsupported_value", param="stream")
    return body


def _check_model(emulator: Emulator, model: str) -> None:
    if is_retired(model, emulator.clock()) or model not in (emulator.settings.models or (model,)):
        message = f"The model `{model}` does not exist or you do not have access to it."
        raise ApiError(404, message, code="model_not_found", param="model")
