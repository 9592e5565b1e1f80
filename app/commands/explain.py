"""`penstock explain`: what would become of a request, and why."""

import json
from typing import Annotated

import typer
from rich.table import Table

from app.commands.admin_client import AdminClient
from app.commands.options import DEFAULT_DATA_DIR, DataDir
from app.commands.tables import print_table
from app.errors import InvalidInput
from app.rules.rate import format_rate


def explain(
    path: Annotated[str, typer.Argument(help="The path of the request.")] = "/",
    user: Annotated[str | None, typer.Option(help="The token's sub; without it the request is anonymous.")] = None,
    ip: Annotated[str, typer.Option(help="The client's address.")] = "127.0.0.1",
    method: str = "GET",
    claim: Annotated[list[str] | None, typer.Option(help="A claim of the token, name=value; may be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Say which rules apply to a request, what is left of them, and the decision; spends nothing."""
    claims = dict(_claim(text) for text in claim or [])
    question = {"ip": ip, "method": method, "path": path, "claims": claims} | ({"user": user} if user else {})
    answer = AdminClient(data_dir).call("POST", "/v1/explain", question)
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    table = Table("rule", "counts", "limit", "left", "wait", "over it")
    for rule in answer["rules"]:
        table.add_row(
            rule["rule_id"] + (" (shadow)" if rule["shadow"] else ""),
            rule["descriptor"],
            format_rate(rule["limit"], rule["window_seconds"]),
            str(rule["remaining"]) + (", backlog" if rule["backlog"] else ""),
            f"{rule['wait_seconds']:.1f} s",
            rule["on_limit"],
        )
    print_table(table)
    by = f" (by {', '.join(answer['by'])})" if answer["by"] else ""
    print(f"decision: {answer['decision']}{by}")


def _claim(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise InvalidInput(f"{text!r} is no claim: write name=value")
    return name, value
