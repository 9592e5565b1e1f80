"""Publishing: rules from MongoDB into the cache Redis, in the form that edges and workers read."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import orjson
import structlog
from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError
from tenacity import AsyncRetrying, retry_if_result, stop_after_attempt, wait_random

from app.errors import RulesUnavailable
from app.redis_wire.scripts import Argument, source
from app.rules import keys
from sync.plan import Change, Plan, State, accepted, buckets_needed, plan

log = structlog.get_logger()

CHUNK = 200
SCANNED = 1000


class Publisher:
    """Writes rules into one cache Redis. Several may do so at once: the later revision wins, whoever is slower.

    Every method raises RulesUnavailable where the cache Redis can't be reached.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._publish_script = redis.register_script(source("sync", "publish"))
        self._complete_script = redis.register_script(source("sync", "complete"))

    async def is_complete(self) -> bool:
        """Whether the cache holds the rules; an emptied one has lost its version."""
        try:
            return bool(await self._redis.exists(keys.VERSION))
        except (RedisError, OSError, TimeoutError) as error:
            raise RulesUnavailable(f"The cache Redis does not answer: {error}") from error

    async def publish(self, changes: Sequence[Change]) -> int:
        """Publish changes; how many rules that changed for edges and workers."""
        return sum([await self._publish_chunk(chunk) for chunk in _chunks(changes)])

    async def states(self) -> tuple[bytes, dict[str, State]]:
        """The epoch of the cache, which ends when it is emptied, and what is published in it."""
        try:
            await self._redis.set(keys.EPOCH, uuid4().hex, nx=True)
            epoch: Any = await self._redis.get(keys.EPOCH)
            scan = self._redis.hscan_iter(keys.STATE, count=SCANNED)
            return epoch or b"", {rule_id.decode(): State.parse(data) async for rule_id, data in scan}
        except (RedisError, OSError, TimeoutError) as error:
            raise RulesUnavailable(f"The cache Redis does not answer: {error}") from error

    async def complete(self, revision: int, epoch: bytes, tombstones: Iterable[tuple[str, State]]) -> None:
        """All rules as of `revision` are published, and tombstones that it covers can go.

        Raises RulesUnavailable where the cache was emptied meanwhile too.
        """
        arguments: list[Argument] = [revision, keys.CHANGED, epoch]
        for rule_id, state in tombstones:
            arguments += (rule_id, state.dump())
        names = [keys.STATE, keys.VERSION, keys.FLOOR, keys.EPOCH]
        if await _run(self._complete_script, names, arguments) is None:
            raise RulesUnavailable("The cache Redis was emptied while it was filled; that begins again.")

    async def _publish_chunk(self, changes: Sequence[Change]) -> int:
        """Again, where another sync worker wrote meanwhile."""
        trials = AsyncRetrying(
            retry=retry_if_result(lambda written: written is None),
            stop=stop_after_attempt(50),
            wait=wait_random(0, 0.05),
            retry_error_callback=_give_up,
        )
        return int(await trials(self._try_chunk, changes) or 0)

    async def _try_chunk(self, changes: Sequence[Change]) -> int | None:
        ids = list({change.rule_id for change in changes})
        try:
            raw_floor, raw_states = await self._read_states(ids)
            states = {rule_id: State.parse(data) for rule_id, data in raw_states.items() if data}
            newer = accepted(changes, states, int(raw_floor or 0))
            if not newer:
                return 0
            names = buckets_needed(newer, states)
            contents = await self._buckets(names)
        except (RedisError, OSError, TimeoutError) as error:
            raise RulesUnavailable(f"The cache Redis does not answer: {error}") from error
        planned = plan(newer, states, contents)
        written = await self._write(planned, raw_floor or b"", raw_states, contents)
        return len(planned.rules) if written else None

    async def _read_states(self, ids: list[str]) -> tuple[bytes | None, dict[str, bytes | None]]:
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.get(keys.FLOOR)
        pipeline.hmget(keys.STATE, ids)
        floor, found = await pipeline.execute()
        return floor, dict(zip(ids, found, strict=True))

    async def _buckets(self, names: list[str]) -> dict[str, bytes | None]:
        found: list[Any] = await self._redis.mget(names) if names else []
        return dict(zip(names, found, strict=True))

    async def _write(
        self,
        planned: Plan,
        floor: bytes,
        states: Mapping[str, bytes | None],
        contents: Mapping[str, bytes | None],
    ) -> bool:
        names = list(planned.buckets)
        arguments: list[Argument] = [
            floor,
            keys.CHANGED,
            orjson.dumps(names),
            orjson.dumps(planned.rules),
            len(planned.states),
            len(planned.index),
        ]
        for name in names:
            arguments += (contents[name] or b"", planned.buckets[name])
        for rule_id, state in planned.states.items():
            arguments += (rule_id, states[rule_id] or b"", state)
        for field, by in planned.index.items():
            arguments += (field, by)
        fixed = [keys.STATE, keys.INDEX, keys.VERSION, keys.FLOOR]
        return bool(await _run(self._publish_script, [*fixed, *names], arguments))


async def _run(script: AsyncScript, names: list[str], arguments: list[Argument]) -> Any:  # noqa: ANN401 - a script's own
    try:
        return await script(keys=names, args=arguments)
    except (RedisError, OSError, TimeoutError) as error:
        raise RulesUnavailable(f"The cache Redis does not answer: {error}") from error


def _chunks(changes: Iterable[Change]) -> Iterable[list[Change]]:
    chunk: list[Change] = []
    for change in changes:
        chunk.append(change)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _give_up(_: object) -> int:
    raise RulesUnavailable("Other sync workers kept writing the same rules; trying again from the start.")
