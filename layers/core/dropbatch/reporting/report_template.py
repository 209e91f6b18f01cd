"""The templates of a job's report: the verdict and four numbers, then the answers, then what they took; and of rows."""

ROWS = """{% macro row_table(rows) %}
  <thead><tr class="head"><th class="n" scope="col">row</th>
    {% for column in first.dropped %}<th scope="col">{{ column }}</th>{% endfor %}
    {% for column in first.answered %}<th scope="col">{{ column }}</th>{% endfor %}
    <th scope="col">outcome</th></tr></thead>
  <tbody>{% for row in rows %}
  <tr><td class="n" data-label="row">{{ "{:,}".format(row.number) }}</td>
    {% for column in first.dropped %}
    <td class="text{{ " long" if is_long(row.cells.get(column, "")) }}" data-label="{{ column }}">
      {{- row.cells.get(column, "") }}</td>{% endfor %}
    {% for column in first.answered %}
    <td class="text{{ " long" if is_long(row.answers[loop.index0]) }}" data-label="{{ column }}">
      {{- row.answers[loop.index0] }}</td>{% endfor %}
    <td class="code" data-label="outcome">{{ row.outcome }}{% if row.code %} ({{ row.code }}){% endif %}</td></tr>
  {% endfor %}</tbody>
{% endmacro %}
"""
"""The table of rows with their answers, column by column, of the rows `first`."""

