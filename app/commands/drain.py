"""`penstock drain`: how fast a rule's flows drain, changed while they do."""

import sys
from typing import Annotated

import typer

from app.commands.admin_client import AdminClient
from app.commands.options import DEFAULT_DATA_DIR, DataDir
from app.rules.rate import parse_rate

app = typer.Typer(no_args_is_help=True, help="Drain rates.")


@app.command("set")
def set_rate(rule_id: str, rate: str, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Give a rule's flows a drain rate of their own: 50/s, 100/m, 20/h, 5/30s."""
    limit, window_s = parse_rate(rate)
    AdminClient(data_dir).call("PUT", f"/v1/rules/{rule_id}/drain", {"limit": limit, "window_seconds": window_s})
    print(f"{rule_id}: drains at {rate}")


@app.command()
def unset(rule_id: str, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Drain from the rule's own budget again."""
    AdminClient(data_dir).call("DELETE", f"/v1/rules/{rule_id}/drain")
    print(f"{rule_id}: drains from its own budget")


@app.command()
def pause(rule_id: str, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """The flows accept and do not drain."""
    AdminClient(data_dir).call("POST", f"/v1/rules/{rule_id}/drain/pause")
    print(f"{rule_id}: paused")


@app.command()
def resume(rule_id: str, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """The flows drain again."""
    AdminClient(data_dir).call("POST", f"/v1/rules/{rule_id}/drain/resume")
    print(f"{rule_id}: resumed")


@app.command()
def purge(
    rule_id: str,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Cancel all jobs of a rule that wait to be sent."""
    if not yes and sys.stdin.isatty() and not typer.confirm(f"Cancel all waiting jobs of {rule_id}?"):
        raise typer.Exit(1)
    answer = AdminClient(data_dir).call("POST", f"/v1/rules/{rule_id}/drain/purge")
    print(f"{rule_id}: {answer['canceled']} jobs canceled")
