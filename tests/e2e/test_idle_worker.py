"""A worker with nothing to do costs nothing, and is there at once when there is something."""

import asyncio
import os
import statistics
import time
from pathlib import Path

import pytest

from app.settings import Settings
from tests.support.system import Part, running

IDLE_S = 10.0
MOST_CPU = 0.01
PROMISED_S = 0.020
HICCUP = 5
"""How much longer it may take on two cores that others use too."""


def cpu_s(part: Part) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{part.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.alone
async def test_an_idle_worker_sleeps_and_wakes_at_once(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path) as system:
        [worker] = [part for part in system.parts if part.role == "worker"]
        rule = {"key_type": "user", "key_value": "*", "limit": 1, "window_seconds": 36_000, "on_limit": "defer"}
        await system.put_rule("r", **rule, drain={"limit": 1000, "window_seconds": 1})
        await system.rule_is_known("r", "u")
        assert (await system.request("POST", "/live", "u")).status == 200
        await asyncio.sleep(1)
        before = cpu_s(worker)
        await asyncio.sleep(IDLE_S)
        used = (cpu_s(worker) - before) / IDLE_S
        accepted_at = []
        for number in range(20):
            answer = await system.request("POST", f"/{number}", "u")
            accepted_at.append(time.monotonic())
            assert answer.status == 202
            await system.ended(answer.json()["id"], "u")
        arrivals = [arrival["at"] for arrival in await system.arrivals() if arrival["job"]]
        starts_s = [arrived - accepted for arrived, accepted in zip(arrivals, accepted_at, strict=True)]
        print(
            f"idle: {used:.2%} of a core; a new job is sent {statistics.median(starts_s) * 1000:.1f} ms after its 202"
        )
        assert used < MOST_CPU
        assert statistics.median(starts_s) < HICCUP * PROMISED_S
