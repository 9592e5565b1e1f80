"""`penstock rules`: applies, lists, shows and deletes rules."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.markup import escape
from rich.table import Table

from app.commands.admin_client import AdminClient
from app.commands.options import DEFAULT_DATA_DIR, AsJson, DataDir
from app.commands.tables import print_table
from app.rules.file import read_rules_file
from app.rules.model import editable_fields, to_json
from app.rules.rate import format_rate

app = typer.Typer(no_args_is_help=True, help="Manage rules.")


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(help="A YAML or JSON file of rules.")],
    prune: Annotated[bool, typer.Option("--prune", help="Delete the rules that are not in the file.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Write the rules of a file. All of them are checked and the differences are shown before any is written."""
    wanted = {rule.rule_id: editable_fields(to_json(rule)) for rule in read_rules_file(file)}
    client = AdminClient(data_dir)
    listed = _all_rules(client)
    existing = {fields["rule_id"]: editable_fields(fields) for fields in listed["rules"]}
    invalid = {fields["rule_id"] for fields in listed["invalid"]}
    for rule_id, fields in wanted.items():
        print("\n".join(_difference(rule_id, existing.get(rule_id), fields)))
    surplus = sorted((existing.keys() | invalid) - wanted.keys()) if prune else []
    for rule_id in surplus:
        print(f"{rule_id}: deleted")
    if dry_run:
        return
    if surplus and sys.stdin.isatty() and not typer.confirm(f"Delete {len(surplus)} rules?"):
        raise typer.Exit(1)
    for rule_id, fields in wanted.items():
        if existing.get(rule_id) != fields:
            client.call("PUT", f"/v1/rules/{rule_id}", fields)
    for rule_id in surplus:
        client.call("DELETE", f"/v1/rules/{rule_id}")


def _all_rules(client: AdminClient) -> dict[str, list[dict[str, Any]]]:
    """All rules, and all documents that are not valid rules."""
    found: dict[str, list[dict[str, Any]]] = {"rules": [], "invalid": []}
    after: str | None = ""
    while after is not None:
        page = client.call("GET", "/v1/rules" + (f"?after={quote(after, safe='')}" if after else ""))
        for name in found:
            found[name] += page[name]
        after = page["next"]
    return found


def _difference(rule_id: str, old: dict[str, Any] | None, new: dict[str, Any]) -> list[str]:
    """Describe what changes, one field per line."""
    if old == new:
        return [f"{rule_id}: unchanged"]
    if old is None:
        return [f"{rule_id}: created"]
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return [f"{rule_id}: changed", *(f"  {name}: {_shown(old, name)} -> {_shown(new, name)}" for name in names)]


def _shown(fields: dict[str, Any], name: str) -> str:
    return json.dumps(fields[name]) if name in fields else "(default)"


@app.command("list")
def list_rules(as_json: AsJson = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List all rules, and the documents that are not valid rules."""
    found = _all_rules(AdminClient(data_dir))
    if as_json:
        print(json.dumps(found, indent=2))
        return
    table = Table("rule", "for", "limit", "burst", "over it", "drain", "state")
    for fields in found["rules"]:
        table.add_row(*_row(fields))
    for invalid in found["invalid"]:
        table.add_row(invalid["rule_id"], "", "", "", "", "", f"[red]{escape(_invalid(invalid))}[/red]")
    print_table(table)


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
    """Show a rule as JSON."""
    print(json.dumps(AdminClient(data_dir).call("GET", f"/v1/rules/{rule_id}"), indent=2))


@app.command()
def delete(rule_id: str, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Delete a rule."""
    AdminClient(data_dir).call("DELETE", f"/v1/rules/{rule_id}")
    print(f"{rule_id}: deleted")


@app.command()
def history(rule_id: str, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List the versions of a rule as they came into force, newest first."""
    versions = AdminClient(data_dir).call("GET", f"/v1/rules/{rule_id}/history")["versions"]
    for newer, older in zip(versions, [*versions[1:], None], strict=True):
        print("\n".join(_version(newer, older)))


def _version(entry: dict[str, Any], older: dict[str, Any] | None) -> list[str]:
    if entry["rule"] is None:
        return [f"{entry['at']}  deleted"]
    rule = editable_fields(entry["rule"])
    before = editable_fields(older["rule"]) if older and older["rule"] else None
    title = f"{entry['at']}  version {entry['rule']['version']} by {entry['rule'].get('updated_by', 'unknown')}"
    return [title, *(_difference("", before, rule)[1:] if before else [f"  {json.dumps(rule)}"])]
