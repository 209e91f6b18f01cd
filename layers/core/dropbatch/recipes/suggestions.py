"""Advice to a recipe's author: the columns, templates and lines that are probably meant, as they can be pasted."""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from dropbatch.recipes.file_values import FILE, OWN_NAMES, FileValues
from dropbatch.recipes.quoted_names import MAX_SHOWN, listed, quoted
from dropbatch.recipes.similar_names import nearest
from dropbatch.recipes.snippets import (
    DOUBLE,
    bare,
    bare_expression,
    file_expression,
    fit_quotes,
    placeholder,
    subscript,
    yaml_text,
)

if TYPE_CHECKING:
    from dropbatch.recipes.templates import Template

MAX_SOURCE = 200
"""The maximum length of a template that a sentence repeats."""

_SPACED = re.compile(r"\{\{-?\s*([^\W\d]\w*(?:[ -]\w+)+)\s*-?\}\}")
_TRIPLE = re.compile(r"\{\{\{\s*([^\W\d]\w*)\s*\}\}\}")
_WORD_AS_NAME = re.compile(r"(?:\{\{-?|\{%-?\s*(?:if|elif)|\bin)\s*(not|recursive)\s*(?:\||-?[%}]\})")


def advise_on_syntax(said: str, source: str, filters: Iterable[str], quote: str) -> str:
    """Return advice on a syntax error; `said` is Jinja's message, which quotes nothing but the recipe."""
    if found := _TRIPLE.search(source):
        return f"three braces are one too many; write {{{{ {found[1]} }}}}."
    if found := _WORD_AS_NAME.search(source):
        return f"{found[1]} is a word of the template language; write the column as {subscript(found[1], quote)}."
    if (found := _SPACED.search(source)) and len(found[1]) <= MAX_SHOWN:
        return f"a column whose name holds spaces or signs is written {subscript(found[1], quote)}."
    if said.startswith("No filter named"):
        like = nearest(said.split("'")[1], filters)
        said = quoted(said.rstrip("."))
        return f"{said}; " + (f"did you mean {like}?" if like else "use one of Jinja's own.")
    said = quoted(said.rstrip("."))
    if "end of print statement" in said or "unexpected char" in said:
        return (
            f"the template is wrong: {said}; a column whose name holds spaces or signs is written "
            f"{subscript('Review Text', quote)}."
        )
    return f"the template is wrong: {said}; look for a brace or an end that is missing."


def suggest_column(name: str, known: Iterable[str], file: FileValues | None = None, quote: str = DOUBLE) -> str:
    """Return advice on the right spelling of a column, for a template within these quotes.

    It says so if the file's path has the value, or if `file` itself is meant.
    """
    columns = [column for column in known if isinstance(column, str)]
    of_file = file is not None and name in file.values
    like = None if of_file and name not in OWN_NAMES else nearest(name, columns)
    if like is None and of_file:
        return f"did you mean {fit_quotes(f'{{{{ {file_expression(name)} }}}}', quote)}, which the file's path has?"
    if name == FILE and file is not None:
        own = fit_quotes(f"{{{{ {file_expression(OWN_NAMES[0])} }}}}", quote)
        column = "" if like is None else f" or the column {quoted(like)}"
        return f"did you mean {own}, the name of the dropped file{column}?"
    if like is None:
        return f"the columns are {listed(columns)}." if columns else "the row has no columns."
    if len(like) > MAX_SHOWN:
        return f"did you mean the column that begins {quoted(like)}?"
    return f"did you mean {placeholder(like, quote)}?"


def suggest_when(templates: Sequence["Template"], when: str | None) -> str:
    """Return the line `when` of a recipe that leaves out the rows for which all the templates render nothing."""
    sources = [template.source for template in templates if template.expression is None]
    whole = "".join(sources)
    if len(sources) < len(templates) or len(whole) > MAX_SOURCE or "\n" in whole:
        whole = "".join(map(bare, dict.fromkeys(_columns(templates))))
    if when is not None:
        whole = f"{{% set _asked %}}{whole}{{% endset %}}{{% if _asked | trim %}}{when.strip()}{{% endif %}}"
    line = f"when: {yaml_text(whole)}"
    return line if len(line) <= 3 * MAX_SOURCE else "a when that is empty for them"


def _columns(templates: Iterable["Template"]) -> Iterable[str]:
    return (column for template in templates for column in template.columns)


def suggest_list(column: str) -> str:
    """Return the text of a recipe that inserts a list of texts without those that are empty."""
    return yaml_text(f"{{{{ {bare_expression(column)} | map('trim') | select | list | json }}}}")
