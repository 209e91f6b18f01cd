"""The templates of the pages for people: a frame, and what is in it for each kind of page.

A page loads nothing from elsewhere: see `page_style`. On a narrow screen the rows of a wide table become cards, so that
every column stays visible.
"""

from dropbatch.reporting.page_style import HEAD
from dropbatch.reporting.report_template import REPORT, ROWS

_BASE = (
    HEAD
    + """<body>
<main>
<h1>{{ breakable(name) }}</h1>
{% block body %}{% endblock %}
</main>
<footer>
<p><a href="{{ link }}">The results in the S3 console</a></p>
<p class="soft">Job {{ job.id }} of s3://{{ job.drop.bucket }}/{{ job.drop.key }}</p>
</footer>
<script>{{ script }}</script>
</body>
</html>
"""
)

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
{% from "rows" import row_table with context %}
{% block body %}
<p class="verdict">waits: {{ ok }} of {{ asked }} rows have a good answer</p>
<p class="soft">{{ run }}</p>
<p>These rows were sent before all others. To send the others too: <code>{{ approve }}</code></p>
<div class="scroll" tabindex="0" role="group" aria-label="The rows that were sent first"><table class="wide">
{{ row_table(first.rows) }}
</table></div>
{% endblock %}
"""

_APPROVAL = """{% extends "base" %}
{% block body %}
<p class="verdict">{{ verdict }}</p>
<p class="soft">{{ run }}</p>
<dl class="figures">
  {% for name, value, about in figures %}
  <div><dt>{{ name }}</dt><dd>{{ value }}<small>{{ about }}</small></dd></div>{% endfor %}
</dl>
{% for line in lines %}
<p>{{ line }}</p>{% endfor %}
{% endblock %}
"""

TEMPLATES = {
    "base": _BASE,
    "rows": ROWS,
    "ended": REPORT,
    "rejected": _REJECTED,
    "canary": _CANARY,
    "approval": _APPROVAL,
}
