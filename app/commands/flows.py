"""`penstock flows`: shows, pauses and purges flows."""

import json
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from app.commands.admin_client import AdminClient
from app.commands.confirmation import confirm
from app.commands.durations import format_duration
from app.commands.installation import DEFAULT_INSTALLATION, InstallationOption
from app.commands.options import AsJson, FlowIdArgument, LimitOption, YesOption, given, rule_option
from app.commands.tables import print_more, print_table
from app.commands.times import format_time
from app.rules.rate import format_rate

app = typer.Typer(
    no_args_is_help=True,
    help="Look at flows, and pause or purge them. A flow is the queue of one caller's jobs under a rule.",
)

COLUMNS = (
    "rule", "caller", "depth", "oldest", "permitted/s", "actual/s", "in flight", "empty in", "state", "flow id",
)  # fmt: skip


class Sort(StrEnum):
    """How flows are listed."""

    DEPTH = "depth"
    AGE = "age"
    RULE = "rule"


class ListedState(StrEnum):
    """The states by which flows are listed."""

    HELD = "held"
    PAUSED = "paused"


@app.command("list")
def list_flows(
    rule: Annotated[str | None, rule_option("Only flows whose jobs this rule deferred.")] = None,
    descriptor: Annotated[
        str | None, typer.Option(help="Only flows whose jobs are charged to it, such as user:alice.")
    ] = None,
    state: Annotated[
        ListedState | None, typer.Option(help="Only flows that an app server holds back, or only paused ones.")
    ] = None,
    sort: Annotated[Sort, typer.Option(help="The most jobs first, the longest wait first, or by rule.")] = Sort.DEPTH,
    limit: LimitOption = 100,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """List flows with their depth, rates and state."""
    wanted = given(sort=sort.value, rule_id=rule, descriptor=descriptor, state=None if state is None else state.value)
    flows, page = AdminClient(installation).listed("flows", "flows", query=wanted, limit=limit)
    if as_json:
        print(json.dumps(page | {"flows": flows}, indent=2))
        return
    _print_flows(flows)
    print_more(page, len(flows))
    if not page["complete"]:
        print("Not all flows have been looked at yet.")


@app.command()
def get(
    flow_id: FlowIdArgument, as_json: AsJson = False, installation: InstallationOption = DEFAULT_INSTALLATION
) -> None:
    """Show one flow: what it does, its rates, and how long it takes until it is empty."""
    flow = AdminClient(installation).call("GET", "flows", flow_id)
    if as_json:
        print(json.dumps(flow, indent=2))
        return
    width = max(map(len, flow))
    for name, value in flow.items():
        title = name.removesuffix("_seconds").replace("_", " ")
        print(f"{title:{width}}  {shown(name, value)}")


@app.command()
def pause(
    flow_id: FlowIdArgument, as_json: AsJson = False, installation: InstallationOption = DEFAULT_INSTALLATION
) -> None:
    """Pause a flow: it accepts jobs and sends none until it is resumed, whatever restarts and whatever rules change."""
    setting = AdminClient(installation).call("POST", "flows", flow_id, "pause")
    _print_setting(setting, "paused", as_json)


@app.command()
def resume(
    flow_id: FlowIdArgument, as_json: AsJson = False, installation: InstallationOption = DEFAULT_INSTALLATION
) -> None:
    """Resume a flow that was paused by itself."""
    setting = AdminClient(installation).call("POST", "flows", flow_id, "resume")
    _print_setting(setting, "resumed", as_json)


@app.command()
def settings(as_json: AsJson = False, installation: InstallationOption = DEFAULT_INSTALLATION) -> None:
    """List the flows that are paused or have a rate of their own, also those without jobs."""
    client = AdminClient(installation)
    found: list[dict[str, Any]] = []
    following: int | None = 0
    while following is not None:
        page = client.call("GET", "flow-settings", query={"after": following})
        found, following = found + page["settings"], page["next"]
    if as_json:
        print(json.dumps({"settings": found}, indent=2))
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table("rule", "descriptor", "paused", "rate", "changed by", "changed at", "flow id")
    for one in found:
        rate = one["rate"] and format_rate(one["rate"]["limit"], one["rate"]["window_seconds"])
        words = (one["changed_by"], format_time(one["changed_at"]), one["id"])
        table.add_row(
            one["rule_id"], escape(one["descriptor"]), "yes" if one["paused"] else "", rate or "", *map(escape, words)
        )
    print_table(table)


@app.command()
def purge(
    flow_id: FlowIdArgument,
    yes: YesOption = False,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Cancel all jobs that wait in a flow. Jobs that are being sent are not affected."""
    client = AdminClient(installation)
    if not yes and sys.stdin.isatty():
        flow = client.call("GET", "flows", flow_id)
        confirm(f"Cancel the {flow['waiting'] + flow['backing_off']} waiting jobs of {flow['name']}?", yes=yes)
    canceled, after = 0, None
    while True:
        answer = client.call("POST", "flows", flow_id, "purge", query=None if after is None else {"after": after})
        canceled, after = canceled + answer["canceled"], answer["next"]
        if after is None:
            break
    print(json.dumps({"canceled": canceled}) if as_json else f"{canceled} jobs canceled")


def _print_setting(setting: dict[str, Any], done: str, as_json: bool) -> None:
    named = f"{setting['rule_id']}, {setting['descriptor']}"
    print(json.dumps(setting, indent=2) if as_json else f"{named}: {done}")


def _print_flows(flows: list[dict[str, Any]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(*COLUMNS)
    for flow in flows:
        numbers = (flow["permitted_per_second"], flow["actual_per_second"])
        table.add_row(
            flow["rule_id"],
            escape(flow["caller"]),
            str(flow["depth"]),
            format_duration(flow["oldest_age_seconds"]),
            *("-" if number is None else f"{number:.3g}" for number in numbers),
            str(flow["in_flight"]),
            format_duration(flow["eta_seconds"]),
            escape(flow["state_detail"]),
            flow["id"],
        )
    print_table(table)


def shown(name: str, value: Any) -> str:  # noqa: ANN401 - JSON
    """A field of a flow as people read it."""
    if name.endswith("_seconds"):
        return format_duration(value)
    if name == "held_until":
        return format_time(value) or "-"
    if name == "own_rate" and value is not None:
        return format_rate(value["limit"], value["window_seconds"])
    if isinstance(value, float):
        return f"{value:.3g}"
    return "-" if value is None else str(value)
