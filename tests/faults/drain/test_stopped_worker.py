"""A worker that sleeps for twice its lease, and goes on: what another took meanwhile is not its to settle."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

from app.settings import Settings
from tests.support.account import account
from tests.support.draining import RULE
from tests.support.ledger import Client, Ledger
from tests.support.system import Part, System, running
from tests.support.waiting import eventually

LEASE_S, RATE, DELAY_MS, JOBS = 3.0, 20, 600, 60
"""The lease is long enough that a worker keeps it that runs, but on a busy machine."""
SHORT: Any = {"PENSTOCK_LEASE_S": str(LEASE_S), "PENSTOCK_RECLAIM_INTERVAL_S": "0.3"}


async def lost_leases(system: System, worker: Part) -> float:
    async with system.http.get(worker.ops_url + "/metrics") as response:
        lines = (await response.text()).splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("penstock_lost_leases_total ")))


async def test_it_settles_nothing_that_another_took(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, workers=0, **SHORT) as system:
        await system.put_rule("r", **RULE | {"drain": {"limit": RATE, "window_seconds": 1}})
        await system.rule_is_known("r", "u")
        ledger = Ledger(tmp_path / "promises.jsonl")
        client = Client(system, "u", ledger)
        for number in range(JOBS + 1):
            await client.send(number, f"/{{user}}/{{number}}?delay_ms={DELAY_MS}")
        sleeper = system.worker(PENSTOCK_UPSTREAMS=f"{system.upstream}/sleeper")
        await system.ready(sleeper)
        await system.arrived(15)
        sleeper.kill(signal.SIGSTOP)
        other = system.worker(PENSTOCK_UPSTREAMS=f"{system.upstream}/other")
        await system.ready(other)
        # All is over before it wakes, which is twice its lease at the least.
        found = await account(system, ledger)
        twice = {arrival.job for arrival in found.arrivals if arrival.via == "sleeper"} & {
            arrival.job for arrival in found.arrivals if arrival.via == "other"
        }
        answers = {job: await answer_of(system, job) for job in twice}
        await asyncio.sleep(2 * LEASE_S)
        sleeper.kill(signal.SIGCONT)

        async def noticed() -> bool:
            return await lost_leases(system, sleeper) >= len(twice)

        await eventually(noticed, 30, "its outcomes are dropped")
        after = await account(system, ledger)
        print(f"{len(twice)} jobs were in flight as it slept, {await lost_leases(system, sleeper):.0f} leases lost")
        assert len(twice) == found.duplicates >= 5, "some were in flight"
        assert len(twice) <= RATE * (DELAY_MS / 1000 + 1), "and no others were sent again"
        assert {job: await answer_of(system, job) for job in twice} == answers
        by_other = {f"answer {n}".encode() for n in numbers_by(system, "other")}
        assert set(answers.values()) <= by_other, "the outcome is that of who held the lease"
        assert {job: ended(one) for job, one in after.outcomes.items()} == {
            job: ended(one) for job, one in found.outcomes.items()
        }
        assert len(after.arrivals) == len(found.arrivals), "nor does it send what it had leased"
        after.assert_order()


async def test_a_worker_that_did_not_run_does_not_reclaim_its_own_jobs(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, workers=0, **SHORT) as system:
        worker = system.worker()
        await system.ready(worker)
        await system.put_rule("r", **RULE | {"drain": {"limit": RATE, "window_seconds": 1}})
        await system.rule_is_known("r", "u")
        ledger = Ledger(tmp_path / "promises.jsonl")
        client = Client(system, "u", ledger)
        for number in range(6):  # the first is within the limit and is answered at once
            await client.send(number, f"/{{user}}/{{number}}?delay_ms={int(3000 * LEASE_S) if number else 0}")
        await system.arrived(6)
        for _ in range(2):
            worker.kill(signal.SIGSTOP)
            await asyncio.sleep(1.2 * LEASE_S)
            worker.kill(signal.SIGCONT)
            await asyncio.sleep(0.1 * LEASE_S)
        found = await account(system, ledger)
        assert (found.duplicates, found.statuses) == (0, {"succeeded": len(found.promised)})
        assert await lost_leases(system, worker) == 0


def ended(job: dict[str, Any]) -> tuple[Any, ...]:
    return job["status"], job["attempts"], job["finished_at"], job["response"]


async def answer_of(system: System, job: str) -> bytes:
    return (await system.request("GET", f"/_penstock/jobs/{job}/response", "u")).body


def numbers_by(system: System, via: str) -> list[int]:
    """The numbers that the app server gave to what came this way."""
    lines = [json.loads(line) for line in system.arrivals_ledger.read_text().splitlines()]
    return [line["number"] for line in lines if line.get("target", "").startswith(f"/{via}/")]
