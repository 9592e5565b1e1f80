"""When the jobs that waited for a shared counter have been sent, live requests are within the limit again."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from tests.support.system import running

SHARED = {"key_type": "ip", "key_value": "127.0.0.0/8", "on_limit": "defer"}
RULES: dict[str, dict[str, Any]] = {
    "a limit": {"limit": 20, "window_seconds": 1, "burst": 1},
    "places": {"concurrency": 1},
    "both": {"limit": 20, "window_seconds": 1, "burst": 1, "concurrency": 1},
}
USERS = ("a", "b", "c")
AT_MOST = 8
"""How many live requests, a quarter of a second apart, may be deferred before one is forwarded: a marker that says that
flows wait fades within a second.
"""


@pytest.mark.alone
@pytest.mark.parametrize("limits", RULES.values(), ids=RULES)
async def test_live_requests_pass_again(settings: Settings, tmp_path: Path, limits: dict[str, Any]) -> None:
    async with running(settings, tmp_path, workers=2) as system:
        await system.put_rule("r", **SHARED, **limits)
        await system.rule_is_known("r", "a")
        asked = [(user, f"/{user}/{number}?delay_ms=50") for number in range(5) for user in USERS]
        answers = await asyncio.gather(*(system.request("POST", target, user) for user, target in asked))
        deferred = [(answer, user) for answer, (user, _) in zip(answers, asked, strict=True) if answer.status == 202]
        assert len(deferred) >= 10
        for answer, user in deferred:
            await system.ended(answer.json()["id"], user)
        statuses: list[int] = []
        while not statuses or statuses[-1] != 200:
            statuses.append((await system.request("GET", "/live", "d")).status)
            assert set(statuses) <= {200, 202}
            assert len(statuses) <= AT_MOST, statuses
            await asyncio.sleep(0.25)
        later = [(await system.request("GET", "/live", "d")).status]
        for _ in range(3):
            await asyncio.sleep(0.25)
            later.append((await system.request("GET", "/live", "d")).status)
        assert later == [200] * 4
