"""`/v1/models`: list and retrieve the models that exist."""

from typing import Any

from fastapi import APIRouter, Response

from local.openai_emulator.errors import ApiError
from local.openai_emulator.retired import is_retired
from local.openai_emulator.routers.calls import CurrentEmulator
from local.openai_emulator.routers.replies import Json

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
"""The models that are listed if no list is configured. Any other model exists as well, until OpenAI retires it."""

router = APIRouter()


@router.get("/v1/models")
def list_models(emulator: CurrentEmulator) -> Response:
    names = emulator.settings.models or DEFAULT_MODELS
    return Json({"object": "list", "data": [_model_object(name) for name in names]})


@router.get("/v1/models/{model:path}")
def retrieve_model(emulator: CurrentEmulator, model: str) -> Response:
    if is_retired(model, emulator.clock()) or model not in (emulator.settings.models or (model,)):
        raise ApiError(404, f"The model '{model}' does not exist.", code="model_not_found", param="model")
    return Json(_model_object(model))


def _model_object(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "emulator"}
