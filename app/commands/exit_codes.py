"""The exit codes of the command `penstock`."""

from enum import IntEnum

from app.errors import InvalidInput, InvalidRule, NotRunning, PenstockError, Unavailable


class ExitCode(IntEnum):
    """How a command ended. docs/reference/commands.md is generated from this class."""

    DONE = 0, "It is done."
    REFUSED = 1, "It was refused or has failed, wholly or in part. The line on standard error says why."
    WRONG_USAGE = 2, "The command line is wrong. Nothing was tried."
    NOT_REACHABLE = 3, "The installation, or a store that it needs, cannot be reached. It may be tried again."
    BUG = 70, "This is a bug. With `PENSTOCK_LOG_LEVEL=debug` the traceback is printed."
    INTERRUPTED = 130, "Ctrl-C ended it."

    meaning: str

    def __new__(cls, value: int, meaning: str) -> "ExitCode":
        """Make a code that says what it means."""
        code = int.__new__(cls, value)
        code._value_ = value
        code.meaning = meaning
        return code


def exit_code_of(error: PenstockError) -> ExitCode:
    """Return the exit code of a command that ends with this error.

    Input is refused by the command itself only where the command line has it; what the admin API refuses is
    AdminRefusal.
    """
    match error:
        case Unavailable() | NotRunning():
            return ExitCode.NOT_REACHABLE
        case InvalidRule():
            return ExitCode.REFUSED
        case InvalidInput():
            return ExitCode.WRONG_USAGE
    return ExitCode.REFUSED
