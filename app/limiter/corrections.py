"""Corrections of what requests have cost, sent to the shared counters in batches."""

import asyncio
import secrets
from itertools import count, islice
from time import monotonic

import structlog
from prometheus_client import CollectorRegistry, Counter
from redis.exceptions import ResponseError

from app.errors import CountersUnavailable
from app.limiter.keys import last_batch_of
from app.limiter.policy import Charge, Correction
from app.limiter.script_calls import correct_call
from app.redis_wire.scripts import Scripts

MAX_AT_ONCE = 100
"""Counters that one call of the script corrects."""

MAX_WAITING = 10_000
"""Counters whose corrections wait while the counters are away."""

TRY_FOR_S = 5.0
KEPT_FOR_MS = 60_000
"""For how long Redis knows that a batch was applied: longer than it may be on its way."""

MIN_PAUSE_S, MAX_PAUSE_S = 0.05, 1.0

log = structlog.get_logger()


def corrections_dropped(registry: CollectorRegistry) -> Counter:
    """The metric of what `Corrections` drops."""
    return Counter(
        "penstock_corrections_dropped_total",
        "Corrections of counters that were given up because the counters could not be reached.",
        registry=registry,
    )


class Corrections:
    """Corrects counters soon after `add`: all that comes in one turn of the event loop is sent together.

    One batch is on its way at a time, and what comes meanwhile joins the next, so corrections of one counter are one. A
    batch is numbered, so that it is applied once even if it has to be sent again. What cannot be sent for a few seconds
    is dropped and counted: the counter then keeps what the request was charged.
    """

    def __init__(self, scripts: Scripts, dropped: Counter) -> None:
        self._scripts = scripts
        self._script = scripts.script("correct")
        self._sender = last_batch_of(secrets.token_hex(8))
        self._batches = count(1)
        self._waiting: dict[str, Correction] = {}
        self._sending: asyncio.Task[None] | None = None
        self._dropped = dropped

    def add(self, charge: Charge, units: int) -> None:
        """Charge so many units more to what a request was charged to; a negative number gives units back."""
        known = self._waiting.get(charge.counter)
        if known is not None:
            newer = max(known.charge, charge, key=_revision)
            self._waiting[charge.counter] = Correction(newer, known.units + units)
        elif len(self._waiting) < MAX_WAITING:
            self._waiting[charge.counter] = Correction(charge, units)
        else:
            self._dropped.inc()
        if self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send_all())

    async def aclose(self) -> None:
        """Send what waits; what cannot be sent within a few seconds is dropped."""
        if self._sending is not None:
            await asyncio.wait({self._sending}, timeout=TRY_FOR_S)
        if self._sending is not None:
            self._sending.cancel()

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                batch = list(islice(self._waiting.values(), MAX_AT_ONCE))
                for each in batch:
                    del self._waiting[each.charge.counter]
                await self._send([each for each in batch if each.units])
        finally:
            self._sending = None

    async def _send(self, batch: list[Correction]) -> None:
        if not batch:
            return
        call = correct_call(self._script, self._sender, next(self._batches), KEPT_FOR_MS, batch)
        until, pause_s = monotonic() + TRY_FOR_S, MIN_PAUSE_S
        while True:
            try:
                await self._scripts.run(self._script, self._sender, call)
                return
            except (CountersUnavailable, ResponseError) as error:
                if monotonic() + pause_s > until:
                    self._dropped.inc(len(batch))
                    log.warning("corrections_dropped", counters=len(batch), error=str(error))
                    return
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_PAUSE_S)


def _revision(charge: Charge) -> int:
    return charge.policy.revision
