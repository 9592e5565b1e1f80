"""Four edges and three workers on one rule: the rate, the order, each job once."""

import asyncio
import random
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.settings import Settings
from tests.support.bounds import as_read, assert_in_order, assert_within_rate, times_of
from tests.support.system import Answer, System, running
from tests.support.waiting import eventually

USERS = [f"user_{i}" for i in range(5)]
REQUESTS = 60
LIMIT, BURST = 20, 4
DRAIN, OWN_LIMIT = 30, 5
"""A drain rate beside the limit, which is then lower: even clients of a slow machine are over it."""

OPENERS = 3
"""Requests at once before every 20, each as costly as the whole burst: those after the first are over the limit."""


@pytest.mark.alone
@pytest.mark.parametrize("own_drain_rate", [False, True], ids=["shared_budget", "own_drain_rate"])
async def test_the_rate_and_the_order_hold_over_many_processes(
    settings: Settings, tmp_path: Path, own_drain_rate: bool
) -> None:
    patient = settings.model_copy(update={"counters_timeout_ms": 2000.0})  # a busy machine is no lost counter
    own = {"limit": OWN_LIMIT, "drain": {"limit": DRAIN, "window_seconds": 1}}
    shared = {"limit": LIMIT, "cost": {"header": "X-Cost", "default": 1}}
    async with running(patient, tmp_path, edges=4, workers=3) as system:
        rule = own if own_drain_rate else shared
        await system.put_rule(
            "u", key_type="user", key_value="*", window_seconds=1, burst=BURST, on_limit="defer", **rule
        )
        await system.rule_is_known("u", USERS[0])
        answers = dict(zip(USERS, await asyncio.gather(*(send_all(system, user) for user in USERS)), strict=True))
        arrivals = by_user(await system.arrived(len(USERS) * (REQUESTS + OPENERS * REQUESTS // 20), within_s=120))

        for user in USERS:
            statuses = [answer.status for answer in answers[user]]
            assert set(statuses) == {200, 202}
            numbered = [arrival for arrival in arrivals[user] if arrival["number"] is not None]
            numbers = [arrival["number"] for arrival in numbered]
            assert sorted(numbers) == list(range(REQUESTS)), "each once"
            drained = [arrival for arrival in arrivals[user] if arrival["job"]]
            assert len(drained) == statuses.count(202)
            if own_drain_rate:
                # Live requests may pass the backlog; the backlog keeps its own order and its own rate.
                in_line = [arrival for arrival in numbered if arrival["job"]]
                assert_in_order(as_read((a["number"] for a in in_line), in_line))
                assert_within_rate(times_of(drained), DRAIN, 1)
                assert_within_rate(times_of(a for a in arrivals[user] if not a["job"]), OWN_LIMIT, BURST)
            else:
                # A starved app server reads what arrived on two connections at once in either order.
                assert_in_order(as_read(numbers, numbered))
                assert 200 in statuses[statuses.index(202) :], "once the flow is empty, live requests pass again"
                units = [a for a in arrivals[user] for _ in range(BURST if a["number"] is None else 1)]
                assert_within_rate(times_of(units), LIMIT, BURST)
        await every_job_succeeded(system, answers)


async def send_all(system: System, user: str) -> list[Answer]:
    """One client: openers, then each request after the answer to the last, over connections that reach every edge."""
    randomness = random.Random(user)
    answers = []

    async def send(target: str, **headers: str) -> None:
        headers |= {"Connection": "close"}
        answers.append(await system.request("POST", target, user, data=b"x", headers=headers))

    async def may_spend_the_burst() -> bool:
        [limit] = (await system.request("GET", "/_penstock/limits", user)).json()["limits"]
        return limit["remaining"] == BURST and not limit["backlog"]

    for number in range(REQUESTS):
        if number % 20 == 0:
            await asyncio.gather(*(send(f"/opener?user={user}", **{"X-Cost": str(BURST)}) for _ in range(OPENERS)))
        await send(f"/work?user={user}&number={number}")
        if number % 20 == 19 and number < REQUESTS - 1:
            await eventually(may_spend_the_burst, 60, "live requests follow a backlog")
            await asyncio.sleep(randomness.uniform(0, 0.5))
    return answers


def by_user(arrivals: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for arrival in arrivals:
        query = parse_qs(urlsplit(arrival["target"]).query)
        number = int(query["number"][0]) if "number" in query else None
        found[query["user"][0]].append(arrival | {"number": number})
    return found


async def every_job_succeeded(system: System, answers: dict[str, list[Answer]]) -> None:
    for user, of_user in answers.items():
        for answer in of_user:
            if answer.status == 202:
                job = await system.ended(answer.json()["id"], user)
                assert (job["status"], job["attempts"]) == ("succeeded", 1)
