"""The exit codes of the command. They are part of its interface."""

from enum import IntEnum

from dropbatch.client.runs import Run
from dropbatch.domain.outcomes import JobStatus


class ExitCode(IntEnum):
    """The exit codes, by the end of the command that each stands for."""

    DONE = 0
    FAILED_ROWS = 1
    WRONG_USE = 2
    REJECTED = 3
    HELD = 4
    NOT_REACHABLE = 5
    NOT_DONE = 6
    FAULT = 70
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.DONE: "done",
    ExitCode.FAILED_ROWS: "some rows failed, the run failed or was cancelled, or `doctor` found a problem",
    ExitCode.WRONG_USE: "wrong use: an unknown option, file, key or stack, or a file that cannot be read or written",
    ExitCode.REJECTED: "the file is rejected",
    ExitCode.HELD: "the run waits for a decision",
    ExitCode.NOT_REACHABLE: "AWS or OpenAI did not answer, or did not allow a call",
    ExitCode.NOT_DONE: "the run has not ended within --timeout",
    ExitCode.FAULT: "a fault of the command itself",
    ExitCode.INTERRUPTED: "interrupted",
}
"""The meaning of each code, as `dropbatch --help` and docs/command.md say it."""


def code_of(run: Run) -> ExitCode:
    """Return the exit code for a run as it is."""
    if run.is_rejected:
        return ExitCode.REJECTED
    if run.is_held:
        return ExitCode.HELD
    if run.is_ended and (run.status != JobStatus.SUCCEEDED or run.failed_rows):
        return ExitCode.FAILED_ROWS
    return ExitCode.DONE
