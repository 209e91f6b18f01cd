"""The command `diff`: two runs of one file side by side."""

from typing import TYPE_CHECKING, Annotated

import typer

from dropbatch.cli.options import AsJson, Key, Region, StackName, find_stack
from dropbatch.cli.output import print_json, print_table, say
from dropbatch.cli.views import dollars
from dropbatch.client.runs import Run

if TYPE_CHECKING:
    from dropbatch.client.diffs import Diff

MAX_CHARACTERS = 60


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(name="diff")(diff)


def diff(
    key: Key,
    other: Annotated[
        str | None,
        typer.Option("--with", metavar="RUN", help="The other run, by number or job id. By default the one before."),
    ] = None,
    stack: StackName = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Compare the newest run of a file with an earlier one: which answers changed, and what both cost."""
    from dropbatch.client.diffs import compare, runs_to_compare

    found = find_stack(stack, region)
    before, after = runs_to_compare(found, found.key(key), other)
    result = compare(found, before, after)
    if as_json:
        print_json(result.to_json())
    else:
        _show(result)


def _show(result: "Diff") -> None:
    say(f"{result.after.key}: {_name(result.before)} → {_name(result.after)}")
    say(f"{result.changed:,} of {result.rows:,} rows have another answer.")
    if result.unmatched:
        say(f"{result.unmatched:,} rows are not the same in both runs, and are not compared.")
    for names, words in ((result.new_columns, "New columns"), (result.gone_columns, "Columns that are gone")):
        if names:
            say(f"{words}: {', '.join(names)}")
    print_table(["column", "rows changed"], [(each.name, f"{each.changed:,}") for each in result.columns.values()])
    for column in result.columns.values():
        if column.moves:
            moves = [(old, new, f"{rows:,}") for (old, new), rows in column.moves.most_common()]
            print_table(["from", "to", "rows"], moves, column.name)
    if result.examples:
        rows = [(f"{one.row:,}", one.column, _cut(one.before), _cut(one.after)) for one in result.examples]
        print_table(["row", "column", "from", "to"], rows, "The first changes")
    print_table(["", _name(result.before), _name(result.after)], _sides(result.before, result.after))


def _sides(before: Run, after: Run) -> list[tuple[str, str, str]]:
    sides = [before, after]
    costs = [run.members.get("cost") or {} for run in sides]
    tokens = [cost.get("tokens") or {} for cost in costs]
    rows = [
        ("model", *(", ".join(run.members.get("models") or ()) for run in sides)),
        ("rows ok", *(f"{run.rows.get('ok', 0):,}" for run in sides)),
        ("cost", *(dollars(cost.get("paid")) for cost in costs)),
        ("input tokens", *(f"{count.get('input', 0):,}" for count in tokens)),
        ("output tokens", *(f"{count.get('output', 0):,}" for count in tokens)),
    ]
    return [(name, first, second) for name, first, second in rows]


def _name(run: Run) -> str:
    return f"run {run.number}" if run.number else run.job_id


def _cut(text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…"
