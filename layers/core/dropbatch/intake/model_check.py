"""The check of a job's models before it starts: one that is gone, or soon will be, rejects the drop.

OpenAI's published shutdowns count on its own hosts. Other models are asked for at the server, whichever it is. That is
a courtesy: if the server does not answer, or cannot be asked, the job starts, and OpenAI refuses row by row what it
does not have.
"""

from collections.abc import Mapping, Sequence

from dropbatch.batch_api.deprecations import find_shutdown, sentence_about, shuts_down_before
from dropbatch.batch_api.error_codes import MODEL_NOT_FOUND
from dropbatch.batch_api.limits import COMPLETION_WINDOW_SECONDS
from dropbatch.batch_api.servers import is_openai_host
from dropbatch.domain.account_items import ANY_MODEL, KnownModel
from dropbatch.domain.errors import DropRejectedError, OpenAIError, StaleItemError
from dropbatch.domain.problems import Problem, Problems
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.storage.context import Context

MODEL_GONE = "model_gone"
"""The code of a model that OpenAI has shut down, or shuts down before a batch must have ended."""

MAX_ASKED = 10
"""For how many models of a job the server is asked: a drop may name one in every row."""

KNOWN_SECONDS = 86_400
"""How long the server's answer counts that it has a model, or cannot be asked. That it lacks one is never kept: the
key's project may get the model meanwhile."""

MIN_SECONDS = 60
"""With less time left, no model is asked for: a call may take 10 s, and starting the job needs the rest."""

BATCH_SECONDS = 0.02
"""How long it takes to write the item of a batch."""


def check_models(context: Context, models: Mapping[str, int], compiled: CompiledRecipe | None, *, batches: int) -> None:
    """Raise DropRejectedError if a job's models are gone, or the server does not have them.

    `models` maps each model to the line of the drop where it is first named, 0 if that is unknown. `batches` is how
    many batches the job starts with.
    """
    found = _shut_down(context, models) if is_openai_host(context.openai_host) else {}
    try:
        others = [model for model in models if model and model not in found]
        found |= _missing(context, others[:MAX_ASKED], MIN_SECONDS + batches * BATCH_SECONDS)
    except Exception:  # noqa: BLE001 - the check is a courtesy, and the job starts without it
        context.observer.exception("the models of a job could not be checked")
    if found:
        raise DropRejectedError(Problems(_problem(model, *found[model], models, compiled) for model in found))


def _shut_down(context: Context, models: Mapping[str, int]) -> dict[str, tuple[str, str]]:
    """Return the code and the sentence of each model that is gone before a batch must have ended."""
    now = context.now()
    return {
        model: (MODEL_GONE, sentence_about(model, shutdown, now))
        for model in models
        if (shutdown := find_shutdown(model)) and shuts_down_before(shutdown, now + COMPLETION_WINDOW_SECONDS)
    }


def _missing(context: Context, models: Sequence[str], seconds: float) -> dict[str, tuple[str, str]]:
    """Return the code and the sentence of each model that the server does not have."""
    found = {}
    for model in models:
        if _is_known(context, model) or _is_known(context, ANY_MODEL):
            continue
        if context.seconds_left() < seconds:
            break
        try:
            exists = context.openai.has_model(model)
        except OpenAIError as error:
            context.observer.info("the server does not say which models it has", code=error.code)
            break
        if exists is False:
            found[model] = (MODEL_NOT_FOUND, _not_found(context, model))
            continue
        _remember(context, ANY_MODEL if exists is None else model)
    return found


def _is_known(context: Context, model: str) -> bool:
    known = context.repository.known_model(context.openai_host, model)
    return context.now() - known.seen_at < KNOWN_SECONDS


def _remember(context: Context, model: str) -> None:
    known: KnownModel = context.repository.known_model(context.openai_host, model)
    known.seen_at = context.now()
    known.expires_at = known.seen_at + 2 * KNOWN_SECONDS
    try:
        context.repository.save(known)
    except StaleItemError:
        return  # another process has just asked, too


def _not_found(context: Context, model: str) -> str:
    shutdown = find_shutdown(model)
    if shutdown is not None and shuts_down_before(shutdown, context.now() + 1):
        return sentence_about(model, shutdown, context.now())
    who = "OpenAI" if is_openai_host(context.openai_host) else f"The server {context.openai_host}"
    return (
        f"{who} has no model {model}, or the project of the API key may not use it; correct the name, or let the "
        "project use the model."
    )


def _problem(
    model: str, code: str, sentence: str, models: Mapping[str, int], compiled: CompiledRecipe | None
) -> Problem:
    """Return the problem of a model, at the key of the recipe that names it, or at the line of the drop."""
    if compiled is not None and compiled.model == model:
        key = "model" if compiled.recipe.body is None else "body.model"
        return compiled.recipe.problem(code, key, sentence)
    line = models[model] or None
    key = "model" if compiled is not None else "body.model"
    return Problem(code, f"Line {line}: {sentence}" if line else sentence, line=line, key=key, kind=model)
