"""What is kept of a job's end in the work bucket. It loads no recipe and no format, as a poll needs it, too."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from dropbatch.domain.errors import ObjectNotFoundError
from dropbatch.ports import JSON, Objects
from dropbatch.storage.context import Context


def whole(objects: Objects, bucket: str, key: str, version_id: str | None = None) -> bytes:
    """Return a small object's bytes; ObjectNotFoundError if there is none."""
    return b"".join(objects.blocks(bucket, key, version_id))


def work_prefix(job_id: str) -> str:
    """Return where in the work bucket a job's files lie."""
    return f"jobs/{job_id}/"


def decision_of(context: Context, job_id: str) -> dict[str, Any] | None:
    """Return how a job ended, if that has been decided."""
    try:
        found: dict[str, Any] = json.loads(whole(context.objects, context.buckets.work, _decision_key(job_id)))
    except ObjectNotFoundError:
        return None
    return found


def decide(context: Context, job_id: str, decision: Mapping[str, Any]) -> dict[str, Any]:
    """Keep how a job ended, unless it has been decided before; returns what counts."""
    data = json.dumps(decision).encode()
    if context.objects.put_new(context.buckets.work, _decision_key(job_id), data, JSON):
        found: dict[str, Any] = json.loads(data)
        return found
    return decision_of(context, job_id) or dict(decision)


def delete_work(context: Context, job_id: str, in_time: Callable[[], bool]) -> bool:
    """Delete all of a job's files in the work bucket; False if time has run out before that was done."""
    return context.objects.delete_all(context.buckets.work, work_prefix(job_id), in_time)


def _decision_key(job_id: str) -> str:
    """Not among the job's files: it outlasts them, for a process that comes late to end the job again."""
    return f"ends/{job_id}.json"
