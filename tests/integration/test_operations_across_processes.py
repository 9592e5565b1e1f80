"""Operations survive their processes and their stores, and are done once."""

from collections import Counter
from typing import Any

import pytest

from app.errors import Conflict, QueueUnavailable
from app.queue.batches import Batch, BatchResult
from app.queue.flows import Flows
from tests.support.dead_letters import many_dead
from tests.support.operations import OLGA, VERA, WITHIN_S, OperatedInstallation, queued
from tests.support.waiting import eventually


class Crash(BaseException):
    """Ends a task as the death of its process would: nothing more is written."""


class CrashesAfter:
    """A kind whose process dies right after a batch was done and before that could be noted."""

    def __init__(self, kind: Any, number: int) -> None:  # noqa: ANN401 - any kind
        self.kind, self.number, self.max_batch = kind, number, kind.max_batch

    async def do(self, operation: Any, batch: Batch, rule_ids: Any) -> BatchResult | None:  # noqa: ANN401
        result: BatchResult | None = await self.kind.do(operation, batch, rule_ids)
        if batch.number >= self.number:
            raise Crash
        return result


async def test_another_process_goes_on_where_one_died(
    installation: OperatedInstallation, flows: Flows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It died between a batch and the note about it: what the batch did is counted, once, and not done again."""
    monkeypatch.setattr("app.admin.services.operation_store._FREE", {"holder": {"$ne": "nobody"}})  # leases are over
    found = (await many_dead(flows, rules=["r"], each=230))["r"]
    operation_id = await installation.start(rule_id="r")
    dying = CrashesAfter(installation.kinds["replay_dead_letters"], 2)
    operation = await installation.store.claim("dying")
    assert operation is not None
    first = await dying.do(operation, Batch(operation_id, 1, 50), ["r"])
    assert first is not None
    operation = await installation.store.advance(operation, "dying", first)
    assert operation is not None
    with pytest.raises(Crash):
        await dying.do(operation, Batch(operation_id, 2, 50), ["r"])
    async with installation.process():
        document = await installation.ended(operation_id)
    assert (document.done, document.skipped) == (230, 0)
    assert await queued(flows) == found


async def test_two_processes_do_not_do_it_twice(installation: OperatedInstallation, flows: Flows) -> None:
    found = await many_dead(flows, rules=["r", "other"], each=150)
    async with installation.process(), installation.process(), installation.process():
        started = [await installation.start(rule_id=rule, rate_per_s=1000) for rule in ("r", "other")]
        documents = [await installation.ended(operation_id) for operation_id in started]
    assert [document.done for document in documents] == [150, 150]
    assert Counter(await queued(flows)) == Counter(found["r"] + found["other"])


async def test_who_was_stopped_for_longer_than_the_lease_does_nothing_more(
    installation: OperatedInstallation, flows: Flows, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = (await many_dead(flows, rules=["r"], each=100))["r"]
    operation_id = await installation.start(rule_id="r")
    stopped = await installation.store.claim("stopped")
    assert stopped is not None
    assert await installation.store.claim("another") is None, "it is leased"
    monkeypatch.setattr("app.admin.services.operation_store._FREE", {"holder": {"$ne": "nobody"}})
    kind = installation.kinds["replay_dead_letters"]
    async with installation.process():
        await installation.ended(operation_id)
    late = await kind.do(stopped, Batch(operation_id, 1, 50), ["r"])
    assert late is None, "a later batch has been done"
    assert await installation.store.advance(stopped, "stopped", BatchResult(50, 0, 50, None)) is None
    assert (await installation.service.get(VERA, operation_id)).done == 100
    assert await queued(flows) == found


class Interrupted:
    """A kind whose queue Redis is away for some batches."""

    def __init__(self, kind: Any, times: int) -> None:  # noqa: ANN401 - any kind
        self.kind, self.times, self.max_batch = kind, times, kind.max_batch

    async def do(self, operation: Any, batch: Batch, rule_ids: Any) -> BatchResult | None:  # noqa: ANN401
        if batch.number == 2 and self.times > 0:
            self.times -= 1
            raise QueueUnavailable("Redis: not connected.")
        result: BatchResult | None = await self.kind.do(operation, batch, rule_ids)
        return result


async def test_an_operation_waits_for_its_stores_and_says_so(
    installation: OperatedInstallation, flows: Flows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.admin.services.operation_runner.RETRY_INTERVAL_S", 0.2)
    found = (await many_dead(flows, rules=["r"], each=90))["r"]
    kinds: Any = {"replay_dead_letters": Interrupted(installation.kinds["replay_dead_letters"], 5)}
    problems = set()
    async with installation.process(kinds):
        operation_id = await installation.start(rule_id="r")

        async def has_ended() -> bool:
            now = await installation.service.get(VERA, operation_id)
            problems.add(now.problem)
            return now.ended_at is not None

        await eventually(has_ended, WITHIN_S, "it goes on")
    assert problems == {None, "Redis: not connected."}
    assert await queued(flows) == found


async def test_a_process_that_is_told_to_stop_gives_its_operations_back(
    installation: OperatedInstallation, flows: Flows
) -> None:
    await many_dead(flows, rules=["r"], each=200)
    operation_id = await installation.start(rule_id="r", rate_per_s=100)
    async with installation.process():

        async def has_begun() -> bool:
            return (await installation.service.get(VERA, operation_id)).done > 0

        await eventually(has_begun, WITHIN_S, "some are replayed")
    operation = await installation.store.claim("another")
    assert operation is not None, "its lease need not be waited for"
    assert 0 < operation.done < 200


async def test_what_this_version_cannot_read_stops_no_other_operation(
    installation: OperatedInstallation, flows: Flows
) -> None:
    """Another version of Penstock may run beside this one, or have run before; any client may write to MongoDB."""
    found = (await many_dead(flows, rules=["r"], each=3))["r"]
    operation_id = await installation.start(rule_id="r")
    operations = installation.database["operations"]
    readable = await operations.find_one({"_id": operation_id})
    assert readable is not None
    del readable["active_as"]
    others = {
        "a kind of another version": readable | {"_id": "0" * 24, "kind": "archive_jobs"},
        "a filter of another version": readable | {"_id": "1" * 24, "filter": {"rule_id": "r", "shade": "blue"}},
        "without a field": {name: value for name, value in readable.items() if name != "batch"} | {"_id": "2" * 24},
        "a value of another type": readable | {"_id": "f" * 24, "done": "many"},
        "no text as id": readable | {"_id": 7},
        "nothing": {"_id": "e" * 24, "state": "pending", "holder": None},
    }
    await operations.insert_many(others.values())
    async with installation.process():
        assert (await installation.ended(operation_id)).done == 3
    assert await queued(flows) == found
    listed = [(await installation.service.page(VERA, limit, None)).operations for limit in (10, 1)]
    assert [[one.id for one in page] for page in listed] == [[operation_id], []]
    behind = (await installation.service.page(VERA, 1, None)).next
    assert behind == "f" * 24, "a page that is empty says where the next one begins"
    with pytest.raises(Conflict, match="Another version of Penstock has written the operation '0000"):
        await installation.service.get(VERA, "0" * 24)
    with pytest.raises(Conflict, match="Another version"):
        await installation.service.cancel(OLGA, "f" * 24)
    untouched = [one async for one in operations.find({"holder": None, "state": "pending"}, {"_id": 1})]
    assert {one["_id"] for one in untouched} == {one["_id"] for one in others.values()}
