"""`penstock rules`: apply, list, get, delete."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.admin_client import AdminClient
from app.commands.options import DEFAULT_DATA_DIR, DataDir
from app.errors import NotFound
from app.rules.file import read_rules_file
from app.rules.model import Rule, to_json
from app.rules.rate import format_rate

app = typer.Typer(no_args_is_help=True, help="The rules.")

KEPT_BY_STORE = {"version", "updated_at", "updated_by"}


@app.command()
def apply(file: Path, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Write the rules of a YAML or JSON file; all of them are checked before the first is written."""
    rules = read_rules_file(file)
    client = AdminClient(data_dir)
    for rule in rules:
        print(f"{rule.rule_id}: {_apply(client, rule)}")


def _apply(client: AdminClient, rule: Rule) -> str:
    wanted = _without_kept(to_json(rule))
    try:
        there = client.call("GET", f"/v1/rules/{rule.rule_id}")
    except NotFound:
        there = None
    if there is not None and _without_kept(there) == wanted:
        return "unchanged"
    client.call("PUT", f"/v1/rules/{rule.rule_id}", wanted)
    return "created" if there is None else "changed"


def _without_kept(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in KEPT_BY_STORE}


@app.command("list")
def list_rules(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False, data_dir: DataDir = DEFAULT_DATA_DIR
) -> None:
    """All rules, and the documents that are none."""
    found = AdminClient(data_dir).call("GET", "/v1/rules")
    if as_json:
        print(json.dumps(found, indent=2))
        return
    table = Table("rule", "for", "limit", "burst", "over it", "drain", "state")
    for fields in found["rules"]:
        table.add_row(*_row(fields))
    for invalid in found["invalid"]:
        table.add_row(invalid["rule_id"], "", "", "", "", "", f"[red]{escape(_invalid(invalid))}[/red]")
    Console().print(table)


def _invalid(fields: dict[str, Any]) -> str:
    version = fields["version_in_force"]
    stays = "it is not in force" if version is None else f"version {version} stays in force"
    return f"invalid: {fields['problem']}; {stays}"


def _row(fields: dict[str, Any]) -> list[str]:
    drain = fields.get("drain")
    states = [name for name in ("paused", "shadow") if fields.get(name)]
    return [
        fields["rule_id"],
        f"{fields['key_type']} {fields.get('key_value', '')}".strip(),
        format_rate(fields["limit"], fields["window_seconds"]),
        str(fields.get("burst", fields["limit"])),
        fields.get("on_limit", "reject"),
        format_rate(drain["limit"], drain["window_seconds"]) if drain else "",
        " ".join(states) if fields.get("enabled", True) else "disabled",
    ]


@app.command()
def get(rule_id: str, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """One rule as JSON."""
    print(json.dumps(AdminClient(data_dir).call("GET", f"/v1/rules/{rule_id}"), indent=2))


@app.command()
def delete(rule_id: str, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Delete a rule."""
    AdminClient(data_dir).call("DELETE", f"/v1/rules/{rule_id}")
    print(f"{rule_id}: deleted")
