"""The limiter in Redis: GCRA and sliding windows by one script, one round trip a decision."""

from collections.abc import Sequence

from app.limiter import keys
from app.limiter.policy import Charge, QuotaState, Slots, Verdict
from app.lua import Argument, Scripts
from app.recent import Recent
from app.redis_wire.resp import bulk

REMEMBERED = 20_000

_SHADOW, _HEEDS_BACKLOG, _SLIDING_WINDOW = 1, 2, 4
_STATE_FIELDS = 5
_HEADER_FIELDS = 6
_QUOTA_FIELDS = 5


class RedisLimiter:
    """Implements `app.limiter.limiter.Limiter`."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._script = scripts.script("acquire")
        self._written: Recent[tuple[Charge, ...], bytes] = Recent(REMEMBERED)

    async def decide(self, charges: tuple[Charge, ...]) -> Verdict:
        """A live request: spends from every quota, or from none where one refuses."""
        command = self._written.get(charges)
        if command is None:
            command = self._command(charges, _DECIDE)
            self._written.put(charges, command)
        return _verdict(await self._scripts.run(self._script, charges[0].counter, command))

    async def inspect(self, charges: Sequence[Charge]) -> Verdict:
        """What `decide` would answer; spends nothing."""
        command = self._command(charges, _INSPECT)
        return _verdict(await self._scripts.run(self._script, charges[0].counter, command))

    async def acquire(
        self, charges: Sequence[Charge], n: int, horizon_us: int, lead_us: int, marker: str, marker_ttl_s: float
    ) -> Slots:
        """A worker: up to `n` slots that all quotas grant, from `lead_us` to `horizon_us` ahead.

        Sets the first quota's backlog marker to `marker`, unless that is empty.
        """
        value, ttl_ms = _marker(marker, marker_ttl_s) if marker else ("", 0)
        command = self._command(charges, _header(n, horizon_us, lead_us, 0, value, ttl_ms))
        reply = await self._scripts.run(self._script, charges[0].counter, command)
        granted = reply[0]
        return Slots(tuple(reply[2 : 2 + granted]), reply[1])

    async def mark_backlog(self, counter: str, marker: str, ttl_s: float) -> None:
        """Say that the flow beside this counter has jobs waiting."""
        value, ttl_ms = _marker(marker, ttl_s)
        await self._scripts.call("mark", [keys.backlog_of(counter)], [value, ttl_ms])

    async def unmark_backlog(self, counter: str, marker: str, ttl_s: float) -> None:
        """Take the backlog marker away, if it is still this one."""
        await self._scripts.call("unmark", [keys.backlog_of(counter)], [_marker(marker, ttl_s)[0]])

    def _command(self, charges: Sequence[Charge], header: bytes) -> bytes:
        count = len(charges)
        head = self._script.head(2 * count, _HEADER_FIELDS + _QUOTA_FIELDS * count)
        names = [bulk(name) for charge in charges for name in (charge.counter, keys.backlog_of(charge.counter))]
        terms = [bulk(term) for charge in charges for term in _terms(charge)]
        return b"".join((head, *names, header, *terms))


def _terms(charge: Charge) -> tuple[Argument, ...]:
    policy = charge.policy
    flags = _SHADOW * charge.shadow + _HEEDS_BACKLOG * charge.heeds_backlog
    if policy.algorithm == "sliding_window":
        flags += _SLIDING_WINDOW
        return (policy.window_s * 1e6, policy.limit, policy.revision, charge.cost, flags)
    return (policy.emission_interval_us, policy.burst, policy.revision, charge.cost, flags)


def _header(*fields: Argument) -> bytes:
    """n, horizon_us, lead_us, peek, marker, marker_ttl_ms: as acquire.lua names them."""
    return b"".join(map(bulk, fields))


_DECIDE = _header(1, 0, 0, 0, "", 0)
_INSPECT = _header(1, 0, 0, 1, "", 0)


def _marker(marker: str, ttl_s: float) -> tuple[str, int]:
    """A marker names its own time to live, so that the decision that heeds it can renew it."""
    ttl_ms = int(ttl_s * 1000)
    return f"{ttl_ms} {marker}", ttl_ms


def _verdict(reply: list[int]) -> Verdict:
    granted = reply[0]
    states = []
    for at in range(2 + granted, len(reply), _STATE_FIELDS):
        remaining, wait_us, reset_us, refused, backlog = reply[at : at + _STATE_FIELDS]
        states.append(_new(QuotaState, (remaining, wait_us, reset_us, refused == 1, backlog == 1)))
    return Verdict(granted == 1, tuple(states))


_new = tuple.__new__  # which is what the constructor of a named tuple calls, much later
