"""The pages of a job for people, each one HTML file: its report, why it was rejected, the answers of its canary.

Times are in the stack's time zone. A script of two lines shows them in the reader's own, if scripts may run.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial

from jinja2 import DictLoader, Environment

from dropbatch.domain.jobs import Job
from dropbatch.domain.outcomes import Outcome
from dropbatch.domain.problems import Problems
from dropbatch.reporting import report_facts
from dropbatch.reporting.charts import answer_charts, more_columns
from dropbatch.reporting.costs import cost_remarks, model_lines, page_sums
from dropbatch.reporting.duplicate_rows import saved_lines
from dropbatch.reporting.event_members import Ended, results_prefix
from dropbatch.reporting.page_style import GLOBALS
from dropbatch.reporting.page_templates import TEMPLATES
from dropbatch.reporting.phrases import (
    console_link,
    counted,
    iso,
    listed_numbers,
    local_time,
    marker_command,
    money,
    run_name,
    unit_of,
)
from dropbatch.reporting.report_facts import ReportFacts
from dropbatch.reporting.row_limit import limited_lines
from dropbatch.reporting.runs import comparison_lines, run_line
from dropbatch.reporting.timeline import time_line
from dropbatch.storage.context import Context

MAX_BYTES = 2_000_000
"""The size of a report. If it would be larger, it shows fewer rows, and then no recipe and no examples.

