"""Errors of the project. Their types say whether a step gives up or tries again.

DropbatchError
├── DropRejectedError              the drop or recipe is wrong: its problems are reported, and the step is done
├── RowRejectedError               one row is wrong: the caller decides what that means for the drop (`bad_rows`)
├── RetryLaterError                it is too early: the step is due again after `seconds`
├── StaleItemError                 a conditional write lost: another process has changed the item
├── ObjectNotFoundError            S3 has no such object, or no such version of it
├── ObjectForbiddenError           S3 does not let Dropbatch read an object
└── OpenAIError                    a call to OpenAI failed
    ├── OpenAIAuthError            401, or there is no key: jobs wait for another key
    ├── OpenAIPermissionError      403: the key may not do this, but may do other things
    ├── OpenAIBillingError         429 or another 4xx: the account has no money left, or is closed
    ├── OpenAIRateLimitError       another 429: the call had no effect; retry it after `seconds`
    ├── OpenAIRequestError         another 4xx: the call had no effect, and a retry would have none
    │   └── OpenAINotFoundError    404: there is no such file or batch
    └── OpenAIOutcomeUnknownError  5xx, timeout, broken connection: the call may have taken effect

Each OpenAIError has a `kind`, which decides what the step does next.
"""

from enum import StrEnum

from dropbatch.domain.problems import Problem, Problems


class ErrorKind(StrEnum):
    """The subject of an OpenAIError, and so what the step does next."""

    PASSING = "passing"  # wait, with a bound, and retry
    ACCOUNT = "account"  # hold the job until the same call succeeds
    KEY = "key"  # hold the job until there is another key, or this one is accepted
    PERMISSION = "permission"  # hold the job until the same call succeeds, or there is another key
    THING = "thing"  # this one file or batch: end it with its reason
    UNKNOWN = "unknown"  # end this step, and stop nothing else


class DropbatchError(Exception):
    """The root of the project's errors. Their text holds codes, ids and numbers, never the text of a row."""


class DropRejectedError(DropbatchError):
    """A drop or recipe cannot be used. `problems` says why."""

    def __init__(self, problems: Problems) -> None:
        super().__init__(f"{problems.total} problem(s): {', '.join(sorted({p.code for p in problems}))}")
        self.problems = problems

    @classmethod
    def because(cls, problem: Problem) -> "DropRejectedError":
        problems = Problems()
        problems.add(problem)
        return cls(problems)


class RowRejectedError(DropbatchError):
    """One row cannot become a request. `problems` says why."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(", ".join(problem.code for problem in problems))
        self.problems = problems


class RetryLaterError(DropbatchError):
    """The step is not due yet. Retry it after `seconds`."""

    def __init__(self, seconds: int, why: str) -> None:
        super().__init__(why)
        self.seconds = seconds


class StaleItemError(DropbatchError):
    """A conditional write found another state than it requires."""


class ObjectNotFoundError(DropbatchError):
    """There is no such object in S3."""


class ObjectForbiddenError(DropbatchError):
    """S3 does not let Dropbatch read an object: it may be encrypted with a key that Dropbatch may not use."""


class OpenAIError(DropbatchError):
    """A call to OpenAI failed. `code` is OpenAI's, or `http_<status>`."""

    kind = ErrorKind.UNKNOWN

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class OpenAIAuthError(OpenAIError):
    """There is no API key, or OpenAI does not accept it (401)."""

    kind = ErrorKind.KEY


class OpenAIPermissionError(OpenAIError):
    """The API key may not make this call (403)."""

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
    """OpenAI answered another 4xx, `status`: the call had no effect, and a retry would have none."""

    def __init__(self, code: str, status: int = 400) -> None:
        super().__init__(code)
        self.status = status


class OpenAINotFoundError(OpenAIRequestError):
    """OpenAI has no such file or batch (404)."""

    kind = ErrorKind.THING


class OpenAIOutcomeUnknownError(OpenAIError):
    """A timeout, a broken connection or a 5xx: it is unknown whether the call took effect."""

    kind = ErrorKind.PASSING
