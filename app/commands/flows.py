"""`penstock flows`: shows, pauses and purges flows."""

import json
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from app.commands.admin_client import AdminClient
from app.commands.durations import format_duration
from app.commands.options import DEFAULT_DATA_DIR, AsJson, DataDir, FlowIdArgument, RuleOption
from app.commands.tables import print_table
from app.rules.rate import format_rate

app = typer.Typer(no_args_is_help=True, help="Look at flows: the queue of one caller's jobs under one rule.")

MAX_PAGE_SIZE = 500
COLUMNS = (
    "rule", "caller", "depth", "oldest", "permitted/s", "actual/s", "in flight", "empty in", "state", "flow id",
)  # fmt: skip


class Sort(StrEnum):
    """How flows are listed."""

    DEPTH = "depth"
    AGE = "age"
    RULE = "rule"


@app.command("list")
def list_flows(
    rule: RuleOption = None,
    descriptor: Annotated[
        str | None, typer.Option("--for", metavar="DESCRIPTOR", help="Only flows charged to it, such as user:alice.")
    ] = None,
    sort: Annotated[Sort, typer.Option(help="The most jobs first, the longest wait first, or by rule.")] = Sort.DEPTH,
    limit: Annotated[int, typer.Option(min=1, help="How many to list at most.")] = 100,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List flows with their depth, rates and state."""
    query: dict[str, str | int] = {"sort": sort.value}
    query |= {"rule_id": rule} if rule else {}
    query |= {"descriptor": descriptor} if descriptor else {}
    client = AdminClient(data_dir)
    flows: list[dict[str, Any]] = []
    while True:
        page = client.call("GET", "flows", query=query | {"limit": min(MAX_PAGE_SIZE, limit - len(flows))})
        flows += page["flows"]
        if page["next"] is None or len(flows) >= limit:
            break
        query["after"] = page["next"]
    if as_json:
        print(json.dumps(page | {"flows": flows}, indent=2))
        return
    _print_flows(flows)
    if page["next"] is not None:
        print(f"These are {len(flows)} of {page['total']} flows. Use --limit to list more.")
    if not page["complete"]:
        print("Not all flows have been looked at yet.")


@app.command()
def get(flow_id: FlowIdArgument, as_json: AsJson = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Show one flow: what it does, its rates, and how long it takes until it is empty."""
    flow = AdminClient(data_dir).call("GET", "flows", flow_id)
    if as_json:
        print(json.dumps(flow, indent=2))
        return
    width = max(map(len, flow))
    for name, value in flow.items():
        title = name.removesuffix("_seconds").replace("_", " ")
        print(f"{title:{width}}  {_shown(name, value)}")


@app.command()
def pause(flow_id: FlowIdArgument, as_json: AsJson = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Pause a flow: it accepts jobs and sends none until it is resumed, whatever restarts and whatever rules change."""
    setting = AdminClient(data_dir).call("POST", "flows", flow_id, "pause")
    _print_setting(setting, "paused", as_json)


@app.command()
def resume(flow_id: FlowIdArgument, as_json: AsJson = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Resume a flow that was paused by itself."""
    setting = AdminClient(data_dir).call("POST", "flows", flow_id, "resume")
    _print_setting(setting, "resumed", as_json)


@app.command()
def settings(as_json: AsJson = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List the flows that are paused or have a rate of their own, also those without jobs."""
    client = AdminClient(data_dir)
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

    from app.rules.rate import format_rate

    table = Table("rule", "for", "paused", "rate", "changed by", "changed at", "flow id")
    for one in found:
        rate = one["rate"] and format_rate(one["rate"]["limit"], one["rate"]["window_seconds"])
        words = (one["changed_by"], one["changed_at"], one["id"])
        table.add_row(
            one["rule_id"], escape(one["descriptor"]), "yes" if one["paused"] else "", rate or "", *map(escape, words)
        )
    print_table(table)


@app.command()
def purge(
    flow_id: FlowIdArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Cancel all jobs that wait in a flow. Jobs that are being sent are not affected."""
    client = AdminClient(data_dir)
    if not yes and sys.stdin.isatty():
        flow = client.call("GET", "flows", flow_id)
        if not typer.confirm(f"Cancel the {flow['waiting'] + flow['backing_off']} waiting jobs of {flow['name']}?"):
            raise typer.Exit(1)
    canceled, following = 0, ""
    while following is not None:
        query = {"after": following} if following else None
        answer = client.call("POST", "flows", flow_id, "purge", query=query)
        canceled, following = canceled + answer["canceled"], answer["next"]
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


def _shown(name: str, value: Any) -> str:  # noqa: ANN401 - JSON
    """A field of a flow as people read it."""
    if name.endswith("_seconds"):
        return format_duration(value)
    if name == "own_rate" and value is not None:
        return format_rate(value["limit"], value["window_seconds"])
    if isinstance(value, float):
        return f"{value:.3g}"
    return "-" if value is None else str(value)
