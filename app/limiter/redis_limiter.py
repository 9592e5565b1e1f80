"""The limiter in Redis: GCRA and sliding windows by one script, one round trip a decision."""

from collections.abc import Sequence

from redis.asyncio import Redis

from app.errors import CountersUnavailable
from app.limiter import keys
from app.limiter.policy import Charge, QuotaState, Slots, Verdict
from app.lua import Argument, Scripts

_SHADOW, _HEEDS_BACKLOG, _SLIDING_WINDOW = 1, 2, 4
_STATE_FIELDS = 5


class RedisLimiter:
    """Implements `app.limiter.limiter.Limiter`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._scripts = Scripts(redis, "app.limiter", CountersUnavailable)

    async def decide(self, charges: Sequence[Charge]) -> Verdict:
        """A live request: spends from every quota, or from none where one refuses."""
        return _verdict(await self._acquire(charges, (1, 0, 0, 0, "", 0)))

    async def inspect(self, charges: Sequence[Charge]) -> Verdict:
        """What `decide` would answer; spends nothing."""
        return _verdict(await self._acquire(charges, (1, 0, 0, 1, "", 0)))

    async def acquire(
        self, charges: Sequence[Charge], n: int, horizon_us: int, lead_us: int, marker: str, marker_ttl_s: float
    ) -> Slots:
        """A worker: up to `n` slots that all quotas grant, from `lead_us` to `horizon_us` ahead.

        Sets the first quota's backlog marker to `marker`, unless that is empty.
        """
        value, ttl_ms = _marker(marker, marker_ttl_s) if marker else ("", 0)
        reply = await self._acquire(charges, (n, horizon_us, lead_us, 0, value, ttl_ms))
        granted = reply[0]
        return Slots(tuple(reply[2 : 2 + granted]), reply[1])

    async def mark_backlog(self, counter: str, marker: str, ttl_s: float) -> None:
        """Say that the flow beside this counter has jobs waiting."""
        value, ttl_ms = _marker(marker, ttl_s)
        await self._scripts.call("mark", [keys.backlog_of(counter)], [value, ttl_ms])

    async def unmark_backlog(self, counter: str, marker: str, ttl_s: float) -> None:
        """Take the backlog marker away, if it is still this one."""
        await self._scripts.call("unmark", [keys.backlog_of(counter)], [_marker(marker, ttl_s)[0]])

    async def _acquire(self, charges: Sequence[Charge], header: tuple[Argument, ...]) -> list[int]:
        names: list[str] = []
        arguments: list[Argument] = [*header]
        for charge in charges:
            policy = charge.policy
            names += (charge.counter, keys.backlog_of(charge.counter))
            flags = _SHADOW * charge.shadow + _HEEDS_BACKLOG * charge.heeds_backlog
            if policy.algorithm == "sliding_window":
                flags += _SLIDING_WINDOW
                arguments += (repr(policy.window_s * 1e6), policy.limit)
            else:
                arguments += (repr(policy.emission_interval_us), policy.burst)
            arguments += (policy.revision, charge.cost, flags)
        reply: list[int] = await self._scripts.call("acquire", names, arguments)
        return reply


def _marker(marker: str, ttl_s: float) -> tuple[str, int]:
    """A marker names its own time to live, so that the decision that heeds it can renew it."""
    ttl_ms = int(ttl_s * 1000)
    return f"{ttl_ms} {marker}", ttl_ms


def _verdict(reply: list[int]) -> Verdict:
    granted = reply[0]
    states = reply[2 + granted :]
    return Verdict(
        allowed=granted == 1,
        states=tuple(
            QuotaState(remaining, wait_us, reset_us, bool(refused), bool(backlog))
            for remaining, wait_us, reset_us, refused, backlog in _chunks(states)
        ),
    )


def _chunks(values: list[int]) -> list[list[int]]:
    return [values[at : at + _STATE_FIELDS] for at in range(0, len(values), _STATE_FIELDS)]
