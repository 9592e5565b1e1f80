"""Callers who share a counter take turns, whatever they have queued and whoever came first."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from tests.support.system import System, running

RATE = 30
TENANTS = {"small": 20, "medium": 60, "large": 200}


async def defer_all(system: System, user: str, count: int) -> None:
    answers = await asyncio.gather(*(system.request("POST", f"/{user}", user, data=b"x") for _ in range(count)))
    assert {answer.status for answer in answers} <= {200, 202}


def of_tenants(arrivals: list[dict[str, str]]) -> list[str]:
    return [arrival["target"].removeprefix("/") for arrival in arrivals if arrival["job"]]


@pytest.mark.alone
async def test_tenants_get_the_same_share_of_one_counter(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, edges=1, workers=2) as system:
        rule: dict[str, Any] = {
            "key_type": "ip",
            "key_value": "0.0.0.0/0",
            "limit": RATE,
            "window_seconds": 1,
            "burst": 1,
        }
        await system.put_rule("shared", **rule, on_limit="defer", paused=True)
        await system.rule_is_known("shared", "large")
        for user in ("large", "medium", "small"):  # who came first has no advantage
            await defer_all(system, user, TENANTS[user])
        await system.put_rule("shared", **rule, on_limit="defer")
        drained = of_tenants(await system.arrived(sum(TENANTS.values()), within_s=180))
        begun = max(drained.index(user) for user in TENANTS)
        last_of_small = len(drained) - 1 - drained[::-1].index("small")
        together = drained[begun:last_of_small]
        assert len(together) >= 30, drained
        for first in range(0, len(together) - 30 + 1, 30):
            shares = Counter(together[first : first + 30])
            assert all(9 <= shares[user] <= 11 for user in TENANTS), shares
