"""The places of this process's requests in flight, where rules say how many there may be at once.

A place is leased by the script that decides (app/limiter/lua/_algorithm_concurrency.lua). As long as its request is in
flight, this process extends the lease; when it ends without this process, the place is free again.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import count

import structlog

from app.errors import CountersUnavailable
from app.limiter.policy import LEASE_S
from app.redis_wire.scripts import Argument, Scripts

log = structlog.get_logger()

EXTEND_INTERVAL_S = LEASE_S / 4
MAX_PLACES_A_CALL = 256

Place = tuple[str, str]
"""The key of the counter, and the name of the place there."""


class Places:
    """Holds places until they are given back, in batches; `run` extends their leases."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._process = secrets.token_hex(6)
        self._numbers = count(1)
        self._held: dict[Place, None] = {}
        self._per_counter: Counter[str] = Counter()
        self._given_back: list[Place] = []
        self._giving_back: asyncio.Task[None] | None = None

    def new_name(self) -> str:
        """The beginning of names of places that no other request has."""
        return f"{self._process}-{next(self._numbers)}-"

    def held(self, counter: str) -> int:
        """How many places of a counter this process holds."""
        return self._per_counter[counter]

    def hold(self, counters: Iterable[str], name: str) -> None:
        """Note that a request is in flight: its place has this name at each of these counters."""
        for counter in counters:
            self._held[counter, name] = None
            self._per_counter[counter] += 1

    def give_back(self, counters: Iterable[str], name: str) -> None:
        """Give back the places of a request that is no longer in flight, or was never sent."""
        for counter in counters:
            if (counter, name) in self._held:
                del self._held[counter, name]
                self._per_counter[counter] -= 1
                if not self._per_counter[counter]:
                    del self._per_counter[counter]
            self._given_back.append((counter, name))
        if self._giving_back is None and self._given_back:
            self._giving_back = asyncio.create_task(self._give_all_back())

    async def run(self) -> None:
        """Extend the leases of all places that are held; runs until cancelled."""
        while True:
            await asyncio.sleep(EXTEND_INTERVAL_S)
            places = list(self._held)
            for at in range(0, len(places), MAX_PLACES_A_CALL):
                still_held = [place for place in places[at : at + MAX_PLACES_A_CALL] if place in self._held]
                try:
                    await self._call("extend_places", still_held, [int(LEASE_S * 1e6)])
                except CountersUnavailable as error:
                    log.warning("places_not_extended", places=len(still_held), error=str(error))

    async def finish(self) -> None:
        """Wait until all places that were given back are free."""
        if self._giving_back is not None:
            await self._giving_back

    async def _give_all_back(self) -> None:
        try:
            await asyncio.sleep(0)  # what ends in the same turn of the event loop goes together
            while self._given_back:
                batch, self._given_back = self._given_back[:MAX_PLACES_A_CALL], self._given_back[MAX_PLACES_A_CALL:]
                try:
                    await self._call("give_back_places", batch, [])
                except CountersUnavailable as error:  # they are free when their leases end
                    log.warning("places_not_given_back", places=len(batch), error=str(error))
        finally:
            self._giving_back = None

    async def _call(self, script: str, places: Sequence[Place], arguments: list[Argument]) -> None:
        if not places:
            return
        numbers: dict[str, int] = {}
        for counter, name in places:
            arguments += [numbers.setdefault(counter, len(numbers) + 1), name]
        await self._scripts.call(script, list(numbers), arguments)
