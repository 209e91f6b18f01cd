"""Lists of files and batches, in pages."""

from collections.abc import Sequence
from typing import Any, TypeVar

from local.openai_emulator.errors import ApiError
from local.openai_emulator.store import Batch, File

T = TypeVar("T", File, Batch)


def read_limit(text: str | None, *, default: int, maximum: int) -> int:
    """Return how many items a page may have."""
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= maximum:
        message = f"Invalid 'limit': expected an integer from 1 to {maximum}."
        raise ApiError(400, message, code="invalid_value", param="limit")
    return int(text)


def page_of(items: Sequence[T], after: str | None, limit: int) -> tuple[Sequence[T], bool]:
    """Return the items that follow the one with the id `after`, and whether more come after them."""
    start = 0
    if after:
        start = next((index for index, item in enumerate(items, 1) if item.id == after), -1)
        if start < 0:
            raise ApiError(400, f"Invalid 'after': no object with id '{after}'.", code="invalid_value", param="after")
    return items[start : start + limit], len(items) > start + limit


def list_object(data: list[dict[str, Any]], more: bool) -> dict[str, Any]:
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": more}
