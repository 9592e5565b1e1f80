"""`penstock drain`: sets, pauses and purges the draining of a rule's flows."""

import json
from typing import Annotated

import typer

from app.commands.admin_client import AdminClient
from app.commands.confirmation import confirm
from app.commands.drain_scope import drain_scope, endless_scope
from app.commands.installation import DEFAULT_INSTALLATION, InstallationOption
from app.commands.operation_waiting import start
from app.commands.options import (
    DEFAULT_RATE_PER_S,
    AsJson,
    DryRunOption,
    RateOption,
    RuleIdArgument,
    WaitOption,
    YesOption,
)
from app.rules.rate import parse_rate

app = typer.Typer(no_args_is_help=True, help="Manage how fast rules drain their backlogs.")

For = Annotated[
    list[str] | None,
    typer.Option(
        "--for",
        metavar="DURATION|DESCRIPTOR",
        help="How long, such as 10m; or only for whom, such as user:alice. One of each may be given.",
    ),
]
ForDescriptor = Annotated[
    list[str] | None,
    typer.Option("--for", metavar="DESCRIPTOR", help="Only for the flows of who is counted so, such as user:alice."),
]
Descriptor = Annotated[
    str | None, typer.Option("--descriptor", help="The same as --for with a descriptor, such as user:alice.")
]


@app.command("set")
def set_rate(
    rule_id: RuleIdArgument,
    rate: Annotated[str, typer.Argument(help="How fast, such as 50/s, 100/m, 20/h or 5/30s.")],
    only_for: For = None,
    descriptor: Descriptor = None,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Give a rule, or one flow of it, a drain rate of its own."""
    limit, window_s = parse_rate(rate)
    body = {"limit": limit, "window_seconds": window_s}
    scope = drain_scope(rule_id, only_for, descriptor)
    path, query = scope.path("drain", "rate"), scope.query
    answer = AdminClient(installation).call("PUT", *path, body=body, query=query)
    _print(answer, f"{scope}: drains at {rate}{scope.lasting}", as_json)


@app.command()
def unset(
    rule_id: RuleIdArgument,
    only_for: ForDescriptor = None,
    descriptor: Descriptor = None,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Remove a rule's drain rate, so that it drains from its own budget; or that of one flow of it."""
    scope = endless_scope(rule_id, only_for, descriptor)
    answer = AdminClient(installation).call("DELETE", *scope.path("drain", "rate"))
    how = "from its own budget" if scope.descriptor is None else "as its rule says"
    _print(answer, f"{scope}: drains {how}", as_json)


@app.command()
def pause(
    rule_id: RuleIdArgument,
    only_for: For = None,
    descriptor: Descriptor = None,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Pause a rule, or one flow of it: jobs are accepted and not sent. Also what still waits of a rule that is gone."""
    scope = drain_scope(rule_id, only_for, descriptor)
    path, query = scope.path("drain"), scope.query
    answer = AdminClient(installation).call("POST", *path, "pause", query=query)
    _print(answer, f"{scope}: paused{scope.lasting}", as_json)


@app.command()
def resume(
    rule_id: RuleIdArgument,
    only_for: ForDescriptor = None,
    descriptor: Descriptor = None,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Resume a paused rule or flow; also what waits of a rule that was deleted or disabled while it was paused."""
    scope = endless_scope(rule_id, only_for, descriptor)
    answer = AdminClient(installation).call("POST", *scope.path("drain"), "resume")
    _print(answer, f"{scope}: resumed", as_json)


@app.command()
def purge(
    rule_id: RuleIdArgument,
    dry_run: DryRunOption = False,
    rate: RateOption = DEFAULT_RATE_PER_S,
    wait: WaitOption = True,
    yes: YesOption = False,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Cancel all jobs of a rule that wait to be sent, also of a rule that is gone. Jobs that are being sent stay.

    They are canceled by an operation, which goes on if this command is interrupted.
    """
    confirm(f"Cancel all waiting jobs of {rule_id}?", yes=yes or dry_run)
    body = {"kind": "purge_jobs", "filter": {"rule_id": rule_id}, "dry_run": dry_run, "rate_per_s": rate}
    start(AdminClient(installation), body, wait=wait, as_json=as_json)


def _print(answer: object, text: str, as_json: bool) -> None:
    """Print the answer as JSON, or a text. The answer is null where only the flows of a rule are left."""
    print(json.dumps(answer, indent=2) if as_json else text)
