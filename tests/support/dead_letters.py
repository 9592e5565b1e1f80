"""Jobs that have failed, for tests of what operators do with them."""

import asyncio
from collections.abc import Sequence
from typing import Any

from app.jobs.model import JobStatus, StoredResponse
from app.queue.flows import Flows
from app.queue.model import LeasedJob, Settlement
from app.rules.active import ActiveRule
from tests.support.flow_steps import accepted, active, deferral, lease, take

LEASED_AT_ONCE = 100


async def leased(flows: Flows) -> LeasedJob:
    [flow] = await take(flows)
    [job] = (await lease(flows, flow, 1)).jobs
    return job


async def dead(
    flows: Flows,
    number: int = 0,
    code: str = "attempts_exhausted",
    status: int | None = 500,
    **more: Any,  # noqa: ANN401
) -> str:
    """A job of the user u<number> whose last attempt failed."""
    rule = more.pop("rule", None)
    job_id = await accepted(flows, deferral(number, rule, user=f"u{number}", **more))
    job = await leased(flows)
    assert job.id == job_id
    answer = None if status is None else StoredResponse(status, [(b"x-why", b"bug")], b"broken")
    failed = Settlement(job, JobStatus.FAILED, code, f"The app server answered {status}.", answer)
    assert await flows.settle([failed]) == [True]
    return job_id


async def all_leased(flows: Flows) -> list[LeasedJob]:
    """All jobs that wait in flows that are due, in the order of their flows."""
    jobs: list[LeasedJob] = []
    for flow in await take(flows, 60_000_000):
        while leased := (await lease(flows, flow, LEASED_AT_ONCE, 60_000_000)).jobs:
            jobs += leased
    return jobs


async def many_dead(flows: Flows, *, rules: Sequence[str], each: int) -> dict[str, list[str]]:
    """Dead letters of several rules, one rule's after another's in turn; their ids by rule, the oldest first."""
    found: dict[str, list[str]] = {rule: [] for rule in rules}
    for number in range(each):
        for rule in rules:
            found[rule].append(
                await accepted(flows, deferral(number, active(rule_id=rule, queue={"max_depth": 10_000})))
            )
    jobs = {job.id: job for job in await all_leased(flows)}
    for row in zip(*found.values(), strict=True):
        failed = [Settlement(jobs[one], JobStatus.FAILED, "attempts_exhausted", "It failed.") for one in row]
        await flows.settle(failed)
    return found


async def fill(flows: Flows, count: int, rule: ActiveRule, users: int = 10) -> list[str]:
    """So many dead letters of a rule, as fast as they can be made; their ids in the order of their acceptance."""
    found: list[str] = []
    for first in range(0, count, LEASED_AT_ONCE):
        some = range(first, min(first + LEASED_AT_ONCE, count))
        deferrals = [deferral(number, rule, user=f"u{number % users}") for number in some]
        found += await asyncio.gather(*(accepted(flows, one) for one in deferrals))
        jobs = await all_leased(flows)
        failed = [Settlement(job, JobStatus.FAILED, "attempts_exhausted", "It failed.") for job in jobs]
        assert all(await flows.settle(failed))
    return found
