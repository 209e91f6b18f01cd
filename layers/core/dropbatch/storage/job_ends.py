"""The end of a job in the work bucket: how it was decided, and the deletion of the job's files.

It loads no recipe and no format, because an idle poll needs it, too.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from dropbatch.domain.errors import ObjectNotFoundError
from dropbatch.ports import JSON
from dropbatch.storage.context import Context
from dropbatch.storage.objects import read_object


def work_prefix(job_id: str) -> str:
    """Return the prefix of a job's files in the work bucket."""
    return f"jobs/{job_id}/"


def decision_of(context: Context, job_id: str) -> dict[str, Any] | None:
    """Return how a job ended; None if that has not been decided."""
    try:
        found: dict[str, Any] = json.loads(read_object(context.objects, context.buckets.work, _decision_key(job_id)))
    except ObjectNotFoundError:
        return None
    return found


def decide(context: Context, job_id: str, decision: Mapping[str, Any]) -> dict[str, Any]:
    """Store how a job ended, unless that was decided before. Return the decision that counts."""
    data = json.dumps(decision).encode()
    if context.objects.put_new(context.buckets.work, _decision_key(job_id), data, JSON):
        found: dict[str, Any] = json.loads(data)
        return found
    return decision_of(context, job_id) or dict(decision)


def delete_work(context: Context, job_id: str, in_time: Callable[[], bool]) -> bool:
    """Delete all of a job's files in the work bucket; False if time ran out first."""
    return context.objects.delete_all(context.buckets.work, work_prefix(job_id), in_time)


def _decision_key(job_id: str) -> str:
    """Return the key of a decision. It outlasts the job's files, for a process that ends the job again later."""
    return f"ends/{job_id}.json"
