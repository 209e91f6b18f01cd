"""The index pages of the results bucket: the newest jobs, as JSON for programs and as a page for people.

A page is one file that loads nothing. Its links are relative, so that they work wherever the results are: in a copy on
a disk, and behind an address of one's own.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
from jinja2 import Environment, Template

from dropbatch.domain.drops import results_root, without_controls
from dropbatch.domain.outcomes import Outcome
from dropbatch.domain.pages import ListedJob, folders_of_pages, page_key
from dropbatch.domain.states import APPROVABLE, ENDED_JOBS, HeldReason, JobState
from dropbatch.reporting.event_members import APPROVAL_PAGE_NAME, CANARY_PAGE_NAME, SCHEMA_VERSION
from dropbatch.reporting.page_style import GLOBALS, HEAD
from dropbatch.reporting.phrases import dollars, iso, local_time, money
from dropbatch.storage.context import Context

_PAGE = (
    HEAD
    + """<body>
<main>
<h1>{{ title }}</h1>
<p class="verdict">{{ said }}</p>
<p class="soft">Written {{ written }}.{% if up %} <a href="{{ up }}">All folders</a>{% endif %}</p>
{% if jobs %}
<table class="wide">
<thead><tr class="head"><th>file</th><th>state</th><th class="n">rows</th><th class="n">paid</th>\
<th class="n">saved</th><th>dropped</th><th>files</th></tr></thead>
<tbody>
{% for job in jobs %}
<tr><td class="text" data-label="file"><bdi>{{ breakable(job.name) }}</bdi>
{%- if job.run > 1 %}, run {{ job.run }}{% endif %}

