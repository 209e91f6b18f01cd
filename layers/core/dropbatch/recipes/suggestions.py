"""Word what a recipe's author is to write, so that it can be pasted into the recipe as it is."""

import json
import re
from collections.abc import Iterable, Sequence

from dropbatch.recipes.templates import Template, placeholder

MAX_SOURCE = 200
"""How long a template may be that is repeated in a sentence."""

_CONTROLS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ufeff]")


def yaml_text(text: str) -> str:
    """Return a text in quotes, as YAML reads it."""
    if _CONTROLS.search(text):
        return json.dumps(text)
    if '"' not in text and "\\" not in text:
        return f'"{text}"'
    return "'" + text.replace("'", "''") + "'"


def bare(column: str) -> str:
    """Return how a template prints a column, whatever it stands within."""
    return placeholder(column, "")


def bare_expression(column: str) -> str:
    """Return the same without the braces."""
    return bare(column)[2:-2].strip()


def skip_line(templates: Sequence[Template], when: str | None) -> str:
    """Return the line of a recipe that leaves out the rows for which all the templates render nothing."""
    sources = [template.source for template in templates if template.expression is None]
    whole = "".join(sources)
    if len(sources) < len(templates) or len(whole) > MAX_SOURCE or "\n" in whole:
        whole = "".join(map(bare, dict.fromkeys(_columns(templates))))
    if when is not None:
        whole = f"{{% set _asked %}}{whole}{{% endset %}}{{% if _asked | trim %}}{when.strip()}{{% endif %}}"
    line = f"when: {yaml_text(whole)}"
    return line if len(line) <= 3 * MAX_SOURCE else "a when that is empty for them"


def _columns(templates: Iterable[Template]) -> Iterable[str]:
    return (column for template in templates for column in template.columns)


def without_blanks(column: str) -> str:
    """Return the text of a recipe that inserts a list of texts without those that are empty."""
    return yaml_text(f"{{{{ {bare_expression(column)} | map('trim') | select | list | json }}}}")
