"""`penstock rules`: applies, lists, shows, edits, restores and deletes rules."""

import json
import re
import sys
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any

import typer

from app.commands.admin_client import AdminClient
from app.commands.installation import DEFAULT_INSTALLATION, InstallationOption
from app.commands.options import AsJson, RuleIdArgument
from app.commands.rule_edit import edit
from app.commands.rule_pages import Outcome, applied, pages
from app.commands.rule_preview import preview
from app.commands.tables import print_table
from app.commands.times import format_time
from app.errors import NotFound
from app.rules.bounds import MAX_VERSION
from app.rules.rate import format_limit, format_rate
from app.web.excerpt import one_line

app = typer.Typer(no_args_is_help=True, help="Manage rules.")
app.command()(preview)

Version = Annotated[int, typer.Option("--version", min=1, max=MAX_VERSION, help="A version of the history.")]


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(help="A YAML or JSON file of rules.")],
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete the rules that are not in the file, and what is not a valid rule.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Write the rules of a file. All of them are checked before any is written, and what was done with each is shown.

    A file of more than 1,000 rules is written in several transactions.
    """
    from app.rules.file import read_rules_file
    from app.rules.model import editable_fields, to_json

    wanted = {rule.rule_id: editable_fields(to_json(rule)) for rule in read_rules_file(file)}
    with AdminClient(installation) as client:
        surplus = _surplus(client, wanted) if prune else []
        plan = list(pages(list(wanted.values()), surplus))
        expected = [applied(client, page, dry_run=True) for page in plan]
        if not dry_run:
            _confirm_deletions([name for name, _ in surplus])
        done: list[Outcome] = []
        for page, would_be in zip(plan, expected, strict=True):
            outcomes = would_be if dry_run else applied(client, page, would_be=would_be)
            done += outcomes
            if not as_json:
                _print_outcomes(outcomes)
    if as_json:
        print(json.dumps({"outcomes": done}, indent=2))


def _confirm_deletions(names: list[str]) -> None:
    """Ask on a terminal whether these may be deleted."""
    if names and sys.stdin.isatty():
        for name in names:
            print(f"{name}: to be deleted", file=sys.stderr)
        if not typer.confirm(f"Delete {len(names)} rules?", err=True):
            raise typer.Exit(1)


def _surplus(client: AdminClient, wanted: Iterable[str]) -> list[tuple[str, dict[str, str]]]:
    """Return what is stored and not wanted: its name, and how a request to delete it names it."""
    listed = _all_rules(client)
    names = set(wanted)
    rules = [(fields["rule_id"], {"delete": fields["rule_id"]}) for fields in listed["rules"]]
    invalid = [(fields["rule_id"], {"delete_documents": fields["document_key"]}) for fields in listed["invalid"]]
    return [*(one for one in rules if one[0] not in names), *(one for one in invalid if one[0] not in names)]


def _all_rules(client: AdminClient, query: dict[str, str] | None = None) -> dict[str, list[dict[str, Any]]]:
    """Return the rules that a query finds, by default all, and the documents among them that are not valid rules."""
    found: dict[str, list[dict[str, Any]]] = {"rules": [], "invalid": []}
    after: str | None = ""
    while after is not None:
        page = client.call("GET", "rules", query=(query or {}) | ({"after": after} if after else {}))
        for name in found:
            found[name] += page[name]
        after = page["next"]
    return found


def _print_outcomes(outcomes: Iterable[Outcome]) -> None:
    for outcome in outcomes:
        print(f"{one_line(outcome['rule_id'])}: {outcome['outcome']}")
        for change in outcome["changes"]:
            print(f"  {change['field']}: {_shown(change['from'])} -> {_shown(change['to'])}")


def _shown(value: Any) -> str:  # noqa: ANN401 - the value of any field
    return "(default)" if value is None else json.dumps(value)


@app.command("list")
def list_rules(
    search: Annotated[
        str | None, typer.Option(help="Only rules with this text in the id, the key, the path, or who changed them.")
    ] = None,
    sort: Annotated[
        str, typer.Option(help="By id, priority or updated_at; with - before it the greatest first.")
    ] = "id",
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """List rules, and the documents that are not valid rules."""
    query = ({} if search is None else {"search": search}) | ({} if sort == "id" else {"sort": sort})
    found = _all_rules(AdminClient(installation), query)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table("rule", "key", "limit", "burst", "over the limit", "drain", "state")
    for fields in found["rules"]:
        table.add_row(*map(escape, _row(fields)))
    for invalid in found["invalid"]:
        name, state = escape(one_line(invalid["rule_id"])), escape(_invalid(invalid))
        table.add_row(name, "", "", "", "", "", f"[red]{state}[/red]")
    print_table(table)


def _invalid(fields: dict[str, Any]) -> str:
    version = fields["version_in_force"]
    stays = "it is not in force" if version is None else f"version {version} stays in force"
    return f"invalid: {fields['problem']}; {stays}"


def _row(fields: dict[str, Any]) -> list[str]:
    drain = fields.get("drain")
    states = [name for name in ("paused", "shadow") if fields.get(name)]
    states += ["scheduled"] if fields.get("schedule") else []
    if temporary := fields.get("temporary"):
        states.append(f"temporary until {format_time(min(change['until'] for change in temporary))}")
    return [
        fields["rule_id"],
        one_line(_counted(fields["key_type"], fields.get("key_value", "")), 1100),
        *_limit(fields),
        format_rate(drain["limit"], drain["window_seconds"]) if drain else "",
        ", ".join(states) if fields.get("enabled", True) else "disabled",
    ]


def _limit(fields: dict[str, Any]) -> list[str]:
    """A rule's limit, its burst, and what happens over the limit; or what it does instead of limiting."""
    from app.rules.model import WITHOUT_QUOTA

    action = fields.get("action", "limit")
    if action in WITHOUT_QUOTA:
        return [action, "", ""]
    over_it = "defer always" if action == "defer" else fields.get("on_limit", "reject")
    own = [fields] if "limit" in fields else []
    limits = [format_rate(one["limit"], one["window_seconds"]) for one in (*own, *(fields.get("limits") or ()))]
    limits += [format_limit(fields["concurrency"], None)] if fields.get("concurrency") else []
    return [", ".join(limits), str(fields.get("burst") or fields.get("limit", "")), over_it]


