"""Runs and jobs in the terminal: lines of a summary, and bars that move while a run is watched."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from dropbatch.cli.output import console, note
from dropbatch.client.runs import Run
from dropbatch.domain.outcomes import Outcome
from dropbatch.domain.states import APPROVABLE, HeldReason

PHASES = {
    "reading": "is being read",
    "held": "waits for a decision",
    "waiting_for_tokens": "waits for room under the model's token limit",
    "waiting_for_money": "waits for room under a limit of money",
    "at_openai": "is at OpenAI",
    "retrying": "retries failed rows",
    "assembling": "writes its results",
    "ended": "has ended",
}
"""The phases of `status.json` in words."""

HOLDS: dict[str, str] = {
    HeldReason.REQUESTED: "its recipe says hold",
    HeldReason.COST: "it will cost more than a limit",
    HeldReason.MONTH: "it will cost more than is left for this month",
    HeldReason.UNPRICED: "its price is not known",
    HeldReason.SIZE: "it has very many rows",
    HeldReason.CANARY: "the rows that were sent first were not answered well enough, or cost too much",
    HeldReason.REPEATED: "another run has answered the same rows with the same recipe",
    HeldReason.FAILING: "too few rows were answered",
    HeldReason.KEY: "the stack has no API key that OpenAI accepts",
    HeldReason.KEY_CHANGED: "the API key was changed while batches were open",
    HeldReason.PERMISSION: "the API key lacks a permission",
    HeldReason.ACCOUNT: "OpenAI takes no work from the account",
    HeldReason.STUCK: "a step of it fails again and again",
}
"""The reasons for which a run waits, in words."""

_STATES = {
    "building": "is being read",
    "running": "is at work",
    "held": "waits for a decision",
    "assembling": "writes its results",
}


MIN_SHOWN_WITH_4_DECIMALS = 0.01


def run_members(run: Run) -> dict[str, Any]:
    """Return a run for programs."""
    return {
        "key": run.key,
        "job_id": run.job_id,
        "run": run.number,
        "status": run.status,
        "rows": dict(run.rows),
        "results_prefix": run.prefix,
        "details": dict(run.members),
    }


def run_lines(run: Run) -> list[str]:
    """Return the summary of a run for people."""
    name = run.key if not run.number or run.number == 1 else f"{run.key}, run {run.number}"
    if run.is_rejected:
        return [f"{name}: rejected", *(f"- {problem}" for problem in run.problems[:10])]
    lines = [f"{name}: {run.status if run.is_ended else phase_of(run)}"]
    counts = outcomes_of(run)
    total = run.rows.get("total")
    if total is not None:
        lines.append(f"Rows: {total:,}" + (f" ({counts})" if counts else ""))
    lines += _cost_lines(run.members)
    models = run.members.get("models")
    if models:
        lines.append(f"Models: {', '.join(map(str, models))}")
    lines += [
        f"{column}: " + ", ".join(f"{value} {count:,}" for value, count in values.items())
        for column, values in (run.members.get("categories") or {}).items()
    ]
    lines += [f"- {reason['rows']:,} {reason['outcome']} ({reason['code']}): {reason.get('remedy', '')}"
              for reason in run.members.get("reasons", ()) if "rows" in reason]  # fmt: skip
    if run.is_held:
        lines.append(f"{_how_to_continue(run)} To end it: dropbatch cancel {run.key}")
    return lines


def _how_to_continue(run: Run) -> str:
    reason = run.members.get("held_reason")
    if reason == HeldReason.FAILING:
        return f"To continue it: dropbatch retry {run.key}."
    if reason in HOLDS and reason not in APPROVABLE:
        return "It waits for the stack's administrators: dropbatch doctor says what is wrong."
    return f"To continue it: dropbatch approve {run.key}."


def _cost_lines(members: Mapping[str, Any]) -> list[str]:
    cost = members.get("cost") or {}
    paid, saved = cost.get("paid"), cost.get("saved")
    if paid is not None:
        return [f"Cost: {dollars(paid)}" + (f", which saved {dollars(saved)}" if saved else "")]
    price = (members.get("quote") or {}).get("price")
    return [f"Quote: {dollars(price['likely'])}, at most {dollars(price['high'])}"] if price else []


def dollars(usd: float | None) -> str:
    """Return a sum of US dollars, with as many digits as it needs."""
    if usd is None:
        return "–"
    if usd >= 1 or usd == 0:
        return f"${usd:,.2f}"
    return f"${usd:.4f}" if usd >= MIN_SHOWN_WITH_4_DECIMALS else f"${usd:.5f}"


def outcomes_of(run: Run) -> str:
    """Return the counts of rows by outcome in words; empty if there are none yet."""
    counts = [(str(outcome), run.rows.get(str(outcome), 0)) for outcome in Outcome]
    return ", ".join(f"{count:,} {name}" for name, count in counts if count)


def phase_of(run: Run) -> str:
    """Say what is happening to a run."""
    phase = run.members.get("phase")
    found = PHASES.get(str(phase)) or _STATES.get(run.status) or run.status
    reason = run.members.get("held_reason")
    return f"{found}: {HOLDS.get(reason, reason)}" if run.is_held and reason else found


def eta_of(run: Run) -> str:
    """Return when a run may end, as a range; empty if nobody knows."""
    eta = run.members.get("eta") or {}
    earliest, latest = eta.get("earliest"), eta.get("latest")
    if not latest:
        return ""
    by = local_time(latest)
    return f"expected between {local_time(earliest)} and {by}" if earliest else f"expected by {by}"


def local_time(iso: str | None) -> str:
    """Return a time in the time zone of this machine; a dash if it is not known."""
    return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M") if iso else "–"


class Watching:
    """A run that is watched: a bar that moves in a terminal, and elsewhere a line for each change."""

    def __init__(self, key: str) -> None:
        self._key = key
        out = console(stderr=True)
        self._is_terminal = out.is_terminal
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=out,
            disable=not self._is_terminal,
        )
        self._task = self._bars.add_task(f"{key} is not noticed yet", total=None)
        self._last = ""

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, run: Run) -> None:
        """Show a run as it is now."""
        parts = [f"{self._key} {run.status if run.is_ended else phase_of(run)}", outcomes_of(run), eta_of(run)]
        line = "; ".join(part for part in parts if part)
        requests = run.members.get("requests") or {}
        total, done = requests.get("total"), requests.get("completed", 0) + requests.get("failed", 0)
        if self._is_terminal:
            self._bars.update(self._task, description=line, total=total, completed=done)
            return
        if total and not run.is_ended:
            line = f"{line}: {done:,} of {total:,} requests"
        if line != self._last:
            note(line)
            self._last = line
