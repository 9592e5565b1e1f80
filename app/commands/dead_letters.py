"""`penstock dead-letters`: failed jobs, kept: looked at, sent again, deleted."""

import json
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.markup import escape
from rich.table import Table

from app.commands.admin_client import AdminClient
from app.commands.options import DEFAULT_DATA_DIR, DataDir
from app.commands.tables import print_table
from app.errors import InvalidInput

app = typer.Typer(no_args_is_help=True, help="Failed jobs, kept.")

Rule = Annotated[str | None, typer.Option("--rule", help="Only those of one rule.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.command("list")
def list_dead_letters(
    rule: Rule = None,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 100,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Newest first."""
    query = f"?limit={limit}" + (f"&rule_id={quote(rule)}" if rule else "")
    found = AdminClient(data_dir).call("GET", f"/v1/dead-letters{query}")
    if as_json:
        print(json.dumps(found, indent=2))
        return
    table = Table("job", "rule", "of", "died", "attempts", "why")
    for letter in found["dead_letters"]:
        table.add_row(*_row(letter))
    print_table(table)
    if found["next"]:
        print(f"There are more: --limit {limit * 10} shows them.")


def _row(letter: dict[str, Any]) -> list[str]:
    error = letter["error"]
    why = f"{error['code']}: {error['message']}"
    return [
        letter["id"],
        letter["rule_id"],
        letter["descriptor"],
        letter["died_at"],
        str(letter["attempts"]),
        escape(why),
    ]


@app.command()
def get(job_id: str, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """One as JSON: the reason, the request, the app server's last answer; bodies are base64."""
    print(json.dumps(AdminClient(data_dir).call("GET", _path(job_id)), indent=2))


@app.command()
def replay(
    job_ids: Annotated[list[str] | None, typer.Argument(help="Which; or --rule.")] = None,
    rule: Rule = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Send them again, as the last of their flows, with all their attempts."""
    if bool(job_ids) == bool(rule):
        raise InvalidInput("name the jobs, or a rule with --rule")
    which = {"rule_id": rule} if rule else {"ids": job_ids}
    answer = AdminClient(data_dir).call("POST", "/v1/dead-letters/replay", which)
    print(f"{answer['replayed']} replayed")
    if answer["problems"]:
        raise InvalidInput("; ".join(f"{job_id}: {problem}" for job_id, problem in answer["problems"].items()))


@app.command()
def delete(job_ids: list[str], data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Forget them, and all that is kept of them."""
    client = AdminClient(data_dir)
    for job_id in job_ids:
        client.call("DELETE", _path(job_id))
        print(f"{job_id}: deleted")


def _path(job_id: str) -> str:
    return f"/v1/dead-letters/{quote(job_id, safe='')}"
