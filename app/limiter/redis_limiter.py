"""The limiter in Redis: one script, one round trip a decision."""

from collections.abc import Sequence

from app.limiter import keys
from app.limiter.policy import Charge, QuotaState, Slots, Verdict
from app.process.lru_cache import TwoGenerationLRUCache
from app.redis_wire.resp import bulk, bulks
from app.redis_wire.scripts import Argument, Script, Scripts

CACHE_SIZE = 20_000

_SHADOW, _BLOCKED_BY_BACKLOG, _SLIDING_WINDOW = 1, 2, 4
_STATE_FIELDS = 5
_HEADER_FIELDS = 6
_QUOTA_FIELDS = 5
_SLOTS_AT = 3


class RedisLimiter:
    """Implements `app.limiter.limiter.Limiter`."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._acquire = scripts.script("acquire")
        self._decide = scripts.script("decide")
        self._written: TwoGenerationLRUCache[tuple[Charge, ...], tuple[Script, bytes]] = TwoGenerationLRUCache(
            CACHE_SIZE
        )

    async def decide(self, charges: tuple[Charge, ...]) -> Verdict:
        """A live request: spends from every quota, or from none where one refuses."""
        known = self._written.get(charges)
        if known is None:
            known = self._decision(charges)
            self._written.put(charges, known)
        script, command = known
        reply = await self._scripts.run(script, charges[0].counter, command)
        return _verdict(reply, 1 if script is self._decide else _SLOTS_AT + reply[0])

    async def inspect(self, charges: Sequence[Charge]) -> Verdict:
        """What `decide` would answer; spends nothing."""
        reply = await self._scripts.run(self._acquire, charges[0].counter, self._command(charges, _INSPECT))
        return _verdict(reply, _SLOTS_AT + reply[0])

    async def acquire(
        self, charges: Sequence[Charge], n: int, horizon_us: int, lead_us: int, marker: str, marker_ttl_s: float
    ) -> Slots:
        """A worker: up to `n` slots that all quotas grant, from `lead_us` to `horizon_us` ahead.

        Sets the first quota's backlog marker to `marker`, unless that is empty.
        """
        value, ttl_ms = _marker(marker, marker_ttl_s) if marker else ("", 0)
        command = self._command(charges, _header(n, horizon_us, lead_us, 0, value, ttl_ms))
        reply = await self._scripts.run(self._acquire, charges[0].counter, command)
        granted = reply[0]
        return Slots(tuple(reply[_SLOTS_AT : _SLOTS_AT + granted]), reply[1], reply[2])

    async def now_us(self) -> int:
        """What the counters' clock says."""
        seconds, microseconds = await self._scripts.execute("", "TIME")
        return int(seconds) * 1_000_000 + int(microseconds)

    async def set_backlog_marker(self, counter: str, marker: str, ttl_s: float) -> None:
        """Say that the flow beside this counter has jobs waiting."""
        value, ttl_ms = _marker(marker, ttl_s)
        await self._scripts.call("set_backlog_marker", [keys.backlog_of(counter)], [value, ttl_ms])

    async def clear_backlog_marker(self, counter: str, marker: str, ttl_s: float) -> None:
        """Take the backlog marker away, if it is still this one."""
        await self._scripts.call("clear_backlog_marker", [keys.backlog_of(counter)], [_marker(marker, ttl_s)[0]])

    def _decision(self, charges: Sequence[Charge]) -> tuple[Script, bytes]:
        """By the script that knows GCRA alone, where that is enough."""
        if any(charge.policy.algorithm == "sliding_window" for charge in charges):
            return self._acquire, self._command(charges, _DECIDE)
        names = [charge.counter for charge in charges]
        names += [keys.backlog_of(charge.counter) for charge in charges if charge.blocked_by_backlog]
        parameters = [parameter for charge in charges for parameter in _gcra_parameters(charge)]
        return self._decide, self._decide.head(len(names), 1 + len(parameters)) + bulks(
            (*names, len(charges), *parameters)
        )

    def _command(self, charges: Sequence[Charge], header: bytes) -> bytes:
        count = len(charges)
        head = self._acquire.head(2 * count, _HEADER_FIELDS + _QUOTA_FIELDS * count)
        names = [bulk(name) for charge in charges for name in (charge.counter, keys.backlog_of(charge.counter))]
        parameters = [bulk(parameter) for charge in charges for parameter in _parameters(charge)]
        return b"".join((head, *names, header, *parameters))


def _flags(charge: Charge) -> int:
    return _SHADOW * charge.shadow + _BLOCKED_BY_BACKLOG * charge.blocked_by_backlog


def _parameters(charge: Charge) -> tuple[Argument, ...]:
    policy = charge.policy
    if policy.algorithm == "sliding_window":
        return (policy.window_s * 1e6, policy.limit, policy.revision, charge.cost, _flags(charge) + _SLIDING_WINDOW)
    return (policy.emission_interval_us, policy.burst, policy.revision, charge.cost, _flags(charge))


def _gcra_parameters(charge: Charge) -> tuple[Argument, ...]:
    """As decide.lua names them; the first as a counter holds it."""
    policy = charge.policy
    interval_us = policy.emission_interval_us
    parameters = f"{interval_us} {policy.burst} {policy.revision}"
    return (parameters, interval_us, policy.burst, charge.cost, _flags(charge))


def _header(*fields: Argument) -> bytes:
    """n, horizon_us, lead_us, peek, marker, marker_ttl_ms: as acquire.lua names them."""
    return b"".join(map(bulk, fields))


_DECIDE = _header(1, 0, 0, 0, "", 0)
_INSPECT = _header(1, 0, 0, 1, "", 0)


def _marker(marker: str, ttl_s: float) -> tuple[str, int]:
    """A marker names its own time to live, so that the decision that heeds it can renew it."""
    ttl_ms = int(ttl_s * 1000)
    return f"{ttl_ms} {marker}", ttl_ms


def _verdict(reply: list[int], first: int) -> Verdict:
    """From the first field of the first state on."""
    states = []
    for at in range(first, len(reply), _STATE_FIELDS):
        remaining, wait_us, reset_us, refused, backlog = reply[at : at + _STATE_FIELDS]
        states.append(_new(QuotaState, (remaining, wait_us, reset_us, refused == 1, backlog == 1)))
    return Verdict(reply[0] == 1, tuple(states))


_new = tuple.__new__  # which is what the constructor of a named tuple calls, much later
