"""The page for a person to look at: what became of a job, in one HTML file without anything from outside."""

from collections.abc import Mapping, Sequence
from functools import cache, partial

from jinja2 import Environment, Template

from dropbatch.domain.outcomes import ANSWERED, Outcome
from dropbatch.reporting.advice import remedy
from dropbatch.reporting.details import Ended, results_prefix
from dropbatch.reporting.limited import limited_lines
from dropbatch.reporting.phrases import console_link, iso
from dropbatch.reporting.runs import comparison_lines, run_line

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ job.drop.name }}</title>
<style>
  :root { color-scheme: light dark; --line: #8883; --ok: #2a9d5c; --bad: #c8553d; --soft: #777; }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
  h1 { font-size: 1.6rem; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
  p.verdict { font-size: 1.2rem; margin: .3rem 0 1rem; } .soft { color: var(--soft); }
  .bar { display: flex; height: .8rem; border-radius: .4rem; overflow: hidden; background: var(--line); }
  .bar i { background: var(--bad); } .bar i.ok { background: var(--ok); } .bar i.skipped { background: var(--soft); }
  table { border-collapse: collapse; min-width: 22rem; }
  td, th { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }
  td.n, th.n { text-align: right; white-space: nowrap; } td.text { overflow-wrap: anywhere; }
  .wide { overflow-x: auto; } .wide table { width: 100%; } code { font-size: .9em; }
</style>
<h1>{{ job.drop.name }}</h1>
<p class="verdict">{{ "{:,}".format(ok) }} of {{ "{:,}".format(asked) }} rows answered — {{ status }}</p>
<p class="soft">{{ run }}</p>
<div class="bar" role="img" aria-label="rows by outcome">{% for outcome, count in outcomes %}
  <i class="{{ outcome }}" style="flex: {{ count }}" title="{{ outcome }}: {{ '{:,}'.format(count) }}"></i>{% endfor %}
</div>
<h2>Rows</h2>
<table>{% for outcome, count in outcomes %}
  <tr><td>{{ outcome }}</td><td class="n">{{ "{:,}".format(count) }}</td></tr>{% endfor %}
  <tr><th>all</th><th class="n">{{ "{:,}".format(job.rows) }}</th></tr>
</table>
{% if job.limited %}
<p class="soft">{{ limited }}</p>{% endif %}
{% for column, counts in categories.items() %}
<h2>{{ column }}</h2>
<table>{% for value, count in counts.most_common() %}
  <tr><td>{{ value }}</td><td class="n">{{ "{:,}".format(count) }}</td></tr>{% endfor %}
</table>{% endfor %}
{% if compared %}
<h2>Compared with run {{ compared.run }}</h2>
{% for line in comparison %}
<p>{{ line }}</p>{% endfor %}
{% if compared.columns %}
<div class="wide"><table>
  <tr><th>column</th><th class="n">rows changed</th><th class="n">first row</th></tr>
  {% for column in compared.columns %}
  <tr><td>{{ column.name }}</td>
    <td class="n">{{ "{:,}".format(column.rows) }} of {{ "{:,}".format(compared.rows) }}</td>
    <td class="n">{{ "{:,}".format(column.first_row) if column.first_row else "" }}</td></tr>
  {% endfor %}
</table></div>
{% for column in compared.columns if column.moves %}
<h3>{{ column.name }}</h3>
<table>
  <tr><th>run {{ compared.run }}</th><th>this run</th><th class="n">rows</th></tr>
  {% for before, after, rows in column.moves %}
  <tr><td>{{ before }}</td><td>{{ after }}</td><td class="n">{{ "{:,}".format(rows) }}</td></tr>
  {% endfor %}
</table>{% endfor %}{% endif %}{% endif %}
{% if reasons %}
<h2>Why rows have no good answer</h2>
<div class="wide"><table>
  <tr><th>outcome</th><th>code</th><th class="n">rows</th><th class="n">first row</th><th>what to do</th></tr>
  {% for outcome, code, reason in reasons %}
  <tr><td>{{ outcome }}</td><td><code>{{ code }}</code></td><td class="n">{{ "{:,}".format(reason.count) }}</td>
    <td class="n">{{ "{:,}".format(reason.row) }}</td>
    <td>{% if reason.message %}OpenAI says “{{ reason.message }}”; {% endif %}{{ remedy(outcome, code) }}</td></tr>
  {% endfor %}
</table></div>{% endif %}
{% for title, rows in samples %}{% if rows %}
<h2>{{ title }}</h2>
<div class="wide"><table>
  <tr><th class="n">row</th><th>as dropped</th><th>{{ "answer" if loop.first else "outcome" }}</th></tr>
  {% for sample in rows %}
  <tr><td class="n">{{ "{:,}".format(sample.row) }}</td><td class="text">{{ sample.text }}</td>
    <td class="text">{{ sample.answer if sample.good else sample.outcome ~ " (" ~ sample.code ~ ")" }}</td></tr>
  {% endfor %}
</table></div>{% endif %}{% endfor %}
<h2>Cost and time</h2>
<table>
  {% if paid is not none %}<tr><td>paid</td><td class="n">${{ "{:,.4f}".format(paid) }}</td></tr>
  <tr><td>saved by batching</td><td class="n">${{ "{:,.4f}".format(saved) }}</td></tr>
  {% else %}<tr><td>paid</td><td class="n">not known</td></tr>{% endif %}
  {% if fees %}<tr><td>of it fees of tools</td><td class="n">${{ "{:,.4f}".format(fees) }}</td></tr>
  {% endif %}{% if unpriced_tool_calls %}<tr><td>tool calls whose fees are not known</td>
    <td class="n">{{ "{:,}".format(unpriced_tool_calls) }}</td></tr>
  {% endif %}
  {% if unpriced %}<tr><td>requests of unknown price</td><td class="n">{{ "{:,}".format(unpriced) }}</td></tr>
  {% endif %}{% if unread %}<tr><td>requests whose answers could not be collected</td>
    <td class="n">{{ "{:,}".format(unread) }}</td></tr>
  {% endif %}{% for name, count in tokens %}
  <tr><td>{{ name }} tokens</td><td class="n">{{ "{:,}".format(count) }}</td></tr>{% endfor %}
  <tr><td>dropped</td><td class="n">{{ dropped }}</td></tr>
  <tr><td>ended</td><td class="n">{{ ended }}</td></tr>
</table>
<h2>Files</h2>
<table>{% for what, key in objects.items() %}
  <tr><td>{{ what }}</td><td class="text"><code>s3://{{ bucket }}/{{ key }}</code></td></tr>{% endfor %}
</table>
<p><a href="{{ link }}">The results in the S3 console</a></p>
<p class="soft">Job {{ job.id }} of s3://{{ job.drop.bucket }}/{{ job.drop.key }}</p>
</html>
"""


def page(end: Ended, samples: Sequence[Mapping[str, object]], region: str, bucket: str) -> bytes:
    """The report of a job as UTF-8 HTML. `samples` are rows as the collector keeps them."""
    tally, job = end.tally, end.job
    html = _template().render(
        job=job,
        status=end.status,
        ok=tally.outcomes[Outcome.OK],
        asked=job.rows - tally.outcomes[Outcome.SKIPPED],
        outcomes=sorted(tally.outcomes.items(), key=lambda item: (item[0] not in ANSWERED, item[0])),
        run=run_line(job),
        compared=end.compared,
        comparison=comparison_lines(end.compared),
        categories=tally.categories,
        reasons=tally.commonest(10),
        remedy=partial(remedy, has_recipe=end.has_recipe),
        samples=[
            ("Some of the answers", [sample for sample in samples if sample["good"]]),
            ("Some of the others", [sample for sample in samples if not sample["good"]]),
        ],
        limited=" ".join(limited_lines(job, tally)),
        paid=tally.paid,
        saved=tally.saved,
        unpriced=tally.unpriced,
        unread=tally.unread,
        fees=tally.fees_usd,
        unpriced_tool_calls=tally.unpriced_tool_calls,
        tokens=[(kind.replace("_", " "), count) for kind, count in sorted((+tally.tokens).items())],
        dropped=iso(job.drop.modified),
        ended=iso(end.ended_at),
        objects=end.objects,
        bucket=bucket,
        link=console_link(region, bucket, results_prefix(job)),
    )
    return html.encode()


@cache
def _template() -> Template:
    return Environment(autoescape=True, trim_blocks=True).from_string(_PAGE)
