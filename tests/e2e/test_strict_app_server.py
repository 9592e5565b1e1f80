"""An app server that refuses what arrives above its limit in any window, by its own clock."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from tests.support.system import System, running

WINDOW_S, HEADROOM_MS = 4, 200
"""Four times 1 s and 50 ms, so that no pause of a busy machine is mistaken for a request that was sent early."""
RECIPE = {"action": "defer", "window_seconds": WINDOW_S, "headroom_ms": HEADROOM_MS}


@dataclass(frozen=True)
class Case:
    """A caller with a rule of its own, whose `limit` the app server holds, too.

    `stretch`: of how many requests in a row the rate is looked at.
    """

    limit: int
    requests: int
    stretch: int
    how: dict[str, Any]


CASES = {
    "gcra": Case(200, 1000, 100, {"burst": 1}),
    "drain": Case(200, 300, 100, {"drain": {"limit": 200, "window_seconds": WINDOW_S}}),
    "sliding": Case(40, 120, 40, {"algorithm": "sliding_window"}),
}


@pytest.mark.alone
async def test_with_headroom_nothing_is_refused(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, edges=1, workers=1) as system:
        for user, case in CASES.items():
            await system.http.put(f"{system.upstream}/-/strict/{user}/{case.limit}/{WINDOW_S}")
            await system.put_rule(user, key_type="user", key_value=user, limit=case.limit, **RECIPE, **case.how)
        for user in CASES:
            await system.rule_is_known(user, user)
        await asyncio.gather(*(deferred(system, user, case.requests) for user, case in CASES.items()))
        arrivals = await system.arrived(sum(case.requests for case in CASES.values()), within_s=90)
    for user, case in CASES.items():
        assert_not_refused(user, case, [one for one in arrivals if one["target"].startswith(f"/{user}/")])


def assert_not_refused(user: str, case: Case, arrivals: list[dict[str, Any]]) -> None:
    """All arrived, none was refused, and the rate is as high as the limit permits."""
    refused = [arrival for arrival in arrivals if arrival["status"] == 429]
    times = [arrival["at"] for arrival in arrivals]
    closest_s = min(later - earlier for earlier, later in zip(times, times[case.limit :], strict=False))
    shortest_s = min(later - earlier for earlier, later in zip(times, times[case.stretch :], strict=False))
    rate, whole = case.stretch / shortest_s, len(times) / (times[-1] - times[0])
    print(
        f"{user}: {len(refused)} refused; {rate:.1f} a second, {whole:.1f} overall; "
        f"{case.limit + 1} within {closest_s:.3f} s"
    )
    assert (len(refused), len(arrivals)) == (0, case.requests), user
    assert rate >= 0.94 * case.limit / WINDOW_S, f"{user}: as 4.7 to 5, where the worker was not held up"


async def deferred(system: System, user: str, count: int) -> None:
    for number in range(count):
        answer = await system.request("POST", f"/{user}/{number}", user, data=b"x")
        assert answer.status == 202, answer
