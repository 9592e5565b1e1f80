"""A backlog of many flows after an outage: every stretch of time is within the rate, of every flow."""

import asyncio
from pathlib import Path

import pytest

from app.local.stores import redis_is_ready
from app.settings import Settings
from tests.support.account import account
from tests.support.draining import RULE, SHORT
from tests.support.ledger import Client, Ledger
from tests.support.stores import OwnQueue, own_queue
from tests.support.system import System, running

FLOWS, EACH, RATE, WORKERS = 40, 80, 10, 2
AWAY_S = 3.0
BEGUN = 800


@pytest.mark.alone
@pytest.mark.parametrize("away", ["queue", "workers"])
async def test_recovery_is_never_faster_than_permitted(settings: Settings, tmp_path: Path, away: str) -> None:
    with own_queue(tmp_path / "queue.log") as queue:
        await redis_is_ready(queue.url)
        own = settings.model_copy(update={"queue_redis_url": queue.url})
        async with running(own, tmp_path, edges=2, workers=0, record_slots=True, **SHORT) as system:
            await system.put_rule("r", **RULE | {"drain": {"limit": RATE, "window_seconds": 1}})
            await system.rule_is_known("r", "user0")
            ledger = Ledger(tmp_path / "promises.jsonl")
            await asyncio.gather(*(defer_all(Client(system, f"user{i}", ledger)) for i in range(FLOWS)))
            workers = [system.worker() for _ in range(WORKERS)]
            await system.ready(*workers)
            await system.arrived(FLOWS + BEGUN)
            await (queue_away(queue) if away == "queue" else workers_away(system))
            found = await account(system, ledger, 300)
            print(f"{away} away: {len(found.promised)} jobs of {FLOWS} flows, {found.duplicates} sent twice")
            assert len(found.promised) == FLOWS * EACH
            assert set(found.statuses) == {"succeeded"}
            assert found.duplicates <= (0 if away == "queue" else FLOWS * RATE), (
                "at most what killed workers had in flight"
            )
            found.assert_slots(system, RATE, 1)
            found.assert_order()


async def defer_all(client: Client) -> None:
    for number in range(EACH + 1):  # the first is within the limit
        await client.send(number)


async def queue_away(queue: OwnQueue) -> None:
    queue.process.kill()
    await asyncio.to_thread(queue.process.wait)
    await asyncio.sleep(AWAY_S)
    await queue.again()


async def workers_away(system: System) -> None:
    for part in [part for part in system.parts if part.role == "worker"]:
        part.kill()
        await asyncio.to_thread(part.process.wait)
    await asyncio.sleep(AWAY_S)
    await system.ready(*(system.worker() for _ in range(WORKERS)))
