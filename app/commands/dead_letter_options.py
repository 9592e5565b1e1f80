"""Options that say which dead letters are meant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from app.commands.times import parse_time
from app.errors import InvalidInput
from app.web.excerpt import one_line

FAILURE_CODES = ("attempts_exhausted", "expired", "rule_deleted")


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
    typer.Option("--failed-after", parser=parse_time, metavar="TIME", help="Only what failed at this time or later."),
]
FailedBeforeOption = Annotated[
    str | None,
    typer.Option("--failed-before", parser=parse_time, metavar="TIME", help="Only what failed before this time."),
]
AllOption = Annotated[bool, typer.Option("--all", help="All dead letters, whichever rule they are of.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only count what would be touched.")]
RateOption = Annotated[int, typer.Option("--rate", min=1, max=5000, help="How many a second at most.")]
WaitOption = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait until it is done, or print the id of the operation.")
]
DEFAULT_RATE_PER_S = 500


@dataclass(frozen=True, slots=True)
class Selection:
    """Dead letters by their ids, or all that a filter finds. Raises InvalidInput for both, and for neither."""

    job_ids: Sequence[str]
    wanted: Mapping[str, str | int]
    all_of_them: bool

    def __post_init__(self) -> None:
        if bool(self.job_ids) + bool(self.wanted) + self.all_of_them != 1:
            raise InvalidInput("give either job ids, or what to look for such as --rule, or --all")

    def operation(self, kind: str, dry_run: bool, rate_per_s: int) -> dict[str, Any]:
        """Return the operation on them, as the admin API takes it."""
        return {"kind": kind, "filter": self.wanted, "dry_run": dry_run, "rate_per_s": rate_per_s}


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
