"""`kill -9` of a worker in the middle of a drain: nothing lost, duplicates only of what was in flight."""

import asyncio
import time
from pathlib import Path
from typing import Any

from app.settings import Settings
from tests.support.account import Kill, account
from tests.support.draining import RULE
from tests.support.ledger import Client, Ledger
from tests.support.system import Part, System, running

JOBS, RATE, KILLS = 300, 60, 3
DELAY_S = 0.2
SHORT: Any = {"PENSTOCK_LEASE_S": "2", "PENSTOCK_RECLAIM_INTERVAL_S": "0.5"}


async def test_nothing_is_lost_and_only_what_was_in_flight_is_sent_twice(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, workers=0, record_slots=True, **SHORT) as system:
        await system.put_rule("r", **RULE | {"drain": {"limit": RATE, "window_seconds": 1}})
        await system.rule_is_known("r", "u")
        ledger = Ledger(tmp_path / "promises.jsonl")
        client = Client(system, "u", ledger)
        for number in range(JOBS + 1):  # the first is within the limit
            await client.send(number, f"/{{user}}/{{number}}?delay_ms={int(DELAY_S * 1000)}")

        kills = []
        worker = worker_with_path(system, "worker-0")
        await system.ready(worker)
        for number in range(KILLS):
            await system.arrived(1 + (number + 1) * JOBS // (KILLS + 2))
            worker.kill()
            kills.append(Kill(time.monotonic(), f"worker-{number}"))
            worker.process.wait()
            worker = worker_with_path(system, f"worker-{number + 1}")
            await asyncio.sleep(0.3)

        found = await account(system, ledger)
        assert len(found.promised) == JOBS
        assert set(found.statuses) == {"succeeded"}, "nothing lost"
        in_flight = found.assert_only_in_flight_was_repeated(kills)
        print(f"{KILLS} kills, {in_flight} jobs in flight, {found.duplicates} duplicates")
        assert in_flight >= KILLS, "workers were killed while they had work"
        assert found.duplicates <= KILLS * (RATE * (DELAY_S + 0.3) + 2)
        assert max(len(of_job) for of_job in found.by_job.values()) <= 1 + KILLS
        found.assert_slots(system, RATE, 1)


def worker_with_path(system: System, name: str) -> Part:
    """A worker that sends below a path of its own, so that each arrival says who sent it."""
    return system.worker(PENSTOCK_UPSTREAMS=f"{system.upstream}/{name}")