{% if job.folder %}<br>{% if job.folder_link %}
<a class="soft" href="{{ job.folder_link }}"><bdi>{{ breakable(job.folder ~ "/") }}</bdi></a>
{%- else %}<span class="soft"><bdi>{{ breakable(job.folder ~ "/") }}</bdi></span>{% endif %}{% endif %}</td>
<td data-label="state"{% if job.is_bad %} class="bad"{% endif %}>{{ job.state }}</td>
<td class="n" data-label="rows">{{ job.rows }}</td>
<td class="n" data-label="paid">{{ job.paid }}</td>
<td class="n" data-label="saved">{{ job.saved }}</td>
<td class="when" data-label="dropped"><time datetime="{{ job.dropped_iso }}">{{ job.dropped }}</time></td>
<td class="when" data-label="files">{% for name, link in job.links %}
<a href="{{ link }}">{{ name }}</a>
{% endfor %}</td></tr>
{% endfor %}
</tbody>
</table>
{% endif %}
</main>
<script>{{ script }}</script>
</body>
</html>
"""
)


def index_json(jobs: Sequence[ListedJob]) -> bytes:
    """Return `index.json`: the jobs, the newest first, each on a line of its own."""
    lines = b",\n".join(msgspec.json.encode(_members(job)) for job in jobs)
    return b'{"schema_version": %d, "jobs": [\n%b\n]}\n' % (SCHEMA_VERSION, lines)


def index_html(context: Context, folder: str, jobs: Sequence[ListedJob]) -> bytes:
    """Return `index.html` of a folder; the folder of the root is empty."""
    title = f"{without_controls(folder)}/" if folder else "Dropbatch"
    said = "The newest runs of this folder" if folder else "The newest runs"
    page = _template().render(
        title=title,
        said=said if jobs else "No file was dropped yet",
        written=local_time(context.now(), context.zone),
        up="../" * (folder.count("/") + 1) + "index.html" if folder and _is_linkable(folder) else "",
        jobs=[_row(context, folder, job) for job in jobs],
    )
    return page.encode("utf-8", "replace")


def _members(job: ListedJob) -> dict[str, Any]:
    """Return the members of a job in `index.json`. One that is not known is absent."""
    known: dict[str, Any] = {
        "job_id": job.job_id,
        "key": job.key,
        "folder": _folder_of(job) or "/",
        "version_id": job.version_id,
        "run": job.run or None,
        "state": job.state,
        "status": job.status,
        "held_reason": job.held_reason or None,
        "dropped_at": iso(job.dropped_at),
        "changed_at": iso(job.changed_at),
        "ended_at": None if job.ended_at is None else iso(job.ended_at),
        "rows": {"total": job.total, **job.outcomes},
        "paid_usd": None if job.paid_usd is None else dollars(job.paid_usd),
        "saved_usd": None if job.saved_usd is None else dollars(job.saved_usd),
        "quote_usd": None,
        "results_prefix": _results_prefix(job),
    }
    if job.quote_usd is not None:
        prices = {"low": job.quote_usd.low, "likely": job.quote_usd.likely, "high": job.quote_usd.high}
        known["quote_usd"] = {name: dollars(price) for name, price in prices.items()}
    return {name: value for name, value in known.items() if value is not None}


class _Row(NamedTuple):
    """The row of a job on a page. A page has 500 of them, and may be written every minute."""

    name: str
    run: int
    folder: str  # empty on the folder's own page
    folder_link: str
    state: str
    is_bad: bool
    rows: str
    paid: str
    saved: str
    dropped: str
    dropped_iso: str
    links: Sequence[tuple[str, str]]


def _row(context: Context, folder: str, job: ListedJob) -> _Row:
    """Return what the page of a folder shows of a job."""
    own, prefix = _folder_of(job), _results_prefix(job)
    has_link = not folder and own in folders_of_pages(job.key) and _is_linkable(own)
    below = prefix[len(folder) + 1 :] if folder else prefix
    return _Row(
        name=without_controls(job.key.rpartition("/")[2]),
        run=job.run,
        folder="" if folder else without_controls(own),
        folder_link=_link(page_key(own)) if has_link else "",
        state=_state(job),
        is_bad=job.state in _BAD and job.status != "duplicate",
        rows=_rows(job),
        paid="" if job.paid_usd is None else money(job.paid_usd),
        saved=money(job.saved_usd) if job.saved_usd is not None and job.saved_usd > 0 else "",
        dropped=local_time(job.dropped_at, context.zone),
        dropped_iso=iso(job.dropped_at),
        links=_links(job, below) if _is_linkable(prefix) else (),
    )


_BAD = frozenset({JobState.REJECTED, JobState.FAILED, JobState.PARTIAL, JobState.HELD})
"""The states in which somebody may have to do something."""

_WAITS: dict[str, str] = {
    HeldReason.KEY: "an OpenAI API key",
    HeldReason.KEY_CHANGED: "the former OpenAI API key",
    HeldReason.PERMISSION: "a permission of the OpenAI API key",
    HeldReason.ACCOUNT: "credit at OpenAI",
    HeldReason.STUCK: "an administrator",
    HeldReason.FAILING: "a decision",
}
"""For what a held job waits, if it is not an approval."""


def _state(job: ListedJob) -> str:
    """Say the state of a job, and for what it waits."""
    if job.state == JobState.HELD:
        return f"waits for {_WAITS.get(job.held_reason, 'an approval')}"
    return job.status


def _rows(job: ListedJob) -> str:
    if not job.outcomes:
        return f"{job.total:,}" if job.total else ""
    return f"{job.outcomes.get(str(Outcome.OK), 0):,} of {job.total - job.outcomes.get(str(Outcome.SKIPPED), 0):,}"


def _links(job: ListedJob, prefix: str) -> list[tuple[str, str]]:
    """Return the links of a job: its report once there is one, and the file that has its figures."""
    if job.state == JobState.REJECTED:
        names = {} if job.status == "duplicate" else {"report": "report.html", "problems": "rejected.json"}
    elif job.outcomes:
        names = {"report": "report.html", "summary": "summary.json"}
    elif job.state in ENDED_JOBS:
        names = {"summary": "summary.json"}
    else:
        names = {**_decision(job), "progress": "status.json"}
    start = _link(prefix)
    return [(name, start + file) for name, file in names.items()]


def _decision(job: ListedJob) -> dict[str, str]:
    """Return the page that helps to decide about a job which waits for an approval; else the job's quote."""
    if job.state != JobState.HELD or job.held_reason not in APPROVABLE:
        return {"quote": "quote.json"}
    is_canary = job.held_reason == HeldReason.CANARY
    return {"first answers": CANARY_PAGE_NAME} if is_canary else {"approval": APPROVAL_PAGE_NAME}


def _folder_of(job: ListedJob) -> str:
    return job.key.rpartition("/")[0]


def _results_prefix(job: ListedJob) -> str:
    return f"{results_root(job.key)}{job.job_id}/"


def _is_linkable(key: str) -> bool:
    """Return whether a link can reach a key: in a link, `.` and `..` are folders, however they are written."""
    return not {".", ".."} & set(key.split("/"))


def _link(path: str) -> str:
    """Return a relative link. It begins with `./`, so that a name never counts as a scheme or a host."""
    return "./" + quote(path, safe="/", errors="replace")


@cache
def _template() -> Template:
    return Environment(autoescape=True, trim_blocks=True).from_string(_PAGE, GLOBALS)
