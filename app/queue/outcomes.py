"""The last jobs that ended, of all rules: kept for an hour, or the last 100,000 of each partition."""

import re
from typing import NamedTuple

from app.jobs.model import Job, JobStatus
from app.queue import keys
from app.queue.flow_name import own_rule_id
from app.redis_wire.scripts import Argument, Scripts

LOOK = 1000
"""How many outcomes one call of the script looks at."""

RETURNED_AT_ONCE = 100
"""How many outcomes one call of the script returns at most."""

CLOCK_SLACK_MS = 60_000

NEWEST = "+.0"
PLACE = re.compile(r"(\+|[0-9]{1,16}-[0-9]{1,16})\.([0-9]{1,6})")

_LETTERS = {JobStatus.SUCCEEDED: "s", JobStatus.FAILED: "f", JobStatus.CANCELED: "c"}
_STATUSES = {letter: status for status, letter in _LETTERS.items()}


class OutcomePage(NamedTuple):
    """Some outcomes, those of the latest batch first. `next`: the place to go on at; None: there are no more."""

    jobs: list[Job]
    next: str | None


async def recent_outcomes(
    scripts: Scripts,
    partition: int,
    place: str,
    limit: int,
    statuses: frozenset[JobStatus],
    text: str,
    *,
    only_gone: bool,
) -> OutcomePage:
    """Look at some outcomes of a partition. `place`: `NEWEST`, or the `next` of the page before.

    `text`: what their lines must have, such as a part of the flow's name. `only_gone`: only jobs whose records are
    no longer kept. Raises QueueUnavailable.
    """
    entry, _, skip = place.rpartition(".")
    letters = "".join(letter for status, letter in _LETTERS.items() if status in statuses)
    arguments: list[Argument] = [entry, int(skip), LOOK, min(limit, RETURNED_AT_ONCE), text, letters, int(only_gone)]
    following, skipped, *lines = await scripts.call("outcomes", [keys.prefix(partition)], arguments)
    jobs = [_job(line.decode()) for line in lines]
    return OutcomePage(jobs, f"{following.decode()}.{skipped}" if following else None)


def place_before(time_ms: int) -> str:
    """The place from which on all jobs are that finished up to this time, and some that finished a little later.

    The clock of the queue Redis goes on while a script runs, and may have stepped back since.
    """
    return f"{time_ms + CLOCK_SLACK_MS}-0.0"


def time_of(place: str) -> int:
    """A time, in Unix milliseconds, after which no job at this place finished; `place` is not `NEWEST`."""
    return int(place.partition("-")[0])


def _job(line: str) -> Job:
    """A job from its id and the first line of its record (app/queue/lua/_records.lua)."""
    job_id, letter, flow, owner, submitted, started, finished, attempts, answer, stored, *_, rest = line.split(" ", 15)
    _, code, message = rest.partition("|")[2].split(" ", 2)
    status = _STATUSES[letter]
    failed = status is JobStatus.FAILED
    return Job(
        id=job_id, owner="" if owner == "-" else owner, rule_id=own_rule_id(flow), flow=flow, status=status,
        attempts=int(attempts), submitted_at_ms=int(submitted), started_at_ms=None if started == "-" else int(started),
        finished_at_ms=int(finished), expires_at_ms=None, error_code=code if failed else None,
        error_message=message if failed else None, response_status=None if answer == "-" else int(answer),
        response_stored=stored == "1", position=None, eta_s=None, waiting_for=None,
    )  # fmt: skip
