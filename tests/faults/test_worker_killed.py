"""`kill -9` of a worker in the middle of a drain: nothing lost, duplicates only of what was in flight."""

import asyncio
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from app.settings import Settings
from tests.support.granted_slots import assert_sent_at_slots
from tests.support.system import running

JOBS, RATE, KILLS = 300, 60, 3
DELAY_S = 0.2
LEASE_S = 2.0


async def test_nothing_is_lost_and_only_what_was_in_flight_is_sent_twice(settings: Settings, tmp_path: Path) -> None:
    environment: Any = {"PENSTOCK_LEASE_S": str(LEASE_S), "PENSTOCK_RECLAIM_INTERVAL_S": "0.5"}
    async with running(settings, tmp_path, record_slots=True, **environment) as system:
        await system.put_rule(
            "r",
            key_type="user",
            key_value="*",
            limit=1,
            window_seconds=3600,
            on_limit="defer",
            drain={"limit": RATE, "window_seconds": 1},
        )
        await system.rule_is_known("r", "u")
        assert (await system.request("POST", "/live", "u")).status == 200
        jobs = []
        for number in range(JOBS):
            answer = await system.request("POST", f"/{number}?delay_ms={int(DELAY_S * 1000)}", "u")
            assert answer.status == 202
            jobs.append(answer.json()["id"])

        killed_at = []
        for kill in range(KILLS):
            await system.arrived(1 + (kill + 1) * JOBS // (KILLS + 2))
            worker = next(part for part in system.parts if part.role == "worker" and part.process.poll() is None)
            worker.kill()
            killed_at.append(time.monotonic())
            worker.process.wait()
            system.worker()
            await asyncio.sleep(0.3)

        for job in jobs:
            assert (await system.ended(job, "u"))["status"] == "succeeded"

        arrivals = defaultdict(list)
        for arrival in await system.arrivals():
            if arrival["job"]:
                arrivals[arrival["job"]].append(arrival["at"])
        assert set(arrivals) == set(jobs), "nothing lost"
        clock = [arrival["clock"] for arrival in await system.arrivals() if arrival["job"]]
        assert_sent_at_slots(clock, system.granted("user:u"), RATE, 1)
        twice = {job: times for job, times in arrivals.items() if len(times) > 1}
        print(f"{KILLS} kills, {len(twice)} duplicates")
        assert len(twice) <= KILLS * (RATE * (DELAY_S + 0.3) + 2)
        for job, times in twice.items():
            assert len(times) <= 1 + KILLS
            assert any(killed - DELAY_S - 1.0 <= times[0] <= killed + 0.1 for killed in killed_at), job
