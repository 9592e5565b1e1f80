"""`penstock jobs`: finds jobs, shows one with its timeline, and cancels jobs."""

import json
import sys
import time
from typing import Annotated, Any

import typer

from app.commands.admin_client import AdminClient
from app.commands.dead_letter_options import DEFAULT_RATE_PER_S, DryRunOption, RateOption, WaitOption
from app.commands.job_options import (
    FinishedAfterOption,
    FinishedBeforeOption,
    FlowOption,
    IssuerOption,
    JobDescriptorOption,
    JobFilter,
    JobRuleOption,
    JobStatusOption,
    OwnerOption,
    ResponseStatusOption,
    SubmittedAfterOption,
    SubmittedBeforeOption,
    UserOption,
    given,
)
from app.commands.operation_waiting import start
from app.commands.options import DEFAULT_DATA_DIR, AsJson, DataDir, JobIdArgument, OptionalJobIds
from app.commands.tables import print_table
from app.errors import InvalidInput

PAGE_SIZE = 500
POLL_INTERVAL_S = 0.5
FINAL = frozenset({"succeeded", "failed", "canceled"})

app = typer.Typer(no_args_is_help=True, help="Find and cancel jobs.")


@app.command("list")
def list_jobs(
    rule: JobRuleOption = None,
    descriptor: JobDescriptorOption = None,
    flow: FlowOption = None,
    user: UserOption = None,
    issuer: IssuerOption = None,
    owner: OwnerOption = None,
    status: JobStatusOption = None,
    response_status: ResponseStatusOption = None,
    submitted_after: SubmittedAfterOption = None,
    submitted_before: SubmittedBeforeOption = None,
    finished_after: FinishedAfterOption = None,
    finished_before: FinishedBeforeOption = None,
    limit: Annotated[int, typer.Option(min=1, help="How many to list at most.")] = 100,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List jobs that have not ended, and those that ended within the last hour."""
    wanted = given(
        rule_id=rule, descriptor=descriptor, flow=flow, subject=user, issuer=issuer, owner=owner, status=status,
        response_status=response_status, submitted_after=submitted_after, submitted_before=submitted_before,
        finished_after=finished_after, finished_before=finished_before,
    )  # fmt: skip
    with AdminClient(data_dir) as client:
        jobs, more = _found(client, wanted, limit)
    if as_json:
        print(json.dumps({"jobs": jobs}, indent=2))
        return
    from rich.table import Table

    table = Table("job", "rule", "descriptor", "status", "submitted at", "position", "sent in", "attempts", "result")
    for job in jobs:
        table.add_row(*_row(job))
    print_table(table)
    if more:
        print(f"There are more. Use --limit {limit * 10} to list them.")


def _found(client: AdminClient, wanted: JobFilter, limit: int) -> tuple[list[dict[str, Any]], bool]:
    """The jobs of as many pages as are needed, and whether there may be more."""
    jobs: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None and len(jobs) < limit:
        query = wanted | {"limit": min(PAGE_SIZE, limit - len(jobs))} | ({"after": after} if after else {})
        page = client.call("GET", "jobs", query=query)
        jobs, after = jobs + page["jobs"], page["next"]
    return jobs, after is not None


def _row(job: dict[str, Any]) -> list[str]:
    from rich.markup import escape

    eta_s, position = job["eta_seconds"], job["position"]
    return [
        job["id"],
        job["rule_id"],
        escape(job["descriptor"]),
        job["status"],
        job["submitted_at"],
        "" if position is None else str(position),
        "" if eta_s is None else f"{eta_s:g} s",
        str(job["attempts"]),
        escape(_result(job)),
    ]


def _result(job: dict[str, Any]) -> str:
    """How a job ended, or what it waits for."""
    if job["error"] is not None:
        return f"{job['error']['code']}: {job['error']['message']}"
    if job["response_status"] is not None:
        return f"app server: {job['response_status']}"
    return f"waits for {job['waiting_for']}" if job["waiting_for"] else ""


@app.command()
def get(
    job_id: JobIdArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show a job: what has happened to it, and why it waits. With --json also its request and response."""
    with AdminClient(data_dir) as client:
        job = client.call("GET", "jobs", job_id)
        while wait and job["status"] not in FINAL:
            time.sleep(POLL_INTERVAL_S)
            job, _ = client.call_repeatedly("GET", "jobs", job_id)
    if as_json:
        print(json.dumps(job, indent=2))
        return
    _print_job(job)


def _print_job(job: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    print(f"{job['id']}: {job['status']}, rule {job['rule_id']}, {job['descriptor']}, flow {job['flow_id']}")
    if job["wait"] is not None:
        until = f" Until {job['wait']['until']}." if job["wait"]["until"] else ""
        print(f"{job['wait']['detail']}{until}")
    if job["position"] is not None:
        eta = "unknown" if job["eta_seconds"] is None else f"{job['eta_seconds']:g} s"
        print(f"position {job['position']} of its flow, sent in: {eta}")
    if job["earlier_attempts"]:
        print(f"{job['earlier_attempts']} earlier attempts are not kept.")
    table = Table("at", "event", "worker", "took", "app server", "error")
    for event in job["timeline"]:
        table.add_row(*map(escape, _event(event)))
    print_table(table)


def _event(event: dict[str, Any]) -> list[str]:
    number, took_ms = event["number"], event["duration_ms"]
    return [
        event["at"] or "",
        event["event"] if number is None else f"attempt {number}",
        event["worker"] or "",
        "" if took_ms is None else f"{took_ms} ms",
        str(event["response_status"] or ""),
        event["error_code"] or "",
    ]


@app.command()
def cancel(
    job_ids: OptionalJobIds = None,
    rule: JobRuleOption = None,
    descriptor: JobDescriptorOption = None,
    flow: FlowOption = None,
    owner: OwnerOption = None,
    submitted_after: SubmittedAfterOption = None,
    submitted_before: SubmittedBeforeOption = None,
    dry_run: DryRunOption = False,
    rate: RateOption = DEFAULT_RATE_PER_S,
    wait: WaitOption = True,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Cancel jobs that have not been sent: some by their ids, or all that are found.

    All that are found are canceled by an operation, which goes on if this command is interrupted.
    """
    named = given(rule_id=rule, descriptor=descriptor, flow=flow, owner=owner)
    wanted = named | given(submitted_after=submitted_after, submitted_before=submitted_before)
    if bool(job_ids) == bool(named) or (job_ids and wanted):
        raise InvalidInput("give either job ids, or what to look for: --rule, --descriptor, --flow or --owner")
    if not job_ids and sys.stdin.isatty() and not (yes or dry_run):
        typer.confirm("Cancel all waiting jobs that are found?", abort=True)
    with AdminClient(data_dir) as client:
        if not job_ids:
            body = {"kind": "cancel_jobs", "filter": wanted, "dry_run": dry_run, "rate_per_s": rate}
            start(client, body, wait=wait, as_json=as_json)
        for job_id in job_ids or ():
            client.call("DELETE", "jobs", job_id)
            print(json.dumps({"canceled": job_id}) if as_json else f"{job_id}: canceled")
