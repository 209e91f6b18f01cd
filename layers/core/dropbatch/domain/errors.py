"""Errors with a meaning: does the step give up, or try again?

DropbatchError
├── DropRejectedError              the drop or recipe is wrong: its problems are written down, and the step is done
├── RowRejectedError           one row is wrong; the caller decides what that means for the drop (`bad_rows`)
├── RetryLaterError              nothing is wrong but the time: the work is due again after `seconds`
├── StaleItemError       a conditional write lost: somebody else has moved the item on
├── ObjectNotFoundError         no such object, or version of it, in S3
├── ObjectForbiddenError       S3 does not let us read an object
└── OpenAIError           what a call to OpenAI ended in
    ├── OpenAIAuthError     401, or no key at all: jobs wait for another key
    ├── OpenAIPermissionError 403: the key may not do what was asked; it may do other things
    ├── OpenAIBillingError    429 or another 4xx: the account has no money left, or is closed
    ├── OpenAIRateLimitError            another 429: nothing was done; try again after `seconds`
    ├── OpenAIRequestError         another 4xx: nothing was done, and trying again would not change that
    │   └── OpenAINotFoundError    404: no such file or batch
    └── OpenAIOutcomeUnknownError          5xx, timeout, broken connection: it may have taken effect

Each OpenAIError has a `kind`, which decides what is to be done.
"""

from enum import StrEnum

from dropbatch.domain.problems import Problem, Problems


class ErrorKind(StrEnum):
    """What an OpenAIError is about, and so what follows from it."""

    PASSING = "passing"  # wait, with a bound, and try again
    ACCOUNT = "account"  # hold the job until the same call succeeds
    KEY = "key"  # hold the job until there is another key, or this one is accepted
    PERMISSION = "permission"  # hold the job until the same call succeeds, or there is another key
    THING = "thing"  # this one file or batch: end it with its reason
    UNKNOWN = "unknown"  # end what was asked, and stop nothing else


class DropbatchError(Exception):
    """The root of the project's errors. Their text holds codes, ids and numbers, never the text of a row."""


class DropRejectedError(DropbatchError):
    """A drop or recipe cannot be used; `problems` says why."""

    def __init__(self, problems: Problems) -> None:
        super().__init__(f"{problems.total} problem(s): {', '.join(sorted({p.code for p in problems}))}")
        self.problems = problems

    @classmethod
    def because(cls, problem: Problem) -> "DropRejectedError":
        problems = Problems()
        problems.add(problem)
        return cls(problems)


class RowRejectedError(DropbatchError):
    """One row cannot become a request; `problems` says why."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(", ".join(problem.code for problem in problems))
        self.problems = problems


class RetryLaterError(DropbatchError):
    """The step is not due yet, and is to be tried again after `seconds`."""

    def __init__(self, seconds: int, why: str) -> None:
        super().__init__(why)
        self.seconds = seconds


class StaleItemError(DropbatchError):
    """A conditional write found another state than it asked for."""


class ObjectNotFoundError(DropbatchError):
    """There is no such object in S3."""


class ObjectForbiddenError(DropbatchError):
    """S3 does not let us read an object: it may be encrypted with a key that we may not use."""


class OpenAIError(DropbatchError):
    """A call to OpenAI did not give what was asked. `code` is OpenAI's, or `http_<status>`."""

    kind = ErrorKind.UNKNOWN

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class OpenAIAuthError(OpenAIError):
    """There is no API key, or OpenAI does not accept it (401)."""

    kind = ErrorKind.KEY


class OpenAIPermissionError(OpenAIError):
    """The API key may not do what was asked (403)."""

    kind = ErrorKind.PERMISSION


class OpenAIBillingError(OpenAIError):
    """OpenAI takes no work from this account: its credit or its spending limit is used up, or it is closed."""

    kind = ErrorKind.ACCOUNT


class OpenAIRateLimitError(OpenAIError):
    """OpenAI answered 429: the call had no effect."""

    kind = ErrorKind.PASSING

    def __init__(self, code: str, seconds: int) -> None:
        super().__init__(code)
        self.seconds = seconds


class OpenAIRequestError(OpenAIError):
    """OpenAI answered another 4xx, `status`: the call had no effect, and would have none again."""

    def __init__(self, code: str, status: int = 400) -> None:
        super().__init__(code)
        self.status = status


class OpenAINotFoundError(OpenAIRequestError):
    """OpenAI knows no such file or batch (404)."""

    kind = ErrorKind.THING


class OpenAIOutcomeUnknownError(OpenAIError):
    """A timeout, a broken connection or a 5xx: nobody knows whether the call took effect."""

    kind = ErrorKind.PASSING
