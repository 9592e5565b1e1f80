"""The queue Redis killed, hung, cut off or full: deferring stops with 503, forwarding goes on, draining resumes."""

import asyncio
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.faults.drain.account import Account, account
from tests.faults.drain.killable import KillableStore, Stores, killable_stores
from tests.faults.drain.ledger import Client, Ledger
from tests.faults.drain.proxy import Fault, FaultProxy, proxied
from tests.faults.drain.test_kills import RULE
from tests.system import System, eventually, running

RATE, JOBS, AWAY_S = 20, 120, 4.0
RESUMED_WITHIN_S = 5.0
HICCUP_S = 5.0
"""What two busy cores may add."""


@asynccontextmanager
async def draining(tmp_path: Path) -> AsyncIterator[tuple[System, Stores, Ledger, FaultProxy]]:
    """A backlog that drains, through a proxy before the queue Redis."""
    async with (
        killable_stores(tmp_path) as stores,
        proxied(stores.queue.url) as (url, proxy),
        running(stores.settings(), tmp_path, PENSTOCK_QUEUE_REDIS_URL=url, PENSTOCK_LEASE_S="2") as system,
    ):
        await system.put_rule("r", **RULE | {"drain": {"limit": RATE, "window_seconds": 1}})
        await system.rule_is_known("r", "u")
        ledger = Ledger(tmp_path / "promises.jsonl")
        client = Client(system, "u", ledger)
        for number in range(JOBS):
            await client.send(number)
        await system.arrived(10)
        yield system, stores, ledger, proxy


@pytest.mark.parametrize("how", ["killed", "hung", "cut off", "silent"])
async def test_the_queue_redis_goes_and_comes_back(tmp_path: Path, how: str) -> None:
    async with draining(tmp_path) as (system, stores, ledger, proxy):
        await go_away(how, stores.queue, proxy)
        until = time.monotonic() + AWAY_S
        deferred: list[int] = []
        forwarded: list[int] = []
        while time.monotonic() < until:
            deferred.append((await system.request("POST", "/more", "u")).status)
            forwarded.append((await system.request("GET", "/other", f"new{len(forwarded)}")).status)
        assert set(deferred) == {503}
        assert set(forwarded) == {200}
        arrived = len(await jobs_that_arrived(system))
        await come_back(how, stores.queue, proxy)
        back_at = time.monotonic()

        async def resumed() -> bool:
            return len(await jobs_that_arrived(system)) > arrived

        await eventually(resumed, 60, "draining has resumed")
        took_s = time.monotonic() - back_at
        print(f"{how}: draining resumed {took_s:.2f} s after its return")
        assert took_s < RESUMED_WITHIN_S + HICCUP_S
        check(await account(system, ledger))


async def go_away(how: str, queue: KillableStore, proxy: FaultProxy) -> None:
    match how:
        case "killed":
            queue.kill()
        case "hung":
            queue.stop()
        case "cut off":
            await proxy.set(Fault.REFUSE)
        case "silent":
            await proxy.set(Fault.HANG)


async def come_back(how: str, queue: KillableStore, proxy: FaultProxy) -> None:
    match how:
        case "killed":
            queue.restart()
        case "hung":
            queue.go_on()
        case _:
            await proxy.set(Fault.NONE)


def check(found: Account) -> None:
    assert found.duplicates <= RATE, "at most what was in flight"
    found.assert_rate(RATE, 1)
    found.assert_order()


async def jobs_that_arrived(system: System) -> list[str]:
    return [arrival["job"] for arrival in await system.arrivals() if arrival["job"]]


async def test_a_full_memory_stops_deferring_and_not_draining(tmp_path: Path) -> None:
    async with draining(tmp_path) as (system, stores, ledger, _), Redis.from_url(stores.queue.url) as redis:
        await redis.config_set("maxmemory", int((await redis.info("memory"))["used_memory"] / 0.81))
        answer = await system.request("POST", "/more", "u", data=b"x" * 100_000)
        assert (answer.status, int(answer.headers["Retry-After"]) >= 1) == (503, True)
        assert (await system.request("GET", "/other", "another")).status == 200
        check(await account(system, ledger))


async def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """A redis-server that may write no more exits; what it has acknowledged is there when it is back."""
    async with draining(tmp_path) as (system, stores, ledger, _):
        process = stores.queue.process
        most = size_of(tmp_path / "queue") + 4096
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
        client = Client(system, "u", ledger)
        sending = asyncio.create_task(client.send(JOBS, data=b"x"))
        await asyncio.to_thread(process.wait, 30)
        assert (await system.request("POST", "/more", "u")).status == 503
        assert (await system.request("GET", "/other", "another")).status == 200
        stores.queue.restart()
        await sending
        check(await account(system, ledger))


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
