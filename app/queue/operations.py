"""Operators' commands for the flows of a rule: purge (one of them, too), pause and resume them."""

import re
from typing import NamedTuple

from redis.asyncio import Redis

from app.errors import InvalidInput
from app.queue import keys
from app.queue.reads import read
from app.queue.rescheduling import set_paused
from app.redis_wire.scripts import Argument, Scripts
from app.settings import Settings

PURGE_PAGE_SIZE = 100
MAX_PURGE_CALLS = 200
"""How many pages one purge takes; the rest is for the next one."""

PURGE_CURSOR = r"^[0-9]{1,4}-[01]-[0-9]{1,20}$"
_PURGE_CURSOR = re.compile(PURGE_CURSOR[1:-1])
_PURGED = ("flows", "retries")


class PurgedPage(NamedTuple):
    """How many jobs were canceled, and the cursor to go on with; None: nothing is left."""

    canceled: int
    next: str | None


class Operations:
    """Operators' commands. Every method raises QueueUnavailable where the queue Redis cannot be reached."""

    def __init__(self, redis: Redis, scripts: Scripts, settings: Settings) -> None:
        self._redis = redis
        self._partitions = settings.queue_partitions
        self._scripts = scripts

    async def purge(self, rule_id: str, cursor: str | None = None) -> PurgedPage:
        """Cancel jobs of a rule that wait to be sent, up to 20,000 of them. Raises InvalidInput for what is no cursor.

        Jobs that are already being sent are not affected.
        """
        return await self._purge(rule_id, cursor, range(self._partitions))

    async def purge_flow(self, flow: str, cursor: str | None = None) -> PurgedPage:
        """Cancel jobs of one flow in the same way."""
        partition = keys.partition_of_flow(flow, self._partitions)
        start = f"{partition}-0-0" if cursor is None else cursor
        return await self._purge(flow, start, range(partition, partition + 1))

    async def _purge(self, of: str, cursor: str | None, partitions: range) -> PurgedPage:
        partition, phase, place = _purge_place(cursor)
        canceled, calls = 0, 0
        while partition in partitions:
            if calls == MAX_PURGE_CALLS:
                return PurgedPage(canceled, f"{partition}-{phase}-{place.decode()}")
            arguments: list[Argument] = [of, _PURGED[phase], place, PURGE_PAGE_SIZE]
            place, count, more = await self._scripts.call("purge", [keys.prefix(partition)], arguments)
            calls += 1
            canceled += count
            if not more:
                partition, phase, place = (partition, 1, b"0") if phase == 0 else (partition + 1, 0, b"0")
        return PurgedPage(canceled, None)

    async def has_flows(self, rule_id: str) -> bool:
        """Whether any flow is charged for a rule, whether or not the rule still exists."""
        for partition in range(self._partitions):
            if await read(self._redis.exists(keys.rule(partition, rule_id))):
                return True
        return False

    async def set_paused(self, rule_id: str, *, paused: bool) -> bool:
        """Pause or resume the flows of a rule that is deleted or disabled. False: it has none."""
        return await set_paused(self._scripts, self._partitions, rule_id, paused=paused)


def _purge_place(cursor: str | None) -> tuple[int, int, bytes]:
    """The partition, the index in `_PURGED`, and the place there, that a cursor stands for. Raises InvalidInput."""
    if cursor is None:
        return 0, 0, b"0"
    if _PURGE_CURSOR.fullmatch(cursor) is None:
        raise InvalidInput("This is no cursor of a purge.")
    partition, phase, place = cursor.split("-")
    return int(partition), int(phase), place.encode()
