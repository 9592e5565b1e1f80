"""`penstock dead-letters`: lists, shows, replays and deletes failed jobs that are kept."""

import json
from typing import Annotated, Any

import typer

from app.commands.admin_client import AdminClient
from app.commands.dead_letter_options import (
    CodeOption,
    DescriptorOption,
    FailedAfterOption,
    FailedBeforeOption,
    StatusOption,
    filter_of,
)
from app.commands.options import (
    DEFAULT_DATA_DIR,
    AsJson,
    DataDir,
    JobIdArgument,
    JobIdsArgument,
    OptionalJobIds,
    RuleOption,
)
from app.commands.tables import print_table
from app.errors import InvalidInput

app = typer.Typer(no_args_is_help=True, help="Manage failed jobs that are kept.")


@app.command("list")
def list_dead_letters(
    rule: RuleOption = None,
    descriptor: DescriptorOption = None,
    code: CodeOption = None,
    status: StatusOption = None,
    failed_after: FailedAfterOption = None,
    failed_before: FailedBeforeOption = None,
    limit: Annotated[int, typer.Option(help="How many to list at most.")] = 100,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List dead letters, newest first."""
    query = filter_of(rule, descriptor, code, status, failed_after, failed_before) | {"limit": limit}
    found = AdminClient(data_dir).call("GET", "dead-letters", query=query)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    from rich.table import Table

    table = Table("job", "rule", "descriptor", "failed at", "attempts", "error")
    for letter in found["dead_letters"]:
        table.add_row(*_row(letter))
    print_table(table)
    if found["next"]:
        print(f"There are more. Use --limit {limit * 10} to list them.")


def _row(letter: dict[str, Any]) -> list[str]:
    from rich.markup import escape

    error = letter["error"]
    message = f"{error['code']}: {error['message']}"
    return [
        letter["id"],
        letter["rule_id"],
        letter["descriptor"],
        letter["failed_at"],
        str(letter["attempts"]),
        escape(message),
    ]


@app.command()
def get(job_id: JobIdArgument, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Show a dead letter as JSON: the error, the request and the last answer. Bodies are base64, and text too."""
    print(json.dumps(AdminClient(data_dir).call("GET", "dead-letters", job_id), indent=2))


@app.command()
def replay(
    job_ids: OptionalJobIds = None,
    rule: RuleOption = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Queue jobs again at the end of their flows, with all of their attempts."""
    if bool(job_ids) == bool(rule):
        raise InvalidInput("give either job ids or --rule")
    client, selection = AdminClient(data_dir), {"rule_id": rule} if rule else {"ids": job_ids}
    replayed, problems, more = 0, dict[str, str](), True
    while more:
        answer = client.call("POST", "dead-letters", "replay", body=selection)
        replayed += answer["replayed"]
        problems |= answer["problems"]
        more, selection = answer["next"] is not None, selection | {"after": answer["next"]}
    print(f"{replayed} replayed")
    if problems:
        raise InvalidInput("; ".join(f"{job_id}: {problem}" for job_id, problem in problems.items()))


@app.command()
def delete(job_ids: JobIdsArgument, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Delete dead letters with everything that is stored of the jobs."""
    client = AdminClient(data_dir)
    for job_id in job_ids:
        client.call("DELETE", "dead-letters", job_id)
        print(f"{job_id}: deleted")
