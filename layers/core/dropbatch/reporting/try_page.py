"""The page of a recipe's `try`: its rows, their answers, and whether these are as expected."""

from functools import cache

from jinja2 import DictLoader, Environment

from dropbatch.domain.drops import Drop, results_root
from dropbatch.reporting.page_style import GLOBALS, HEAD
from dropbatch.reporting.phrases import money, shown
from dropbatch.reporting.trial import Trial

PAGE_NAME = "try.html"

_TEMPLATE = (
    HEAD
    + """<body>
<main>
<h1>{{ breakable(name) }}</h1>
<p class="verdict">{{ trial.verdict }}</p>
<p class="soft">Each row of <code>try</code> was asked alone, without a batch and without its discount.
{% if trial.asked %}{{ trial.asked }} of these answers came now,
{{ "of unknown price" if trial.paid is none else "for " ~ money(trial.paid) }}.
{% endif %}The same request is sent once.</p>
{% for row in trial.rows %}
<h2>Row {{ row.number }}{% if row.met is not none %}: {{ "as expected" if row.met else "not as expected" }}
  {%- elif row.outcome and not row.is_good %}: no good answer
  {%- elif not row.outcome %}: not tried{% endif %}</h2>
{% if row.reason %}
<p>{{ row.reason[0] | upper }}{{ row.reason[1:] }}.</p>{% endif %}
<table class="wide columns">
  <caption>The row</caption>
  <tr class="head"><th>column</th><th>value</th></tr>
  {% for column, value in row.cells.items() %}
  <tr><td data-label="column">{{ column }}</td><td class="text" data-label="value">{{ value }}</td></tr>
  {% endfor %}
</table>
{% if row.answers %}
<table class="wide columns">
  <caption>The answer</caption>
  <tr class="head"><th>column</th><th>answer</th>{% if row.expected %}<th>expected</th>{% endif %}</tr>
  {% for column, answer in row.answers.items() %}
  <tr><td data-label="column">{{ column }}</td><td class="text" data-label="answer">{{ answer }}</td>
    {% if row.expected %}
    <td class="text{{ " bad" if column in row.unmet }}" data-label="expected">{{ row.expected.get(column, "") }}</td>
    {%- endif %}</tr>
  {% endfor %}
</table>{% endif %}
{% if row.outcome %}
<p class="soft">{{ "{:,}".format(row.input_tokens) }} input tokens,
{{ "{:,}".format(row.output_tokens) }} output tokens,
{{ "of unknown price" if row.usd is none else exact(row.usd) }}</p>{% endif %}
{% endfor %}
</main>
<footer>
<p class="soft">s3://{{ drop.bucket }}/{{ drop.key }}, version {{ drop.version_id }}</p>
</footer>
<script>{{ script }}</script>
</body>
</html>
"""
)


def page_key(drop: Drop) -> str:
    """Return the key of the page of a recipe in the results bucket."""
    return results_root(drop.key) + PAGE_NAME


def try_page(drop: Drop, trial: Trial) -> bytes:
    """Return the page as UTF-8 HTML."""
    html = (
        _template()
        .get_template("try")
        .render(
            drop=drop,
            trial=trial,
            name=drop.key,
            title=f"{drop.key}: {trial.verdict}",
            money=money,
            exact=lambda usd: f"${shown(usd):,.5f}",
            **GLOBALS,
        )
    )
    return html.encode()


@cache
def _template() -> Environment:
    return Environment(loader=DictLoader({"try": _TEMPLATE}), autoescape=True, trim_blocks=True)