def _counted(key_type: str | list[str], key_value: str | list[str]) -> str:
    """Whom a rule counts: `user *`, or `user * and claim:tenant acme`."""
    if isinstance(key_type, str) or isinstance(key_value, str):
        return f"{key_type} {key_value}".strip()
    return " and ".join(f"{part} {value}" for part, value in zip(key_type, key_value, strict=True))


@app.command()
def get(
    rule_id: RuleIdArgument,
    version: Annotated[
        int | None, typer.Option("--version", min=1, max=MAX_VERSION, help="A version of the history. Default: now.")
    ] = None,
    _: AsJson = True,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Show a rule as JSON, as it is or as it was."""
    history = () if version is None else ("history", str(version))
    print(json.dumps(AdminClient(installation).call("GET", "rules", rule_id, *history), indent=2))


@app.command()
def restore(
    rule_id: RuleIdArgument,
    version: Version,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Write a rule again as it was in a version of its history, also if it has been deleted."""
    written = AdminClient(installation).call("POST", "rules", rule_id, "restore", body={"version": version})
    text = f"{rule_id}: restored to version {version}, as version {written['version']}"
    print(json.dumps(written, indent=2) if as_json else text)


app.command()(edit)


@app.command()
def delete(
    name: Annotated[
        str, typer.Argument(metavar="RULE_ID", help="The id of a rule, or the name of an invalid document in the list.")
    ],
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Delete a rule, or a document that is not a valid rule."""
    from app.rules.field_types import RULE_ID_PATTERN

    client = AdminClient(installation)
    if re.fullmatch(RULE_ID_PATTERN, name):
        client.call("DELETE", "rules", name)
    else:
        _delete_document(client, name)
    print(json.dumps({"rule_id": name, "outcome": "deleted"}, indent=2) if as_json else f"{one_line(name)}: deleted")


def _delete_document(client: AdminClient, name: str) -> None:
    """Delete the one document that the list shows by this name. Raises NotFound."""
    invalid = _all_rules(client)["invalid"]
    keys = [fields["document_key"] for fields in invalid if fields["rule_id"] == name]
    if not keys:
        raise NotFound(f"there is no rule or document {one_line(repr(name), 80)}")
    client.call("PUT", "rules", body={"delete_documents": keys[:1]})


@app.command()
def history(
    rule_id: RuleIdArgument, as_json: AsJson = False, installation: InstallationOption = DEFAULT_INSTALLATION
) -> None:
    """List the versions of a rule as they came into force, newest first."""
    found = AdminClient(installation).call("GET", "rules", rule_id, "history")
    versions = found["versions"]
    if not versions:
        raise NotFound(f"there is no rule {rule_id!r} in the history")
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for newer, older in zip_longest(versions, versions[1:]):
        print("\n".join(_version(newer, older)))


def _version(entry: dict[str, Any], older: dict[str, Any] | None) -> list[str]:
    from app.rules.model import editable_fields

    if entry["rule"] is None:
        return [f"{format_time(entry['at'])}  deleted"]
    rule = editable_fields(entry["rule"])
    before = editable_fields(older["rule"]) if older and older["rule"] else None
    by = one_line(entry["rule"].get("updated_by", "unknown"))
    title = f"{format_time(entry['at'])}  version {entry['rule']['version']} by {by}"
    if before is None:
        return [title, f"  {json.dumps(rule)}"]
    names = [name for name in {**before, **rule} if before.get(name) != rule.get(name)]
    return [title, *(f"  {name}: {_shown(before.get(name))} -> {_shown(rule.get(name))}" for name in names)]
