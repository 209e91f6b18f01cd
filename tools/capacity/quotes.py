"""Quote against actual: every folder of `examples/` is answered twice, and the table of docs/costs.md is written.

The use cases run over the fakes, and the emulator answers. The first run of a recipe has no history, the second one
has that of the first. `make quotes` writes the table. A test holds the bounds, and fails if the table is out of date.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from dropbatch.domain.drops import ObjectKind, kind_of_object
from dropbatch.domain.jobs import Job
from dropbatch.domain.quotes import Dollars
from local.openai_emulator.answers import answer
from local.openai_emulator.prompt_cache import PromptCache
from tests.driving import batches, drop, jobs, result_json, run
from tests.fakes import FakeContext, response_line
from tests.fakes.openai import Answerer
from tools.generated import with_part

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PAGE = ROOT / "docs" / "costs.md"

RUNS = ("first", "second")
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run of an example: its quote, and what it came to."""

    example: str
    run: str
    requests: int
    basis: str
    price: Dollars
    paid: Decimal

    @property
    def error(self) -> float:
        """The part by which the likely price differs from what was paid."""
        return float((self.price.likely - self.paid) / self.paid) if self.paid else float(self.price.likely)


def folders() -> list[Path]:
    """Return the folders of examples that are dropped: those with a README, except programs, which have code."""
    return sorted(readme.parent for readme in EXAMPLES.glob("*/README.md") if not any(readme.parent.glob("*.py")))


def outcomes(folder: Path) -> Iterator[Outcome]:
    """Yield the runs of an example."""
    with tempfile.TemporaryDirectory() as scratch:
        fake = FakeContext(Path(scratch))
        for name in RUNS:
            fake.openai.answer = _answerer()
            for path in sorted(folder.iterdir()):
                key = f"{folder.name}/{path.name}"
                if kind_of_object(key) is ObjectKind.DROP:
                    drop(fake, key, path.read_bytes())
                else:
                    fake.objects.drop(key, path.read_bytes())
            if not run(fake):
                raise AssertionError(f"{folder.name} does not end")
            job = jobs(fake)[-1]
            rows = result_json(fake, "summary.json", job)["rows"]
            if rows["ok"] + rows["skipped"] != rows["total"]:
                raise AssertionError(f"{folder.name} is not answered: {rows}")
            paid = sum((batch.usd or Decimal(0) for batch in batches(fake) if batch.job_id == job.id), Decimal(0))
            yield _outcome(folder.name, name, job, paid)
            fake.clock.sleep(DAY)


def _answerer() -> Answerer:
    """Return the emulator as an answerer, with a prompt cache that is empty at first."""
    cache = PromptCache()

    def answered(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        found = answer(request["url"], request["body"], 0)
        if found.is_good:
            cache.apply(request["body"], found)
        return "output" if found.is_good else "error", response_line(request, found.status, found.body)

    return answered


def _outcome(example: str, name: str, job: Job, paid: Decimal) -> Outcome:
    quote = job.quote
    if quote is None or quote.price is None:
        raise AssertionError(f"{example} has no price")
    return Outcome(example, name, quote.requests, quote.basis, quote.price, paid)


def table(found: list[Outcome]) -> str:
    """Return the table of quotes and what was paid, in cents."""
    head = "| example | run | requests | based on | low | likely | high | paid | likely against paid |"
    lines = [head, "| --- | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |"]
    for one in found:
        sums = " | ".join(_cents(usd) for usd in (one.price.low, one.price.likely, one.price.high, one.paid))
        error = f"{one.error:+.0%}" if one.paid else "free"
        lines.append(f"| {one.example} | {one.run} | {one.requests:,} | {one.basis} | {sums} | {error} |")
    return "\n".join(lines)


def _cents(usd: Decimal) -> str:
    return f"{usd * 100:.4f}"


def with_table(page: str, text: str) -> str:
    """Return the page with the table between its markers."""
    return with_part(page, "quotes", text)


if __name__ == "__main__":
    written = table([one for folder in folders() for one in outcomes(folder)])
    PAGE.write_text(with_table(PAGE.read_text(), written))
    print(written)