All other parts are bounded: the largest are 60 charts and 24 cross-tables, which take less than a megabyte together.
"""

MAX_SHOWN_ROWS = 8
"""How many rows of each kind the report shows if it has no columns of them."""

MAX_COMPARED_COLUMNS = 60
"""How many columns are shown that have known answers, or that are compared with another run."""

MAX_COLUMNS = 12
"""How many columns are named above such rows."""


def page(context: Context, end: Ended, facts: ReportFacts) -> bytes:
    """Return the report of a job as UTF-8 HTML."""
    return _small_enough(facts, lambda smaller: _page(context, end, smaller))


def _page(context: Context, end: Ended, facts: ReportFacts) -> bytes:
    tally, job, samples = end.tally, end.job, facts.rows.samples
    lines = model_lines(tally, job)
    agreement = report_facts.agreements(tally)
    changes = sorted(end.compared.columns, key=lambda column: not column.rows) if end.compared else []
    paid, standard, saved = page_sums(tally, lines)
    ok = tally.outcomes[Outcome.OK]
    return _rendered(
        context,
        "ended",
        job,
        status=end.status,
        ok=ok,
        asked=job.rows - tally.outcomes[Outcome.SKIPPED],
        figures=report_facts.figures(end, lines),
        slices=report_facts.slices(tally),
        outcomes=report_facts.sorted_outcomes(tally),
        run=run_line(job),
        compared=end.compared,
        comparison=comparison_lines(end.compared),
        changes=changes[:MAX_COMPARED_COLUMNS],
        more_changes=len(changes[MAX_COMPARED_COLUMNS:]),
        charts=answer_charts(tally, facts.columns.answered, ok),
        more_columns=more_columns(tally, facts.columns.answered),
        crosses=report_facts.crosses(tally),
        crossed=tally.cross_tables.rows,
        agreement=agreement[:MAX_COMPARED_COLUMNS],
        more_agreement=len(agreement[MAX_COMPARED_COLUMNS:]),
        reasons=tally.commonest(10),
        remedy=end.remedy,
        examples=report_facts.examples(facts),
        first=report_facts.first_rows(facts, job.rows),
        as_dropped=_label("as dropped", facts.columns.dropped),
        samples=[
            ("Some of the answers", _label("answer", facts.columns.answered), [s for s in samples if s["good"]]),
            ("Some of the others", "outcome", [s for s in samples if not s["good"]]),
        ],
        spans=time_line(job, facts.rounds, end.ended_at),
        estimates=report_facts.estimates(end, lines),
        limited=" ".join(limited_lines(job, tally)),
        duplicates=saved_lines(tally.duplicates),
        paid=paid,
        synchronous=standard,
        saved=saved,
        is_saved=tally.saved is None or tally.saved >= 0,
        exact="{:,.5f}".format,
        models=lines,
        cost_lines=cost_remarks(tally, job, lines, end.before),
        unpriced=tally.unpriced,
        unread=tally.unread,
        fees=tally.fees_usd,
        quote=job.quote.price if job.quote else None,
        unpriced_tool_calls=tally.unpriced_tool_calls,
        tokens=[(kind.replace("_", " "), count) for kind, count in sorted((+tally.tokens).items())],
        ended=end.ended_at,
        objects=end.objects,
        bucket=context.buckets.results,
        recipe=report_facts.recipe_texts(facts),
        is_long=report_facts.is_long,
    )


def rejected_page(context: Context, job: Job, problems: Problems, steps: Sequence[str]) -> bytes:
    """Return the report of a drop that was rejected, as UTF-8 HTML; `steps` say what to do."""
    return _rendered(
        context,
        "rejected",
        job,
        run=run_line(job),
        count=counted(problems.causes, "problem"),
        groups=problems.groups,
        unit=unit_of(job.drop),
        listed=listed_numbers,
        steps=steps,
    )


def canary_page(context: Context, job: Job, facts: ReportFacts) -> bytes:
    """Return the page of a canary that stopped its job, as UTF-8 HTML. `facts` have its rows."""
    canary = job.canary
    return _small_enough(
        facts,
        lambda smaller: _rendered(
            context,
            "canary",
            job,
            run=run_line(job),
            ok=f"{canary.ok:,}" if canary else "",
            asked=f"{canary.asked:,}" if canary else "",
            first=report_facts.first_rows(smaller, len(facts.rows.first)),
            is_long=report_facts.is_long,
            approve=marker_command(job.drop, "approve").partition("\n")[0],
        ),
    )


def approval_page(context: Context, job: Job, verdict: str, lines: Sequence[str]) -> bytes:
    """Return the page of a job that waits for an approval, as UTF-8 HTML: its quote, and what to do, in `lines`."""
    price, standard = (job.quote.price, job.quote.standard_price) if job.quote is not None else (None, None)
    unknown = "not known"
    return _rendered(
        context,
        "approval",
        job,
        run=run_line(job),
        verdict=verdict,
        figures=[
            ("Rows", f"{job.rows:,}", "of the file"),
            ("Likely cost", money(price.likely) if price else unknown, "to OpenAI"),
            ("At most", money(price.high) if price else unknown, "if the answers are long"),
            ("Without batching", money(standard.likely) if standard else unknown, "by the synchronous API"),
        ],
        lines=lines,
    )


def _small_enough(facts: ReportFacts, render: Callable[[ReportFacts], bytes]) -> bytes:
    """Return a page with as many of these facts as fit into it."""
    html = b""
    for smaller in facts.reduced():
        html = render(smaller)
        if len(html) <= MAX_BYTES:
            break
    return html


def _label(what: str, columns: Sequence[str]) -> str:
    """Head a column of the page that holds whole rows: with the names of their columns, if there are any."""
    more = ", …" if len(columns) > MAX_COLUMNS else ""
    return f"{what} ({', '.join(columns[:MAX_COLUMNS])}{more})" if any(columns) else what


def _rendered(context: Context, template: str, job: Job, **values: object) -> bytes:
    html = (
        _templates()
        .get_template(template)
        .render(
            job=job,
            name=run_name(job).rpartition("/")[2],
            dropped=job.drop.modified,
            link=console_link(context.region, context.buckets.results, results_prefix(job)),
            money=money,
            iso=iso,
            local=partial(local_time, zone=context.zone),
            **values,
        )
    )
    return html.encode()


@cache
def _templates() -> Environment:
    environment = Environment(loader=DictLoader(TEMPLATES), autoescape=True, trim_blocks=True)
    environment.globals |= GLOBALS
    return environment
