"""The errors of templates: those that cannot be compiled, and those that cannot be rendered for a row."""

from collections.abc import Sequence

from dropbatch.recipes.sizes import TooLargeError


class BadTemplateError(Exception):
    """A template that cannot be compiled. `sentence` says why, `line` is counted from 1 within the template."""

    def __init__(self, code: str, sentence: str, line: int) -> None:
        super().__init__(code)
        self.code, self.sentence, self.line = code, sentence, line


class UndefinedNameError(Exception):
    """A row lacks a name that a template uses. `name` is None if the recipe does not spell it out.

    `within` is None if the row itself lacks it. Else one of the row's values lacks it, which has the names `within`.
    """

    def __init__(self, name: str | None, within: Sequence[str] | None = None) -> None:
        super().__init__("undefined name")
        self.name, self.within = name, within


class TemplateFailedError(Exception):
    """A template could not be rendered for a row; `kind` is the name of the error, never its text."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class TemplateTooLargeError(TemplateFailedError):
    """A template makes a larger value for a row than any request can hold."""


def failure_of(error: Exception) -> TemplateFailedError:
    """Return the failure that an error of a template is."""
    is_size = isinstance(error, TooLargeError | MemoryError)
    return (TemplateTooLargeError if is_size else TemplateFailedError)(type(error).__name__)
