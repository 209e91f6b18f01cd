"""Errors with a meaning: does the step give up, or try again?

DropbatchError
├── Rejected              the drop or recipe is wrong: its problems are written down, and the step is done
├── RowRejected           one row is wrong; the caller decides what that means for the drop (`bad_rows`)
├── TryLater              nothing is wrong but the time: the work is due again after `seconds`
├── ConditionFailed       a conditional write lost: somebody else has moved the item on
├── ObjectMissing         no such object, or version of it, in S3
├── ObjectForbidden       S3 does not let us read an object
└── OpenAIError           what a call to OpenAI ended in
    ├── OpenAIKeyRejected     no key, a wrong key, or one without permission: jobs wait
    ├── OpenAIBusy            429: nothing was done; try again after `seconds`
    ├── OpenAIRefused         another 4xx: nothing was done, and trying again would not change that
    │   └── OpenAINotFound    404: no such file or batch
    └── OpenAIUnsure          5xx, timeout, broken connection: it may have taken effect
"""

from dropbatch.domain.problems import Problem, Problems


class DropbatchError(Exception):
    """The root of the project's errors. Their text holds codes, ids and numbers, never the text of a row."""


class Rejected(DropbatchError):
    """A drop or recipe cannot be used; `problems` says why."""

    def __init__(self, problems: Problems) -> None:
        super().__init__(f"{problems.total} problem(s): {', '.join(sorted({p.code for p in problems}))}")
        self.problems = problems

    @classmethod
    def because(cls, problem: Problem) -> "Rejected":
        problems = Problems()
        problems.add(problem)
        return cls(problems)


class RowRejected(DropbatchError):
    """One row cannot become a request; `problems` says why."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(", ".join(problem.code for problem in problems))
        self.problems = problems


class TryLater(DropbatchError):
    """The step is not due yet, and is to be tried again after `seconds`."""

    def __init__(self, seconds: int, why: str) -> None:
        super().__init__(why)
        self.seconds = seconds


class ConditionFailed(DropbatchError):
    """A conditional write found another state than it asked for."""


class ObjectMissing(DropbatchError):
    """There is no such object in S3."""


class ObjectForbidden(DropbatchError):
    """S3 does not let us read an object: it may be encrypted with a key that we may not use."""


class OpenAIError(DropbatchError):
    """A call to OpenAI did not give what was asked. `code` is OpenAI's, or `http_<status>`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class OpenAIKeyRejected(OpenAIError):
    """There is no API key, or OpenAI does not accept it (401, 403)."""


class OpenAIBusy(OpenAIError):
    """OpenAI answered 429: the call had no effect."""

    def __init__(self, code: str, seconds: int) -> None:
        super().__init__(code)
        self.seconds = seconds


class OpenAIRefused(OpenAIError):
    """OpenAI answered another 4xx, `status`: the call had no effect, and would have none again."""

    def __init__(self, code: str, status: int = 400) -> None:
        super().__init__(code)
        self.status = status


class OpenAINotFound(OpenAIRefused):
    """OpenAI knows no such file or batch (404)."""


class OpenAIUnsure(OpenAIError):
    """A timeout, a broken connection or a 5xx: nobody knows whether the call took effect."""
