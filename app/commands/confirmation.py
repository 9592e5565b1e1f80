"""Asks whether something may be done that cannot be undone."""

import sys

import typer


def confirm(question: str, *, yes: bool) -> None:
    """Ask on a terminal, unless the answer was given by `--yes`. Raises typer.Abort for no.

    Where no person can answer, as in a script, nothing is asked.
    """
    if not yes and sys.stdin.isatty():
        typer.confirm(question, abort=True, err=True)
