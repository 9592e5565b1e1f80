"""`penstock dead-letters`: lists, shows, replays and deletes failed jobs that are kept."""

import json
from functools import partial
from typing import Any

import typer

from app.commands.admin_client import AdminClient
from app.commands.confirmation import confirm
from app.commands.dead_letter_options import (
    AllOption,
    CodeOption,
    DescriptorOption,
    FailedAfterOption,
    FailedBeforeOption,
    ResponseStatusOption,
    RuleOption,
    Selection,
    filter_of,
)
from app.commands.each_job import do_to_each
from app.commands.installation import DEFAULT_INSTALLATION, InstallationOption
from app.commands.operation_waiting import start
from app.commands.options import (
    DEFAULT_RATE_PER_S,
    AsJson,
    DryRunOption,
    JobIdArgument,
    LimitOption,
    OptionalJobIds,
    RateOption,
    WaitOption,
    YesOption,
)
from app.commands.tables import print_more, print_table
from app.commands.times import format_time
from app.errors import Conflict

app = typer.Typer(no_args_is_help=True, help="Manage failed jobs that are kept.")


@app.command("list")
def list_dead_letters(
    rule: RuleOption = None,
    descriptor: DescriptorOption = None,
    code: CodeOption = None,
    response_status: ResponseStatusOption = None,
    failed_after: FailedAfterOption = None,
    failed_before: FailedBeforeOption = None,
    limit: LimitOption = 100,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """List dead letters, newest first."""
    wanted = filter_of(rule, descriptor, code, response_status, failed_after, failed_before)
    letters, page = AdminClient(installation).listed("dead_letters", "dead-letters", query=wanted, limit=limit)
    if as_json:
        print(json.dumps(page | {"dead_letters": letters}, indent=2))
        return
    from rich.table import Table

    table = Table("job", "rule", "descriptor", "failed at", "attempts", "error")
    for letter in letters:
        table.add_row(*_row(letter))
    print_table(table)
    print_more(page, len(letters))


def _row(letter: dict[str, Any]) -> list[str]:
    from rich.markup import escape

    error = letter["error"]
    message = f"{error['code']}: {error['message']}"
    return [
        letter["id"],
        letter["rule_id"],
        letter["descriptor"],
        format_time(letter["failed_at"]),
        str(letter["attempts"]),
        escape(message),
    ]


@app.command()
def get(job_id: JobIdArgument, as_json: AsJson = True, installation: InstallationOption = DEFAULT_INSTALLATION) -> None:
    """Show a dead letter as JSON: the error, the request and the last answer. Bodies are base64, and text too."""
    print(json.dumps(AdminClient(installation).call("GET", "dead-letters", job_id), indent=2))


@app.command()
def replay(
    job_ids: OptionalJobIds = None,
    rule: RuleOption = None,
    descriptor: DescriptorOption = None,
    code: CodeOption = None,
    response_status: ResponseStatusOption = None,
    failed_after: FailedAfterOption = None,
    failed_before: FailedBeforeOption = None,
    all_of_them: AllOption = False,
    dry_run: DryRunOption = False,
    rate: RateOption = DEFAULT_RATE_PER_S,
    wait: WaitOption = True,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Queue jobs again at the end of their flows, with all of their attempts: some by their ids, or all that are found.

    All that are found are replayed by an operation, the oldest first, which goes on if this command is interrupted.
    """
    wanted = filter_of(rule, descriptor, code, response_status, failed_after, failed_before)
    selected = Selection(job_ids or [], wanted, all_of_them)
    client = AdminClient(installation)
    if not selected.job_ids:
        start(client, selected.operation("replay_dead_letters", dry_run, rate), wait=wait, as_json=as_json)
        return
    answer = client.call("POST", "dead-letters", "replay", body={"ids": selected.job_ids})
    print(json.dumps(answer, indent=2) if as_json else f"{answer['replayed']} replayed")
    if answer["problems"]:
        raise Conflict("; ".join(f"{job_id}: {problem}" for job_id, problem in answer["problems"].items()))


@app.command()
def delete(
    job_ids: OptionalJobIds = None,
    rule: RuleOption = None,
    descriptor: DescriptorOption = None,
    code: CodeOption = None,
    response_status: ResponseStatusOption = None,
    failed_after: FailedAfterOption = None,
    failed_before: FailedBeforeOption = None,
    all_of_them: AllOption = False,
    dry_run: DryRunOption = False,
    rate: RateOption = DEFAULT_RATE_PER_S,
    wait: WaitOption = True,
    yes: YesOption = False,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Delete dead letters with everything that is stored of the jobs: some by their ids, or all that are found."""
    wanted = filter_of(rule, descriptor, code, response_status, failed_after, failed_before)
    selected = Selection(job_ids or [], wanted, all_of_them)
    client = AdminClient(installation)
    if not selected.job_ids:
        confirm("Delete all dead letters that are found?", yes=yes or dry_run)
        start(client, selected.operation("delete_dead_letters", dry_run, rate), wait=wait, as_json=as_json)
        return
    do_to_each(selected.job_ids, partial(client.call, "DELETE", "dead-letters"), "deleted", as_json=as_json)
