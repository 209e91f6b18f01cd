"""The templates of the pages for people: a frame, and what is in it for each kind of page.

A page loads nothing from elsewhere. On a narrow screen the rows of a wide table become cards, so that every column
stays visible.
"""

_BASE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ name }}</title>
<style>
  :root { color-scheme: light dark; --line: #8883; --ok: #2a9d5c; --bad: #c8553d; --soft: #777; }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
  h1 { font-size: 1.6rem; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
  p, li { overflow-wrap: anywhere; } p.verdict { font-size: 1.2rem; margin: .3rem 0 1rem; }
  .soft { color: var(--soft); }
  .bar { display: flex; height: .8rem; border-radius: .4rem; overflow: hidden; background: var(--line); }
  .bar i { background: var(--bad); } .bar i.ok { background: var(--ok); } .bar i.skipped { background: var(--soft); }
  table { border-collapse: collapse; min-width: min(22rem, 100%); }
  td, th { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }
  td.n, th.n { text-align: right; white-space: nowrap; } td.text { overflow-wrap: anywhere; }
  code { font-size: .9em; } td.code { white-space: nowrap; }
  table.wide { width: 100%; }
  @media (max-width: 40rem) {
    table.wide, .wide tbody, .wide tr, .wide td { display: block; }
    .wide tr { border-bottom: 1px solid var(--line); padding: .5rem 0; } .wide tr.head { display: none; }
    .wide td { border: 0; padding: .1rem 0; } .wide td.n { text-align: left; }
    .wide td[data-label]::before { content: attr(data-label) ": "; color: var(--soft); }
    td.code { white-space: normal; overflow-wrap: anywhere; }
  }
</style>
<h1>{{ name }}</h1>
{% block body %}{% endblock %}
<p><a href="{{ link }}">The results in the S3 console</a></p>
<p class="soft">Job {{ job.id }} of s3://{{ job.drop.bucket }}/{{ job.drop.key }}</p>
<script>
for (const at of document.querySelectorAll("time"))
  at.textContent = new Date(at.dateTime).toLocaleString(undefined, {dateStyle: "medium", timeStyle: "short"});
</script>
</html>
"""

_ENDED = """{% extends "base" %}
{% block body %}
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
{% for line in duplicates %}
<p class="soft">{{ line }}</p>{% endfor %}
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
<table class="wide">
  <tr class="head"><th>column</th><th class="n">rows changed</th><th class="n">first row</th></tr>
  {% for column in compared.columns %}
  <tr><td data-label="column">{{ column.name }}</td>
    <td class="n" data-label="rows changed">
      {{- "{:,}".format(column.rows) }} of {{ "{:,}".format(compared.rows) }}</td>
    <td class="n" data-label="first row">
      {{- "{:,}".format(column.first_row) if column.first_row else "none" }}</td></tr>
  {% endfor %}
</table>
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
<table class="wide">
  <tr class="head"><th>outcome</th><th>code</th><th class="n">rows</th><th class="n">first row</th>
    <th>what to do</th></tr>
  {% for outcome, code, reason in reasons %}
  <tr><td data-label="outcome">{{ outcome }}</td><td class="code" data-label="code"><code>{{ code }}</code></td>
    <td class="n" data-label="rows">{{ "{:,}".format(reason.count) }}</td>
    <td class="n" data-label="first row">{{ "{:,}".format(reason.row) }}</td>
    <td data-label="what to do">{% if reason.message %}OpenAI says “{{ reason.message }}”; {% endif %}
      {{- remedy(outcome, code) }}</td></tr>
  {% endfor %}
</table>{% endif %}
{% for title, last, rows in samples %}{% if rows %}
<h2>{{ title }}</h2>
<table class="wide">
  <tr class="head"><th class="n">row</th><th>{{ as_dropped }}</th><th>{{ last }}</th></tr>
  {% for sample in rows %}
  <tr><td class="n" data-label="row">{{ "{:,}".format(sample.row) }}</td>
    <td class="text" data-label="{{ as_dropped }}">{{ sample.text }}</td>
    <td class="{{ 'text' if sample.good else 'code' }}" data-label="{{ last }}">
      {{- sample.answer if sample.good else sample.outcome ~ " (" ~ sample.code ~ ")" }}</td></tr>
  {% endfor %}
</table>{% endif %}{% endfor %}
<h2>Cost and time</h2>
<table>
  {% if paid is not none %}<tr><td>paid</td><td class="n">{{ money(paid) }}</td></tr>
  {% if saved is not none %}<tr><td>the synchronous API</td><td class="n">{{ money(synchronous) }}</td></tr>
  <tr><td>{{ "saved by batching" if is_saved else "more than without batching" }}</td>
    <td class="n">{{ saved }}</td></tr>
  {% else %}<tr><td>saved by batching</td><td class="n">not known</td></tr>{% endif %}
  {% else %}<tr><td>paid</td><td class="n">not known</td></tr>{% endif %}
  {% if quote %}<tr><td>quoted, likely and at most</td>
    <td class="n">{{ money(quote.likely) }}, {{ money(quote.high) }}</td></tr>
  {% endif %}{% if fees %}<tr><td>of it fees of tools</td><td class="n">{{ money(fees) }}</td></tr>
  {% endif %}{% if unpriced_tool_calls %}<tr><td>tool calls whose fees are not known</td>
    <td class="n">{{ "{:,}".format(unpriced_tool_calls) }}</td></tr>
  {% endif %}
  {% if unpriced %}<tr><td>requests of unknown price</td><td class="n">{{ "{:,}".format(unpriced) }}</td></tr>
  {% endif %}{% if unread %}<tr><td>requests whose answers could not be collected</td>
    <td class="n">{{ "{:,}".format(unread) }}</td></tr>
  {% endif %}{% for name, count in tokens %}
  <tr><td>{{ name }} tokens</td><td class="n">{{ "{:,}".format(count) }}</td></tr>{% endfor %}
  <tr><td>dropped</td><td class="n"><time datetime="{{ iso(dropped) }}">{{ local(dropped) }}</time></td></tr>
  <tr><td>ended</td><td class="n"><time datetime="{{ iso(ended) }}">{{ local(ended) }}</time></td></tr>
</table>
{% if models %}
<h2>Cost by model</h2>
<table class="wide">
  <tr class="head"><th>model</th><th class="n">requests</th><th class="n">input tokens</th>
    <th class="n">output tokens</th><th class="n">US dollars</th></tr>
  {% for line in models %}
  <tr><td class="text" data-label="model">{{ line.model }}</td>
    <td class="n" data-label="requests">{{ "{:,}".format(line.requests) }}</td>
    <td class="n" data-label="input tokens">{{ "{:,}".format(line.tokens.get("input", 0)) }}</td>
    <td class="n" data-label="output tokens">{{ "{:,}".format(line.tokens.get("output", 0)) }}</td>
    <td class="n" data-label="US dollars">
      {{- "not known" if line.paid is none else exact(line.paid) }}</td></tr>
  {% endfor %}
  {% if models | length > 1 and paid is not none %}
  <tr><th>all</th><td></td><td></td><td></td>
    <td class="n" data-label="US dollars">{{ exact(paid) }}</td></tr>{% endif %}
</table>{% endif %}
{% for line in cost_lines %}
<p class="soft">{{ line }}</p>{% endfor %}
<h2>Files</h2>
<table class="wide">{% for what, key in objects.items() %}
  <tr><td>{{ what }}</td><td class="text"><code>s3://{{ bucket }}/{{ key }}</code></td></tr>{% endfor %}
</table>
{% endblock %}
"""

_REJECTED = """{% extends "base" %}
{% block body %}
<p class="verdict">rejected, {{ count }}</p>
<p class="soft">{{ run }}</p>
<p>Nothing was sent to OpenAI, and nothing is billed.</p>
<h2>What is wrong</h2>
<table class="wide">
  <tr class="head"><th>where</th><th>what</th><th class="n">{{ unit }}s</th><th class="n">first {{ unit }}s</th></tr>
  {% for group in groups %}
  <tr><td class="text" data-label="where">{{ group.place or job.drop.name }}</td>
    <td class="text" data-label="what">{{ group.first.message }}</td>
    <td class="n" data-label="{{ unit }}s">{% if not group.first.path %}{{ "{:,}".format(group.count) }}{% endif %}</td>
    <td class="n" data-label="first {{ unit }}s">
      {%- if group.lines and not group.first.path %}{{ listed(group.lines) }}{% endif %}</td></tr>
  {% endfor %}
</table>
{% if steps %}
<h2>What to do</h2>
<ul>{% for step in steps %}
  <li>{{ step }}</li>{% endfor %}
</ul>{% endif %}
<h2>What it was about</h2>
<table class="wide">
  <tr><td>file</td><td class="text"><code>s3://{{ job.drop.bucket }}/{{ job.drop.key }}</code></td></tr>
  {% if job.recipe_path is not none %}
  <tr><td>recipe</td><td class="text"><code>s3://{{ job.drop.bucket }}/{{ job.recipe_path }}</code></td></tr>{% endif %}
  <tr><td>dropped</td><td><time datetime="{{ iso(dropped) }}">{{ local(dropped) }}</time></td></tr>
</table>
{% endblock %}
"""

_CANARY = """{% extends "base" %}
{% block body %}
<p class="verdict">waits: {{ ok }} of {{ asked }} rows have a good answer</p>
<p class="soft">{{ run }}</p>
<p>These rows were sent before all others. To send the others too: <code>{{ approve }}</code></p>
<table class="wide">
  <tr class="head"><th class="n">row</th><th>as dropped</th><th>answer</th><th>outcome</th></tr>
  {% for row in rows %}
  <tr><td class="n" data-label="row">{{ "{:,}".format(row.number) }}</td>
    <td class="text" data-label="as dropped">{{ row.text }}</td>
    <td class="text" data-label="answer">{{ row.answer }}</td>
    <td class="code" data-label="outcome">{{ row.outcome }}{% if row.code %} ({{ row.code }}){% endif %}</td></tr>
  {% endfor %}
</table>
{% endblock %}
"""

TEMPLATES = {"base": _BASE, "ended": _ENDED, "rejected": _REJECTED, "canary": _CANARY}
