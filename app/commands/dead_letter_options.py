"""Options that say which dead letters are meant."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from app.commands.options import Criteria, given, rule_option, time_option
from app.errors import InvalidInput
from app.web.excerpt import one_line

FAILURE_CODES = ("attempts_exhausted", "expired", "rule_deleted")


def _code(text: str) -> str:
    if text not in FAILURE_CODES:
        raise InvalidInput(f"{one_line(repr(text), 80)} is not one of {', '.join(FAILURE_CODES)}")
    return text


RuleOption = Annotated[str | None, rule_option("Only dead letters of this rule.")]
DescriptorOption = Annotated[
    str | None, typer.Option("--descriptor", help="Only of who was counted so, such as user:alice.")
]
CodeOption = Annotated[
    str | None, typer.Option("--code", parser=_code, metavar="CODE", help=f"Only {', '.join(FAILURE_CODES)}.")
]
ResponseStatusOption = Annotated[
    int | None,
    typer.Option("--response-status", min=100, max=599, help="Only with this last answer of the app server."),
]
FailedAfterOption = Annotated[str | None, time_option("--failed-after", "Only what failed at this time or later")]
FailedBeforeOption = Annotated[str | None, time_option("--failed-before", "Only what failed before this time")]
AllOption = Annotated[bool, typer.Option("--all", help="All dead letters, whichever rule they are of.")]


@dataclass(frozen=True, slots=True)
class Selection:
    """Dead letters by their ids, or all that a filter finds. Raises InvalidInput for both, and for neither."""

    job_ids: Sequence[str]
    wanted: Criteria
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
    response_status: int | None,
    failed_after: str | None,
    failed_before: str | None,
) -> Criteria:
    """Return the filter as the admin API takes it, with what was given."""
    return given(
        rule_id=rule, descriptor=descriptor, code=code, response_status=response_status,
        failed_after=failed_after, failed_before=failed_before,
    )  # fmt: skip
