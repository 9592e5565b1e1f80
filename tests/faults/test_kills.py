"""`kill -9` of every kind of process at random moments under traffic: nothing acknowledged is lost.

PENSTOCK_TEST_KILLS says how many kills, PENSTOCK_TEST_SEED which.
"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from app.settings import Settings
from tests.faults.killable import KillableStore, Stores, killable_stores
from tests.faults.ledger import Client, Ledger, account
from tests.system import Part, System, running

KILLS = int(os.environ.get("PENSTOCK_TEST_KILLS", "200"))
SEED = int(os.environ.get("PENSTOCK_TEST_SEED", "0")) or random.randrange(1, 1 << 30)
USERS = [f"user{i}" for i in range(6)]
RATE = 20
WEIGHTS = {"worker": 60, "edge": 40, "queue": 45, "cache": 30, "sync": 15, "mongodb": 8, "admin": 2}
IN_FLIGHT_AT_A_KILL = 10
"""Jobs of six flows, each at 20 a second, at an app server that answers within a few milliseconds."""

SHORT = {
    "PENSTOCK_LEASE_S": "2",
    "PENSTOCK_RECLAIM_INTERVAL_S": "0.5",
    "PENSTOCK_QUEUE_TIMEOUT_MS": "1000",
    "PENSTOCK_CACHE_TIMEOUT_MS": "500",
    "PENSTOCK_RETRY_BASE_S": "0.1",
    "PENSTOCK_RETRY_MAX_S": "1",
}


class Killing:
    """Kills one process after the other, and starts each again as a supervisor would."""

    def __init__(self, system: System, stores: Stores) -> None:
        self._system = system
        self._stores = stores
        self._random = random.Random(SEED)
        self.killed: Counter[str] = Counter()
        self.counters_lost_at: list[float] = []

    async def run(self, kills: int) -> None:
        for _ in range(kills):
            [kind] = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))
            await self._kill(kind)
            self.killed[kind] += 1
            await asyncio.sleep(self._random.uniform(0.05, 0.6))

    async def _kill(self, kind: str) -> None:
        stores = {"queue": self._stores.queue, "cache": self._stores.cache, "mongodb": self._stores.mongodb}
        if kind in stores:
            await self._kill_store(stores[kind])
            if kind == "cache":
                self.counters_lost_at.append(time.monotonic())
            return
        part = self._random.choice([part for part in self._system.parts if part.role == kind])
        part.kill()
        await asyncio.to_thread(part.process.wait)
        self._system.parts.remove(part)
        self._start(kind)

    async def _kill_store(self, store: KillableStore) -> None:
        store.kill()
        await asyncio.sleep(self._random.uniform(0, 0.2))
        store.restart()

    def _start(self, kind: str) -> None:
        starts: dict[str, Callable[[], Part]] = {
            "worker": self._system.worker,
            "edge": self._system.edge,
            "sync": lambda: self._system.spawn("sync"),
            "admin": lambda: self._system.spawn("admin", "--port", "0"),
        }
        starts[kind]()


async def test_nothing_acknowledged_is_lost_whatever_is_killed(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    async with killable_stores(tmp_path) as stores, system_on(stores.settings(), tmp_path) as system:
        rule = {"key_type": "user", "key_value": "*", "limit": 1, "window_seconds": 36_000, "on_limit": "defer"}
        queue = {"max_depth": 100_000, "max_wait_seconds": 86_400, "max_attempts": 1000}
        await system.put_rule("r", **rule, drain={"limit": RATE, "window_seconds": 1}, queue=queue)
        await system.rule_is_known("r", USERS[0])
        ledger, over = Ledger(tmp_path / "promises.jsonl"), asyncio.Event()
        clients = [Client(system, user, ledger) for user in USERS]
        sending = [asyncio.create_task(until(over, client.send)) for client in clients]
        killing = Killing(system, stores)
        start = time.monotonic()
        await killing.run(KILLS)
        took_s = time.monotonic() - start
        over.set()
        await asyncio.gather(*sending)
        found = await account(system, ledger)
        refused = sum((client.refused for client in clients), Counter())
        print(
            f"{KILLS} kills in {took_s:.0f} s ({dict(killing.killed)}): {len(found.promised)} promised, none lost, "
            f"{found.duplicates} duplicates; refused meanwhile {dict(refused)} (0: cut off)"
        )
        assert len(found.promised) > KILLS, "there was traffic"
        # In flight is what a worker was sending, or what it could not say of what it had sent.
        assert found.duplicates <= IN_FLIGHT_AT_A_KILL * (killing.killed["worker"] + killing.killed["queue"])
        found.assert_order()
        found.assert_rate(RATE, 3, killing.counters_lost_at)


async def until(over: asyncio.Event, send: Callable[[int], Awaitable[None]]) -> None:
    number = 0
    while not over.is_set():
        await send(number)
        number += 1
        await asyncio.sleep(0.05)


def system_on(settings: Settings, log_dir: Path) -> AbstractAsyncContextManager[System]:
    return running(settings, log_dir, edges=2, workers=2, **SHORT)
