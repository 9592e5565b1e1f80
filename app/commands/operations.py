"""`penstock operations`: follows and cancels long work on all that a filter finds."""

import json
import re
from typing import Annotated, Any

import typer

from app.commands.admin_client import AdminClient
from app.commands.installation import DEFAULT_INSTALLATION, InstallationOption
from app.commands.operation_waiting import report, wait_until_ended
from app.commands.options import AsJson, LimitOption
from app.commands.tables import print_more, print_table
from app.commands.times import format_time
from app.errors import InvalidInput
from app.web.excerpt import one_line

app = typer.Typer(no_args_is_help=True, help="Follow and cancel long work, such as the replay of many dead letters.")


def _operation_id(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{24}", text):
        raise InvalidInput(f"{one_line(repr(text), 80)} is not the id of an operation")
    return text


OperationIdArgument = Annotated[
    str, typer.Argument(metavar="OPERATION_ID", parser=_operation_id, help="The id of an operation.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until it has ended.")]


@app.command("list")
def list_operations(
    limit: LimitOption = 20,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """List operations, newest first: those under way, and those that have ended within 30 days."""
    from rich.table import Table

    found, page = AdminClient(installation).listed("operations", "operations", query={}, limit=limit, page_size=100)
    if as_json:
        print(json.dumps(page | {"operations": found}, indent=2))
        return
    table = Table(
        "operation", "kind", "filter", "state", "progress", "done", "gone already", "errors", "started by", "created at"
    )
    for operation in found:
        table.add_row(*_row(operation))
    print_table(table)
    print_more(page, len(found))


@app.command()
def get(
    operation_id: OperationIdArgument,
    wait: Wait = False,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Show an operation and how far it has come. With --wait the exit code says whether all was done."""
    client = AdminClient(installation)
    operation = client.call("GET", "operations", operation_id)
    if wait:
        report(wait_until_ended(client, operation), as_json=as_json)
    elif as_json:
        print(json.dumps(operation, indent=2))
    else:
        _print(operation)


@app.command()
def cancel(
    operation_id: OperationIdArgument,
    wait: Wait = False,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Cancel an operation. What it has done stays."""
    client = AdminClient(installation)
    operation = client.call("DELETE", "operations", operation_id)
    if wait:
        operation = wait_until_ended(client, operation)
    if as_json:
        print(json.dumps(operation, indent=2))
    else:
        print(f"operation {operation['id']}: {operation['state']}, {operation['done']} done")


def _row(operation: dict[str, Any]) -> list[str]:
    return [
        operation["id"],
        operation["kind"],
        _filter(operation),
        operation["state"],
        f"{operation['progress']:.0%}",
        str(operation["done"]),
        str(operation["skipped"]),
        _errors(operation),
        operation["started_by"],
        format_time(operation["created_at"]),
    ]


def _print(operation: dict[str, Any]) -> None:
    rate = operation["actual_rate_per_s"]
    total = operation["total"]
    lines = {
        "kind": operation["kind"],
        "filter": _filter(operation),
        "state": operation["state"],
        "progress": f"{operation['progress']:.0%}",
        "done": f"{operation['done']} of {'' if total['is_exact'] else 'about '}{total['estimate']}",
        "gone already": operation["skipped"],
        "errors": _errors(operation) or "none",
        "rate": f"{operation['rate_per_s']}/s at most" + (f", {rate}/s so far" if rate else ""),
        "started by": f"{operation['started_by']} at {format_time(operation['created_at'])}",
        "canceled by": operation["canceled_by"],
        "ended at": format_time(operation["ended_at"]) or None,
        "problem": operation["problem"],
    }
    for name, value in lines.items():
        if value is not None:
            print(f"{name}: {value}")


def _filter(operation: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in operation["filter"].items()) or "everything"


def _errors(operation: dict[str, Any]) -> str:
    return ", ".join(f"{count} {why}" for why, count in sorted(operation["errors"].items()))
