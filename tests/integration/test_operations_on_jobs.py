"""Operations on jobs that wait: what they cancel, and what they leave."""

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from app.errors import InvalidInput
from app.jobs.model import JobStatus
from app.queue.batches import Batch
from app.queue.flows import Flows
from app.queue.records import Records
from tests.support.flow_steps import accepted, active, deferral, lease, take
from tests.support.operations import OLGA, OperatedInstallation, new_operation


async def test_all_jobs_that_a_filter_finds_are_canceled(
    installation: OperatedInstallation, flows: Flows, records: Records
) -> None:
    """One caller's, in the flow and in backoff; not one that is being sent, nor another's, nor one that came later."""
    rule = active(queue={"max_depth": 10_000})
    mine = [await accepted(flows, deferral(number, rule, user="mine")) for number in range(130)]
    others = [await accepted(flows, deferral(number, rule, user=f"u{number}")) for number in range(60)]
    [flow] = [unit for unit in await take(flows) if unit.name == "r|user:mine"]
    running, backing_off = (await lease(flows, flow, 2)).jobs
    await flows.retry(backing_off, 60, "upstream_error", "It failed.", give_back=False)
    wanted: dict[str, Any] = {"descriptor": "user:mine"}
    counted = await installation.service.start(
        OLGA, new_operation({"kind": "cancel_jobs", "filter": wanted, "dry_run": True})
    )
    assert counted.total.model_dump() == {"at_least": 129, "estimate": 129, "is_exact": True}
    operation_id = await installation.start("cancel_jobs", **wanted)
    await asyncio.sleep(0.002)  # a job is submitted in a millisecond
    later = await accepted(flows, deferral(0, rule, user="mine"))
    dying = await installation.store.claim("dying")
    assert dying is not None
    kind, batch = installation.kinds["cancel_jobs"], Batch(operation_id, 1, 20)
    first, again = [await kind.do(dying, batch, []) for _ in range(2)]
    assert first is not None
    assert first.done == 20
    assert again == first, "it died before it could note this batch, which is counted and not done again"
    await installation.store.release(dying, "dying")
    async with installation.process():
        document = await installation.ended(operation_id)
    assert (document.state, document.done, document.skipped, document.progress) == ("completed", 129, 0, 1.0)
    late = await kind.do(dying, batch, [])
    assert late is None, "a later batch has been done"
    jobs = [await records.get(job_id) for job_id in (*mine, *others, later)]
    left = {job.id for job in jobs if job is not None and job.status is not JobStatus.CANCELED}
    assert left == {running.id, later, *others}
    assert (await records.get(backing_off.id)) is not None
    with pytest.raises(ValidationError):
        new_operation({"kind": "cancel_jobs", "filter": {}})
    with pytest.raises(InvalidInput):
        await installation.start("cancel_jobs", flow="AAAA")


async def test_all_jobs_of_a_rule_that_wait_are_canceled(
    installation: OperatedInstallation, flows: Flows, records: Records
) -> None:
    """In flows and in backoff; not one that is being sent, nor one of another rule, nor one that came later."""
    rule, other = active(queue={"max_depth": 10_000}), active(rule_id="other")
    waiting = [await accepted(flows, deferral(number, rule, user=f"u{number % 7}")) for number in range(200)]
    spared = await accepted(flows, deferral(0, other))
    units = {unit.name: unit for unit in await take(flows)}
    [running] = (await lease(flows, units["r|user:u0"], 1)).jobs
    [backing_off] = (await lease(flows, units["r|user:u1"], 1)).jobs
    await flows.retry(backing_off, 60, "upstream_error", "It failed.", give_back=False)
    counted = await installation.service.start(
        OLGA, new_operation({"kind": "purge_jobs", "filter": {"rule_id": "r"}, "dry_run": True})
    )
    assert counted.total.model_dump() == {"at_least": 199, "estimate": 199, "is_exact": True}
    operation_id = await installation.start("purge_jobs", rule_id="r")
    await asyncio.sleep(0.002)  # a job is submitted in a millisecond
    later = [await accepted(flows, deferral(number, rule, user=f"u{number}")) for number in (1, 99)]
    async with installation.process():
        document = await installation.ended(operation_id)
    assert (document.state, document.done, document.progress) == ("completed", 199, 1.0)
    left = set()
    for job_id in (*waiting, spared, *later):
        job = await records.get(job_id)
        assert job is not None
        if job.status is not JobStatus.CANCELED:
            left.add(job_id)
    assert left == {running.id, spared, *later}
