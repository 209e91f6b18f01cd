"""A template in its place in a recipe, and the problems of a row for which it cannot be rendered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dropbatch.domain.errors import RowRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.json_encoding import replace_surrogates, to_json
from dropbatch.recipes.explanations import explain_type_error, types_of
from dropbatch.recipes.file_values import FILE
from dropbatch.recipes.quoted_names import quoted
from dropbatch.recipes.similar_names import nearest
from dropbatch.recipes.snippets import DOUBLE, file_expression
from dropbatch.recipes.suggestions import suggest_column
from dropbatch.recipes.template_errors import TemplateFailedError, TemplateTooLargeError, UndefinedNameError
from dropbatch.recipes.templates import Template
from dropbatch.recipes.time_limit import TimeLimitError

ROW_SECONDS = 2
"""The time limit of the templates of one row, which usually take 50 µs."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A template in its place: the recipe's key, and the file and line of its text."""

    template: Template
    key: str
    path: str
    line: int | None
    quote: str = DOUBLE  # around the text

    @property
    def name(self) -> str:
        """The last part of its key, as the recipe has it."""
        return self.key.rpartition(".")[2].partition("[")[0]

    def text(self, values: Mapping[str, Any]) -> str:
        """Return the text for a row; raise RowRejectedError if the row does not fit."""
        return self._checked(self.template.render, values)  # type: ignore[no-any-return]  # render gives text

    def json(self, values: Mapping[str, Any]) -> bytes:
        """Return the same as JSON, which is more than a text for `{{ … | json }}`."""
        value = self._checked(self.template.value, values)
        try:
            return to_json(value)
        except (TypeError, ValueError, RecursionError):
            raise self._failed("value that is not JSON", values) from None

    def _checked(self, render: Callable[[Mapping[str, Any]], Any], values: Mapping[str, Any]) -> Any:
        try:
            return render(values)
        except UndefinedNameError as undefined:
            raise RowRejectedError(self._undefined(undefined, values)) from None
        except TemplateTooLargeError:
            sentence = "the template makes a text or a list too large to be sent for this row; make less of it."
            raise self._rejected("template_too_large", sentence) from None
        except TemplateFailedError as failure:
            raise self._failed(failure.kind, values) from None
        except TimeLimitError as late:
            if late.total:
                raise
            sentence = f"the template takes longer than {ROW_SECONDS} s for this row; let it loop over less."
            raise self._rejected("template_too_slow", sentence) from None

    def _undefined(self, missing: UndefinedNameError, values: Mapping[str, Any]) -> Problem:
        if missing.name is None:
            sentence = "the template uses something that the row does not have; give it a default, or correct the row."
        elif missing.within is None:
            advice = suggest_column(missing.name, values, self.template.file, self.quote)
            sentence = f"the row has no {quoted(missing.name)!r}; {advice}"
        elif FILE in values and missing.name in self.template.of_file:
            written = file_expression(missing.name)
            sentence = (
                f"the row has its own column 'file', so {written} means a part of its value, which has none; rename "
                "the column to use the dropped file."
            )
        else:
            like = nearest(missing.name, missing.within)
            advice = f"did you mean {quoted(like)}?" if like else "give it a default, or correct the row."
            sentence = f"the value that should have {quoted(missing.name)!r} has none; {advice}"
        column = None if missing.name is None else replace_surrogates(missing.name)
        where = f"Key {quoted(self.key)} of the recipe"
        return Problem("undefined_name", f"{where}: {sentence}", column=column, key=self.key)

    def _failed(self, kind: str, values: Mapping[str, Any]) -> RowRejectedError:
        said = explain_type_error(self.template, values, self.quote) if kind == "TypeError" else None
        if said is None:
            types = types_of(self.template, values)
            advice = "correct the template or the row" + (f"; {types}" if types else "")
            said = f"the template cannot be rendered for this row ({kind}); {advice}."
        return self._rejected("template_failed", said)

    def _rejected(self, code: str, sentence: str) -> RowRejectedError:
        return RowRejectedError(Problem(code, f"Key {quoted(self.key)} of the recipe: {sentence}", key=self.key))
