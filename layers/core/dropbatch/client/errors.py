"""Errors of the client. The text of each is a sentence for people: what is wrong, and what to do."""

from dropbatch.domain.errors import DropbatchError


class DropbatchClientError(DropbatchError):
    """The root of the client's errors."""


class WrongUseError(DropbatchClientError):
    """The caller named something that does not exist, or that does not fit: a file, a key, a run, a stack."""


class NotReachableError(DropbatchClientError):
    """AWS or OpenAI did not answer, or did not allow a call."""


class NotDoneError(DropbatchClientError):
    """The time to wait is over, and the run has not ended."""
