"""How the admin API gets the samples of all edges: it asks on a channel of the cache Redis, and they answer in a list.

Nothing is sent while nobody asks.
"""

import asyncio
import contextlib
import secrets
from time import monotonic
from typing import Any, cast

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.errors import RulesUnavailable
from app.traffic.samples import RuleSample, TrafficSamples, decode_sample, encode_sample

log = structlog.get_logger()

CHANNEL = "traffic:wanted"
REPLY_PREFIX = "traffic:reply:"
REPLY_TTL_S = 10
RECONNECT_PAUSE_S = 0.25
ANSWERS_WITHIN_S = 1.0
LOOK_INTERVAL_S = 0.02


class TrafficPublisher:
    """Answers with the samples of this edge."""

    def __init__(self, redis: Redis, samples: TrafficSamples) -> None:
        self._redis = redis
        self._samples = samples

    async def run(self, stop: asyncio.Event) -> None:
        """Answer until `stop` is set. While Redis is away nobody can ask."""
        while not stop.is_set():
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with self._redis.pubsub() as channel:
                    await channel.subscribe(CHANNEL)
                    while not stop.is_set():
                        message = await channel.get_message(ignore_subscribe_messages=True, timeout=RECONNECT_PAUSE_S)
                        if message is not None:
                            await self._answer(message["data"])
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), RECONNECT_PAUSE_S)

    async def _answer(self, asked: bytes) -> None:
        rule_id, reply = _question(asked)
        if reply is None:
            log.warning("traffic_question_not_understood")
            return
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.rpush(reply, encode_sample(self._samples.of(rule_id)))
        pipeline.expire(reply, REPLY_TTL_S)
        await pipeline.execute()


def _question(asked: bytes) -> tuple[str, str | None]:
    """The rule whose sample is wanted, and the list for the answer; None for what is no question."""
    try:
        fields = orjson.loads(asked)
        return str(fields["rule_id"]), str(fields["reply"])
    except (ValueError, TypeError, KeyError):
        return "", None


class TrafficCollector:
    """Collects the samples of all edges."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def collect(self, rule_id: str) -> list[RuleSample]:
        """Return the sample of each edge that has seen requests to the rule, and answers within a second.

        Raises RulesUnavailable if the cache Redis can't be reached.
        """
        reply = REPLY_PREFIX + secrets.token_hex(8)
        try:
            edges = await self._redis.publish(CHANNEL, orjson.dumps({"rule_id": rule_id, "reply": reply}))
            found = await self._answers(reply, edges)
        except (RedisError, OSError, TimeoutError) as error:
            raise RulesUnavailable(f"The cache Redis does not answer: {error}") from error
        if len(found) < edges:
            log.warning("traffic_samples_missing", edges=edges, answers=len(found))
        return [sample for sample in map(decode_sample, found) if sample is not None]

    async def _answers(self, reply: str, edges: int) -> list[bytes]:
        """What has come once all have answered or the time is over."""
        until_s = monotonic() + ANSWERS_WITHIN_S
        while True:
            count: int = await cast(Any, self._redis.llen(reply))
            if count >= edges or monotonic() >= until_s:
                found: list[bytes] = await cast(Any, self._redis.lrange(reply, 0, -1))
                return found
            await asyncio.sleep(LOOK_INTERVAL_S)
