"""The key with which a batch was created decides what it means that OpenAI does not know the batch."""

from dataclasses import replace

import pytest

from dropbatch.domain.batches import Batch
from dropbatch.jobs.openai_batch import can_see
from dropbatch.storage.context import Context
from tests.fakes import FakeContext, FakeOpenAI


class _KeptKey(FakeOpenAI):
    """OpenAI with a key that the process has kept, and another one that is stored."""

    kept, stored = "v1", "v2"
    seen = False

    def key_version(self, fresh: bool = False) -> str:
        self.kept = self.stored if fresh else self.kept
        return self.kept

    def sees(self, file_id: str) -> bool:
        return self.seen


def context_of(fake: FakeContext) -> Context:
    return replace(fake.context, openai=_KeptKey(fake.clock))


@pytest.mark.parametrize(("version", "sees"), [("v1", True), ("v2", True), ("v3", False), (None, True)])
def test_a_key_that_this_process_has_kept_too_long_makes_no_batch_one_of_another_project(
    fake: FakeContext, version: str | None, sees: bool
) -> None:
    batch = Batch("j", 0, 0, "/v1/chat/completions", "m", 1, 1, 0, secret_version=version, file_id="file-1")
    assert can_see(context_of(fake), batch) is sees
