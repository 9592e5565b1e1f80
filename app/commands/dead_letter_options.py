"""Options that say which dead letters are meant."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from app.errors import InvalidInput
from app.web.excerpt import one_line

FAILURE_CODES = ("attempts_exhausted", "expired", "rule_deleted")
_AGO = re.compile("([0-9]{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _time(text: str) -> str:
    """Return a time as the admin API takes it; `2h` is two hours ago."""
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return (datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})).isoformat()
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        problem = f"{one_line(repr(text), 80)} is not a time: write it as 2026-03-01T09:00:00Z, or 2h for 2 hours ago"
        raise InvalidInput(problem) from error
    return (time if time.tzinfo else time.astimezone()).isoformat()


def _code(text: str) -> str:
    if text not in FAILURE_CODES:
        raise InvalidInput(f"{one_line(repr(text), 80)} is not one of {', '.join(FAILURE_CODES)}")
    return text


DescriptorOption = Annotated[
    str | None, typer.Option("--descriptor", help="Only of who was counted so, such as user:alice.")
]
CodeOption = Annotated[
    str | None, typer.Option("--code", parser=_code, metavar="CODE", help=f"Only {', '.join(FAILURE_CODES)}.")
]
StatusOption = Annotated[
    int | None, typer.Option("--status", min=100, max=599, help="Only with this last answer of the app server.")
]
FailedAfterOption = Annotated[
    str | None,
    typer.Option("--failed-after", parser=_time, metavar="TIME", help="Only what failed at this time or later."),
]
FailedBeforeOption = Annotated[
    str | None, typer.Option("--failed-before", parser=_time, metavar="TIME", help="Only what failed before this time.")
]


def filter_of(
    rule: str | None,
    descriptor: str | None,
    code: str | None,
    status: int | None,
    failed_after: str | None,
    failed_before: str | None,
) -> dict[str, str | int]:
    """Return the filter as the admin API takes it, with what was given."""
    given = {
        "rule_id": rule,
        "descriptor": descriptor,
        "code": code,
        "response_status": status,
        "failed_after": failed_after,
        "failed_before": failed_before,
    }
    return {name: value for name, value in given.items() if value is not None}
