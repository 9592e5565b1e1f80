"""The queue Redis killed, hung, refused, full, its disk full: deferring stops with 503, forwarding goes on."""

import asyncio
import resource
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from app.local.stores import redis_is_ready
from app.settings import Settings
from tests.support.account import Account, account
from tests.support.draining import RULE, nothing_is_held
from tests.support.fault_proxy import Fault, FaultProxy, proxied
from tests.support.ledger import Client, Ledger
from tests.support.stores import OwnQueue, own_queue
from tests.support.system import System, running
from tests.support.waiting import eventually

RATE, JOBS, AWAY_S = 30, 150, 3.0
RESUMED_WITHIN_S = 5.0
BUSY_S = 5.0
"""What two busy cores may add to it."""

IN_TIME = aiohttp.ClientTimeout(20)
"""An answer that never comes is a failure, and not one to wait for."""

DISK_BYTES = 2 << 20
FILLING = 80
QUICK: Any = {"PENSTOCK_LEASE_S": "2", "PENSTOCK_RECLAIM_INTERVAL_S": "0.5", "PENSTOCK_QUEUE_TIMEOUT_MS": "1000"}


@asynccontextmanager
async def draining(
    settings: Settings, tmp_path: Path, queue: OwnQueue, jobs: int = JOBS
) -> AsyncIterator[tuple[System, Ledger, FaultProxy]]:
    """A backlog that has begun to drain, by way of a proxy before the queue Redis."""
    await redis_is_ready(queue.url)
    async with (
        proxied(queue.url) as (url, proxy),
        running(
            settings.model_copy(update={"queue_redis_url": url}), tmp_path, workers=0, record_slots=True, **QUICK
        ) as system,
    ):
        await system.put_rule("r", **RULE | {"drain": {"limit": RATE, "window_seconds": 1}})
        await system.rule_is_known("r", "u")
        ledger = Ledger(tmp_path / "promises.jsonl")
        client = Client(system, "u", ledger)
        for number in range(jobs):
            await client.send(number)
        await system.ready(system.worker())
        await system.arrived(10)
        yield system, ledger, proxy


async def jobs_arrived(system: System) -> int:
    return sum(1 for arrival in await system.arrivals() if arrival["job"])


