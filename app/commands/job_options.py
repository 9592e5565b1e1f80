"""Options that say which jobs are meant."""

from typing import Annotated

import typer

from app.commands.options import rule_option, time_option
from app.errors import InvalidInput
from app.web.excerpt import one_line

STATUSES = ("queued", "running", "retrying", "succeeded", "failed", "canceled")


def _status(text: str) -> str:
    if text not in STATUSES:
        raise InvalidInput(f"{one_line(repr(text), 80)} is not one of {', '.join(STATUSES)}")
    return text


JobRuleOption = Annotated[str | None, rule_option("Only jobs that this rule deferred.")]
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
SubmittedAfterOption = Annotated[str | None, time_option("--submitted-after", "Only what came at this time or later")]
SubmittedBeforeOption = Annotated[str | None, time_option("--submitted-before", "Only what came by this time")]
FinishedAfterOption = Annotated[str | None, time_option("--finished-after", "Only what ended at this time or later")]
FinishedBeforeOption = Annotated[str | None, time_option("--finished-before", "Only what ended by this time")]
