"""The models that OpenAI has shut down or will, each from the beginning of a day in UTC."""

import re
from datetime import UTC, datetime

_RETIRED = {
    "2026-09-28": "babbage-002 davinci-002 gpt-3.5-turbo-instruct",
    "2026-10-23": "gpt-3.5-turbo gpt-4 gpt-4-turbo gpt-4.1-nano o1 o1-pro o3-mini o4-mini gpt-image-1",
    "2026-12-01": "gpt-image-1.5 gpt-image-1-mini chatgpt-image-latest",
    "2026-12-11": "gpt-5 gpt-5-mini gpt-5-nano gpt-5-pro o3 o3-pro",
}
_RETIRED_AT = {
    name: datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
    for day, names in _RETIRED.items()
    for name in names.split()
}
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")


def is_retired(model: str, now: float) -> bool:
    """Return whether a model, or the one that it is a snapshot or a fine-tuned form of, is shut down by `now`."""
    base = model.split(":")[1] if model.startswith("ft:") and ":" in model[3:] else model
    return now >= _RETIRED_AT.get(_SNAPSHOT.sub("", base), float("inf"))
