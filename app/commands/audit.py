"""`penstock audit`: lists who changed what."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from app.commands.admin_client import AdminClient
from app.commands.durations import DURATION, parse_duration
from app.commands.options import DEFAULT_DATA_DIR, AsJson, DataDir
from app.commands.tables import print_table
from app.errors import InvalidInput
from app.web.excerpt import one_line

PAGE_SIZE = 500


def audit(
    actor: Annotated[str | None, typer.Option(help="Only what this operator did.")] = None,
    action: Annotated[
        str | None, typer.Option(help="Only this kind, such as rule, or this action, such as rule.changed.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Only what was done to this rule, flow or job.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only what is newer: a time such as 2026-01-31T09:00Z, or an age such as 2h.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only what is older: a time, or an age.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many to list at most.")] = 100,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List who changed what, newest first, with what it was before and what it is after."""
    bounds = {name: _time(text) for name, text in (("since", since), ("until", until)) if text is not None}
    wanted = {"actor": actor, "action": action, "target": target} | bounds
    query = {name: value for name, value in wanted.items() if value is not None}
    with AdminClient(data_dir) as client:
        entries = _entries(client, query, limit)
    if as_json:
        print(json.dumps({"entries": entries}, indent=2))
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table("at", "who", "by", "action", "target", "changes")
    for entry in entries:
        table.add_row(*map(escape, _row(entry)))
    print_table(table)


def _entries(client: AdminClient, query: dict[str, str], limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None and len(found) < limit:
        paging: dict[str, str | int] = {"limit": min(PAGE_SIZE, limit - len(found))}
        page = client.call("GET", "audit", query=query | paging | ({"after": after} if after else {}))
        found, after = found + page["entries"], page["next"]
    return found


def _row(entry: dict[str, Any]) -> list[str]:
    named = [one_line(entry[name], 256) for name in ("actor", "face", "action", "target")]
    return [entry["at"], *named, one_line(changes(entry["before"], entry["after"]), 2000)]


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
    return ", ".join(changed) + "".join(f", until {until}" for until in ends)


def _shown(value: Any) -> str:  # noqa: ANN401 - JSON
    return "(default)" if value is None else json.dumps(value)


def _time(text: str) -> str:
    """Read a time in ISO 8601, or an age. A time without an offset is local. Raises InvalidInput."""
    try:
        if DURATION.fullmatch(text):
            return (datetime.now(UTC) - parse_duration(text)).isoformat()
        return datetime.fromisoformat(text).astimezone(UTC).isoformat()
    except (ValueError, OverflowError) as error:
        shown = one_line(repr(text), 80)
        raise InvalidInput(f"{shown} is no time: write 2026-01-31T09:00Z, or an age such as 2h") from error
