"""Workers that are stopped again and again, for longer than a flow lease but not than a job's: the order holds."""

import asyncio
import signal
from pathlib import Path

from app.settings import Settings
from tests.support.bounds import assert_arrived_in_order
from tests.support.draining import RULE
from tests.support.system import running

RATE, JOBS, STOPS, STOP_S = 40, 300, 12, 0.4


async def test_the_order_holds(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, workers=0) as system:
        await system.put_rule("r", **RULE | {"drain": {"limit": RATE, "window_seconds": 1}})
        await system.rule_is_known("r", "u")
        accepted = 0
        for number in range(JOBS + 1):  # one by one, so that their order is known
            answer = await system.request("POST", f"/{number}", "u")
            accepted += answer.status == 202
        assert accepted == JOBS, "the first takes the only unit"
        workers = [system.worker() for _ in range(2)]
        await system.ready(*workers)
        for number in range(STOPS):
            await system.arrived(number * 10)
            worker = workers[number % 2]
            worker.kill(signal.SIGSTOP)
            await asyncio.sleep(STOP_S)
            worker.kill(signal.SIGCONT)
        drained = [arrival for arrival in await system.arrived(JOBS + 1, within_s=120) if arrival["job"]]
    assert_arrived_in_order([f"/{number}" for number in range(1, JOBS + 1)], drained)
