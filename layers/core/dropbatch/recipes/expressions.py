"""JMESPath expressions over a response's body, within bounds.

An expression cannot loop, but every few letters of it can double its input. So the compiler counts how often it may
repeat its input. The other operations, whose size depends on the body, are bounded during the search.
"""

import math
import sys
from collections.abc import Mapping
from typing import Any

from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions, signature
from jmespath.parser import Parser
from jmespath.visitor import Options, TreeInterpreter

from dropbatch.recipes.sizes import check_size, weigh

MAX_CHARACTERS = 1_000
"""The maximum length of an expression: forty fields by their paths, and short enough for the parser's recursion."""

MAX_REPEATS = 1_000
"""The maximum repetitions of an expression's input. One of twenty fields, twice in a row, repeats it 400 times."""

MAX_ADDED = 1 << 20
"""The weight that a computed value may have above that of its response's body: 128 rows are held at once."""


class BadExpressionError(Exception):
    """An expression that cannot be compiled. `sentence` says why."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Expression:
    """A compiled expression."""

    def __init__(self, source: str) -> None:
        """Compile the expression; raise BadExpressionError if it cannot be compiled."""
        if len(source) > MAX_CHARACTERS:
            raise BadExpressionError(f"the expression is longer than {MAX_CHARACTERS:,} characters; shorten it.")
        try:
            self._parsed: Any = Parser().parse(source).parsed
            repeats = _repeats(self._parsed)
        except JMESPathError as error:
            position = getattr(error, "lex_position", None)
            where = f" at character {position + 1}" if isinstance(position, int) else ""
            raise BadExpressionError(f"this is not a valid JMESPath expression{where}; correct it.") from None
        except (RecursionError, ValueError, OverflowError):
            # Nested too deeply, or an index that is no number of a machine's.
            raise BadExpressionError("the expression cannot be compiled; simplify it.") from None
        if repeats > MAX_REPEATS:
            raise BadExpressionError(
                f"the expression may repeat its input {min(repeats, 10**9):,} times or more, and {MAX_REPEATS:,} is "
                "the most; select less at once."
            )

    def search(self, body: Any) -> Any:
        """Return the value of the expression for a body; raise TooLargeError if it is much larger than the body."""
        limit = _SizeLimit(body)
        found = TreeInterpreter(Options(custom_functions=_Functions(limit))).visit(self._parsed, body)
        limit.check(weigh(found, sys.maxsize))
        return found


class _SizeLimit:
    """The size limit of the values that are computed from a body. The body is weighed only if that matters."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def check(self, size: int) -> None:
        if size > MAX_ADDED:
            check_size(size, MAX_ADDED + weigh(self._body, sys.maxsize))


def _repeats(node: Any) -> int:
    """Return how often a node's result may hold the node's input."""
    children = [_repeats(child) for child in node.get("children", ()) if isinstance(child, Mapping)]
    match node["type"]:
        case "multi_select_list" | "multi_select_dict":
            return max(1, sum(children))
        case "function_expression":  # one may apply its arguments to each other, as map does
            return max(1, sum(children), math.prod(children))
    return math.prod(children)


class _Functions(Functions):
    """JMESPath's functions, with a size limit for those whose result may be larger than their arguments."""

    def __init__(self, limit: _SizeLimit) -> None:
        self._limit = limit

    @signature({"types": ["string"]}, {"types": ["array-string"]})
    def _func_join(self, separator: str, texts: list[str]) -> Any:
        self._limit.check(sum(map(len, texts)) + len(separator) * len(texts))
        return separator.join(texts)

    @signature({"types": []})
    def _func_to_string(self, value: Any) -> Any:
        self._limit.check(weigh(value, sys.maxsize))
        return super()._func_to_string(value)  # type: ignore[misc]  # its types leave the functions out
