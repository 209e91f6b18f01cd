"""Random files, times and faults together: the invariants hold."""

import json
import random
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.errors import OpenAIOutcomeUnknownError, OpenAIRateLimitError
from dropbatch.domain.states import OpenAIStatus
from dropbatch.intake.waiting_files import current_job
from dropbatch.messages import IntakeMessage
from dropbatch.polling.poll import poll
from dropbatch.storage.recipe_text import RecipeText
from tests.driving import RECIPE, deliver, drop, run, survive
from tests.fakes import INBOX, FakeContext, Killer, answer_ok, response_line
from tests.schedules.invariants import check

FATES = ("ok", "ok", "ok", "ok", "500", "400", "0", "expired", "missing", "truncated", "refused", "twice", "string")
RECIPES = (RECIPE, RECIPE.replace(b"{{ text }}", b"{{ txt }}"), RECIPE + b"limt: 3\n", RECIPE + b"attempts: 2\n")
"""A good recipe, one for other columns, a broken one, and another good one."""

CALLS = ("upload", "create", "retrieve", "newest", "cancel", "streaming")


class RandomOperations(RuleBasedStateMachine):
    """Drops, markers and time in any order, over fakes with faults. In the end nothing may be left to do."""

    @initialize(chance=st.randoms(use_true_random=False), size=st.integers(1, 6), limited=st.booleans())
    def begin(self, chance: random.Random, size: int, limited: bool) -> None:
        self.scratch = TemporaryDirectory()
        self.fake = FakeContext(Path(self.scratch.name), limits=Limits(batch_requests=size), killer=Killer())
        self.chance = chance
        self.trouble = self.hurry = 0.0
        self.fake.seconds_left = lambda: 5.0 if chance.random() < self.hurry else 300.0
        self.versions: list[tuple[str, str]] = []
        self.recipes: list[tuple[str, str]] = []
        self.tries: Counter[tuple[str, str]] = Counter()
        openai = self.fake.openai
        openai.token_limit = 200 if limited else None
        openai.answer = self.answer
        for name in CALLS:
            setattr(openai, name, self.faulty(name, getattr(openai, name)))
        self.fake.objects.drop("recipe.yaml", RECIPE)

    def faulty(self, name: str, call: Any) -> Any:
        """Return a call that sometimes fails, before or after its effect."""

        def made(*args: Any) -> Any:
            if self.chance.random() < self.trouble:
                raise self.chance.choice(
                    (OpenAIOutcomeUnknownError("http_503"), OpenAIRateLimitError("rate_limit_exceeded", 30))
                )
            result = call(*args)
            if name == "create" and self.chance.random() < self.trouble:
                raise OpenAIOutcomeUnknownError("timeout")
            return result

        return made

    def answer(self, request: dict[str, Any]) -> Any:
        row = request["custom_id"]
        where, line = answer_ok(request)
        match self.chance.choice(FATES):
            case "500" | "400" | "0" as status:
                return "error", response_line(request, int(status), {"error": {"code": "some_code", "message": "no"}})
            case "expired":
                error = {"code": "batch_expired", "message": "expired"}
                return "error", {"id": "x", "custom_id": row, "response": None, "error": error}
            case "missing":
                return None
            case "truncated":
                line["response"]["body"]["choices"][0]["finish_reason"] = "length"
            case "refused":
                line["response"]["body"]["choices"][0]["message"]["refusal"] = "no"
            case "string":
                line["response"]["body"] = json.dumps(line["response"]["body"])
        return where, line

    @rule(
        name=st.sampled_from(["a", "b", "späte Bücher"]),
        rows=st.integers(0, 12),
        models=st.integers(1, 3),
        raw=st.booleans(),
    )
    def drop_file(self, name: str, rows: int, models: int, raw: bool) -> None:
        unique = self.chance.random()
        if raw:
            lines = [
                {
                    "custom_id": f"{unique} {row}",
                    "method": "POST",
                    "url": "/v1/chat/completions",
                    "body": {"model": f"m{row % models}", "messages": [{"role": "user", "content": "x" * (row + 1)}]},
                }
                for row in range(rows)
            ]
            key, data = f"{name}.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode()
        else:
            key, data = f"{name}.csv", b"text\n" + b"".join(b"%r %d\n" % (unique, row) for row in range(rows))
        self.versions.append((key, drop(self.fake, key, data)))

    @rule(kind=st.sampled_from(["cancel", "retry", "rerun"]))
    def put_marker(self, kind: str) -> None:
        if self.versions:
            drop(self.fake, f"{self.chance.choice(self.versions)[0]}.{kind}", b"")

    @rule(recipe=st.sampled_from(RECIPES))
    def change_the_recipe(self, recipe: bytes) -> None:
        self.recipes.append(("recipe.yaml", drop(self.fake, "recipe.yaml", recipe)))

    @rule()
    def deliver_an_event_again(self) -> None:
        if self.versions or self.recipes:
            key, version = self.chance.choice([*self.versions, *self.recipes])
            self.fake.intake.send(IntakeMessage(INBOX, key, version).to_json())

    @rule()
    def mix_the_queues(self) -> None:
        for queue in (self.fake.intake, self.fake.dispatch, self.fake.collect):
            self.chance.shuffle(queue.messages)

    @rule()
    def lose_the_messages(self) -> None:
        """Lose messages that the poller replaces automatically."""
        self.fake.dispatch.messages.clear()
        self.fake.collect.messages.clear()

    @rule(share=st.sampled_from([0.0, 0.05, 0.3]))
    def trouble_openai(self, share: float) -> None:
        self.trouble = share

    @rule(share=st.sampled_from([0.0, 0.2, 0.9]))
    def let_time_run_out(self, share: float) -> None:
        self.hurry = share

    @rule(ending=st.sampled_from([OpenAIStatus.COMPLETED, OpenAIStatus.EXPIRED, None]))
    def let_batches_end_so(self, ending: OpenAIStatus | None) -> None:
        self.fake.openai.ending = ending

    @rule(after=st.integers(0, 60))
    def kill_soon(self, after: int) -> None:
        assert self.fake.killer is not None
        self.fake.killer.points.add(2 * len(self.fake.killer.calls) + after)

    @rule(seconds=st.sampled_from([1, 60, 900, 7200]))
    def move_on(self, seconds: int) -> None:
        deliver(self.fake)
        survive(lambda: poll(self.fake.context))
        self.fake.clock.sleep(seconds)

    def teardown(self) -> None:
        if not hasattr(self, "fake"):
            return
        with self.scratch:
            self.end_all()

    def end_all(self) -> None:
        """Let everything end, and assert that nothing is left to do."""
        assert self.fake.killer is not None
        self.fake.killer.points.clear()
        self.trouble, self.hurry, self.fake.openai.ending = 0.0, 0.0, OpenAIStatus.COMPLETED
        last = RECIPE + b"# the last\n"
        drop(self.fake, "recipe.yaml", last)  # rejected files are read again
        for key in {key for key, _ in self.versions}:
            drop(self.fake, f"{key}.retry", b"")  # held jobs continue
        for _ in range(6):
            run(self.fake, ticks=300)
            run(self.fake, ticks=100, step=3600)
            for key in {key for key, _ in self.versions}:
                drop(self.fake, f"{key}.cancel", b"")
        check(self.fake)
        check_no_file_waits(self.fake, last)


def check_no_file_waits(fake: FakeContext, recipe: bytes) -> None:
    """Assert that no newest version of a key waits for a recipe other than the current one, unless it was cancelled."""
    repository = fake.context.repository
    today = RecipeText("recipe.yaml", recipe, {}).sha256
    for waiting in repository.waiting_files(INBOX):
        latest = fake.objects.head(INBOX, waiting.key).version_id
        waits = current_job(repository, waiting) is not None and not waiting.cancelled_by
        if waits and waiting.version_id == latest:
            assert waiting.recipe_sha256 == today, f"{waiting.key} waits for a recipe that is there"


PARTS = 4
"""The number of tests over which the examples are distributed, so that none is long, even beside others."""


@pytest.mark.parametrize("part", range(PARTS))
def test_invariants_hold_after_random_operations(part: int) -> None:
    run_state_machine_as_test(
        seed(20_261_123 + part)(RandomOperations),
        settings=settings(
            max_examples=400 // PARTS,
            stateful_step_count=25,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
