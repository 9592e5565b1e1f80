"""Operations: long work on all that a filter finds, which survives its process and is done once."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import ValidationError
from redis.asyncio import Redis

from app.admin.operators import Operator, Role
from app.admin.services.job_cancellation import JobCancellation
from app.admin.services.operation_kinds import Kinds, operation_kinds
from app.admin.services.operation_runner import OperationRunner
from app.admin.services.operation_store import OperationStore
from app.admin.services.operations import OperationService
from app.admin.services.operations_model import DryRun, NewOperation, OperationDocument, OperationRequest
from app.audit.log import AuditLog
from app.clients import MongoDatabase, mongo_client
from app.errors import Conflict, InvalidInput, QueueUnavailable
from app.jobs.model import JobStatus
from app.queue.batches import Batch, BatchResult
from app.queue.dead_letter_batches import DeadLetterBatches
from app.queue.dead_letter_filter import DeadLetterFilter
from app.queue.flows import Flows
from app.queue.job_purge import JobPurge
from app.queue.model import Settlement
from app.queue.records import Records
from app.redis_wire.scripts import Scripts
from app.rules.cache import RuleCache
from app.settings import Settings
from sync.publisher import Publisher
from tests.support.dead_letters import all_leased, dead, many_dead
from tests.support.flow_steps import accepted, active, deferral, ids, lease, take
from tests.support.rules import publish_all
from tests.support.waiting import eventually

OLGA = Operator("olga", Role.OPERATOR)
VERA = Operator("vera", Role.VIEWER)
WITHIN_S = 60


def new_operation(fields: dict[str, Any]) -> NewOperation:
    return OperationRequest.model_validate(fields).root


class Installation:
    """The stores of admin processes, and as many of these as a test runs."""

    def __init__(
        self,
        database: MongoDatabase,
        rules: RuleCache,
        batches: DeadLetterBatches,
        jobs: JobPurge,
        cancellation: JobCancellation,
    ) -> None:
        self.database, self.rules, self.batches = database, rules, batches
        self.kinds: Kinds = operation_kinds(batches, jobs, cancellation, rules)
        self.store = OperationStore(database, AuditLog(database))
        self.service = OperationService(self.store, self.kinds, lambda: None)

    @asynccontextmanager
    async def process(self, kinds: Kinds | None = None) -> AsyncIterator[OperationRunner]:
        """An admin process that ends as one that is told to."""
        runner, stop = OperationRunner(self.store, kinds or self.kinds), asyncio.Event()
        task = asyncio.create_task(runner.run(stop))
        try:
            yield runner
        finally:
            stop.set()
            runner.wake()
            await task
            await runner.finish()

    async def start(self, kind: str = "replay_dead_letters", rate_per_s: int = 5000, **wanted: Any) -> str:  # noqa: ANN401
        started = await self.service.start(
            OLGA, new_operation({"kind": kind, "filter": wanted, "rate_per_s": rate_per_s})
        )
        assert isinstance(started, OperationDocument)
        return started.id

    async def ended(self, operation_id: str) -> OperationDocument:
        async def has_ended() -> bool:
            return (await self.service.get(VERA, operation_id)).ended_at is not None

        await eventually(has_ended, WITHIN_S, "the operation has ended")
        return await self.service.get(VERA, operation_id)


@pytest.fixture
async def installation(
    settings: Settings, cache: Redis, queue: Redis, queueing: Scripts, flows: Flows
) -> AsyncIterator[Installation]:
    rules = [active(rule_id=name, queue={"max_depth": 10_000}).rule for name in ("r", "other")]
    await publish_all(Publisher(cache), rules, 1)
    mongo = mongo_client(settings.mongodb_url)
    database = mongo[settings.mongodb_database]
    found = Installation(
        database,
        RuleCache(cache, settings),
        DeadLetterBatches(queueing, settings),
        JobPurge(queueing, settings),
        JobCancellation.on(queue, queueing, settings),
    )
    await found.store.prepare()
    yield found
    await mongo.drop_database(settings.mongodb_database)
    mongo.close()


async def queued(flows: Flows) -> list[str]:
    """The jobs that wait, in the order of their flows."""
    return ids(await all_leased(flows))


async def test_all_that_a_filter_finds_is_replayed_in_order(installation: Installation, flows: Flows) -> None:
    found = await many_dead(flows, rules=["r", "other"], each=130)
    async with installation.process():
        document = await installation.ended(await installation.start(rule_id="r"))
    assert (document.state, document.done, document.skipped, document.errors) == ("completed", 130, 0, {})
    assert (document.total.at_least, document.total.is_exact, document.progress) == (130, True, 1.0)
    assert (document.started_by, document.canceled_by, document.problem) == ("olga", None, None)
    assert await queued(flows) == found["r"], "in the order in which they failed"


async def test_a_filter_without_a_rule_replays_those_of_all_rules(installation: Installation, flows: Flows) -> None:
    """Whose dead letters take turns, so that each batch meets both; and one of a rule that is gone stays dead."""
    found = await many_dead(flows, rules=["r", "other", "gone"], each=40)
    async with installation.process():
        document = await installation.ended(await installation.start(code="attempts_exhausted"))
    assert (document.done, document.errors) == (80, {"rule_not_in_force": 40})
    assert sorted(await queued(flows)) == sorted(found["r"] + found["other"])
    assert (await installation.batches.count(DeadLetterFilter())).found == 40


async def test_a_dry_run_counts_and_touches_nothing(installation: Installation, flows: Flows, queue: Redis) -> None:
    await many_dead(flows, rules=["r", "other"], each=20)
    wanted = {"kind": "delete_dead_letters", "filter": {"rule_id": "r"}, "dry_run": True}
    async with installation.process():
        counted = await installation.service.start(OLGA, new_operation(wanted))
    assert isinstance(counted, DryRun)
    assert counted.total.model_dump() == {"at_least": 20, "estimate": 20, "is_exact": True}
    assert await queue.zcard("{q0}:dead") == 40
    assert (await installation.service.page(VERA, 10, None)).operations == []


async def test_all_that_a_filter_finds_is_deleted(installation: Installation, flows: Flows, queue: Redis) -> None:
    await many_dead(flows, rules=["r", "other"], each=70)
    later = await dead(flows, 7, code="expired", rule=active(rule_id="other", queue={"max_depth": 10_000}))
    async with installation.process():
        document = await installation.ended(await installation.start("delete_dead_letters", rule_id="r"))
    assert (document.state, document.done) == ("completed", 70)
    left = await queue.zrange("{q0}:dead", 0, -1)
    assert len(left) == 71
    assert left[-1] == later.encode()
    assert len([key async for key in queue.scan_iter(match="{q0}:job:*")]) == 71


async def test_what_fails_again_is_not_replayed_twice(installation: Installation, flows: Flows) -> None:
    """Nor is what fails after the operation was started."""
    found = (await many_dead(flows, rules=["r"], each=120))["r"]
    operation_id = await installation.start(rule_id="r")
    late = await dead(flows, 5, rule=active(queue={"max_depth": 10_000}))
    sent: list[str] = []

    async def fail_again() -> None:
        while True:
            for flow in await take(flows):
                jobs = (await lease(flows, flow, 1000)).jobs
                sent.extend(ids(jobs))
                await flows.settle([Settlement(job, JobStatus.FAILED, "attempts_exhausted", "Again.") for job in jobs])
            await asyncio.sleep(0.005)

    failing = asyncio.create_task(fail_again())
    async with installation.process():
        document = await installation.ended(operation_id)
    await asyncio.sleep(0.3)
    failing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await failing
    assert document.done == 120
    assert Counter(sent) == Counter(found)
    assert late not in sent


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
    installation: Installation, flows: Flows, monkeypatch: pytest.MonkeyPatch
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


async def test_two_processes_do_not_do_it_twice(installation: Installation, flows: Flows) -> None:
    found = await many_dead(flows, rules=["r", "other"], each=150)
    async with installation.process(), installation.process(), installation.process():
        started = [await installation.start(rule_id=rule, rate_per_s=1000) for rule in ("r", "other")]
        documents = [await installation.ended(operation_id) for operation_id in started]
    assert [document.done for document in documents] == [150, 150]
    assert Counter(await queued(flows)) == Counter(found["r"] + found["other"])


async def test_who_was_stopped_for_longer_than_the_lease_does_nothing_more(
    installation: Installation, flows: Flows, monkeypatch: pytest.MonkeyPatch
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


async def test_a_canceled_operation_ends_and_says_what_it_has_done(
    installation: Installation, flows: Flows, queue: Redis
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


async def test_an_operation_that_nobody_has_begun_can_be_canceled(installation: Installation, flows: Flows) -> None:
    await dead(flows)
    operation_id = await installation.start(rule_id="r")
    assert (await installation.service.get(VERA, operation_id)).state == "pending"
    assert (await installation.service.cancel(OLGA, operation_id)).state == "canceling"
    assert (await installation.service.cancel(OLGA, operation_id)).state == "canceling"
    async with installation.process():
        document = await installation.ended(operation_id)
    assert (document.state, document.done) == ("canceled", 0)


async def test_the_same_is_not_started_twice(installation: Installation, flows: Flows) -> None:
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


async def test_a_rule_that_is_not_in_force_is_refused(installation: Installation) -> None:
    with pytest.raises(Conflict, match="The rule gone is deleted or disabled"):
        await installation.start(rule_id="gone")


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
    installation: Installation, flows: Flows, monkeypatch: pytest.MonkeyPatch
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
    installation: Installation, flows: Flows
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


@pytest.mark.alone
async def test_no_more_are_touched_in_a_second_than_permitted(installation: Installation, flows: Flows) -> None:
    await many_dead(flows, rules=["r"], each=200)
    async with installation.process():
        document = await installation.ended(await installation.start(rule_id="r", rate_per_s=100))
    assert document.started_at is not None
    assert document.ended_at is not None
    # The first batch needs not wait, and the last one's time is not waited for.
    assert (document.ended_at - document.started_at).total_seconds() > (200 - 2 * 50) / 100


async def test_operations_are_listed_in_stable_pages(installation: Installation, flows: Flows) -> None:
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


async def test_what_this_version_cannot_read_stops_no_other_operation(installation: Installation, flows: Flows) -> None:
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


async def test_the_audit_says_who_started_and_canceled_and_how_it_ended(
    installation: Installation, flows: Flows
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


async def test_all_jobs_that_a_filter_finds_are_canceled(
    installation: Installation, flows: Flows, records: Records
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
    installation: Installation, flows: Flows, records: Records
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
