"""Operations on dead letters: what they replay and delete, and what they leave."""

import asyncio
from collections import Counter

import pytest
from redis.asyncio import Redis

from app.admin.services.operations_model import DryRun
from app.errors import Conflict
from app.jobs.model import JobStatus
from app.queue.dead_letter_filter import DeadLetterFilter
from app.queue.flows import Flows
from app.queue.model import Settlement
from tests.support.dead_letters import dead, many_dead
from tests.support.flow_steps import active, give_back, ids, lease, take
from tests.support.operations import OLGA, VERA, OperatedInstallation, new_operation, queued
from tests.support.waiting import eventually


async def test_all_that_a_filter_finds_is_replayed_in_order(installation: OperatedInstallation, flows: Flows) -> None:
    found = await many_dead(flows, rules=["r", "other"], each=130)
    async with installation.process():
        document = await installation.ended(await installation.start(rule_id="r"))
    assert (document.state, document.done, document.skipped, document.errors) == ("completed", 130, 0, {})
    assert (document.total.at_least, document.total.is_exact, document.progress) == (130, True, 1.0)
    assert (document.started_by, document.canceled_by, document.problem) == ("olga", None, None)
    assert await queued(flows) == found["r"], "in the order in which they failed"


async def test_a_filter_without_a_rule_replays_those_of_all_rules(
    installation: OperatedInstallation, flows: Flows
) -> None:
    """Whose dead letters take turns, so that each batch meets both; and one of a rule that is gone stays dead."""
    found = await many_dead(flows, rules=["r", "other", "gone"], each=40)
    async with installation.process():
        document = await installation.ended(await installation.start(code="attempts_exhausted"))
    assert (document.done, document.errors) == (80, {"rule_not_in_force": 40})
    assert sorted(await queued(flows)) == sorted(found["r"] + found["other"])
    assert (await installation.batches.count(DeadLetterFilter())).found == 40


async def test_a_dry_run_counts_and_touches_nothing(
    installation: OperatedInstallation, flows: Flows, queue: Redis
) -> None:
    await many_dead(flows, rules=["r", "other"], each=20)
    wanted = {"kind": "delete_dead_letters", "filter": {"rule_id": "r"}, "dry_run": True}
    async with installation.process():
        counted = await installation.service.start(OLGA, new_operation(wanted))
    assert isinstance(counted, DryRun)
    assert counted.total.model_dump() == {"at_least": 20, "estimate": 20, "is_exact": True}
    assert await queue.zcard("{q0}:dead") == 40
    assert (await installation.service.page(VERA, 10, None)).operations == []


async def test_all_that_a_filter_finds_is_deleted(
    installation: OperatedInstallation, flows: Flows, queue: Redis
) -> None:
    await many_dead(flows, rules=["r", "other"], each=70)
    later = await dead(flows, 7, code="expired", rule=active(rule_id="other", queue={"max_depth": 10_000}))
    async with installation.process():
        document = await installation.ended(await installation.start("delete_dead_letters", rule_id="r"))
    assert (document.state, document.done) == ("completed", 70)
    left = await queue.zrange("{q0}:dead", 0, -1)
    assert len(left) == 71
    assert left[-1] == later.encode()
    assert len([key async for key in queue.scan_iter(match="{q0}:job:*")]) == 71


async def test_what_fails_again_is_not_replayed_twice(installation: OperatedInstallation, flows: Flows) -> None:
    """Nor is what fails after the operation was started."""
    found = (await many_dead(flows, rules=["r"], each=120))["r"]
    operation_id = await installation.start(rule_id="r")
    late = await dead(flows, 5, rule=active(queue={"max_depth": 10_000}))
    sent: list[str] = []
    over = asyncio.Event()

    async def fail_again() -> None:
        while not over.is_set():
            for flow in await take(flows):
                jobs = (await lease(flows, flow, 1000)).jobs
                sent.extend(ids(jobs))
                await flows.settle([Settlement(job, JobStatus.FAILED, "attempts_exhausted", "Again.") for job in jobs])
                await give_back(flows, flow)  # what was replayed since it was leased is due now
            await asyncio.sleep(0.005)

    failing = asyncio.create_task(fail_again())
    async with installation.process():
        document = await installation.ended(operation_id)
    await eventually(lambda: len(sent) >= len(found), 30, "all of them were sent again")
    over.set()
    await failing
    assert await queued(flows) == [], "the operation has ended, and nothing that it replayed is left"
    assert document.done == 120
    assert Counter(sent) == Counter(found)
    assert late not in sent


async def test_a_rule_that_is_not_in_force_is_refused(installation: OperatedInstallation) -> None:
    with pytest.raises(Conflict, match="The rule gone is deleted or disabled"):
        await installation.start(rule_id="gone")
