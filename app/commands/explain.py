"""`penstock explain`: explains what would be decided about a request."""

import json
from typing import Annotated, Any

import typer

from app.commands.admin_client import AdminClient
from app.commands.installation import DEFAULT_INSTALLATION, InstallationOption
from app.commands.options import AsJson, parse_claims, parse_headers
from app.commands.tables import print_table
from app.commands.times import format_time
from app.rules.rate import format_limit


def explain(
    path: Annotated[str, typer.Argument(help="The path of the request.")] = "/",
    user: Annotated[str | None, typer.Option(help="The sub of the token. Default: no token.")] = None,
    ip: Annotated[str, typer.Option(help="The address of the client.")] = "127.0.0.1",
    method: Annotated[str, typer.Option(help="The method of the request.")] = "GET",
    claim: Annotated[list[str] | None, typer.Option(help="A claim of the token, name=value; may be repeated.")] = None,
    header: Annotated[
        list[str] | None, typer.Option(help="A header of the request, name=value; may be repeated.")
    ] = None,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Explain which rules apply to a request, what is left of each, and the decision. This spends nothing."""
    request = {"ip": ip, "method": method, "path": path, "claims": parse_claims(claim or [])}
    request |= {"headers": parse_headers(header or [])} if header else {}
    answer = AdminClient(installation).call("POST", "explain", body=request | ({"user": user} if user else {}))
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    from rich.table import Table

    table = Table("rule", "descriptor", "limit", "left", "wait", "over the limit")
    for rule in answer["rules"]:
        table.add_row(*_row(rule))
    print_table(table)
    for rule in answer["rules"]:
        if rule["source"] != "rule":
            until = format_time(rule["until"]) or "it is changed"
            print(f"{rule['policy']}: its {rule['source']} value is in force until {until}")
    by = f" (by {', '.join(answer['by'])})" if answer["by"] else ""
    print(f"decision: {answer['decision']}{by}")


def _row(rule: dict[str, Any]) -> list[str]:
    who = [rule["policy"] + (" (shadow)" if rule["shadow"] else ""), rule["descriptor"]]
    if rule["limit"] is None:
        return [*who, rule["action"], "", "", ""]
    return [
        *who,
        format_limit(rule["limit"], rule["window_seconds"]) + (f", cost {rule['cost']}" if rule["cost"] > 1 else ""),
        str(rule["remaining"]) + (", backlog" if rule["backlog"] else ""),
        f"{rule['wait_seconds']:.1f} s",
        "defer always" if rule["action"] == "defer" else rule["on_limit"],
    ]
