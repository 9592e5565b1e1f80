"""`penstock drain`: sets, pauses and purges the draining of a rule's flows."""

import json
from typing import Annotated

import typer

from app.commands.admin_client import AdminClient
from app.commands.confirmation import confirm
from app.commands.durations import parse_duration
from app.commands.installation import DEFAULT_INSTALLATION, InstallationOption
from app.commands.options import AsJson, RuleIdArgument, YesOption, flow_id_of
from app.errors import InvalidInput
from app.rules.rate import parse_rate

app = typer.Typer(no_args_is_help=True, help="Manage how fast rules drain their backlogs.")

For = Annotated[
    str | None,
    typer.Option("--for", metavar="DURATION", help="How long, such as 90s, 10m or 2h; then it is as it was before."),
]

Descriptor = Annotated[
    str | None, typer.Option("--descriptor", help="Only for the flows of who is counted so, such as user:alice.")
]


@app.command("set")
def set_rate(
    rule_id: RuleIdArgument,
    rate: str,
    duration: For = None,
    descriptor: Descriptor = None,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Give a rule, or one flow of it, a drain rate of its own, such as 50/s, 100/m, 20/h or 5/30s."""
    limit, window_s = parse_rate(rate)
    body = {"limit": limit, "window_seconds": window_s}
    path, query = _path(rule_id, descriptor, "drain", "rate"), _for_seconds(duration, descriptor)
    answer = AdminClient(installation).call("PUT", *path, body=body, query=query)
    _print(answer, f"{_named(rule_id, descriptor)}: drains at {rate}{_for(duration)}", as_json)


@app.command()
def unset(
    rule_id: RuleIdArgument,
    descriptor: Descriptor = None,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Remove a rule's drain rate, so that it drains from its own budget; or that of one flow of it."""
    answer = AdminClient(installation).call("DELETE", *_path(rule_id, descriptor, "drain", "rate"))
    how = "from its own budget" if descriptor is None else "as its rule says"
    _print(answer, f"{_named(rule_id, descriptor)}: drains {how}", as_json)


@app.command()
def pause(
    rule_id: RuleIdArgument,
    duration: For = None,
    descriptor: Descriptor = None,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Pause a rule: its flows accept jobs and do not drain. Also what still waits of a rule that is gone."""
    path, query = _path(rule_id, descriptor, "drain"), _for_seconds(duration, descriptor)
    answer = AdminClient(installation).call("POST", *path, "pause", query=query)
    _print(answer, f"{_named(rule_id, descriptor)}: paused{_for(duration)}", as_json)


@app.command()
def resume(
    rule_id: RuleIdArgument,
    descriptor: Descriptor = None,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Resume a paused rule; also what still waits of a rule that was deleted or disabled while it was paused."""
    answer = AdminClient(installation).call("POST", *_path(rule_id, descriptor, "drain"), "resume")
    _print(answer, f"{_named(rule_id, descriptor)}: resumed", as_json)


@app.command()
def purge(
    rule_id: RuleIdArgument,
    yes: YesOption = False,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Cancel all jobs of a rule that wait to be sent. Jobs that are being sent are not affected."""
    confirm(f"Cancel all waiting jobs of {rule_id}?", yes=yes)
    canceled = AdminClient(installation).purged("rules", rule_id, "drain", "purge")
    _print({"canceled": canceled}, f"{rule_id}: {canceled} jobs canceled", as_json)


def _path(rule_id: str, descriptor: str | None, of_rule: str, *of_flow: str) -> tuple[str, ...]:
    """The path of what is set for a rule, or for the flows of a descriptor under it. Raises InvalidInput."""
    return ("rules", rule_id, of_rule) if descriptor is None else ("flows", flow_id_of(rule_id, descriptor), *of_flow)


def _named(rule_id: str, descriptor: str | None) -> str:
    return rule_id if descriptor is None else f"{rule_id}, {descriptor}"


def _for_seconds(duration: str | None, descriptor: str | None) -> dict[str, str | int] | None:
    """The query that asks for a change for a time. Raises InvalidInput."""
    if duration is not None and descriptor is not None:
        raise InvalidInput("what is set for one flow holds until it is removed: leave --for away")
    return None if duration is None else {"for_seconds": int(parse_duration(duration).total_seconds())}


def _for(duration: str | None) -> str:
    return "" if duration is None else f" for {duration}"


def _print(answer: object, text: str, as_json: bool) -> None:
    """Print the answer as JSON, or a text. The answer is null where only the flows of a rule are left."""
    print(json.dumps(answer, indent=2) if as_json else text)
