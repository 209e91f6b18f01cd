"""Notices of a drop's or a recipe's models: those that end, and those that a host of OpenAI does not batch."""

from collections.abc import Iterable
from typing import Final

from dropbatch.batch_api.deprecations import NOTICE_DAYS, notices_about
from dropbatch.batch_api.models import base_of
from dropbatch.batch_api.servers import OPENAI_HOST
from dropbatch.domain.problems import Notice

_UNBATCHED: Final = {f"eu.{OPENAI_HOST}": "gpt-6"}
"""The beginning of the names of the models that a host does not take in batches, read on 2026-11-27 in OpenAI's guide
to data residency. A drop is not rejected for it, because OpenAI may have added them since."""


def model_notices(models: Iterable[str], host: str, now: int, *, wait_days: int = 0) -> list[Notice]:
    """Return notices of those models that are gone or soon will be, or that the server at this host does not batch.

    `wait_days` is how long it may take until they are asked.
    """
    named = list(dict.fromkeys(models))
    return [*_unbatched(named, host), *notices_about(named, now, NOTICE_DAYS + wait_days)]


def _unbatched(models: Iterable[str], host: str) -> list[Notice]:
    start = _UNBATCHED.get(host)
    found = [model for model in models if base_of(model).startswith(start)] if start else []
    if not found:
        return []
    more = f" and {len(found) - 1:,} more of the models" if len(found) > 1 else ""
    sentence = (
        f"OpenAI's guide to data residency says that {host} takes no batches of {found[0]}{more}, so all of their "
        f"rows fail; choose a model before GPT-6, or have {OPENAI_HOST} as the host of the stack's OpenAIBaseUrl."
    )
    return [Notice("not_batched", sentence)]
