"""The reply of a script is lost: what was done is done, and nothing is lost or done twice beyond what may be."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from tests.faults.ledger import Client, Ledger, account
from tests.faults.proxy import Fault, proxied
from tests.faults.test_kills import SHORT
from tests.system import running

RULE: dict[str, Any] = {"key_type": "user", "key_value": "*", "limit": 1, "window_seconds": 36_000, "on_limit": "defer"}
RATE, JOBS, CUTS = 40, 200, 25


@pytest.mark.parametrize("between", ["edge", "worker"])
async def test_the_queue_redis_did_what_nobody_heard_of(settings: Settings, tmp_path: Path, between: str) -> None:
    async with (
        proxied(settings.queue_redis_url) as (url, proxy),
        running(settings, tmp_path, edges=0, workers=0, **SHORT) as system,
    ):
        through = {"PENSTOCK_QUEUE_REDIS_URL": url}
        await system.ready(system.edge(**(through if between == "edge" else {})))
        await system.ready(system.worker(**(through if between == "worker" else {})))
        await system.put_rule("r", **RULE, drain={"limit": RATE, "window_seconds": 1}, queue={"max_attempts": 1000})
        await system.rule_is_known("r", "u")
        ledger = Ledger(tmp_path / "promises.jsonl")
        client = Client(system, "u", ledger)

        async def send_all() -> None:
            for number in range(JOBS):
                await client.send(number)

        sending = asyncio.create_task(send_all())
        for _ in range(CUTS):
            await asyncio.sleep(0.2)
            proxy.fault = Fault.LOSE_REPLIES
            await asyncio.sleep(0.02)
            proxy.fault = Fault.NONE
        await sending
        found = await account(system, ledger)
        print(f"{proxy.cut} replies of the queue lost ({between}): {found.duplicates} duplicates")
        assert proxy.cut >= CUTS / 2, "replies were lost"
        jobs = [entry["job"] for entry in found.promised]
        assert len(set(jobs)) == JOBS - 1, "a request that was repeated is the same job"
        assert {arrival["job"] for arrival in found.arrivals} == set(jobs), "and no job runs that nobody knows of"
        # A lost reply of a lease: the jobs come back after it ended. Of a settlement: it is tried again.
        assert found.duplicates == 0 if between == "edge" else found.duplicates <= proxy.cut
        found.assert_rate(RATE, 1)
        found.assert_order()


async def test_the_counters_granted_what_nobody_heard_of(settings: Settings, tmp_path: Path) -> None:
    """Slots whose grant was lost are never used: the rate holds, and nothing is lost."""
    async with (
        proxied(settings.cache_redis_url) as (url, proxy),
        running(settings, tmp_path, edges=1, workers=0, **SHORT) as system,
    ):
        await system.ready(system.worker(PENSTOCK_CACHE_REDIS_URL=url))
        await system.put_rule("r", **RULE, drain={"limit": RATE, "window_seconds": 1})
        await system.rule_is_known("r", "u")
        ledger = Ledger(tmp_path / "promises.jsonl")
        client = Client(system, "u", ledger)
        for number in range(JOBS):
            await client.send(number)
        for _ in range(CUTS):
            await asyncio.sleep(0.1)
            proxy.fault = Fault.LOSE_REPLIES
            await asyncio.sleep(0.02)
            proxy.fault = Fault.NONE
        found = await account(system, ledger)
        print(f"{proxy.cut} replies of the counters lost: {found.duplicates} duplicates")
        assert proxy.cut >= CUTS / 2
        assert found.duplicates == 0
        found.assert_rate(RATE, 1)
        found.assert_order()
