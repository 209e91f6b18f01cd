"""The ways in which a template fails: it cannot be compiled, or not be rendered for a row."""

from collections.abc import Sequence

from dropbatch.recipes.sizes import TooLargeError


class BadTemplateError(Exception):
    """A template that cannot be compiled. `sentence` says why, `line` is counted from 1 within the template."""

    def __init__(self, code: str, sentence: str, line: int) -> None:
        super().__init__(code)
        self.code, self.sentence, self.line = code, sentence, line


class UndefinedNameError(Exception):
    """A row lacks what a template uses. `name` is None where it is not the recipe that spells it out.

    `within` is None where the row itself lacks it; else it lacks in one of the row's values, which has these names.
    """

    def __init__(self, name: str | None, within: Sequence[str] | None = None) -> None:
        super().__init__("undefined name")
        self.name, self.within = name, within


class TemplateFailedError(Exception):
    """A template could not be rendered for a row; `kind` names the error, never its text."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class TemplateTooLargeError(TemplateFailedError):
    """A template makes more for a row than could ever be sent."""


def template_failure(error: Exception) -> TemplateFailedError:
    """Return the error for whatever a template raised."""
    is_size = isinstance(error, TooLargeError | MemoryError)
    return (TemplateTooLargeError if is_size else TemplateFailedError)(type(error).__name__)
