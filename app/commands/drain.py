"""`penstock drain`: sets, pauses and purges the draining of a rule's flows."""

import sys
from typing import Annotated

import typer

from app.commands.admin_client import AdminClient
from app.commands.options import DEFAULT_DATA_DIR, DataDir, RuleIdArgument
from app.rules.rate import parse_rate

app = typer.Typer(no_args_is_help=True, help="Manage how fast rules drain their backlogs.")


@app.command("set")
def set_rate(rule_id: RuleIdArgument, rate: str, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Give a rule a drain rate of its own, such as 50/s, 100/m, 20/h or 5/30s."""
    limit, window_s = parse_rate(rate)
    AdminClient(data_dir).call("PUT", "rules", rule_id, "drain", body={"limit": limit, "window_seconds": window_s})
    print(f"{rule_id}: drains at {rate}")


@app.command()
def unset(rule_id: RuleIdArgument, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Remove a rule's drain rate, so that it drains from its own budget."""
    AdminClient(data_dir).call("DELETE", "rules", rule_id, "drain")
    print(f"{rule_id}: drains from its own budget")


@app.command()
def pause(rule_id: RuleIdArgument, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Pause a rule: its flows accept jobs and do not drain. Also what still waits of a rule that is gone."""
    AdminClient(data_dir).call("POST", "rules", rule_id, "drain", "pause")
    print(f"{rule_id}: paused")


@app.command()
def resume(rule_id: RuleIdArgument, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Resume a paused rule; also what still waits of a rule that was deleted or disabled while it was paused."""
    AdminClient(data_dir).call("POST", "rules", rule_id, "drain", "resume")
    print(f"{rule_id}: resumed")


@app.command()
def purge(
    rule_id: RuleIdArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Cancel all jobs of a rule that wait to be sent. Jobs that are being sent are not affected."""
    if not yes and sys.stdin.isatty() and not typer.confirm(f"Cancel all waiting jobs of {rule_id}?"):
        raise typer.Exit(1)
    client = AdminClient(data_dir)
    canceled, following = 0, ""
    while following is not None:
        query = {"after": following} if following else None
        answer = client.call("POST", "rules", rule_id, "drain", "purge", query=query)
        canceled, following = canceled + answer["canceled"], answer["next"]
    print(f"{rule_id}: {canceled} jobs canceled")
