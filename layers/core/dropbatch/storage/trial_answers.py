"""The responses to the requests of a recipe's `try`, so that none of them is sent twice."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from dropbatch.domain.errors import ObjectNotFoundError
from dropbatch.ports import JSON, Response
from dropbatch.storage.context import Context
from dropbatch.storage.objects import read_object

MIN_KEPT = 10
MAX_KEPT_BYTES = 16_777_216
"""How many responses of a recipe are kept in any case, and how many bytes of more than these: they may be images."""


@dataclass(slots=True)
class TrialAnswers:
    """The responses that are kept, by the digests of their requests, in the work bucket."""

    context: Context
    key: str
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)

    def load(self) -> None:
        try:
            self.kept = json.loads(read_object(self.context.objects, self.context.buckets.work, self.key))
        except ObjectNotFoundError:
            self.kept = {}

    def get(self, digest: str) -> Response | None:
        found = self.kept.get(digest)
        return None if found is None else Response(found["status"], found["body"].encode())

    def add(self, digest: str, response: Response, model: str, usd: Decimal | None) -> None:
        body = response.body.decode(errors="replace")
        self.kept[digest] = {
            "status": response.status,
            "body": body,
            "model": model,
            "usd": None if usd is None else str(usd),
        }
        self._save()

    def usd(self, digest: str) -> Decimal | None:
        found = self.kept.get(digest)
        return None if found is None or found["usd"] is None else Decimal(found["usd"])

    def keep_only(self, digests: Sequence[str]) -> None:
        """Forget the responses to requests that are no longer remembered, and the oldest of too many bytes."""
        found: dict[str, dict[str, Any]] = {}
        size = 0
        for digest in reversed([digest for digest in digests if digest in self.kept]):
            size += len(self.kept[digest]["body"])
            if len(found) >= MIN_KEPT and size > MAX_KEPT_BYTES:
                break
            found[digest] = self.kept[digest]
        if found.keys() != self.kept.keys():
            self.kept = found
            self._save()

    def _save(self) -> None:
        data = json.dumps(self.kept).encode()
        self.context.objects.put(self.context.buckets.work, self.key, data, JSON)
