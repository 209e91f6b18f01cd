"""Snippets of templates and of YAML that people can paste into a recipe as they are."""

import json
import re

from dropbatch.json_encoding import to_json
from dropbatch.recipes.file_values import FILE
from dropbatch.recipes.reserved_names import RESERVED

SINGLE, DOUBLE = "'", '"'
"""The quotes around a text of a recipe; a block, or a file, has none."""

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def file_expression(name: str) -> str:
    """Return the expression for a value of the dropped file, without the braces."""
    return f"{FILE}.{name}" if name.isidentifier() and name.isascii() else f"{FILE}[{literal(name)}]"


def placeholder(column: str, quote: str = DOUBLE) -> str:
    """Return the text that prints a column, in the form that fits into a text of a recipe with these quotes."""
    plain = column.isidentifier() and column.isascii() and column not in RESERVED
    return f"{{{{ {column} }}}}" if plain else subscript(column, quote)


def subscript(column: str, quote: str = DOUBLE) -> str:
    """Return the same for a column of any name."""
    return fit_quotes(f"{{{{ {lookup(column)} }}}}", quote)


def lookup(column: str) -> str:
    """Return the expression for a column of any name."""
    return f"row[{literal(column)}]"


def literal(text: str) -> str:
    """Return a text as a literal of a template: in single quotes, and without another quote in it."""
    encoded = to_json(text).decode()[1:-1].replace('\\"', "\\u0022").replace("'", "\\u0027")
    return f"'{encoded}'"


def fit_quotes(expression: str, quote: str) -> str:
    """Return an expression, whose texts `literal` has written, in the form that fits between YAML's quotes."""
    if quote == SINGLE:
        return expression.replace("'", '"')
    return expression.replace("\\", "\\\\") if quote == DOUBLE else expression


def yaml_text(text: str) -> str:
    """Return a text in quotes, for YAML."""
    if _CONTROLS.search(text):
        # JSON is YAML. It leaves some of the signs unescaped, and pairs of \ud83d\ude00 are not YAML.
        encoded = json.dumps(text, ensure_ascii=False)
        return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", encoded)
    if '"' not in text and "\\" not in text:
        return f'"{text}"'
    return "'" + text.replace("'", "''") + "'"


def bare(column: str) -> str:
    """Return the text that prints a column, in the form that fits into a block or a file."""
    return placeholder(column, "")


def bare_expression(column: str) -> str:
    """Return the same without the braces."""
    return bare(column)[2:-2].strip()
