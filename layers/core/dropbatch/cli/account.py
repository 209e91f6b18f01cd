"""The commands about a stack as a whole: `cost` and `doctor`."""

from typing import TYPE_CHECKING, Annotated

import typer

from dropbatch.cli.exit_codes import ExitCode
from dropbatch.cli.options import AsJson, Region, StackName, find_stack
from dropbatch.cli.output import print_json, print_table, say
from dropbatch.cli.views import dollars
from dropbatch.client.errors import WrongUseError
from dropbatch.domain.spending import KINDS

if TYPE_CHECKING:
    from dropbatch.client.costs import MonthCost

_MARKS = {"ok": "ok", "warning": "warning", "problem": "PROBLEM", "unknown": "not checked"}
"""The levels of findings, as people read them."""

MONTH = "month"
MAX_MONTHS = 60


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(cost)
    app.command()(doctor)


def cost(
    by: Annotated[str, typer.Option("--by", help=f"By what: {MONTH}, {', '.join(KINDS)}, with commas.")] = MONTH,
    months: Annotated[
        int, typer.Option("--months", min=1, max=MAX_MONTHS, help="How many months, the present one and those before.")
    ] = 3,
    stack: StackName = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Say what was spent and saved, by month, folder, model or recipe. It reads the stack's table."""
    kinds = [kind.strip() for kind in by.split(",") if kind.strip()]
    unknown = [kind for kind in kinds if kind not in (MONTH, *KINDS)]
    if unknown:
        raise WrongUseError(f"--by takes {MONTH}, {', '.join(KINDS)}, not {unknown[0]}.")
    found = find_stack(stack, region).cost(months, [kind for kind in kinds if kind != MONTH])
    if as_json:
        print_json({"months": [month.to_json() for month in found]})
        return
    print_table(["month", "paid", "saved", "reserved", "of unknown price"], [_month_row(month) for month in found])
    for month in found:
        for kind, lines in month.parts.items():
            if lines:
                rows = [(line.name, f"{line.requests:,}", _usd(line.paid), _usd(line.saved)) for line in lines]
                print_table([kind, "requests", "paid", "saved"], rows, month.month)


def _month_row(month: "MonthCost") -> tuple[str, ...]:
    return month.month, _usd(month.paid), _usd(month.saved), _usd(month.committed), f"{month.unpriced:,}"


def _usd(amount: object) -> str:
    return dollars(float(str(amount)))


def doctor(stack: StackName = None, region: Region = None, as_json: AsJson = False) -> None:
    """Check a deployment from outside: its key, schedule, alarms, queues, quotas and subscriptions."""
    from dropbatch.client.doctor import Finding, Level, examine

    findings: list[Finding] = []
    for finding in examine(find_stack(stack, region)):
        findings.append(finding)
        if not as_json:
            say(f"{_MARKS[finding.level]}: {finding.sentence}", *([f"  {finding.remedy}"] if finding.remedy else []))
    if as_json:
        print_json({"findings": [finding.to_json() for finding in findings]})
    has_problem = any(finding.level is Level.PROBLEM for finding in findings)
    raise typer.Exit(ExitCode.FAILED_ROWS if has_problem else ExitCode.DONE)
