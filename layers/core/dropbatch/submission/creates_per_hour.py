"""The batches that were created in this hour: OpenAI allows a number of them, whatever their size."""

from dropbatch.batch_api.limits import MAX_BATCHES_PER_HOUR
from dropbatch.domain.account_items import CreateCount
from dropbatch.storage.context import Context


def reserve_create(context: Context) -> int:
    """Count a create that is about to be made; return 0, or the seconds until the next hour if none is left."""
    hour = context.now() // 3600

    def count(creates: CreateCount) -> bool:
        if creates.hour != hour:
            creates.hour, creates.count = hour, 0
        if creates.count >= MAX_BATCHES_PER_HOUR:
            return False
        creates.count += 1
        return True

    return 0 if context.repository.change(context.repository.create_count, count) else (hour + 1) * 3600 - context.now()


def release_create(context: Context) -> None:
    """Uncount a create that OpenAI refused, or that was not made."""
    hour = context.now() // 3600

    def uncount(creates: CreateCount) -> bool:
        if creates.hour != hour or creates.count <= 0:
            return False
        creates.count -= 1
        return True

    context.repository.change(context.repository.create_count, uncount)
