"""A gateway before a language model: requests are limited by the tokens that their answers really cost."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from app.settings import Settings
from tests.support.system import System, running
from tests.support.waiting import eventually

PER_S, BURST = 200, 200
TOKENS: dict[str, Any] = {
    "key_type": "user",
    "key_value": "*",
    "limit": PER_S * 60,
    "window_seconds": 60,
    "burst": BURST,
    "on_limit": "defer",
    "cost": {"response_header": "X-Tokens-Used", "default": 40},
}


async def remaining(system: System, user: str) -> int:
    limits = (await system.request("GET", "/_penstock/limits", user)).json()["limits"]
    return int(limits[0]["remaining"])


async def is_left(system: System, user: str, units: int) -> None:
    """Wait until what answers have stated is counted. Corrections follow the answers, one batch after the other."""

    async def is_so() -> bool:
        return await remaining(system, user) == units

    await eventually(is_so, 30, f"{units} units are left")


async def ask(system: System, user: str, used: object, count: int) -> list[int]:
    answers = await asyncio.gather(
        *(
            system.request("POST", f"/v1/chat?used={used}&delay_ms=50&user={user}", user, data=b"x")
            for _ in range(count)
        )
    )
    return [answer.status for answer in answers]


OWN: dict[str, Any] = {"drain": {"limit": PER_S, "window_seconds": 1, "burst": BURST}}
CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "high-shared": (10, {}),
    "high-own": (10, OWN),
    "low-shared": (160, {}),
    "low-own": (160, OWN),
}
"""By caller: what an answer really costs, where 40 is estimated, and whether jobs have a budget of their own."""


@pytest.mark.alone
async def test_what_waits_is_sent_at_the_budget_that_answers_really_cost(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, edges=1, workers=1) as system:
        rates = await asyncio.gather(*(tokens_per_second(system, name, *case) for name, case in CASES.items()))
    assert all(0.75 * PER_S < rate < 1.25 * PER_S for rate in rates), dict(zip(CASES, rates, strict=True))


async def tokens_per_second(system: System, user: str, used: int, drain: dict[str, Any]) -> float:
    """Have jobs of a caller wait, let them go, and return how many tokens a second their answers cost."""
    rule = TOKENS | drain | {"key_value": user}
    jobs = 8 * PER_S // used
    await system.put_rule(user, **rule, paused=True)
    await system.rule_is_known(user, user)
    live = await ask(system, user, used, jobs + 20)
    assert set(live) == {200, 202}
    deferred = live.count(202)
    await system.put_rule(user, **rule)

    async def arrived() -> bool:
        return len(await jobs_of(system, user)) == deferred

    await eventually(arrived, 120, "all jobs have arrived")
    # The first burst is spent at once. From then on what answers state decides, and not what was estimated.
    arrivals = await jobs_of(system, user)
    after = [at - arrivals[0] for at in arrivals if at - arrivals[0] > 1]
    return (len(after) - 1) * used / (after[-1] - after[0])


async def jobs_of(system: System, user: str) -> list[float]:
    """When the jobs of a caller arrived, in order."""
    return sorted(
        one["at"] for one in await system.arrivals() if one["job"] and one["target"].endswith(f"&user={user}")
    )


async def owed(system: System, counter: str) -> float:
    """Units that a counter of 1000 in 360,000 s has to be paid."""
    cache = Redis.from_url(system.settings.cache_redis_url)
    try:
        stored: Any = await cache.get(counter)
        seconds, _ = await cache.time()
        return (int(stored.split()[0]) / 1e6 - seconds) / 360
    finally:
        await cache.aclose()


async def test_each_attempt_of_a_job_is_corrected_once_and_its_header_is_hidden(
    settings: Settings, tmp_path: Path
) -> None:
    slow: dict[str, Any] = {"limit": 1000, "window_seconds": 360_000, "burst": 1000}
    queue = {"max_attempts": 2, "max_wait_seconds": 1_000_000}
    counter = "counter:{tokens|user:bob}"
    async with running(settings, tmp_path, edges=1, workers=1, PENSTOCK_RETRY_BASE_S="0.05") as system:
        cost = TOKENS["cost"] | {"default": 100}
        await system.put_rule("tokens", **TOKENS | slow | {"cost": cost, "queue": queue, "drain": slow})
        await system.rule_is_known("tokens", "bob")
        assert await ask(system, "bob", 0, 3) == [200] * 3
        await is_left(system, "bob", 1000)
        assert await ask(system, "bob", 1000, 1) == [200]
        await is_left(system, "bob", 0)
        jobs = []
        for status in (500, 200):
            answer = await system.request("POST", f"/v1/chat?used=30&status={status}", "bob", data=b"x")
            assert answer.status == 202
            jobs.append(await system.ended(answer.json()["id"], "bob"))
        assert [(job["status"], job["attempts"]) for job in jobs] == [("failed", 2), ("succeeded", 1)]
        for job in jobs:
            stored = (await system.request("GET", f"/_penstock/jobs/{job['id']}/response", "bob")).headers
            assert "X-Tokens-Used" not in stored
        assert "X-Echo" in stored

        async def corrected() -> bool:
            return 89 < await owed(system, counter + ":drain") < 91

        await eventually(corrected, 30, "three attempts of 30 each are charged")
        assert 998 < await owed(system, counter) < 1001, "the counter of live requests has nothing to do with jobs"
