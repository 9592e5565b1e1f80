"""Options that say which jobs are meant."""

from typing import Annotated

import typer

from app.commands.options import parse_rule_id
from app.commands.times import parse_time
from app.errors import InvalidInput
from app.web.excerpt import one_line

STATUSES = ("queued", "running", "retrying", "succeeded", "failed", "canceled")

JobFilter = dict[str, str | int | list[str]]
"""A filter as the admin API takes it."""


def _status(text: str) -> str:
    if text not in STATUSES:
        raise InvalidInput(f"{one_line(repr(text), 80)} is not one of {', '.join(STATUSES)}")
    return text


JobRuleOption = Annotated[
    str | None,
    typer.Option("--rule", metavar="RULE_ID", parser=parse_rule_id, help="Only jobs that this rule deferred."),
]
JobDescriptorOption = Annotated[
    str | None, typer.Option("--descriptor", help="Only jobs of who is counted so, or calls, such as user:alice.")
]
FlowOption = Annotated[str | None, typer.Option("--flow", help="Only jobs of the flow with this id.")]
OwnerOption = Annotated[str | None, typer.Option("--owner", help="Only jobs with this value as their owner.")]
UserOption = Annotated[str | None, typer.Option("--user", help="Only jobs of the owner with this `sub`.")]
IssuerOption = Annotated[
    str | None, typer.Option("--issuer", help="With --user: the `iss`. Default: that of the installation.")
]
JobStatusOption = Annotated[
    list[str] | None,
    typer.Option("--status", metavar="STATUS", parser=_status, help=f"Only {', '.join(STATUSES)}; may be repeated."),
]
ResponseStatusOption = Annotated[
    int | None,
    typer.Option("--response-status", min=100, max=599, help="Only jobs with this last answer of the app server."),
]
SubmittedAfterOption = Annotated[
    str | None,
    typer.Option("--submitted-after", parser=parse_time, metavar="TIME", help="Only what came at this time or later."),
]
SubmittedBeforeOption = Annotated[
    str | None,
    typer.Option("--submitted-before", parser=parse_time, metavar="TIME", help="Only what came by this time."),
]
FinishedAfterOption = Annotated[
    str | None,
    typer.Option("--finished-after", parser=parse_time, metavar="TIME", help="Only what ended at this time or later."),
]
FinishedBeforeOption = Annotated[
    str | None,
    typer.Option("--finished-before", parser=parse_time, metavar="TIME", help="Only what ended by this time."),
]


def given(**criteria: str | int | list[str] | None) -> JobFilter:
    """Return the criteria that were given."""
    return {name: value for name, value in criteria.items() if value is not None and value != []}
