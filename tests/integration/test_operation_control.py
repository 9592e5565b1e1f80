"""How operations are started, paced, canceled, listed, and told in the audit."""

import pytest
from redis.asyncio import Redis

from app.errors import Conflict
from app.queue.batches import Batch
from app.queue.flows import Flows
from tests.support.dead_letters import dead, many_dead
from tests.support.operations import OLGA, VERA, WITHIN_S, OperatedInstallation
from tests.support.waiting import eventually


async def test_a_canceled_operation_ends_and_says_what_it_has_done(
    installation: OperatedInstallation, flows: Flows, queue: Redis
) -> None:
    await many_dead(flows, rules=["r"], each=300)
    operation_id = await installation.start(rule_id="r", rate_per_s=50)
    stopped = None
    async with installation.process():

        async def has_begun() -> bool:
            return (await installation.service.get(VERA, operation_id)).done > 0

        await eventually(has_begun, WITHIN_S, "some are replayed")
        stopped = await installation.store.get(operation_id)
        asked = await installation.service.cancel(OLGA, operation_id)
        assert asked.state in {"canceling", "canceled"}
        document = await installation.ended(operation_id)
    assert (document.state, document.canceled_by) == ("canceled", "olga")
    assert 0 < document.done < 300
    assert await queue.zcard("{q0}:dead") == 300 - document.done
    with pytest.raises(Conflict, match="it is canceled"):
        await installation.service.cancel(OLGA, operation_id)
    kind = installation.kinds["replay_dead_letters"]
    number = (await installation.store.get(operation_id)).batch
    late = await kind.do(stopped, Batch(operation_id, number, 50), ["r"])
    assert late is not None
    assert late.touched == 0, "nor does a process that was stopped meanwhile do a batch"
    assert await queue.zcard("{q0}:dead") == 300 - document.done


async def test_an_operation_that_nobody_has_begun_can_be_canceled(
    installation: OperatedInstallation, flows: Flows
) -> None:
    await dead(flows)
    operation_id = await installation.start(rule_id="r")
    assert (await installation.service.get(VERA, operation_id)).state == "pending"
    assert (await installation.service.cancel(OLGA, operation_id)).state == "canceling"
    assert (await installation.service.cancel(OLGA, operation_id)).state == "canceling"
    async with installation.process():
        document = await installation.ended(operation_id)
    assert (document.state, document.done) == ("canceled", 0)


async def test_the_same_is_not_started_twice(installation: OperatedInstallation, flows: Flows) -> None:
    await dead(flows)
    operation_id = await installation.start(rule_id="r")
    with pytest.raises(Conflict, match=f"{operation_id} does the same"):
        await installation.start(rule_id="r")
    another = await installation.start("delete_dead_letters", rule_id="r", code="expired")
    async with installation.process():
        await installation.ended(operation_id)
        await installation.ended(another)
        again = await installation.ended(await installation.start(rule_id="r"))
    assert again.done == 0


@pytest.mark.alone
async def test_no_more_are_touched_in_a_second_than_permitted(installation: OperatedInstallation, flows: Flows) -> None:
    await many_dead(flows, rules=["r"], each=200)
    async with installation.process():
        document = await installation.ended(await installation.start(rule_id="r", rate_per_s=100))
    assert document.started_at is not None
    assert document.ended_at is not None
    # The first batch needs not wait, and the last one's time is not waited for.
    assert (document.ended_at - document.started_at).total_seconds() > (200 - 2 * 50) / 100


async def test_operations_are_listed_in_stable_pages(installation: OperatedInstallation, flows: Flows) -> None:
    await dead(flows)
    started = [await installation.start("delete_dead_letters", descriptor=f"user:{number}") for number in range(5)]
    first = await installation.service.page(VERA, 2, None)
    assert [one.id for one in first.operations] == started[:2:-1]
    newer = await installation.start("delete_dead_letters", descriptor="user:x")
    second = await installation.service.page(VERA, 2, first.next)
    third = await installation.service.page(VERA, 2, second.next)
    assert [one.id for one in (*second.operations, *third.operations)] == started[2::-1]
    assert third.next is None
    assert (await installation.service.page(VERA, 1, None)).operations[0].id == newer


async def test_the_audit_says_who_started_and_canceled_and_how_it_ended(
    installation: OperatedInstallation, flows: Flows
) -> None:
    await dead(flows)
    first = await installation.start(rule_id="r")
    second = await installation.start("delete_dead_letters", code="expired")
    await installation.service.cancel(OLGA, second)
    async with installation.process():
        await installation.ended(first)
        await installation.ended(second)
    entries = [entry async for entry in installation.database["audit"].find().sort("_id")]
    told = {(entry["target"], entry["action"], entry["actor"]) for entry in entries}
    assert told == {
        (first, "operation.started", "olga"),
        (first, "operation.ended", "penstock"),
        (second, "operation.started", "olga"),
        (second, "operation.canceled", "olga"),
        (second, "operation.ended", "penstock"),
    }
    ended = next(entry for entry in entries if entry["target"] == first and entry["action"] == "operation.ended")
    assert ended["after"] == {
        "kind": "replay_dead_letters",
        "filter": {"rule_id": "r"},
        "rate_per_s": 5000,
        "state": "completed",
        "done": 1,
        "skipped": 0,
    }
