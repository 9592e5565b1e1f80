"""Runs commands of `penstock` in the process of a test."""

import contextlib
import io

from app.cli import run_command

RESERVED = [*"!*'();:@&=+$,/?#[]% \"<>\\^`{|}~", "..", ".", "/../", "%2e%2e", "%2F", "\n", "\0", "é", "\ud800"]
"""Texts that mean something in a URL or a shell, or cannot be sent."""

JOB = "0-" + "x" * 22
"""The id of a job."""


def ran(*arguments: str) -> tuple[int, str, str]:
    """Return the exit code, the output, and what was printed as an error."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = run_command(list(arguments))
    return code, out.getvalue(), errors.getvalue()


def is_clean(code: int, errors: str, most: int = 2) -> None:
    """Assert that a command ended with a code up to `most`, and with one line of error if it was not 0."""
    assert 0 <= code <= most, errors
    lines = errors.splitlines()
    assert len(lines) == (1 if code else 0), errors
    assert len(errors) < 2100
    assert "Traceback" not in errors
