"""Rejecting: the jobs of a rule that was deleted end as dead letters where the rule says so."""

from collections.abc import Sequence
from dataclasses import replace

import structlog

from app.jobs.model import JobStatus
from app.queue.flows import Flows
from app.queue.model import LeasedJob, Settlement, TakenFlow, Wait

log = structlog.get_logger()

REJECTED_AT_ONCE = 100
MESSAGE = "The rule that deferred it was deleted or disabled."


async def reject_jobs(flows: Flows, jobs: Sequence[LeasedJob]) -> None:
    """End leased jobs as dead letters. Raises QueueUnavailable."""
    if jobs:
        await flows.settle([Settlement(job, JobStatus.FAILED, "rule_deleted", MESSAGE) for job in jobs])
        log.info("dead_letters", flow=jobs[0].flow, code="rule_deleted", jobs=len(jobs))


async def reject_flow(flows: Flows, flow: TakenFlow, consumer: str, flow_lease_us: int) -> None:
    """End all jobs of a flow, unsent. Raises QueueUnavailable."""
    while flow.head.same_cost:
        n = min(flow.head.same_cost, REJECTED_AT_ONCE)
        lease = await flows.lease(flow, n, consumer=consumer, keep_us=flow_lease_us)
        if lease is None:
            return
        await reject_jobs(flows, lease.jobs)
        flow = replace(flow, head=lease.head)
    await flows.give_back(flow, Wait(0))
