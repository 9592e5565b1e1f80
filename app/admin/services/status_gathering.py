"""Gathers how the installation is, in one place."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.admin.services import status_reading as reading
from app.admin.services.flow_index import FlowIndex
from app.admin.services.kafka_reading import kafka_status
from app.admin.services.paused import PausedCounts
from app.admin.services.status_model import BacklogStatus, DrainStatus, FlowsStatus, RulesStatus, Status
from app.admin.services.stores import ANSWER_WITHIN_S, Stores
from app.errors import QueueUnavailable
from app.process.heartbeat import Heartbeat, read_heartbeats
from app.queue.backlog import read_backlog
from app.rules import keys


class StatusGathering:
    """Reads heartbeats, stores and the queue's totals. What cannot be read is missing, and a problem says so.

    Of Kafka the workers say in their heartbeats how it is, so the admin process needs no client of it.
    """

    def __init__(
        self,
        cache: Redis,
        queue: Redis,
        stores: Stores,
        partitions: int,
        index: FlowIndex,
        paused: PausedCounts,
        drain: Callable[[], Awaitable[DrainStatus]],
    ) -> None:
        self._cache = cache
        self._queue = queue
        self._stores = stores
        self._partitions = partitions
        self._index = index
        self._paused = paused
        self._drain = drain

    async def gather(self) -> Status:
        """Return how the installation is now. It takes ANSWER_WITHIN_S at most, whichever store is away."""
        stores, (version, heartbeats), backlog, drain, paused_flows, paused_rules = await asyncio.gather(
            self._stores.look(),
            self._said(),
            self._backlog(),
            self._drained(),
            self._paused.flows(),
            self._paused.rules(),
        )
        stores += kafka_status(heartbeats)
        processes = reading.process_statuses(heartbeats)
        rules = RulesStatus(
            version=version,
            sync_lag_seconds=reading.sync_lag_s(processes),
            invalid_documents=reading.invalid_documents(heartbeats),
            paused=paused_rules,
        )
        app_servers = reading.app_servers(heartbeats)
        return Status(
            at=_iso(time.time()),
            problems=reading.problems(processes, stores, rules, app_servers),
            rates=reading.rates(processes),
            decision_latency=reading.decision_latency(heartbeats),
            backlog=backlog,
            flows=self._flows(paused_flows),
            drain=drain,
            rules=rules,
            processes=processes,
            app_servers=app_servers,
            stores=stores,
        )

    async def _said(self) -> tuple[int | None, Sequence[Heartbeat]]:
        """The version of the rules that is published, and the heartbeats; nothing while the cache Redis is away."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                version, heartbeats = await asyncio.gather(self._cache.get(keys.VERSION), read_heartbeats(self._cache))
        except (RedisError, OSError, TimeoutError):
            return None, []
        return (None if version is None else int(version)), heartbeats

    async def _backlog(self) -> BacklogStatus | None:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                found = await read_backlog(self._queue, self._partitions)
        except (QueueUnavailable, TimeoutError):
            return None
        return BacklogStatus(
            jobs=found.jobs,
            oldest_age_seconds=found.oldest_age_s,
            retrying=found.retrying,
            dead_letters=found.dead_letters,
            recent_dead_letters=found.recent_dead_letters,
        )

    async def _drained(self) -> DrainStatus | None:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await self._drain()
        except (QueueUnavailable, TimeoutError):
            return None

    def _flows(self, paused: int | None) -> FlowsStatus:
        as_of_s = self._index.as_of_s
        return FlowsStatus(
            total=self._index.total,
            held=self._index.held,
            paused=paused,
            as_of=_iso(as_of_s) if as_of_s else None,
        )


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
