"""The limiter on Redis: each decision is one script in one round trip."""

from collections.abc import Sequence

from app.limiter.policy import Charge, Slots, TurnRequest, Verdict
from app.limiter.script_calls import (
    LEFT_TO_ACQUIRE,
    AcquireOptions,
    acquire_call,
    acquire_call_around_place,
    acquire_reply,
    acquire_turns_call,
    acquire_turns_reply,
    decide_call,
    decide_reply,
    fits_decide_script,
    give_back_slot_call,
    marker_value,
)
from app.process.lru_cache import TwoGenerationLRUCache
from app.redis_wire.resp import bulk
from app.redis_wire.scripts import Script, Scripts

MAX_CACHE_SIZE = 20_000


class RedisLimiter:
    """Implements `app.limiter.limiter.Limiter`.

    `callers`: of how many callers the charges come again as the same objects; their calls are kept.
    """

    def __init__(self, scripts: Scripts, callers: int = MAX_CACHE_SIZE) -> None:
        self._scripts = scripts
        self._acquire = scripts.script("acquire")
        self._acquire_turns = scripts.script("acquire_turns")
        self._decide = scripts.script("decide")
        self._decide_calls: TwoGenerationLRUCache[tuple[Charge, ...], tuple[Script, bytes, bytes]] = (
            TwoGenerationLRUCache(min(callers, MAX_CACHE_SIZE))
        )

    async def decide(self, charges: tuple[Charge, ...], place: str = "") -> Verdict:
        """Decide a live request: spends from every quota, or from none if one refuses."""
        call = self._decide_calls.get(charges)
        if call is None:
            call = self._decide_call(charges)
            self._decide_calls.put(charges, call)
        script, packed, after_place = call
        if after_place:
            packed = packed + bulk(place) + after_place
        reply = await self._scripts.run(script, charges[0].counter, packed)
        if script is self._decide:
            if reply[0] != LEFT_TO_ACQUIRE:
                return decide_reply(reply)
            # The algorithm or the window of a rule has just changed: the first call afterwards takes the counter over.
            packed = acquire_call(self._acquire, charges, AcquireOptions())
            reply = await self._scripts.run(self._acquire, charges[0].counter, packed)
        return _verdict(reply)

    async def inspect(self, charges: Sequence[Charge]) -> Verdict:
        """What `decide` would answer; spends nothing."""
        packed = acquire_call(self._acquire, charges, AcquireOptions(peek=1))
        return _verdict(await self._scripts.run(self._acquire, charges[0].counter, packed))

    async def acquire(
        self,
        charges: Sequence[Charge],
        n: int,
        horizon_us: int,
        lead_us: int,
        marker: str,
        marker_at_us: int,
        marker_ttl_s: float,
        place: str = "",
    ) -> Slots:
        """For a worker: up to `n` slots that all quotas grant, from `lead_us` to `horizon_us` ahead.

        Sets the backlog marker with this key, unless it is empty, for jobs that were seen at `marker_at_us`.
        """
        value, ttl_ms = marker_value(marker_at_us, marker_ttl_s) if marker else ("", 0)
        options = AcquireOptions(n, horizon_us, lead_us, 0, value, ttl_ms, place, waits=1)
        packed = acquire_call(self._acquire, charges, options, marker)
        reply = acquire_reply(await self._scripts.run(self._acquire, charges[0].counter, packed))
        waits_us = tuple([state.wait_us for state in reply.states])
        return Slots(reply.waits_us, reply.next_wait_us, reply.now_us, waits_us)

    async def acquire_turns(
        self,
        turns: Sequence[TurnRequest],
        most: int,
        horizon_us: int,
        lead_us: int,
        markers_at_us: int,
        place: str = "",
    ) -> list[Slots]:
        """For a worker: slots for flows that share a counter, one for each in every round, up to `most` together.

        The answers are of those that came up before the shared counter had none left, in the order of the turns.
        """
        packed = acquire_turns_call(self._acquire_turns, turns, (most, horizon_us, lead_us, markers_at_us, place))
        reply = await self._scripts.run(self._acquire_turns, turns[0].charges[0].counter, packed)
        return acquire_turns_reply(turns, reply)

    async def give_back(self, charges: Sequence[Charge], slots: Slots) -> bool:
        """For a worker: give back the single slot of an answer, because nothing was sent at it.

        A quota takes it back if it has granted nothing since; one that has units left keeps it. False if none did.
        """
        script = self._scripts.script("give_back_slot")
        packed = give_back_slot_call(script, charges, slots)
        return bool(await self._scripts.run(script, charges[0].counter, packed))

    async def now_us(self) -> int:
        """The time in microseconds by the clock of the counters' Redis."""
        seconds, microseconds = await self._scripts.execute("", "TIME")
        return int(seconds) * 1_000_000 + int(microseconds)

    async def set_backlog_marker(self, marker: str, at_us: int, ttl_s: float, *, renewed: bool = True) -> None:
        """Set the backlog marker with this key for jobs that were seen waiting at `at_us`, by the queue's clock.

        `renewed`: each live request that it refuses renews it.
        """
        value, ttl_ms = marker_value(at_us, ttl_s, renewed=renewed)
        await self._scripts.call("set_backlog_marker", [marker], [value, ttl_ms])

    async def clear_backlog_markers(self, markers: Sequence[tuple[str, int]]) -> None:
        """Delete backlog markers, except those that were set for jobs that were seen later than their `at_us`."""
        keys, seen_at_us = zip(*markers, strict=True)
        await self._scripts.call("clear_backlog_markers", keys, seen_at_us)

    def _decide_call(self, charges: Sequence[Charge]) -> tuple[Script, bytes, bytes]:
        """The script and its call; with places, the call before and after the name of the place."""
        if fits_decide_script(charges):
            return self._decide, decide_call(self._decide, charges), b""
        if any(charge.holds_place for charge in charges):
            return self._acquire, *acquire_call_around_place(self._acquire, charges)
        return self._acquire, acquire_call(self._acquire, charges, AcquireOptions()), b""


def _verdict(reply: list[int]) -> Verdict:
    """The reply of acquire.lua to a live request, which asks for one slot."""
    acquired = acquire_reply(reply)
    return Verdict(len(acquired.waits_us) == 1, acquired.states)
