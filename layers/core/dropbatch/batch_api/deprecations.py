"""The days on which OpenAI shuts models down, and the notices of them. Checked 2026-11-27.

They are those of OpenAI's page of deprecations (SOURCE) and of its Python SDK, which gives the dates at the names of
the models. They are enforced on OpenAI's own hosts only, and announced elsewhere: another server may serve the model
under the same name.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from dropbatch.batch_api.models import base_of
from dropbatch.domain.problems import Notice

SOURCE = "https://developers.openai.com/api/docs/deprecations"

NOTICE_DAYS = 7
"""How long before a model's shutdown people get a notice: a batch may take a day, and a retry as long again."""

MAX_NOTICES = 5
"""The maximum number of models with a notice of their own; the others are counted. A drop may name one in every row."""

_SHUTDOWNS = (
    # The day, the models with their dated snapshots, and the models that OpenAI names in their place. If those are shut
    # down as well, the models that it names in place of those. A star ends a prefix; whole names go before prefixes.
    ("2027-04-01", "gpt-5.1 gpt-5.1-20* gpt-5.3-codex gpt-5.4-nano gpt-5.4-nano-20*", ""),
    ("2027-01-20", "gpt-audio gpt-audio-20* gpt-audio-mini gpt-audio-mini-20*", ""),
    ("2027-01-14", "gpt-4o gpt-4o-20* gpt-4o-mini gpt-4o-mini-20*", "gpt-6-luna"),
    ("2027-01-14", "gpt-4.1 gpt-4.1-20* gpt-4.1-mini gpt-4.1-mini-20*", "gpt-6-luna"),
    ("2026-12-11", "gpt-5 gpt-5-20*", "gpt-5.6-sol gpt-6.1-sol"),
    ("2026-12-11", "gpt-5-mini gpt-5-mini-20*", "gpt-5.6-terra gpt-6.1-terra"),
    ("2026-12-11", "gpt-5-nano gpt-5-nano-20*", "gpt-5.6-luna gpt-6-luna"),
    ("2026-12-11", "gpt-5-pro gpt-5-pro-20* o3 o3-20* o3-pro o3-pro-20*", "gpt-5.6-sol"),
    ("2026-12-01", "gpt-image-1.5 gpt-image-1.5-20* gpt-image-1-mini chatgpt-image-latest", "gpt-image-2"),
    ("2026-10-23", "gpt-image-1 gpt-image-1-20*", "gpt-image-2"),
    ("2026-10-23", "gpt-3.5-turbo gpt-3.5-turbo-0125 o4-mini o4-mini-20*", "gpt-5.6-terra"),
    ("2026-10-23", "gpt-4 gpt-4-0613 gpt-4-1106-preview gpt-4-turbo gpt-4-turbo-20*", "gpt-5.6-sol"),
    ("2026-10-23", "gpt-4o-2024-05-13 o1 o1-20* o1-pro o1-pro-20* o3-mini o3-mini-20*", "gpt-5.6-sol"),
    ("2026-10-23", "gpt-4.1-nano gpt-4.1-nano-20*", "gpt-5.6-luna"),
    ("2026-09-28", "gpt-3.5-turbo-1106", "gpt-5.6-terra"),
    ("2026-09-28", "gpt-3.5-turbo-instruct gpt-3.5-turbo-instruct-* babbage-002 davinci-002", ""),
    ("2026-09-24", "sora-*", ""),
    ("2026-08-10", "gpt-5.2-chat-latest gpt-5.3-chat-latest", "gpt-5.5"),
    ("2026-07-23", "gpt-5-chat-latest gpt-5.1-chat-latest gpt-5-codex gpt-5.2-codex", "gpt-5.6-sol"),
    ("2026-07-23", "gpt-5.1-codex gpt-5.1-codex-max", "gpt-5.6-sol"),
    ("2026-07-23", "gpt-5.1-codex-mini", "gpt-5.6-terra"),
    ("2026-07-23", "o3-deep-research o3-deep-research-20*", "gpt-5.6-sol"),
    ("2026-07-23", "o4-mini-deep-research o4-mini-deep-research-20*", "gpt-5.6-sol"),
    ("2026-07-23", "computer-use-preview computer-use-preview-20*", "gpt-5.4-mini"),
    ("2026-07-23", "gpt-4o-search-preview* gpt-4o-mini-search-preview*", "gpt-6-luna"),
    ("2026-05-12", "dall-e-2 dall-e-3", "gpt-image-2"),
    ("2026-05-07", "gpt-4o-audio-preview* gpt-4o-mini-audio-preview*", "gpt-audio-1.5"),
    ("2026-03-26", "gpt-4-0314 gpt-4-0125-preview gpt-4-turbo-preview", "gpt-5.6-sol"),
    ("2026-02-17", "chatgpt-4o-latest", "gpt-5.6-sol"),
    ("2026-02-12", "codex-mini-latest", "gpt-5.6-terra"),
    ("2025-10-27", "o1-mini o1-mini-20*", "gpt-5.6-terra"),
    ("2025-07-28", "o1-preview o1-preview-20*", "gpt-5.6-sol"),
    ("2025-07-14", "gpt-4.5-preview gpt-4.5-preview-20*", "gpt-6-luna"),
    ("2025-06-06", "gpt-4-32k gpt-4-32k-0314 gpt-4-32k-0613", "gpt-6-luna"),
    ("2024-12-06", "gpt-4-vision-preview gpt-4-1106-vision-preview", "gpt-6-luna"),
    ("2024-09-13", "gpt-3.5-turbo-16k gpt-3.5-turbo-16k-0613 gpt-3.5-turbo-0301 gpt-3.5-turbo-0613", "gpt-5.6-terra"),
)


