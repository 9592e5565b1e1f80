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

USERS = [f"user_{i}" for i in range(5)]
REQUESTS = 60
LIMIT, BURST = 20, 4
DRAIN = 30


@pytest.mark.alone
@pytest.mark.parametrize("own_drain_rate", [False, True], ids=["shared_budget", "own_drain_rate"])
async def test_the_rate_and_the_order_hold_over_many_processes(
    settings: Settings, tmp_path: Path, own_drain_rate: bool
) -> None:
    patient = settings.model_copy(update={"counters_timeout_ms": 2000.0})  # a busy machine is no lost counter
    async with running(patient, tmp_path, edges=4, workers=3) as system:
        drain = {"drain": {"limit": DRAIN, "window_seconds": 1}} if own_drain_rate else {}
        await system.put_rule(
            "u", key_type="user", key_value="*", limit=LIMIT, window_seconds=1, burst=BURST, on_limit="defer", **drain
        )
        await system.rule_is_known("u", USERS[0])
        answers = dict(zip(USERS, await asyncio.gather(*(send_all(system, user) for user in USERS)), strict=True))
        arrivals = by_user(await system.arrived(len(USERS) * REQUESTS, within_s=120))

        for user in USERS:
            statuses = [answer.status for answer in answers[user]]
            assert set(statuses) == {200, 202}
            numbers = [arrival["number"] for arrival in arrivals[user]]
            assert sorted(numbers) == list(range(REQUESTS)), "each once"
            drained = [arrival for arrival in arrivals[user] if arrival["job"]]
            assert len(drained) == statuses.count(202)
            if own_drain_rate:
                # Live requests may pass the backlog; the backlog keeps its own order and its own rate.
                assert_in_order(as_read((a["number"] for a in drained), drained))
                assert_within_rate(times_of(drained), DRAIN, 1)
                assert_within_rate(times_of(a for a in arrivals[user] if not a["job"]), LIMIT, BURST)
            else:
                # A starved app server reads what arrived on two connections at once in either order.
                assert_in_order(as_read(numbers, arrivals[user]))
                assert 200 in statuses[statuses.index(202) :], "once the flow is empty, live requests pass again"
                assert_within_rate(times_of(arrivals[user]), LIMIT, BURST)
        await every_job_succeeded(system, answers)


async def send_all(system: System, user: str) -> list[Answer]:
    """One client: the next request after the answer to the last, over connections that reach every edge."""
    randomness = random.Random(user)
    answers = []
    for number in range(REQUESTS):
        target = f"/work?user={user}&number={number}"
        answers.append(await system.request("POST", target, user, data=b"x", headers={"Connection": "close"}))
        if number % 20 == 19:  # long enough for the flow to run empty, so that live requests follow a backlog
            await asyncio.sleep(randomness.uniform(1.3, 1.8))
    return answers


def by_user(arrivals: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for arrival in arrivals:
        query = parse_qs(urlsplit(arrival["target"]).query)
        found[query["user"][0]].append(arrival | {"number": int(query["number"][0])})
    return found


async def every_job_succeeded(system: System, answers: dict[str, list[Answer]]) -> None:
    for user, of_user in answers.items():
        for answer in of_user:
            if answer.status == 202:
                job = await system.ended(answer.json()["id"], user)
                assert (job["status"], job["attempts"]) == ("succeeded", 1)
