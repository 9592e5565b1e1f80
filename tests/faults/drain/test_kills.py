"""`kill -9` of every kind of process at random moments under traffic: nothing acknowledged is lost.

PENSTOCK_TEST_KILLS says how many kills, PENSTOCK_TEST_SEED which: by default the same ones in each run of CI.
"""

import asyncio
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.account import account
from tests.support.draining import RATE, RULE, SHORT
from tests.support.examples import seed
from tests.support.ledger import Client, Ledger
from tests.support.supervised import Supervised, supervised

KILLS = int(os.environ.get("PENSTOCK_TEST_KILLS", "40"))
SEED = seed("PENSTOCK_TEST_SEED")
PAUSE_S = 0.5
WEIGHTS = {
    "worker": 30.0,
    "queue-redis": 20.0,
    "edge": 18.0,
    "cache-redis": 12.0,
    "sync": 8.0,
    "mongodb": 6.0,
    "admin": 6.0,
}

USERS = [f"user{i}" for i in range(6)]
DELAY_MS = 50
CANCELED = 0.02
SEND_DELAY_S = 0.5
"""How late the app server, which shares two cores with all that starts again, may note an arrival."""


@pytest.mark.alone
async def test_nothing_acknowledged_is_lost_whatever_is_killed(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    randomness = random.Random(SEED)
    async with supervised(tmp_path, randomness, edges=2, workers=2, **SHORT) as killing:
        await killing.system.put_rule("r", **RULE)
        await killing.system.rule_is_known("r", USERS[0])
        ledger, over = Ledger(tmp_path / "promises.jsonl"), asyncio.Event()
        clients = [Client(killing.system, user, ledger) for user in USERS]
        sending = asyncio.gather(*(send_until(over, client, randomness) for client in clients))
        took_s = await kill_under(killing, sending)
        over.set()
        await sending
        found = await account(killing.system, ledger)
        await killing.queue_has_returned()

    refused = sum((client.refused for client in clients), Counter())
    bound = found.assert_only_in_flight_was_repeated(killing.kills)
    by_role = dict(Counter(role_of(kill.name) for kill in killing.kills))
    print(
        f"{len(killing.kills)} kills in {took_s:.0f} s ({by_role}): "
        f"{len(found.promised)} promised, none lost: {dict(found.statuses)}; {found.duplicates} sent twice, "
        f"{bound} had been in flight; nothing promised meanwhile: {dict(refused)}"
    )
    assert len(found.promised) > KILLS, "there was traffic"
    assert found.statuses.keys() <= {"succeeded", "canceled"}
    found.assert_order()
    lost_at = [kill.at for kill in killing.kills if role_of(kill.name) == "cache-redis"]
    found.assert_rate(RATE, 1, lost_at, SEND_DELAY_S)


async def kill_under(killing: Supervised, sending: "asyncio.Future[Any]") -> float:
    """How long it took; ends early where the traffic does, which is an error of its own."""
    start = time.monotonic()
    while len(killing.kills) < KILLS and not sending.done():
        await asyncio.sleep(killing.pause_s(PAUSE_S))
        killing.kill_one(WEIGHTS)
    return time.monotonic() - start


async def send_until(over: asyncio.Event, client: Client, randomness: random.Random) -> None:
    """A little slower than the flow drains; now and then a job is canceled."""
    number = 0
    while not over.is_set():
        job = await client.send(number, f"/{{user}}/{{number}}?delay_ms={DELAY_MS}")
        if job is not None and randomness.random() < CANCELED:
            await client.cancel(job)
        number += 1
        await asyncio.sleep(1.1 / RATE)


def role_of(name: str) -> str:
    return name.rpartition("-")[0]
