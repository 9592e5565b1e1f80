"""A backlog of 10,000 jobs after an outage: every stretch of time is within the rate, of every flow."""

import asyncio
from pathlib import Path

from app.settings import Settings
from tests.faults.drain.account import account
from tests.faults.drain.ledger import Client, Ledger
from tests.faults.drain.test_kills import RULE
from tests.system import running

FLOWS, JOBS_EACH, RATE = 20, 500, 25


async def test_recovery_is_never_faster_than_permitted(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, edges=2, workers=0) as system:
        await system.put_rule("r", **RULE | {"drain": {"limit": RATE, "window_seconds": 1}})
        await system.rule_is_known("r", "user0")
        ledger = Ledger(tmp_path / "promises.jsonl")

        async def defer(user: str) -> None:
            client = Client(system, user, ledger)
            for number in range(JOBS_EACH + 1):
                await client.send(number)

        await asyncio.gather(*(defer(f"user{i}") for i in range(FLOWS)))
        workers = [system.worker(), system.worker()]
        await system.ready(*workers)
        await system.arrived(FLOWS + 2000)
        for worker in workers:
            worker.kill()
        await asyncio.sleep(2)
        await system.ready(system.worker(), system.worker())
        found = await account(system, ledger)
        assert len(found.promised) == FLOWS * JOBS_EACH
        print(f"{len(found.promised)} jobs of {FLOWS} flows, {found.duplicates} duplicates")
        found.assert_rate(RATE, 1)
        found.assert_order()