REPORT = """{% extends "base" %}
{% from "rows" import row_table with context %}
{% macro lying(bars) %}
<table class="bars">{% for bar in bars %}
  <tr><th scope="row">{{ breakable(bar.label) }}</th>
    <td><svg width="100%" height="10" aria-hidden="true"><rect width="{{ bar.size }}%" height="10"/></svg></td>
    <td class="n">{{ "{:,}".format(bar.times) }}</td><td class="n share">{{ bar.share }}</td></tr>{% endfor %}
</table>
{% endmacro %}
{% macro upright(bars) %}
<svg width="100%" height="136" role="img" aria-label="{% for bar in bars %}{{ bar.words }}; {% endfor %}">
  {% for bar in bars %}{% if bar.height %}
  <rect x="{{ bar.left }}%" y="{{ 112 - bar.height }}" width="{{ bar.width }}%" height="{{ bar.height }}"/>
  <text x="{{ bar.left + bar.width / 2 }}%" y="{{ 107 - bar.height }}" text-anchor="middle">{{ bar.times }}</text>
  {% endif %}
  <text class="soft" x="{{ bar.left + bar.width / 2 }}%" y="130" text-anchor="middle">{{ bar.label }}</text>
  {% endfor %}
</svg>
{% endmacro %}
{% macro cross_table(cross, caption) %}
<table>
  <caption>{{ caption }}</caption>
  <thead><tr><th scope="col">{{ cross.dropped }}</th>
    {% for value in cross.values %}<th scope="col">{{ value or "(empty)" }}</th>{% endfor %}</tr></thead>
  <tbody>{% for line in cross.lines %}
  <tr><th scope="row">{{ line.value }}</th>{% for cell in line.cells %}
    <td{% if cell.is_most %} class="most"{% endif %}>{{ cell.rows }}{% if cell.share %}
      {{- " " }}<small>{{ cell.share }}</small>{% endif %}</td>{% endfor %}</tr>{% endfor %}</tbody>
</table>
{% endmacro %}
{% block body %}
<p class="verdict">{{ "{:,}".format(ok) }} of {{ "{:,}".format(asked) }} rows answered — {{ status }}</p>
<p class="soft">{{ run }}</p>
<dl class="figures">
  {% for figure in figures %}
  <div><dt>{{ figure.name }}</dt><dd>{{ figure.value }}<small>{{ figure.about }}</small></dd></div>{% endfor %}
</dl>
<svg width="100%" height="12" role="img" aria-label="Rows by outcome: {% for slice in slices %}
{{- slice.outcome }} {{ '{:,}'.format(slice.rows) }}; {% endfor %}">
  <rect class="track" width="100%" height="12"/>{% for slice in slices %}
  <rect class="{{ slice.kind }}" x="{{ slice.left }}%" width="{{ slice.width }}%" height="12">
    <title>{{ slice.outcome }}: {{ "{:,}".format(slice.rows) }}</title></rect>{% endfor %}
</svg>
<p class="legend">{% for slice in slices %}<span>{{ "{:,}".format(slice.rows) }}
  <span class="{{ slice.kind }}">{{ slice.outcome }}</span></span> {% endfor %}</p>
{% for line in duplicates %}
<p class="soft">{{ line }}</p>{% endfor %}
{% if job.limited %}
<p class="soft">{{ limited }}</p>{% endif %}
{% if charts %}
<h2>The answers</h2>
<div class="charts">
{% for chart in charts %}
<figure>
  <h3>{{ breakable(chart.name) }}</h3>
  <p>{{ chart.about }}</p>
  {% if chart.bars %}{{ lying(chart.bars) }}{% endif %}
  {% if chart.histogram %}{{ upright(chart.histogram) }}{% endif %}
  {% if chart.more %}<p>{{ chart.more }}</p>{% endif %}
</figure>
{% endfor %}
</div>
{% if more_columns %}
<p class="soft">{{ "{:,}".format(more_columns) }} more columns are in the answers, and have no chart.</p>{% endif %}
{% endif %}
{% if crosses %}
<h2>The answers by a column of the file</h2>
{% if crossed < ok %}
<p class="soft">Counted in {{ "{:,}".format(crossed) }} of {{ "{:,}".format(ok) }} answers, from all parts of the file.
</p>{% endif %}
{% if crosses | length > 1 %}
<p class="menu screen" hidden><label for="menu">Show</label> <select id="menu">{% for cross in crosses %}
  <option value="{{ loop.index0 }}">{{ cross.answer }} by {{ cross.dropped }}</option>{% endfor %}
</select></p>{% endif %}
{% for cross in crosses %}
<div class="scroll cross" data-choice="{{ loop.index0 }}" tabindex="0" role="group"
  aria-label="{{ cross.answer }} by {{ cross.dropped }}"{% if not loop.first %} hidden{% endif %}>
{{ cross_table(cross, cross.answer ~ " by " ~ cross.dropped ~ ": rows, and their share of the line") }}
</div>{% endfor %}{% endif %}
{% if agreement %}
<h2>Agreement with known answers</h2>
{% for each in agreement %}
<h3>{{ each.column }}</h3>
<p>{{ each.verdict }}</p>
{% if each.confusion %}
<div class="scroll cross" tabindex="0" role="group" aria-label="{{ each.column }}, expected and answered">
{{ cross_table(each.confusion, "expected answers in the lines, given answers in the columns") }}
</div>{% endif %}
{% if each.pairs %}
<table>
  <thead><tr class="head"><th scope="col">expected</th><th scope="col">answered</th>
    <th class="n" scope="col">rows</th></tr></thead>
  <tbody>{% for pair in each.pairs %}
  <tr><td class="text">{{ pair.expected }}</td><td class="text">{{ pair.answered }}</td>
    <td class="n">{{ "{:,}".format(pair.rows) }}</td></tr>{% endfor %}</tbody>
</table>{% endif %}
{% if each.disagreements %}
<details><summary>The first disagreements</summary>
<table class="wide">
  <thead><tr class="head"><th class="n" scope="col">row</th><th scope="col">expected</th>
    <th scope="col">answered</th></tr></thead>
  <tbody>{% for row, expected, answered in each.disagreements %}
  <tr><td class="n" data-label="row">{{ "{:,}".format(row) }}</td>
    <td class="text" data-label="expected">{{ expected }}</td>
    <td class="text" data-label="answered">{{ answered }}</td></tr>{% endfor %}</tbody>
</table></details>{% endif %}
{% endfor %}
{% if more_agreement %}
<p class="soft">{{ "{:,}".format(more_agreement) }} more columns with known answers are in summary.json.</p>{% endif %}
{% endif %}
{% if compared %}
<h2>Compared with run {{ compared.run }}</h2>
{% for line in comparison %}
<p>{{ line }}</p>{% endfor %}
{% if changes %}
<div class="screen">
<table class="wide">
  <tr class="head"><th>column</th><th class="n">rows changed</th><th class="n">first row</th></tr>
  {% for column in changes %}
  <tr><td data-label="column">{{ column.name }}</td>
    <td class="n" data-label="rows changed">
      {{- "{:,}".format(column.rows) }} of {{ "{:,}".format(compared.rows) }}</td>
    <td class="n" data-label="first row">
      {{- "{:,}".format(column.first_row) if column.first_row else "none" }}</td></tr>
  {% endfor %}
</table>
{% if more_changes %}
<p class="soft">{{ "{:,}".format(more_changes) }} more columns are in summary.json.</p>{% endif %}
{% for column in changes if column.moves %}
<h3>{{ column.name }}</h3>
<table>
  <tr><th>run {{ compared.run }}</th><th>this run</th><th class="n">rows</th></tr>
  {% for before, after, rows in column.moves %}
  <tr><td>{{ before }}</td><td>{{ after }}</td><td class="n">{{ "{:,}".format(rows) }}</td></tr>
  {% endfor %}
</table>{% endfor %}
</div>{% endif %}{% endif %}
{% if reasons %}
<h2>Why rows have no good answer</h2>
<table class="wide reasons">
  <tr class="head"><th>outcome</th><th>code</th><th class="n">rows</th><th class="n">first row</th>
    <th>what to do</th></tr>
  {% for outcome, code, reason in reasons %}
  <tr><td data-label="outcome">{{ outcome }}</td><td class="code" data-label="code"><code>{{ code }}</code></td>
    <td class="n" data-label="rows">{{ "{:,}".format(reason.count) }}</td>
    <td class="n" data-label="first row">{{ "{:,}".format(reason.row) }}</td>
    <td data-label="what to do">{% if reason.message %}OpenAI says “{{ reason.message }}”; {% endif %}
      {{- remedy(outcome, code) }}
      {% if examples[outcome, code] %}
      <details><summary>For example</summary>
      {% for example in examples[outcome, code] %}
      <p><span class="soft">row {{ "{:,}".format(example.number) }}</span>
        {% for column, cell in example.cells.items() if cell %}
        <br>{% if column %}<span class="soft">{{ column }}:</span> {% endif %}{{ cell }}{% endfor %}
        {% for cell in example.answers if cell %}
        <br><span class="soft">{{ first.answered[loop.index0] or "answer" }}:</span> {{ cell }}{% endfor %}</p>
      {% endfor %}
      </details>{% endif %}</td></tr>
  {% endfor %}
</table>{% endif %}
{% if first.rows %}
<div class="screen">
{% if first.good %}
<h2>Some of the answers</h2>
<div class="scroll" tabindex="0" role="group" aria-label="Some of the answers"><table class="wide">
{{ row_table(first.good) }}
</table></div>{% else %}
<h2>The first rows</h2>{% endif %}
<details><summary>{{ first.title }}</summary>
<p class="menu" hidden><label for="search">Find</label> <input type="search" id="search">
  <output id="found" class="soft"></output></p>
<div class="scroll" tabindex="0" role="group" aria-label="{{ first.title }}"><table class="wide" id="rows">
{{ row_table(first.rows) }}
</table></div>
</details>
</div>{% else %}
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
</table>{% endif %}{% endfor %}{% endif %}
{% if spans %}
<h2>Time</h2>
<table class="bars timeline">{% for span in spans %}
  <tr><th scope="row">{{ span.name }}</th>
    <td class="chart"><svg width="100%" height="10" aria-hidden="true">
      <rect class="track" y="4.5" width="100%" height="1"/>
      <rect{% if span.is_hold %} class="bad"{% endif %} x="{{ span.left }}%" width="{{ span.width }}%" height="10"/>
    </svg></td>
    <td class="n">{{ span.lasted }}</td><td class="what">{{ span.what }}</td></tr>{% endfor %}
</table>{% endif %}
<div class="pair">
{% if estimates %}
<section>
<h2>Quote and reality</h2>
<table class="wide">
  <thead><tr class="head"><th scope="col">what</th><th class="n" scope="col">quoted, likely</th>
    <th class="n" scope="col">lowest to highest</th><th class="n" scope="col">in fact</th></tr></thead>
  <tbody>{% for each in estimates %}
  <tr><td>{{ each.what }}</td><td class="n" data-label="quoted, likely">{{ each.likely }}</td>
    <td class="n" data-label="lowest to highest">{{ each.bounds }}</td>
    <td class="n" data-label="in fact">{{ each.actual }}</td></tr>{% endfor %}</tbody>
</table>
</section>{% endif %}
<section>
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
</section>
</div>
{% if models %}
<div class="{{ 'screen' if models | length == 1 else '' }}">
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
</table>
</div>{% endif %}
{% for line in cost_lines %}
<p class="soft">{{ line }}</p>{% endfor %}
<div class="screen">
<h2>Rows</h2>
<table>{% for outcome, count in outcomes %}
  <tr><td>{{ outcome }}</td><td class="n">{{ "{:,}".format(count) }}</td></tr>{% endfor %}
  <tr><th>all</th><th class="n">{{ "{:,}".format(job.rows) }}</th></tr>
</table>
<h2>Files</h2>
<table class="wide">{% for what, key in objects.items() %}
  <tr><td>{{ what }}</td><td class="text"><code>s3://{{ bucket }}/{{ key }}</code></td></tr>{% endfor %}
</table>
{% if recipe %}
<h2>The recipe as it was</h2>
{% for name, text in recipe %}
<details><summary>{{ name }}</summary>
<pre>{{ text }}</pre></details>{% endfor %}{% endif %}
</div>
{% endblock %}
"""
