"""JMESPath expressions over a response's body, within bounds.

An expression cannot loop, but it can double what it is given with every few letters. So how often it may repeat its
input is counted when it is compiled; the rest, which depends on the body, is held to a size when it is searched.
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
"""How long an expression may be: forty fields by their paths, and little enough for the parser's recursion."""

MAX_REPEATS = 1_000
"""How often an expression may repeat its input at most. One of twenty fields, twice in a row, repeats it 400 times."""

MAX_ADDED = 1 << 20
"""How much more than its response's body a computed value may weigh: 128 rows are held at once."""


class BadExpressionError(Exception):
    """An expression that cannot be compiled. `sentence` says why."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Expression:
    """A compiled expression."""

    def __init__(self, source: str) -> None:
        """BadExpressionError if it cannot be compiled."""
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
        """Return what the expression finds in a body; TooLargeError if that is much more than the body."""
        room = _Room(body)
        found = TreeInterpreter(Options(custom_functions=_Functions(room))).visit(self._parsed, body)
        room.check(weigh(found, sys.maxsize))
        return found


class _Room:
    """How large what is computed of a body may be. The body is weighed if that matters, as it hardly ever does."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def check(self, size: int) -> None:
        if size > MAX_ADDED:
            check_size(size, MAX_ADDED + weigh(self._body, sys.maxsize))


def _repeats(node: Any) -> int:
    """How often a node's result may hold what the node is applied to."""
    children = [_repeats(child) for child in node.get("children", ()) if isinstance(child, Mapping)]
    match node["type"]:
        case "multi_select_list" | "multi_select_dict":
            return max(1, sum(children))
        case "function_expression":  # one may apply its arguments to each other, as map does
            return max(1, sum(children), math.prod(children))
    return math.prod(children)


class _Functions(Functions):
    """Those functions held to a size whose result may be larger than what they are given, or is written out."""

    def __init__(self, room: _Room) -> None:
        self._room = room

    @signature({"types": ["string"]}, {"types": ["array-string"]})
    def _func_join(self, separator: str, texts: list[str]) -> Any:
        self._room.check(sum(map(len, texts)) + len(separator) * len(texts))
        return separator.join(texts)

    @signature({"types": []})
    def _func_to_string(self, value: Any) -> Any:
        self._room.check(weigh(value, sys.maxsize))
        return super()._func_to_string(value)  # type: ignore[misc]  # its types leave the functions out
