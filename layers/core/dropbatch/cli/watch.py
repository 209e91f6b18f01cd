"""The commands that look: `status` for the jobs of a stack or one file, and `watch` for a run while it works."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from dropbatch.cli.exit_codes import code_of
from dropbatch.cli.options import AsJson, Key, Region, RunNumber, StackName, find_stack
from dropbatch.cli.output import print_json, print_table, say
from dropbatch.cli.transfer import Timeout
from dropbatch.cli.views import Watching, dollars, eta_of, local_time, run_lines, run_members
from dropbatch.client.runs import JobEntry, Run

MAX_SHOWN = 50


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(status)
    app.command()(watch)


def status(
    key: Annotated[
        str | None, typer.Argument(metavar="[KEY]", help="A file, or a folder with a slash at its end. By default all.")
    ] = None,
    run: RunNumber = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many jobs to show.")] = MAX_SHOWN,
    stack: StackName = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """List the jobs of the stack, newest first, or show the run of one file."""
    found = find_stack(stack, region)
    if key and not key.endswith("/"):
        chosen = found.run(key, run)
        if as_json:
            print_json(run_members(chosen))
        else:
            say(*run_lines(chosen), *_progress(chosen))
        raise typer.Exit(code_of(chosen))
    jobs = found.jobs(key or "")
    shown = jobs[:limit]
    if as_json:
        print_json({"stack": found.name, "jobs": [job.to_json() for job in shown]})
        return
    if not shown:
        say(f"The stack {found.name} has no jobs yet: `dropbatch put FILE` makes one.")
        return
    print_table(["file", "run", "status", "rows", "ok", "cost", "changed"], [_row(job) for job in shown])
    if len(jobs) > len(shown):
        say(f"and {len(jobs) - len(shown):,} more (--limit)")


def _row(job: JobEntry) -> tuple[object, ...]:
    rows: Mapping[str, int] = job.rows
    state = f"{job.status} ({job.held_reason})" if job.held_reason else job.status
    return (
        job.key,
        job.run or "–",
        state,
        _count(rows.get("total")),
        _count(rows.get("ok")),
        dollars(job.paid_usd),
        local_time(job.changed_at or job.dropped_at),
    )


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def _progress(run: Run) -> list[str]:
    if run.is_ended:
        return []
    requests = run.members.get("requests") or {}
    lines = []
    if requests.get("total"):
        done = requests.get("completed", 0) + requests.get("failed", 0)
        lines.append(f"Requests: {done:,} of {requests['total']:,}")
    batches: list[Mapping[str, Any]] = run.members.get("open_batches") or []
    lines += [
        f"- batch {batch.get('key')}: {batch.get('completed', 0):,} of {batch.get('requests', 0):,}, "
        f"{int(batch.get('age_seconds', 0)) // 60:,} minutes old"
        for batch in batches[:10]
    ]
    eta = eta_of(run)
    return [*lines, *([eta[:1].upper() + eta[1:]] if eta else [])]


def watch(
    key: Key,
    run: RunNumber = None,
    timeout: Timeout = None,
    through_holds: Annotated[
        bool, typer.Option("--through-holds", help="Keep watching while the run waits for a decision.")
    ] = False,
    stack: StackName = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Show a run while it works, until it has ended or waits for a decision."""
    found = find_stack(stack, region)
    chosen = found.run(key, run)
    with Watching(chosen.key) as watching:
        chosen = found.follow(chosen, timeout=timeout, stop_if_held=not through_holds, on_change=watching.show)
    if as_json:
        print_json(run_members(chosen))
    else:
        say(*run_lines(chosen))
    raise typer.Exit(code_of(chosen))