class Shutdown(NamedTuple):
    """The day on which OpenAI shuts a model down, and the models that it names in its place, if any."""

    day: date
    replacements: tuple[str, ...]


def _read_shutdowns() -> tuple[dict[str, Shutdown], dict[str, Shutdown]]:
    """Return the shutdowns by name, and by the prefix of the names of snapshots."""
    names: dict[str, Shutdown] = {}
    prefixes: dict[str, Shutdown] = {}
    for day, listed, replacements in _SHUTDOWNS:
        shutdown = Shutdown(date.fromisoformat(day), tuple(replacements.split()))
        for name in listed.split():
            if name.endswith("*"):
                prefixes[name[:-1]] = shutdown
            else:
                names[name] = shutdown
    return names, prefixes


_BY_NAME, _BY_PREFIX = _read_shutdowns()
_PREFIXES = tuple(_BY_PREFIX)


def find_shutdown(model: str) -> Shutdown | None:
    """Return the published shutdown of a model; None if none is known."""
    name = base_of(model)
    if name in _BY_NAME:
        return _BY_NAME[name]
    if not name.startswith(_PREFIXES):  # a drop may name a model in every row
        return None
    return next(shutdown for prefix, shutdown in _BY_PREFIX.items() if name.startswith(prefix))


def shuts_down_before(shutdown: Shutdown, at: int) -> bool:
    """Return whether a model is gone before this time (in Unix seconds): its day begins at midnight UTC."""
    return datetime.combine(shutdown.day, time.min, UTC).timestamp() < at


def sentence_about(model: str, shutdown: Shutdown, now: int) -> str:
    """Return a sentence that says when a model was or will be shut down, and what to write in its place."""
    gone = shuts_down_before(shutdown, now + 1)
    what = (
        "OpenAI shut the model {} down on {}" if gone else "OpenAI shuts the model {} down on {}, within a batch's 24 h"
    )
    return f"{what.format(model, shutdown.day)}; {_advice(shutdown)}."


def notices_about(models: Iterable[str], now: int, days: int = NOTICE_DAYS) -> list[Notice]:
    """Return notices of those models that OpenAI has shut down at this time (in Unix seconds), or will within days."""
    today = datetime.fromtimestamp(now, UTC).date()
    found = sorted(
        (shutdown.day, model, shutdown)
        for model in set(models)
        if (shutdown := find_shutdown(model)) is not None and today + timedelta(days) >= shutdown.day
    )
    notices = [_notice(model, shutdown, gone=day <= today) for day, model, shutdown in found[:MAX_NOTICES]]
    if len(found) > MAX_NOTICES:
        more = f"OpenAI has shut down {len(found) - MAX_NOTICES:,} more of the models, or soon will; see {SOURCE}."
        notices.append(Notice("model_gone", more))
    return notices


def _advice(shutdown: Shutdown) -> str:
    if shutdown.replacements:
        return f"write {' or '.join(shutdown.replacements)} in its place"
    return f"choose another one ({SOURCE})"


def _notice(model: str, shutdown: Shutdown, *, gone: bool) -> Notice:
    advice = _advice(shutdown)
    if gone:
        return Notice("model_gone", f"OpenAI shut the model {model} down on {shutdown.day}; {advice}.")
    rest = "and what is not answered by then fails"
    return Notice("model_ends", f"OpenAI shuts the model {model} down on {shutdown.day}, {rest}; {advice}.")
