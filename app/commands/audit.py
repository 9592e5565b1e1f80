"""`penstock audit`: lists who changed what."""

import json
from typing import Annotated, Any

import typer

from app.commands.admin_client import AdminClient
from app.commands.installation import DEFAULT_INSTALLATION, InstallationOption
from app.commands.options import AsJson, LimitOption, given, time_option
from app.commands.tables import print_more, print_table
from app.commands.times import format_time
from app.web.excerpt import one_line


def audit(
    actor: Annotated[str | None, typer.Option(help="Only what this operator did.")] = None,
    action: Annotated[
        str | None, typer.Option(help="Only this kind, such as rule, or this action, such as rule.changed.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Only what was done to this rule, flow or job.")] = None,
    since: Annotated[str | None, time_option("--since", "Only what was done at this time or later")] = None,
    until: Annotated[str | None, time_option("--until", "Only what was done before this time")] = None,
    limit: LimitOption = 100,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """List who changed what, newest first, with what it was before and what it is after."""
    wanted = given(actor=actor, action=action, target=target, since=since, until=until)
    entries, page = AdminClient(installation).listed("entries", "audit", query=wanted, limit=limit)
    if as_json:
        print(json.dumps({"entries": entries}, indent=2))
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table("at", "actor", "face", "action", "target", "changes")
    for entry in entries:
        table.add_row(*map(escape, _row(entry)))
    print_table(table)
    print_more(page, len(entries))


def _row(entry: dict[str, Any]) -> list[str]:
    named = [one_line(entry[name], 256) for name in ("actor", "face", "action", "target")]
    return [format_time(entry["at"]), *named, one_line(changes(entry["before"], entry["after"]), 2000)]


def changes(before: Any, after: Any) -> str:  # noqa: ANN401 - JSON
    """What differs between two values; of objects only the members that do, and that somebody has chosen.

    Of a rule that was created or deleted nothing: --json has all of it.
    """
    from app.rules.model import READ_ONLY_FIELDS

    if any(isinstance(value, dict) and "rule_id" in value for value in (before, after)) and None in (before, after):
        return ""
    before, after = before or {}, after or {}
    if not isinstance(before, dict) or not isinstance(after, dict):
        return f"{_shown(before)} -> {_shown(after)}"
    names = [
        name for name in {**before, **after} if before.get(name) != after.get(name) and name not in READ_ONLY_FIELDS
    ]
    changed = [f"{name}: {_shown(before.get(name))} -> {_shown(after.get(name))}" for name in names]
    ends = [one["until"] for one in after.get("temporary") or () if one not in (before.get("temporary") or ())]
    return ", ".join(changed) + "".join(f", until {format_time(until)}" for until in ends)


def _shown(value: Any) -> str:  # noqa: ANN401 - JSON
    return "(default)" if value is None else json.dumps(value)
