"""Operators' commands for the flows of a rule: purge (one of them, too), pause and resume them."""

import re
from dataclasses import dataclass
from typing import NamedTuple, Self

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
MAX_REDIS_CURSOR = 2**64 - 1
_PURGE_CURSOR = re.compile(PURGE_CURSOR[1:-1])
_WHERE = ("flows", "retries")


@dataclass(frozen=True, slots=True)
class PurgePlace:
    """Where to look next: a partition, the index in `_WHERE`, and a cursor of Redis there. As text it is a cursor."""

    partition: int = 0
    phase: int = 0
    cursor: str = "0"

    def __str__(self) -> str:
        return f"{self.partition}-{self.phase}-{self.cursor}"

    @classmethod
    def parse(cls, cursor: str | None) -> Self:
        """Read a cursor; None is the beginning. Raises InvalidInput."""
        if cursor is None:
            return cls()
        if _PURGE_CURSOR.fullmatch(cursor) is None:
            raise InvalidInput("This is no cursor of a purge.")
        partition, phase, place = cursor.split("-")
        if int(place) > MAX_REDIS_CURSOR:
            raise InvalidInput("This is no cursor of a purge.")
        return cls(int(partition), int(phase), place)

    @property
    def where(self) -> str:
        """What the scripts call the place."""
        return _WHERE[self.phase]

    def at(self, cursor: bytes) -> Self:
        """The same place further on."""
        return type(self)(self.partition, self.phase, cursor.decode())

    @property
    def following(self) -> Self:
        """The beginning of what comes next."""
        return type(self)(self.partition, 1) if self.phase == 0 else type(self)(self.partition + 1)


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
        place, canceled = PurgePlace.parse(cursor), 0
        for _ in range(MAX_PURGE_CALLS):
            if place.partition not in partitions:
                break
            arguments: list[Argument] = [of, place.where, place.cursor, PURGE_PAGE_SIZE, "", "", 0]
            _, following, count, more = await self._scripts.call("purge", [keys.prefix(place.partition)], arguments)
            canceled += count
            place = place.at(following) if more else place.following
        return PurgedPage(canceled, str(place) if place.partition in partitions else None)

    async def has_flows(self, rule_id: str) -> bool:
        """Whether any flow is charged for a rule, whether or not the rule still exists."""
        for partition in range(self._partitions):
            if await read(self._redis.exists(keys.rule(partition, rule_id))):
                return True
        return False

    async def set_paused(self, rule_id: str, *, paused: bool) -> bool:
        """Pause or resume the flows of a rule that is deleted or disabled. False: it has none."""
        return await set_paused(self._scripts, self._partitions, rule_id, paused=paused)
