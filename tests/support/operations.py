"""Operations in tests: the stores of admin processes, and as many processes as a test runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from app.admin.operators import Operator, Role
from app.admin.services.job_cancellation import JobCancellation
from app.admin.services.operation_kinds import Kinds, operation_kinds
from app.admin.services.operation_runner import OperationRunner
from app.admin.services.operation_store import OperationStore
from app.admin.services.operations import OperationService
from app.admin.services.operations_model import NewOperation, OperationDocument, OperationRequest
from app.audit.log import AuditLog
from app.clients import MongoDatabase, mongo_client
from app.queue.dead_letter_batches import DeadLetterBatches
from app.queue.flows import Flows
from app.queue.job_purge import JobPurge
from app.redis_wire.scripts import Scripts
from app.rules.cache import RuleCache
from app.settings import Settings
from sync.publisher import Publisher
from tests.support.dead_letters import all_leased
from tests.support.flow_steps import active, ids
from tests.support.rules import publish_all
from tests.support.waiting import eventually

OLGA = Operator("olga", Role.OPERATOR)
VERA = Operator("vera", Role.VIEWER)
WITHIN_S = 60


def new_operation(fields: dict[str, Any]) -> NewOperation:
    return OperationRequest.model_validate(fields).root


class OperatedInstallation:
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


@asynccontextmanager
async def operated_installation(
    settings: Settings, cache: Redis, queue: Redis, queueing: Scripts
) -> AsyncIterator[OperatedInstallation]:
    """Yield an installation without a process, in which the rules `r` and `other` are in force."""
    rules = [active(rule_id=name, queue={"max_depth": 10_000}).rule for name in ("r", "other")]
    await publish_all(Publisher(cache), rules, 1)
    mongo = mongo_client(settings.mongodb_url)
    database = mongo[settings.mongodb_database]
    found = OperatedInstallation(
        database,
        RuleCache(cache, settings),
        DeadLetterBatches(queueing, settings),
        JobPurge(queueing, settings),
        JobCancellation.on(queue, queueing, settings),
    )
    await found.store.prepare()
    try:
        yield found
    finally:
        await mongo.drop_database(settings.mongodb_database)
        mongo.close()


async def queued(flows: Flows) -> list[str]:
    """The jobs that wait, in the order of their flows."""
    return ids(await all_leased(flows))
