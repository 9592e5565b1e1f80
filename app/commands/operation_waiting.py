"""Starts operations and follows them until they have ended, with a progress bar on a terminal."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from app.commands.admin_client import AdminClient
from app.errors import Conflict

FIRST_INTERVAL_S = 0.1
MAX_INTERVAL_S = 1.0
DONE = {
    "replay_dead_letters": "replayed",
    "delete_dead_letters": "deleted",
    "purge_jobs": "canceled",
    "cancel_jobs": "canceled",
}

JOB_KINDS = ("purge_jobs", "cancel_jobs")

Operation = dict[str, Any]


def start(client: AdminClient, body: Operation, *, wait: bool, as_json: bool) -> None:
    """Start an operation or count what it would touch, and say what came of it.

    Raises Conflict if it did not do all that it was asked for, and whatever a call raises.
    """
    answer = client.call("POST", "operations", body=body)
    if wait and "dry_run" not in answer:
        answer = wait_until_ended(client, answer)
    report(answer, as_json=as_json)


def wait_until_ended(client: AdminClient, operation: Operation) -> Operation:
    """Ask for an operation again and again until it has ended. It goes on if this command is interrupted."""
    interval_s = FIRST_INTERVAL_S
    with _shown(operation) as show:
        while operation["ended_at"] is None:
            time.sleep(interval_s)
            interval_s = min(MAX_INTERVAL_S, 1.5 * interval_s)
            operation, _ = client.call_repeatedly("GET", "operations", operation["id"])
            show(operation)
    return operation


def report(answer: Operation, *, as_json: bool) -> None:
    """Print an operation, or what a dry run has counted. Raises Conflict if not all was done."""
    if as_json:
        print(json.dumps(answer, indent=2))
    elif answer.get("dry_run"):
        print(f"{_total(answer)} would be {DONE[answer['kind']]}")
    elif answer["ended_at"] is None:
        print(f"operation {answer['id']}: {_total(answer)} will be {DONE[answer['kind']]}")
        print(f"Follow it with: penstock operations get {answer['id']} --wait")
    else:
        gone = f", {answer['skipped']} were gone already" if answer["skipped"] else ""
        print(f"{answer['done']} {DONE[answer['kind']]}{gone}")
    if problem := _problem(answer):
        raise Conflict(problem)


def _total(answer: Operation) -> str:
    total, what = answer["total"], "job" if answer["kind"] in JOB_KINDS else "dead letter"
    if total["is_exact"]:
        return f"{total['at_least']} {what}{'' if total['at_least'] == 1 else 's'}"
    return f"at least {total['at_least']} {what}s, about {total['estimate']},"


def _problem(answer: Operation) -> str:
    if answer.get("state") in {"canceled", "failed"}:
        why = answer["problem"] or f"by {answer['canceled_by']}"
        return f"operation {answer['id']} was {answer['state']}: {why}"
    errors = answer.get("errors") or {}
    kinds = ", ".join(f"{count} {why}" for why, count in sorted(errors.items()))
    return f"{sum(errors.values())} could not be {DONE[answer['kind']]}: {kinds}" if errors else ""


@contextmanager
def _shown(operation: Operation) -> Iterator[Callable[[Operation], None]]:
    """Show a progress bar, if a person looks."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(operation["id"], total=1.0)

        def show(now: Operation) -> None:
            rate = f", {now['actual_rate_per_s']}/s" if now["actual_rate_per_s"] else ""
            problem = f" ({now['problem']})" if now["problem"] else ""
            text = f"{now['state']}: {now['done']} {DONE[now['kind']]}{rate}{problem}"
            bar.update(task, completed=now["progress"], description=text)

        yield show
