"""`penstock jobs`: finds jobs, shows one with its timeline, and cancels jobs."""

import json
import time
from functools import partial
from typing import Annotated, Any

import typer

from app.commands.admin_client import AdminClient
from app.commands.confirmation import confirm
from app.commands.each_job import do_to_each
from app.commands.installation import DEFAULT_INSTALLATION, InstallationOption
from app.commands.job_options import (
    FinishedAfterOption,
    FinishedBeforeOption,
    FlowOption,
    IssuerOption,
    JobDescriptorOption,
    JobRuleOption,
    JobStatusOption,
    OwnerOption,
    ResponseStatusOption,
    SubmittedAfterOption,
    SubmittedBeforeOption,
    UserOption,
)
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
    given,
)
from app.commands.tables import print_more, print_table
from app.commands.times import format_time
from app.errors import InvalidInput

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
    limit: LimitOption = 100,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """List jobs that have not ended, and those that ended within the last hour."""
    wanted = given(
        rule_id=rule, descriptor=descriptor, flow=flow, subject=user, issuer=issuer, owner=owner, status=status,
        response_status=response_status, submitted_after=submitted_after, submitted_before=submitted_before,
        finished_after=finished_after, finished_before=finished_before,
    )  # fmt: skip
    if issuer is not None and user is None:
        raise InvalidInput("--issuer says whose --user it is: give both")
    jobs, page = AdminClient(installation).listed("jobs", "jobs", query=wanted, limit=limit)
    if as_json:
        print(json.dumps({"jobs": jobs}, indent=2))
        return
    from rich.table import Table

    table = Table("job", "rule", "descriptor", "status", "submitted at", "position", "sent in", "attempts", "result")
    for job in jobs:
        table.add_row(*_row(job))
    print_table(table)
    print_more(page, len(jobs))


def _row(job: dict[str, Any]) -> list[str]:
    from rich.markup import escape

    eta_s, position = job["eta_seconds"], job["position"]
    return [
        job["id"],
        job["rule_id"],
        escape(job["descriptor"]),
        job["status"],
        format_time(job["submitted_at"]),
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
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Show a job: what has happened to it, and why it waits. With --json also its request and response."""
    with AdminClient(installation) as client:
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
        until = f" Until {format_time(job['wait']['until'])}." if job["wait"]["until"] else ""
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
        format_time(event["at"]),
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
    yes: YesOption = False,
    as_json: AsJson = False,
    installation: InstallationOption = DEFAULT_INSTALLATION,
) -> None:
    """Cancel jobs that have not been sent: some by their ids, or all that are found.

    All that are found are canceled by an operation, which goes on if this command is interrupted.
    """
    named = given(rule_id=rule, descriptor=descriptor, flow=flow, owner=owner)
    wanted = named | given(submitted_after=submitted_after, submitted_before=submitted_before)
    if bool(job_ids) == bool(named) or (job_ids and wanted):
        raise InvalidInput("give either job ids, or what to look for: --rule, --descriptor, --flow or --owner")
    if not job_ids:
        confirm("Cancel all waiting jobs that are found?", yes=yes or dry_run)
    client = AdminClient(installation)
    if job_ids:
        do_to_each(job_ids, partial(client.call, "DELETE", "jobs"), "canceled", as_json=as_json)
    else:
        body = {"kind": "cancel_jobs", "filter": wanted, "dry_run": dry_run, "rate_per_s": rate}
        start(client, body, wait=wait, as_json=as_json)
