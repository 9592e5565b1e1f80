"""A worker that sleeps for twice its lease, and goes on: what another took meanwhile is not its to settle."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import aiohttp

from app.settings import Settings
from tests.faults.drain.test_kills import RULE
from tests.system import Part, System, eventually, running

LEASE_S = 1.0


async def lost_leases(http: aiohttp.ClientSession, worker: Part) -> float:
    async with http.get(worker.ops_url + "/metrics") as response:
        lines = (await response.text()).splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("penstock_lost_leases_total")))


async def test_a_worker_that_slept_settles_nothing_that_another_took(settings: Settings, tmp_path: Path) -> None:
    environment: Any = {"PENSTOCK_LEASE_S": str(LEASE_S), "PENSTOCK_RECLAIM_INTERVAL_S": "0.3"}
    async with running(settings, tmp_path, workers=1, **environment) as system:
        [sleeper] = [part for part in system.parts if part.role == "worker"]
        await system.put_rule("r", **RULE)
        await system.rule_is_known("r", "u")
        assert (await system.request("POST", "/live", "u")).status == 200
        job = (await system.request("POST", "/job?delay_ms=700", "u")).json()["id"]
        await system.arrived(2)
        sleeper.kill(signal.SIGSTOP)
        await system.ready(system.worker())
        ended = await system.ended(job, "u")
        assert (ended["status"], ended["attempts"]) == ("succeeded", 2), "the other sent it again"
        body = await answer_of(system, job)
        await asyncio.sleep(2 * LEASE_S)
        sleeper.kill(signal.SIGCONT)

        async def noticed() -> bool:
            return await lost_leases(system.http, sleeper) >= 1

        await eventually(noticed, 30, "its outcome is dropped")
        assert await answer_of(system, job) == body == b"answer 3", "the first final outcome stays"
        assert len([a for a in await system.arrivals() if a["job"]]) == 2


async def answer_of(system: System, job: str) -> bytes:
    return (await system.request("GET", f"/_penstock/jobs/{job}/response", "u")).body