class Traffic:
    """One who is over the limit, and many who are not, for as long as the queue is away."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.deferred: Counter[int] = Counter()
        self.forwarded: Counter[int] = Counter()

    async def for_seconds(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until or not self.deferred:
            await self.once()

    async def once(self) -> None:
        answer = await self._system.request("POST", f"/more/{self.deferred.total()}", "u", timeout=IN_TIME)
        self.deferred[answer.status] += 1
        if answer.status == 503:
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.headers["Content-Type"] == "application/problem+json"
        new = f"new{self.forwarded.total()}"
        self.forwarded[(await self._system.request("GET", f"/{new}/0", new, timeout=IN_TIME)).status] += 1


async def resumed_after(system: System, before: int) -> float:
    """How long until a job arrives again."""

    async def resumed() -> bool:
        return await jobs_arrived(system) > before

    return await eventually(resumed, 60, "draining has resumed")


def check(system: System, found: Account) -> None:
    assert set(found.statuses) == {"succeeded"}
    assert found.duplicates == 0, "the worker lives, and keeps what it could not store"
    found.assert_slots(system, RATE, 1, {"more": "u"})
    found.assert_order()


@pytest.mark.parametrize("how", ["killed", "hung", "silent", "reset", "refused"])
async def test_away_and_back(settings: Settings, tmp_path: Path, how: str) -> None:
    with own_queue(tmp_path / "queue.log") as queue:
        async with draining(settings, tmp_path, queue) as (system, ledger, proxy):
            await go_away(how, queue, proxy)
            traffic = Traffic(system)
            await traffic.for_seconds(AWAY_S)
            assert set(traffic.deferred) == {503}
            assert set(traffic.forwarded) == {200}
            before = await jobs_arrived(system)
            back_at = time.monotonic()
            await come_back(how, queue, proxy)
            await resumed_after(system, before)
            took_s = time.monotonic() - back_at
            print(f"{how}: {traffic.deferred.total()} told 503; draining resumed {took_s:.2f} s after its return")
            assert took_s < RESUMED_WITHIN_S + BUSY_S
            check(system, await account(system, ledger))
            await nothing_is_held(system, proxy)


async def go_away(how: str, queue: OwnQueue, proxy: FaultProxy) -> None:
    match how:
        case "killed":
            queue.process.kill()
            await asyncio.to_thread(queue.process.wait)
        case "hung":
            queue.process.send_signal(signal.SIGSTOP)
        case _:
            await proxy.set({"silent": Fault.HANG, "reset": Fault.RESET, "refused": Fault.REFUSE}[how])


async def come_back(how: str, queue: OwnQueue, proxy: FaultProxy) -> None:
    match how:
        case "killed":
            await queue.again()
        case "hung":
            queue.process.send_signal(signal.SIGCONT)
        case _:
            await proxy.set(Fault.NONE)


async def test_again_and_again(settings: Settings, tmp_path: Path) -> None:
    """Nothing is used up by outages: after twenty the worker still sends as it did."""
    times = 20
    with own_queue(tmp_path / "queue.log") as queue:
        async with draining(settings, tmp_path, queue, 400) as (system, ledger, proxy):
            for number in range(times):
                await proxy.set(Fault.RESET)
                await asyncio.sleep(0.05 + 0.02 * (number % 7))
                await proxy.set(Fault.NONE)
                await asyncio.sleep(0.4)
            found = await account(system, ledger)
            print(f"{times} outages: {found.duplicates} sent twice")
            check(system, found)
            await nothing_is_held(system, proxy)


async def test_a_memory_that_is_nearly_full_stops_deferring_alone(settings: Settings, tmp_path: Path) -> None:
    with own_queue(tmp_path / "queue.log") as queue:
        async with draining(settings, tmp_path, queue) as (system, ledger, proxy), Redis.from_url(queue.url) as redis:
            used = (await redis.info("memory"))["used_memory"]
            await redis.config_set("maxmemory", int(used / 0.85))
            await asyncio.sleep(0.5)  # enqueueing looks at the memory every tenth of a second (enqueue.lua)
            traffic = Traffic(system)
            await traffic.once()
            assert (traffic.deferred, traffic.forwarded) == ({503: 1}, {200: 1})
            check(system, await account(system, ledger))
            await redis.config_set("maxmemory", 0)
            before = await jobs_arrived(system)
            await traffic.once()
            assert traffic.deferred == {503: 1, 202: 1}, "it takes jobs again"
            await resumed_after(system, before)
            await nothing_is_held(system, proxy)


async def test_a_memory_that_is_full_to_the_brim_stops_all_and_loses_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    """Not even settling is possible; what was sent is settled when there is room again."""
    with own_queue(tmp_path / "queue.log") as queue:
        async with draining(settings, tmp_path, queue) as (system, ledger, proxy), Redis.from_url(queue.url) as redis:
            await redis.config_set("maxmemory", 1 << 20)  # less than it uses
            traffic = Traffic(system)
            await traffic.for_seconds(AWAY_S)
            assert set(traffic.deferred) == {503}
            assert set(traffic.forwarded) == {200}
            before = await jobs_arrived(system)
            await redis.config_set("maxmemory", 0)
            took_s = await resumed_after(system, before)
            print(f"full: draining resumed {took_s:.2f} s after there was room")
            assert took_s < RESUMED_WITHIN_S + BUSY_S
            check(system, await account(system, ledger))
            await nothing_is_held(system, proxy)


@pytest.fixture(params=["small disk", "file size limit"])
def full_at(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, bool]]:
    """A folder for the queue, and whether it is a disk of 2 MB; skipped where none may be mounted."""
    folder = tmp_path / "queue"
    folder.mkdir()
    if request.param == "file size limit":
        yield folder, False
        return
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no disk may be mounted here")
    try:
        yield folder, True
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_full_disk_ends_the_redis_and_loses_nothing(
    settings: Settings, tmp_path: Path, full_at: tuple[Path, bool]
) -> None:
    folder, is_disk = full_at
    with own_queue(tmp_path / "queue.log", folder) as queue:
        async with draining(settings, tmp_path, queue) as (system, ledger, proxy):
            if not is_disk:
                most = sum(file.stat().st_size for file in folder.rglob("*")) + DISK_BYTES // 8
                resource.prlimit(queue.process.pid, resource.RLIMIT_FSIZE, (most, most))
            filling = Client(system, "filling", ledger)
            sending = asyncio.create_task(fill(filling))
            await asyncio.to_thread(queue.process.wait, 60)
            traffic = Traffic(system)
            await traffic.for_seconds(AWAY_S)
            assert set(traffic.deferred) == {503}
            assert set(traffic.forwarded) == {200}
            if is_disk:
                await asyncio.to_thread(enlarge, folder)
            before = await jobs_arrived(system)
            await queue.again()
            took_s = await resumed_after(system, before)
            print(f"disk: {filling.refused[503]} told 503; draining resumed {took_s:.2f} s after its return")
            assert took_s < RESUMED_WITHIN_S + BUSY_S
            await sending
            found = await account(system, ledger)
            check(system, found)
            assert sum(entry["user"] == "filling" for entry in found.promised) == FILLING - 1
            await nothing_is_held(system, proxy)


def enlarge(folder: Path) -> None:
    subprocess.run(["mount", "-o", f"remount,size={32 * DISK_BYTES}", str(folder)], check=True)


async def fill(client: Client) -> None:
    for number in range(FILLING):
        await client.send(number, data=b"x" * 40_000)
