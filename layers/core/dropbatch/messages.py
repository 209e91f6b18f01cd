"""Messages of the queues. They hold only ids. The first ones are S3's own events, forwarded by EventBridge."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dropbatch.domain.batches import Batch
from dropbatch.domain.drops import Drop
from dropbatch.domain.items import VERSION
from dropbatch.domain.jobs import Job


@dataclass(frozen=True, slots=True)
class IntakeMessage:
    """A request to take in an object of the inbox.

    `rerun_version` is the version of the `.rerun` marker, or of the recipe, that requests another job of the object.
    `event_at` (in seconds since 1970) and `sequencer` are those of S3's event; None and empty without an event.
    """

    bucket: str
    key: str
    version_id: str | None
    rerun_version: str = ""
    event_at: int | None = None
    sequencer: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "v": VERSION,
            "bucket": self.bucket,
            "key": self.key,
            "version_id": self.version_id,
            "rerun_version": self.rerun_version,
            "event_at": self.event_at,
            "sequencer": self.sequencer,
        }

    @classmethod
    def from_json(cls, message: Mapping[str, Any]) -> "IntakeMessage":
        """Read a message of Dropbatch, or an `Object Created` event of EventBridge (its key is not URL-encoded)."""
        if "detail" in message:
            detail = message["detail"]
            found = detail["object"]
            return cls(
                detail["bucket"]["name"],
                found["key"],
                found.get("version-id") or None,
                event_at=_seconds(message.get("time")),
                sequencer=found.get("sequencer") or "",
            )
        return cls(
            message["bucket"],
            message["key"],
            message["version_id"],
            message["rerun_version"],
            message.get("event_at", message.get("time")),  # its name in version 1
            message.get("sequencer") or "",
        )


def _seconds(text: object) -> int | None:
    """Return the time of an event, such as `2026-11-27T06:00:00Z`, in seconds since 1970; None if it has none."""
    try:
        return int(datetime.fromisoformat(str(text)).timestamp())
    except ValueError:
        return None


def intake_message_for(drop: Drop, rerun_version: str | None) -> dict[str, Any]:
    """Return the message that takes a drop in again."""
    return IntakeMessage(
        drop.bucket, drop.key, drop.version_id, rerun_version or "", drop.arrived or None, drop.sequencer
    ).to_json()


@dataclass(frozen=True, slots=True)
class BatchMessage:
    """A request to work on a batch (`batch` is its sort key), or without one on the results of a job."""

    job_id: str
    batch: str | None = None

    @property
    def ids(self) -> dict[str, Any]:
        """The ids for log lines: those of `Batch.ids`, or only the job's id."""
        if self.batch is None:
            return {"job_id": self.job_id}
        _, shard, group, attempt = self.batch.split("#")
        return {
            "job_id": self.job_id,
            "shard": int(shard),
            "batch": f"{self.job_id}/{int(shard)}.{int(group)}/{attempt}",
        }

    def to_json(self) -> dict[str, Any]:
        return {"v": VERSION, "job_id": self.job_id, "batch": self.batch}

    @classmethod
    def from_json(cls, message: Mapping[str, Any]) -> "BatchMessage":
        return cls(message["job_id"], message["batch"])


def message_for(item: Batch | Job) -> dict[str, Any]:
    """Return the message about a batch, or about the results of a job."""
    if isinstance(item, Batch):
        return BatchMessage(item.job_id, item.sort_key).to_json()
    return BatchMessage(item.id).to_json()
